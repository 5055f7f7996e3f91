"""When a channel or a picture on the disk is an alarm, and when not."""

import numpy as np
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


def test_a_track_that_stays_behind_the_others_is_late() -> None:
    rules = Rules(HOLD_US)
    assert rules.late({"cam": 20_000_000, "judge": 19_000_000}, ["cam", "judge"]) == []
    assert [(c.track, c.code, c.on) for c in rules.late({"cam": 20_000_000, "judge": 9_000_000}, ["cam", "judge"])] == [
        ("judge", "late", True)
    ]


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
