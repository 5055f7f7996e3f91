import itertools

from hypothesis import given
from hypothesis import strategies as st

from recorder.children.part import Planned, Schedule
from recorder.contract.child import StartPart


def start(part: int, from_us: int) -> StartPart:
    return StartPart(from_mono_us=from_us, origin_mono_us=0, tracks={"cam": part})


def recorded(schedule: Schedule, times_us: list[int]) -> list[tuple[int, int]]:
    """What a track does: (time, part) of all that is recorded."""
    kept = []
    for at_us in times_us:
        if schedule.ends_before(at_us):
            schedule.ended()
        schedule.abandoned(at_us)
        if schedule.begins_with(at_us):
            schedule.begin()
        if schedule.running is not None:
            kept.append((at_us, schedule.running.number))
    return kept


def test_a_part_holds_exactly_what_was_captured_between_its_ends() -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, 100))
    schedule.stop(200)
    assert recorded(schedule, [99, 100, 150, 199, 200, 250]) == [(100, 1), (150, 1), (199, 1)]


def test_resuming_and_pausing_again_before_the_device_gave_anything_records_nothing_of_the_first_pause() -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, 0))
    schedule.start(start(1, 0))
    assert recorded(schedule, [50]) == [(50, 1)]
    schedule.stop(100)
    schedule.start(start(2, 200))
    schedule.stop(300)
    assert recorded(schedule, [90, 110, 150, 199, 210, 290, 300, 400]) == [(90, 1), (210, 2), (290, 2)]


def test_a_new_level_takes_over_where_a_keyframe_comes_and_loses_nothing() -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, 0))
    assert recorded(schedule, [10])
    schedule.start(start(2, 100))
    assert not schedule.ends_before(120, can_begin=False)
    assert schedule.ends_before(140, can_begin=True)


def test_a_part_whose_end_passes_before_a_keyframe_came_is_given_up_and_named() -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, 100))
    schedule.stop(200)
    assert not schedule.begins_with(150, can_begin=False)
    assert schedule.abandoned(199) is None
    gone = schedule.abandoned(200)
    assert gone is not None
    assert gone.number == 1
    assert schedule.next is None


def test_another_track_s_part_is_not_ours() -> None:
    schedule = Schedule("mic")
    assert schedule.start(start(1, 0)) is None
    assert recorded(schedule, [1, 2]) == []


@given(
    edges=st.lists(st.integers(1, 2_000), min_size=2, max_size=12, unique=True).map(sorted),
    step=st.integers(1, 300),
    late=st.booleans(),
)
def test_whatever_the_orders_nothing_outside_them_is_recorded(edges: list[int], step: int, *, late: bool) -> None:
    """Parts from edges[0] to edges[1], edges[2] to edges[3]…; orders come in time, or two late by one device block."""
    schedule = Schedule("cam")
    parts = [(number, *pair) for number, pair in enumerate(itertools.pairwise(edges)) if number % 2 == 0]
    orders = [(edge, number, index) for number, begin, end in parts for index, edge in enumerate((begin, end))]
    kept = []
    for at_us in range(0, 2_500, step):
        known = at_us + step if late else at_us
        while orders and orders[0][0] <= known:
            edge, number, index = orders.pop(0)
            if index:
                schedule.stop(edge)
            else:
                schedule.start(start(number, edge))
        kept += recorded(schedule, [at_us])
    for at_us, part in kept:
        assert any(number == part and begin <= at_us < end for number, begin, end in parts)


def test_a_pause_before_the_keyframe_of_a_new_level_ends_what_runs_too() -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, 0))
    assert recorded(schedule, [10])
    schedule.start(start(2, 100))
    schedule.stop(150)
    assert not schedule.ends_before(140, can_begin=False)
    assert schedule.ends_before(160, can_begin=False), "what comes after the pause is in no part"
    schedule.ended()
    assert [schedule.abandoned(160), schedule.abandoned(160)] == [Planned(2, 100, 0, None, 150), None]


def test_a_level_that_was_changed_again_before_a_keyframe_came_is_named_as_ended() -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, 0))
    assert recorded(schedule, [10])
    schedule.start(start(2, 100))
    schedule.start(start(3, 110))
    gone = schedule.abandoned(120)
    assert gone is not None
    assert gone.number == 2
    assert recorded(schedule, [90, 120]) == [(90, 1), (120, 3)]


@given(st.integers(0, 10**12), st.integers(1, 5000), st.sampled_from([8000, 16_000, 44_100, 48_000]), st.integers(-300_000, 300_000))
def test_samples_are_cut_at_the_first_that_was_captured_behind_the_edge(mono_us: int, count: int, rate_hz: int, ahead_us: int) -> None:
    schedule = Schedule("cam")
    schedule.start(start(1, mono_us + ahead_us))
    cut = schedule.samples_to_edge(mono_us, count, rate_hz)
    captured_us = [mono_us + n * 1_000_000 / rate_hz for n in (cut - 1, cut)]
    assert 1 <= cut <= count
    if cut < count:
        assert captured_us[0] < mono_us + ahead_us <= captured_us[1]
    else:
        assert not captured_us[0] >= mono_us + ahead_us > mono_us
