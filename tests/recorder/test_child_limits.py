"""What a child may say, and how much of it."""

import pytest

from recorder.child_limits import BURST_S, WATCH_PER_S, ChildLimits
from recorder.child_process import ChildPlan, LimitError
from recorder.children_plan import WATCH
from recorder.contract import child

TOLD = {"judge", "cam", "remote-p"}


def watch() -> ChildLimits:
    return ChildLimits(ChildPlan(name="watch", module=WATCH, device={"id": "watch"}), TOLD.__contains__)


def finding(track: str, code: str = "silent", detail: str = "") -> child.Finding:
    return child.Finding(track=track, code=code, on=True, at_us=1, detail=detail)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "forged",
    [
        child.PartEnded(track="judge", part=0, end_us=1),
        child.Fragment(track="judge", part=0, t0=0, dur=48_000, timescale=48_000, key=True, new_segment=True),
        child.Init(track="judge", part=0, kind="audio", codec="flac", timescale=48_000),
        child.Opened(driver="watch", address="", serial="", tracks={"judge": "audio"}),
        child.TrackOpened(track="remote-p", kind="audio", label=""),
        child.TrackClosed(track="remote-p", cause="left", detail=""),
        child.Stats(tracks=[child.TrackStats(track="judge", units=1, dropped=0, last_mono_us=1)]),
        child.Levels(channels=[child.Level(track="judge", rms_dbfs=0, peak_dbfs=0, clipped=0)]),
        child.Muted(on=True, at_mono_us=1),
        child.QualityEvent(track="remote-p", name="loss", data={}),
        finding("witness"),
        finding("", "silent"),
        finding("judge", detail="x" * 10_000),
        child.Judged(until_us={"judge": 1, "witness": 1}),
    ],
)
def test_the_watch_has_no_word_that_touches_a_track(forged: child.Message) -> None:
    with pytest.raises(LimitError):
        watch().hold(forged, 0.0)


def test_the_watch_may_judge_what_it_was_told_of_and_no_more_often_than_it_can() -> None:
    limits = watch()
    for message in (
        child.Opened(driver="watch", address="", serial="", tracks={}),
        finding("judge"),
        finding("remote-p", "black"),
        finding("", "room_silent"),
        child.Baseline(track="cam", at_us=1, values={"brightness": 80.0}),
        child.Judged(until_us={"judge": 1, "cam": 1}),
    ):
        limits.hold(message, 0.0)
    with pytest.raises(LimitError, match="says more"):  # noqa: PT012 - the loop is the attack
        for _ in range(WATCH_PER_S * BURST_S):
            limits.hold(finding("judge"), 0.0)
