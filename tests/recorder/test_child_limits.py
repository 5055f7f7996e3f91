"""What a child may say, and how much of it."""

import pytest

from recorder.child_limits import BURST_S, BYTES_BURST_S, OVERHEAD_BYTES_PER_S, WATCH_PER_S, ChildLimits
from recorder.child_process import ChildPlan, LimitError
from recorder.children_plan import CAPTURE, INGEST, WATCH
from recorder.contract import child
from recorder.contract.framing import MAX_BODY_BYTES, MAX_HEAD_BYTES

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
        watch().hold(forged, 0, 0.0)


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
        limits.hold(message, 0, 0.0)
    with pytest.raises(LimitError, match="says more"):  # noqa: PT012 - the loop is the attack
        for _ in range(WATCH_PER_S * BURST_S):
            limits.hold(finding("judge"), 0, 0.0)


def ingest(tracks: int = 40, track_bytes_per_s: int = 1_500_000) -> ChildLimits:
    device = {"id": "ingest", "max_tracks": tracks, "track_bytes_per_s": track_bytes_per_s}
    return ChildLimits(ChildPlan(name="ingest", module=INGEST, device=device))


def fragment(track: str, t0: int = 0) -> child.Fragment:
    return child.Fragment(track=track, part=0, t0=t0, dur=1, timescale=1, key=True, new_segment=False)


def passed_bytes(limits: ChildLimits, seconds: int) -> int:
    """How much of the largest fragments a child can hand over within so long."""
    passed = 0
    for tenth in range(seconds * 10):
        try:
            for n in range(1000):
                limits.hold(fragment("remote-a", n), MAX_BODY_BYTES, tenth / 10)
                passed += MAX_BODY_BYTES
        except LimitError:
            continue
    return passed


def test_participants_together_bring_what_their_quotas_allow_and_no_more() -> None:
    quota = 40 * (1_500_000 + OVERHEAD_BYTES_PER_S)
    assert quota < passed_bytes(ingest(), 1) <= quota * (1 + BYTES_BURST_S)
    assert passed_bytes(ingest(), 60) <= quota * (60 + BYTES_BURST_S)
    assert passed_bytes(ingest(1, 1_000), 60) == 0


def test_participants_within_their_quotas_go_on_for_hours() -> None:
    limits = ingest(2, 10_000)
    for half_second in range(2 * 3600 * 2):
        for track in ("remote-a", "remote-b"):
            limits.hold(fragment(track, half_second), 5_000 + 1_500, half_second / 2)


def test_a_camera_s_pre_roll_passes_at_once_and_a_camera_that_floods_does_not() -> None:
    camera = ChildLimits(ChildPlan(name="cam", module=CAPTURE, device={"id": "cam"}))
    for n in range(20):
        camera.hold(fragment("cam", n), 25_000_000, 0.0)
    with pytest.raises(LimitError, match="bytes a second"):  # noqa: PT012 - the loop is the attack
        for n in range(1000):
            camera.hold(fragment("cam", n), MAX_BODY_BYTES, 0.0)


def test_words_count_as_bytes_and_reports_are_counted_too() -> None:
    limits = ingest(1, 1_000)
    with pytest.raises(LimitError, match="bytes a second"):  # noqa: PT012 - the loop is the attack
        for _ in range(100):
            limits.hold(child.TrackClosed(track="remote-a", cause="left", detail="x" * (MAX_HEAD_BYTES - 100)), 0, 0.0)
    with pytest.raises(LimitError, match="reports more"):  # noqa: PT012 - the loop is the attack
        for _ in range(100_000):
            limits.hold(child.Stats(tracks=[]), 0, 0.0)


def test_participants_tracks_begin_only_so_often() -> None:
    limits = ingest()
    for n in range(3 * 40):
        limits.hold(child.TrackOpened(track=f"remote-a{n}", kind="audio", label=""), 0, 0.0)
    with pytest.raises(LimitError, match="begins more"):  # noqa: PT012 - the loop is the attack
        for n in range(200):
            limits.hold(child.TrackOpened(track=f"remote-b{n}", kind="audio", label=""), 0, 0.0)
