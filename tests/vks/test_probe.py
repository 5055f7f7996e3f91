"""A probe finds out whether a link holds more, and ends long before the link drops anything."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from vks.probe import CALM_US, HOLD_US, LATE_ANSWERS, RISE_US, SLOWER_US, Probe

STEP_US = 20_000
SENT_BPS, WANTED_BPS = 250_000, 1_500_000
BUCKET_BYTES, QUEUE_US = 16_000, 200_000
S = 1_000_000


class Link:
    """A rate, so many bytes at once, a queue, a way; how long what waits took at most."""

    def __init__(self, bps: int, way_us: int) -> None:
        self._bps, self._way_us = bps, way_us
        self._room_bytes = float(BUCKET_BYTES)
        self.waited_us = 0.0

    def carry(self, size: int) -> float:
        """Send so much in a step; how long the way takes then."""
        self._room_bytes = min(BUCKET_BYTES, self._room_bytes + self._bps * STEP_US / 8 / S) - size
        waits_us = max(0.0, -self._room_bytes) * 8 * S / self._bps
        self.waited_us = max(self.waited_us, waits_us)
        return self._way_us + waits_us


def probed(link: Link, lost: set[int] | None = None) -> tuple[bool, int]:
    """What a probe by this link finds, and how many bytes it costs; these of its questions are lost."""
    probe, now_us, cost, number = Probe(WANTED_BPS - SENT_BPS, 0), 0, 0, 0
    answers = deque[tuple[float, int]]()
    while True:
        now_us += STEP_US
        for due_us, asked_us in sorted(answers):
            if due_us <= now_us:
                answers.remove((due_us, asked_us))
                probe.answered(asked_us, now_us)
        holds = probe.verdict(now_us)
        if holds is not None:
            return holds, cost
        size = probe.due_bytes(now_us)
        probe.padded(size)
        cost += size
        took_us = link.carry(size + SENT_BPS * STEP_US // 8 // S)
        probe.asked(now_us)
        if number not in (lost or set()):
            answers.append((now_us + took_us, now_us))
        number += 1


@given(st.integers(300_000, 1_000_000), st.integers(5_000, 80_000))
def test_a_link_that_is_too_slow_is_found_so_before_it_drops_anything(bps: int, way_us: int) -> None:
    link = Link(bps, way_us)
    holds, _ = probed(link)
    assert not holds
    assert link.waited_us < QUEUE_US


@given(st.integers(WANTED_BPS * 11 // 10, 20_000_000), st.integers(5_000, 400_000))
def test_a_link_that_holds_it_is_found_so_at_the_cost_of_some_seconds_of_it(bps: int, way_us: int) -> None:
    link = Link(bps, min(way_us, CALM_US - 2 * STEP_US))
    holds, cost = probed(link)
    assert holds
    assert link.waited_us < SLOWER_US
    assert cost <= (WANTED_BPS - SENT_BPS) * (RISE_US / 2 + HOLD_US + STEP_US) / 8 / S


def test_a_few_questions_that_are_lost_end_no_probe() -> None:
    assert probed(Link(10 * WANTED_BPS, 20_000), set(range(0, 200, LATE_ANSWERS)))[0]


def test_a_peer_that_answers_nothing_is_no_link_that_holds_more() -> None:
    assert probed(Link(10 * WANTED_BPS, 20_000), set(range(1_000))) == (False, 0)


def test_after_a_pause_of_the_process_no_burst_comes() -> None:
    probe, now_us = Probe(WANTED_BPS, 0), CALM_US + RISE_US
    probe.due_bytes(now_us)
    before = probe.due_bytes(now_us)
    assert probe.due_bytes(now_us + 10 * S) - before <= WANTED_BPS // 8 * 40_000 // S
