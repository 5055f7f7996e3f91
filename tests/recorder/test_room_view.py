"""What people see of the room's tracks."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from recorder.contract import child, control
from recorder.live_view import status_view
from recorder.room_view import RoomView
from tests.recorder.running_session import Session
from tests.recorder.test_cli import STATUS

LIVE = frozenset({"mic"})


@pytest.mark.parametrize("state", ["privileged", "deliberation"])
def test_where_nothing_is_heard_no_meter_and_no_lamp_says_that_it_were(tmp_path: Path, state: control.State) -> None:
    view, running = RoomView(), Session(tmp_path).running
    view.add("judge", "audio", "mic")
    view.take(child.Levels(channels=[child.Level(track="judge", rms_dbfs=-23.0, peak_dbfs=-10.0, clipped=0)]))
    shown = [view.channels(LIVE, replace(running, state=one)) for one in ("open", state)]
    assert [(channel.rms_dbfs, channel.peak_dbfs) for [channel] in shown] == [(-23.0, -10.0), (None, None)]
    recording, dropping = (
        printed(msgspec.structs.replace(STATUS, state=one, channels=channels)) for one, channels in zip(("open", state), shown, strict=True)
    )
    assert "-23.0" in recording
    assert recording.count("●") == 2, "the session's lamp and the track's"
    assert "-23.0" not in dropping
    assert "●" not in dropping


def test_media_lies_off_its_place_by_the_fits_error_and_what_the_clock_drifts_until_the_segments_end() -> None:
    view = RoomView()
    view.add("judge", "audio", "mic")
    view.add("party", "audio", "mic")
    view.take(child.DriftMeasured(track="judge", media_us=0, mono_us=0, drift_ppb=-50_000, error_us=400))
    judge, party = view.channels(LIVE, None)
    assert judge.misplaced_us == 400 + 50 * 60, "50 ppm over a segment of a minute"
    assert party.misplaced_us is None


def test_an_alarm_of_the_room_is_shown_without_a_hole_where_a_track_would_stand() -> None:
    alarms = [
        control.Alarm(code="disk_full", track="", detail="/d: full", since_us=0),
        control.Alarm(code="silent", track="judge", detail="dead", since_us=0),
    ]
    shown = printed(msgspec.structs.replace(STATUS, alarms=alarms))
    assert "disk_full: /d: full" in shown
    assert "silent judge: dead" in shown


def printed(status: control.Status) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        console.print(status_view(status))
    return captured.get()
