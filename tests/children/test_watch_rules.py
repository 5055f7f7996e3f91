"""When a channel or a picture on the disk is an alarm, and when not."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.children.signal_checks import PictureValues, SoundValues, measure_picture, measure_sound
from recorder.children.watch_rules import Rules

HOLD_US = 5_000_000
STEP_US = 1_500_000
QUIET = SoundValues(rms_dbfs=-60.0, peak_dbfs=-50.0, clipped_share=0.0, dead=False)
DEAD = SoundValues(rms_dbfs=-120.0, peak_dbfs=-120.0, clipped_share=0.0, dead=True)


def fed(rules: Rules, values: SoundValues, begin_us: int, length_us: int, track: str = "judge") -> list[tuple[str, bool]]:
    changes = []
    for at_us in range(begin_us, begin_us + length_us, STEP_US):
        changes += [(change.code, change.on) for change in rules.sound(track, at_us, values) if change.track == track]
    return changes


def test_a_quiet_room_is_no_dead_microphone() -> None:
    assert fed(Rules(HOLD_US), QUIET, 0, 60_000_000) == []


def test_a_dead_channel_is_told_once_and_ends_when_it_lives_again() -> None:
    rules = Rules(HOLD_US)
    assert fed(rules, DEAD, 0, 20_000_000) == [("silent", True)]
    assert fed(rules, QUIET, 20_000_000, 10_000_000) == [("silent", False)]


def test_a_muted_seat_is_no_alarm() -> None:
    assert fed(Rules(HOLD_US, muted=frozenset({"judge"})), DEAD, 0, 20_000_000) == []


def test_with_a_baseline_a_microphone_far_below_its_own_floor_is_dead() -> None:
    below = SoundValues(rms_dbfs=-85.0, peak_dbfs=-80.0, clipped_share=0.0, dead=False)
    assert fed(Rules(HOLD_US, {"judge": -62.0}), below, 0, 20_000_000) == [("silent", True)]
    assert fed(Rules(HOLD_US, {"judge": -62.0}), QUIET, 0, 20_000_000) == []


def test_a_room_in_which_nobody_is_heard_is_an_alarm_of_its_own() -> None:
    rules, told = Rules(HOLD_US), []
    for at_us in range(0, 20_000_000, STEP_US):
        for track in ("judge", "witness"):
            told += [change.code for change in rules.sound(track, at_us, DEAD) if change.track == ""]
    assert told == ["room_silent"]


def test_clipping_is_told() -> None:
    loud = SoundValues(rms_dbfs=-3.0, peak_dbfs=0.0, clipped_share=0.02, dead=False)
    assert fed(Rules(HOLD_US), loud, 0, 20_000_000) == [("clipped", True)]


@dataclass
class TwoTracks:
    """A camera and a microphone, whose media comes to lie on the disk by the second; ``late`` holds the changes of that alarm."""

    rules: Rules = field(default_factory=lambda: Rules(HOLD_US))
    ends_us: dict[str, int] = field(default_factory=lambda: {"cam": 0, "judge": 0})
    late: list[tuple[str, bool]] = field(default_factory=list)

    def second(self, at_s: int, *tracks: str) -> None:
        for track in tracks:
            self.ends_us[track] = (at_s + 1) * 1_000_000
            self.rules.recorded(at_s * 1_000_000, self.ends_us[track])
            self.late += [(change.track, change.on) for change in self.rules.late(self.ends_us, self.ends_us)]


def test_a_track_that_stays_behind_the_others_is_late() -> None:
    room = TwoTracks()
    for at_s in range(9):
        room.second(at_s, "cam", "judge")
    for at_s in range(9, 15):
        room.second(at_s, "cam")
    assert room.late == []
    room.second(15, "cam")
    assert room.late == [("judge", True)]


@pytest.mark.parametrize("before", [range(0), range(9)], ids=["the watch begins in a session that runs", "a pause ends"])
def test_whose_media_comes_first_makes_nobody_late(before: range) -> None:
    room = TwoTracks()
    for at_s in before:
        room.second(at_s, "cam", "judge")
    room.second(128, "cam")
    room.second(129, "cam", "judge")
    assert room.late == []
    for at_s in range(130, 137):
        room.second(at_s, "cam")
    assert room.late == [("judge", True)], "who gives nothing from then on is"


def test_a_watch_that_is_slow_finds_who_is_late_all_the_same() -> None:
    room = TwoTracks()
    for at_s in range(8):
        room.rules.recorded(at_s * 1_000_000, (at_s + 1) * 1_000_000)
    assert [change.track for change in room.rules.late({"cam": 8_000_000, "judge": 0}, ["cam", "judge"])] == ["judge"]


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_alarms_never_flap(dead: list[bool]) -> None:
    """On and off alternate, and no alarm begins before its condition has held long enough."""
    rules, states, held_us = Rules(HOLD_US), [], 0
    for index, is_dead in enumerate(dead):
        held_us = held_us + STEP_US if is_dead else 0
        for change in rules.sound("judge", index * STEP_US, DEAD if is_dead else QUIET):
            if change.track == "judge":
                states.append(change.on)
                assert not change.on or held_us >= HOLD_US
    assert states == [index % 2 == 0 for index in range(len(states))]


def test_a_repeated_picture_is_frozen_and_a_noisy_one_is_not() -> None:
    noise = np.random.default_rng(1)
    picture = noise.integers(60, 200, (270, 480), np.uint8)
    living = np.clip(picture.astype(np.int16) + noise.integers(-2, 3, picture.shape), 0, 255).astype(np.uint8)
    rules = Rules(HOLD_US)
    assert rules.picture("cam", 0, measure_picture(living, picture)) == []
    assert [c.code for c in rules.picture("cam", 1, measure_picture(picture, picture))] == ["frozen"]


def test_black_is_told_apart_from_a_dark_room() -> None:
    dark = PictureValues(brightness=22.0, spread=9.0, sharpness=30.0, difference=0.4)
    black = PictureValues(brightness=16.0, spread=0.5, sharpness=0.0, difference=0.0)
    assert Rules(HOLD_US).picture("cam", 0, dark) == []
    assert [c.code for c in Rules(HOLD_US).picture("cam", 0, black)] == ["black"]


def test_levels_of_known_sounds() -> None:
    tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)).astype(np.float32)
    assert abs(measure_sound(tone).rms_dbfs + 23.01) < 0.05
    assert measure_sound(np.ones(48_000, np.float32)).clipped_share == 1.0
    assert measure_sound(np.zeros(0, np.float32)).dead
