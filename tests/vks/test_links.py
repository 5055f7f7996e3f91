"""What the room tells of its participants' links: the worst of all, over the last span."""

from recorder.contract.conference import Links
from vks.account import Arrival
from vks.links import SPAN_US, LinkTotals


def told(totals: LinkTotals, spans: int, arrivals: dict[str, Arrival], round_trips_us: list[int]) -> Links:
    """What stands after a look so many spans after the first."""
    totals.take(arrivals, round_trips_us, 1 + spans * SPAN_US)
    return totals.links


def test_the_worst_link_is_told_and_the_loss_of_all_packets() -> None:
    totals = LinkTotals()
    assert told(totals, 0, {}, []) == Links()
    arrivals = {"p1:0": Arrival(900, 0, 4_000), "p2:0": Arrival(60, 40, 30_000)}
    assert told(totals, 1, arrivals, [20_000, 180_500]) == Links(rtt_ms=180.5, jitter_ms=30.0, loss_percent=4.0)


def test_what_was_lost_earlier_is_over() -> None:
    totals = LinkTotals()
    told(totals, 0, {}, [])
    told(totals, 1, {"p1:0": Arrival(50, 50, 0)}, [])
    assert told(totals, 2, {"p1:0": Arrival(150, 50, 0)}, []).loss_percent == 0


def test_a_stream_that_has_ended_says_nothing_of_now() -> None:
    totals = LinkTotals()
    told(totals, 0, {}, [])
    told(totals, 1, {"p1:0": Arrival(100, 0, 2_000), "p1:2": Arrival(100, 0, 80_000)}, [])
    assert told(totals, 2, {"p1:0": Arrival(200, 0, 2_000), "p1:2": Arrival(100, 0, 80_000)}, []).jitter_ms == 2.0


def test_another_connection_of_the_same_person_counts_from_its_beginning() -> None:
    totals = LinkTotals()
    told(totals, 0, {}, [])
    told(totals, 1, {"p1:0": Arrival(1_000, 0, 0)}, [])
    assert told(totals, 2, {"p1:0": Arrival(75, 25, 0)}, []).loss_percent == 25


def test_nothing_is_told_within_a_span_nor_again_and_again_of_nobody() -> None:
    totals = LinkTotals()
    assert not totals.take({}, [], 1)
    assert not totals.take({"p1:0": Arrival(9, 0, 0)}, [], SPAN_US)
    assert totals.take({"p1:0": Arrival(9, 0, 0)}, [], 1 + SPAN_US)
    assert totals.take({}, [], 1 + 2 * SPAN_US), "they have left"
    assert totals.links == Links()
    assert not totals.take({}, [], 1 + 3 * SPAN_US)
