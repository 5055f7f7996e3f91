"""A viewer's rung follows what the link carries: down at once, up by trials that end soon where they were wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vks.ladder import BACK_OFF_FIRST_US, BELIEVED_US, BLIND_US, DEAF_US, LITTLE_LOW_US, LOW_US, TRIAL_US, UP_AFTER_US, Ladder

RATES = (1_500_000, 600_000, 250_000)
SOUND = len(RATES)
S = 1_000_000


def settled(rung: int = 0) -> tuple[Ladder, int]:
    """A ladder that believes estimates, and the time."""
    return Ladder(RATES, 0, rung), DEAF_US


def sent(ladder: Ladder) -> int:
    """What a busy picture takes on this rung, with the sound."""
    return 40_000 if ladder.sound_alone else ladder.rates_bps[ladder.rung] + 40_000


def fed(ladder: Ladder, now_us: int, bps: int, length_us: int) -> int:
    """The same estimate each second for so long, and probes that find that the link holds more; returns the time after it."""
    end_us = now_us + length_us
    while now_us < end_us:
        now_us += S
        ladder.estimate(bps, sent(ladder), now_us)
        ladder.probed(now_us, holds=True)
    return now_us


def test_the_first_estimate_that_is_too_low_leads_straight_to_the_rung_that_fits() -> None:
    for bps, rung in ((1_430_000, 0), (1_420_000, 1), (900_000, 1), (450_000, 2)):
        ladder, now_us = settled()
        ladder.estimate(bps, sent(ladder), now_us)
        assert ladder.rung == rung


def test_a_link_that_carries_no_picture_for_some_seconds_is_left_to_the_sound() -> None:
    ladder, now_us = settled()
    ladder.estimate(150_000, sent(ladder), now_us)
    assert ladder.rung == SOUND - 1
    ladder.estimate(150_000, sent(ladder), now_us + S)
    assert not ladder.estimate(150_000, sent(ladder), now_us + LOW_US)
    ladder.estimate(150_000, sent(ladder), now_us + S + LOW_US)
    assert ladder.sound_alone


@pytest.mark.parametrize(
    ("lost", "bps", "ends_us"),
    [(0.0, 220_000, LITTLE_LOW_US), (0.05, 220_000, LOW_US), (0.0, 210_000, LOW_US)],
    ids=["little too low", "and something is lost", "far too low"],
)
def test_estimates_little_too_low_end_the_last_picture_late_where_nothing_is_lost(lost: float, bps: int, ends_us: int) -> None:
    ladder, now_us = settled(2)
    for second in range(60):
        if not ladder.sound_alone:
            ladder.loss(lost, now_us + second * S)
            ladder.estimate(bps, sent(ladder), now_us + second * S)
        assert ladder.sound_alone is (second * S >= ends_us)


def test_a_queue_that_only_grows_is_seen_though_it_loses_nothing() -> None:
    """More is sent than the rung's rate, for people send as they like; the estimate is of less."""
    ladder, now_us = settled(2)
    for second in range(6):
        ladder.loss(0.0, now_us + second * S)
        ladder.estimate(220_000, 400_000, now_us + second * S)
    assert ladder.sound_alone


def test_where_an_estimate_is_too_low_and_much_is_lost_the_sound_waits_for_no_more() -> None:
    ladder, now_us = settled(2)
    assert not ladder.loss(0.25, now_us)
    assert not ladder.estimate(150_000, sent(ladder), now_us)
    assert not ladder.loss(0.12, now_us + S), "of 5% that are lost always it may be as many"
    assert ladder.loss(0.25, now_us + 2 * S)
    assert ladder.sound_alone


def test_a_picture_tried_in_vain_ends_with_the_first_estimate_far_below_it_where_something_is_lost() -> None:
    ladder, now_us = settled(SOUND)
    assert ladder.wait(now_us)
    now_us += DEAF_US
    assert not ladder.estimate(180_000, sent(ladder), now_us), "a keyframe halves it, and nothing is lost"
    ladder.loss(0.05, now_us)
    assert not ladder.estimate(200_000, sent(ladder), now_us + S)
    assert ladder.estimate(180_000, sent(ladder), now_us + S)
    assert ladder.sound_alone


def test_a_moment_of_low_estimates_on_the_smallest_rung_changes_nothing() -> None:
    ladder, now_us = settled(2)
    assert not ladder.estimate(200_000, sent(ladder), now_us)
    assert not ladder.estimate(240_000, sent(ladder), now_us + S)
    assert not ladder.estimate(200_000, sent(ladder), now_us + 2 * S)
    assert ladder.rung == 2


def test_pictures_that_begin_are_not_ended_by_an_estimate_of_the_time_before() -> None:
    ladder = Ladder(RATES, 0)
    assert not ladder.estimate(100_000, sent(ladder), DEAF_US - 1)
    assert ladder.estimate(100_000, sent(ladder), DEAF_US)


def test_up_is_tried_after_a_while_and_stays_where_the_link_carries_it() -> None:
    ladder, now_us = settled(1)
    now_us = fed(ladder, now_us, 900_000, UP_AFTER_US)
    assert ladder.rung == 1
    now_us = fed(ladder, now_us, 900_000, S)
    assert ladder.rung == 0
    fed(ladder, now_us, 2_000_000, TRIAL_US + S)
    assert ladder.rung == 0


def test_a_trial_ends_where_the_estimate_falls_or_packets_are_lost_and_the_next_waits_longer() -> None:
    waits_us = []
    ladder, now_us = settled(1)
    for call, value in (("estimate", 700_000.0), ("loss", 0.11), ("loss", 0.2)):
        began_us = now_us
        while ladder.rung == 1:
            now_us += S
            ladder.estimate(900_000, sent(ladder), now_us)
            ladder.probed(now_us, holds=True)
        waits_us.append(now_us - began_us)
        now_us += S
        assert ladder.estimate(int(value), sent(ladder), now_us) if call == "estimate" else ladder.loss(value, now_us)
        assert ladder.rung == 1
    assert waits_us[0] < BACK_OFF_FIRST_US <= waits_us[1] < waits_us[2]


def asking(ladder: Ladder, now_us: int) -> int:
    """Good estimates until a probe is wanted; returns when that is."""
    while not ladder.probing:
        now_us += S
        assert not ladder.estimate(900_000, sent(ladder), now_us)
    return now_us


def test_more_is_given_to_who_has_a_picture_only_after_a_probe_that_shows_that_the_link_holds_it() -> None:
    waits_us = []
    ladder, now_us = settled(1)
    for _ in range(4):
        began_us, now_us = now_us, asking(ladder, now_us)
        waits_us.append(now_us - began_us)
        assert not ladder.probed(now_us, holds=False)
        assert (ladder.rung, ladder.probing) == (1, False)
    assert waits_us == sorted(waits_us)
    assert waits_us[1] >= 2 * BACK_OFF_FIRST_US
    now_us = asking(ladder, now_us)
    assert ladder.probed(now_us, holds=True)
    assert ladder.rung == 0


def test_a_visit_begins_small_and_the_first_report_without_loss_leads_to_a_probe() -> None:
    ladder = Ladder(RATES, 0, 1, is_new=True)
    ladder.loss(0.1, S)
    assert (ladder.is_new, ladder.probing) == (True, False)
    ladder.loss(0.0, 2 * S)
    assert not ladder.estimate(300_000, sent(ladder), 2 * S)
    assert (ladder.is_new, ladder.probing) == (True, True), "an estimate of the first seconds ends it not"
    ladder.pause(2 * S)
    assert (ladder.is_new, ladder.probing) == (True, False), "nothing is to be seen"
    ladder.loss(0.0, 20 * S)
    assert ladder.probed(25 * S, holds=True)
    assert (ladder.rung, ladder.is_new) == (0, False)


def test_a_visit_whose_first_probe_fails_stays_small_and_waits() -> None:
    ladder = Ladder(RATES, 0, 1, is_new=True)
    ladder.loss(0.0, S)
    ladder.probed(4 * S, holds=False)
    for second in range(5, 13):
        ladder.loss(0.0, second * S)
        assert (ladder.rung, ladder.is_new, ladder.probing) == (1, False, False)
    second_us = asking(ladder, 13 * S)
    assert second_us <= 4 * S + 2 * BACK_OFF_FIRST_US + S
    ladder.probed(second_us, holds=False)
    assert asking(ladder, second_us) - second_us <= 2 * BACK_OFF_FIRST_US + S, "the first one may have met with a moment"


def large_by_a_probe() -> tuple[Ladder, int]:
    """The link held a probe, and the viewer's estimate is still of the small picture."""
    ladder = Ladder(RATES, 0, 1, is_new=True)
    ladder.loss(0.0, S)
    assert ladder.probed(6 * S, holds=True)
    return ladder, 6 * S


def test_a_probe_is_believed_while_the_estimate_still_grows() -> None:
    ladder, now_us = large_by_a_probe()
    bps = 300_000.0
    for second in range(1, 60):
        assert not ladder.estimate(round(bps), sent(ladder), now_us + second * S)
        ladder.loss(0.01, now_us + second * S)
        bps = min(2e6, bps * 1.08)
    assert ladder.rung == 0


def test_a_probe_is_not_believed_for_ever_nor_against_what_is_lost_nor_once_the_estimate_has_come_up_to_what_is_sent() -> None:
    ladder, now_us = large_by_a_probe()
    assert not ladder.estimate(300_000, sent(ladder), now_us + BELIEVED_US - 1)
    assert ladder.estimate(300_000, sent(ladder), now_us + BELIEVED_US)
    ladder, now_us = large_by_a_probe()
    assert ladder.loss(0.2, now_us + S)
    assert ladder.rung == 1
    ladder, now_us = large_by_a_probe()
    assert not ladder.estimate(1_600_000, sent(ladder), now_us + S)
    assert ladder.estimate(700_000, sent(ladder), now_us + 2 * S)


def test_a_probe_ends_where_the_estimate_falls_or_packets_are_lost_or_nothing_is_to_be_seen() -> None:
    ladder, now_us = settled(1)
    now_us = asking(ladder, now_us)
    ladder.estimate(700_000, sent(ladder), now_us)
    assert not ladder.probing
    now_us = asking(ladder, now_us)
    ladder.loss(0.12, now_us)
    assert not ladder.probing
    now_us = asking(ladder, now_us)
    ladder.pause(now_us)
    assert not ladder.probing
    assert not ladder.probed(now_us, holds=True), "what a probe found that was ended means nothing"
    assert ladder.rung == 1


def test_from_sound_alone_a_picture_is_tried_again_though_nobody_says_anything() -> None:
    ladder, _ = settled(SOUND)
    assert not ladder.wait(UP_AFTER_US - 1)
    assert ladder.wait(UP_AFTER_US)
    assert ladder.rung == SOUND - 1
    fed(ladder, UP_AFTER_US, 400_000, DEAF_US + TRIAL_US + S)
    assert ladder.rung < SOUND


def test_a_picture_that_the_link_does_not_carry_is_tried_less_and_less_often() -> None:
    ladder, now_us, waits_us = *settled(SOUND), list[int]()
    for _ in range(4):
        began_us = now_us
        while not ladder.wait(now_us):
            now_us += S
        waits_us.append(now_us - began_us)
        now_us += S
        assert ladder.loss(0.3, now_us), "at once, though estimates are not believed yet"
        assert ladder.sound_alone
    assert waits_us[1] >= BACK_OFF_FIRST_US
    assert waits_us[3] >= 3 * waits_us[1]


def test_a_picture_in_which_nothing_moves_is_no_slow_link() -> None:
    ladder, now_us = settled(1)
    for second in range(3):
        assert not ladder.estimate(60_000, 45_000, now_us + second * S)
    assert ladder.rung == 1
    ladder.estimate(60_000, 45_000, now_us + 4 * S)
    assert ladder.probing, "the estimate is above what is sent: more is tried"


def test_what_was_estimated_while_no_picture_was_sent_ends_none_when_they_flow_again() -> None:
    ladder, now_us = settled()
    for second in range(10):
        ladder.pause(now_us + second * S)
        assert not ladder.estimate(9_000, 30_000, now_us + second * S)
    now_us += 9 * S
    assert not ladder.estimate(9_000, sent(ladder), now_us + DEAF_US - 1)
    assert ladder.estimate(9_000, sent(ladder), now_us + DEAF_US)


def test_a_link_that_loses_much_is_given_less_though_nobody_estimates_it() -> None:
    ladder, now_us = settled()
    assert not ladder.loss(0.25, now_us)
    assert not ladder.loss(0.25, now_us + S)
    assert ladder.loss(0.25, now_us + 2 * S)
    assert ladder.rung == 1


def test_a_link_that_loses_some_packets_whatever_is_sent_keeps_its_picture() -> None:
    ladder, now_us = settled()
    for second in range(60):
        assert not ladder.loss((0.0, 0.1, 0.14)[second % 3], now_us + second * S)


def test_a_viewer_whose_browser_estimates_nothing_gets_more_where_nothing_is_lost() -> None:
    ladder, now_us = settled(1)
    while now_us < DEAF_US + BLIND_US:
        assert ladder.rung == 1
        now_us += S
        ladder.loss(0.05, now_us)
    for second in range(1, 5):
        ladder.loss(0.05, now_us + second * S)
    assert ladder.probed(now_us + 4 * S, holds=True)
    assert ladder.rung == 0
    assert ladder.loss(0.3, now_us + 5 * S)
    assert ladder.rung == 1


def test_where_almost_nothing_arrives_only_sound_is_sent() -> None:
    ladder, now_us = settled(1)
    assert not ladder.loss(0.6, now_us)
    assert ladder.loss(0.6, now_us + S)
    assert ladder.sound_alone


@given(
    st.lists(
        st.tuples(st.sampled_from(("estimate", "loss", "wait", "probed")), st.integers(0, 3_000_000), st.integers(0, 5 * S)), max_size=200
    ),
    st.integers(0, 2),
)
def test_whatever_a_viewer_reports_the_rung_is_one_that_there_is_and_rises_one_at_a_time(
    reports: list[tuple[str, int, int]], rung: int
) -> None:
    ladder, now_us = Ladder(RATES, 0, rung, is_new=rung > 0), 0
    for what, value, later_us in reports:
        now_us += later_us
        before = ladder.rung
        if what == "wait":
            changed = ladder.wait(now_us)
        elif what == "probed":
            changed = ladder.probed(now_us, holds=value % 2 == 0)
        else:
            changed = ladder.estimate(value, sent(ladder), now_us) if what == "estimate" else ladder.loss(value / 3_000_000, now_us)
        assert 0 <= ladder.rung <= SOUND
        assert ladder.rung >= before - 1
        assert changed == (ladder.rung != before)
