from hypothesis import given
from hypothesis import strategies as st

from recorder.children.pace import Pace


@given(fps=st.integers(5, 60), gone=st.sets(st.integers(30, 200)), jitter=st.lists(st.floats(-0.15, 0.15), min_size=300, max_size=300))
def test_the_pictures_that_a_camera_lost_are_counted_exactly_whatever_rate_it_declares(
    fps: int, gone: set[int], jitter: list[float]
) -> None:
    pace = Pace(None)
    interval_us = 1_000_000 / fps
    times = [round((n + jitter[n]) * interval_us) for n in range(300) if n not in gone]
    # A camera that loses every other picture for a second is a camera with half the rate: that is no counting of losses.
    if any(len(gone & set(range(n, n + 25))) > 10 for n in range(300)):
        return
    assert sum(map(pace.missing, times)) == len([n for n in gone if n < 299])


def test_a_picture_lost_right_after_the_start_is_seen_where_the_rate_is_known() -> None:
    pace = Pace(40_000)
    assert [pace.missing(n * 40_000) for n in (0, 1, 3)] == [0, 0, 1]


def test_pictures_dropped_on_purpose_are_no_loss() -> None:
    pace = Pace(40_000)
    pace.missing(0)
    pace.restart()
    assert pace.missing(10_000_000) == 0
