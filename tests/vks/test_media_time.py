"""Where a participant's sound and pictures lie on the record's clock, whatever the network did to them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vks.browsers import until
from tests.vks.test_conference import Hall
from tests.vks.test_conference import hall as hall  # noqa: PLC0414 - a fixture is used by its name
from vks.media_time import JUMP_US, MediaTime
from vks.times import mono_us

TICK_US, BLOCK = 20_000, 960


def placed(drift_ppm: float, delays_us: list[int], clock_hz: int = 48_000) -> list[int]:
    """By how much each unit is placed away from its true time, where the least delay is 0."""
    clock, away = MediaTime(clock_hz), []
    for number, delay_us in enumerate(delays_us):
        true_us = number * TICK_US
        timestamp = round(true_us * (1 + drift_ppm / 1e6) * clock_hz / 1e6)
        away.append(clock.place(timestamp, true_us + delay_us + 10**9) - true_us - 10**9)
    return away


def test_jitter_does_not_move_what_was_captured() -> None:
    rng = random.Random(1)
    away = placed(0, [0, *[rng.choice([0, 5_000, 60_000, 150_000]) for _ in range(5_000)]])
    assert max(map(abs, away)) < 1_000


def test_a_peers_clock_that_runs_slow_or_fast_is_followed() -> None:
    rng = random.Random(2)
    for drift_ppm in (-100, 100):
        away = placed(drift_ppm, [rng.choice([0, 2_000, 10_000]) for _ in range(180_000)])  # an hour
        assert max(map(abs, away)) < 5_000


def test_after_a_pause_or_new_timestamps_what_comes_lies_at_its_arrival() -> None:
    clock = MediaTime(90_000)
    clock.place(1_000, 10**9)
    assert clock.place(4_000_000_000, 10**9 + 40_000) == 10**9 + 40_000
    assert clock.place(4_000_003_600, 10**9 + 2 * JUMP_US) == 10**9 + 2 * JUMP_US


def late(clock: MediaTime, reports: dict[int, tuple[int, int]], paused_us: int = 0, held_back_us: int = 0) -> list[int]:
    """Ten seconds of sound, and by how much each block is placed too early. In the middle samples stand still, or the network holds back.

    Args:
        clock: of the sound.
        reports: before which block the peer tells how much time has passed by its clock, and by its timestamps.
        paused_us: for so long the microphone gives nothing.
        held_back_us: by so much more is delayed from then on.
    """
    early = []
    for number in range(500):
        if number in reports:
            peer_us, media_us = reports[number]
            clock.report(10**15 + peer_us, (2**32 - 100_000 + media_us * 48 // 1_000) % 2**32)
        true_us = 10**9 + number * TICK_US + (paused_us if number >= 250 else 0)
        early.append(true_us - clock.place(number * BLOCK, true_us + (held_back_us if number >= 250 else 0)))
    return early


def test_where_a_microphone_gave_nothing_what_follows_lies_right_when_the_peer_has_told_how_late_it_is() -> None:
    paused_us = 1_500_000
    said = {100: (2_000_000, 2_000_000), 240: (4_800_000, 4_800_000), 300: (6_000_000 + paused_us, 6_000_000)}
    early = late(MediaTime(48_000), said, paused_us=paused_us)
    assert early[299] > paused_us - 10_000, "nobody has told yet"
    assert max(map(abs, early[:250] + early[300:])) < 10_000


def test_a_slow_sound_card_is_not_taken_for_one_that_stood_still() -> None:
    """By 100 ppm its timestamps fall 360 ms behind in an hour: no count begins anew, at whatever delay the network has at that moment."""
    clock, slow = MediaTime(48_000), 1 - 100e-6
    for second in range(3_600):
        true_us = second * 1_000_000
        media = round(true_us * slow * 48 / 1_000)
        clock.report(true_us, media % 2**32)
        delay_us = 80_000 if second % 50 else 0
        assert clock.place(media, 10**9 + true_us + delay_us) <= 10**9 + true_us + 30_000


def test_several_short_pauses_between_reports_count_together() -> None:
    said = {100 * number: (number * 2_090_000, number * 2_000_000) for number in range(5)}
    clock = MediaTime(48_000)
    early = late(clock, said, paused_us=300_000)
    assert early[299] > 290_000
    assert max(map(abs, early[300:])) < 10_000


def test_what_the_network_holds_back_is_no_pause() -> None:
    said = {100 * number: (number * 2_000_000 + number % 2 * 150_000, number * 2_000_000) for number in range(5)}
    assert max(map(abs, late(MediaTime(48_000), said, held_back_us=1_500_000))) < 10_000


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(0, 500_000)), min_size=1, max_size=100))
def test_times_rise_and_never_lie_in_the_future(units: list[tuple[int, int]]) -> None:
    clock, arrival_us, last_us = MediaTime(48_000), 10**9, -1
    for number, (timestamp, later_us) in enumerate(units):
        arrival_us += later_us
        mono_us = clock.place(timestamp, arrival_us)
        assert mono_us > last_us
        assert mono_us <= arrival_us + number
        last_us = mono_us


@pytest.mark.alone
async def test_what_follows_a_pause_of_a_microphone_is_recorded_when_it_was_said(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    party = await hall.join("party", 1_000, 120)
    hall.admit("party")
    came: list[tuple[int, int]] = []
    """When each packet of sound came, and by how much earlier it was placed."""

    def media(track: str, at_us: int, *_: object, **__: object) -> None:
        if track == "party-audio":
            came.append((mono_us(), mono_us() - at_us))

    monkeypatch.setattr(hall.recording, "media", media)
    await until(lambda: len(came) > 100, "seconds of sound, and the reports beside it")
    party.microphone.gives.clear()
    await until(lambda: mono_us() - came[-1][0] > 1_000_000, "a second in which nothing comes")
    party.microphone.gives.set()
    known = len(came)
    await until(lambda: len(came) > known, "sound")
    assert came[known][1] > 500_000, "nobody can know it yet"
    await until(lambda: min(early_us for _, early_us in came[known:]) < 200_000, "the peer's report")
