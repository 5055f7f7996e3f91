"""When a visiting room gives a connection up, and when it dials again."""

from vks.redial import ANSWER_US, FIRST_US, LONGEST_US, QUIET_US, SILENT_US, Pulse, wait_us


def test_the_other_room_is_asked_when_its_sound_stops_and_given_up_where_it_does_not_answer() -> None:
    pulse = Pulse(0)
    assert pulse.look(1, SILENT_US) == "fine"
    assert pulse.look(1, 2 * SILENT_US - 1) == "fine"
    assert pulse.look(1, 2 * SILENT_US) == "ask"
    assert pulse.look(1, 2 * SILENT_US + ANSWER_US - 1) == "fine"
    assert pulse.look(1, 2 * SILENT_US + ANSWER_US) == "lost"


def test_an_answer_and_sound_that_comes_again_keep_it() -> None:
    for packets in (1, 2):
        pulse = Pulse(0)
        pulse.look(1, 0)
        assert pulse.look(1, SILENT_US) == "ask"
        if packets == 1:
            pulse.heard(SILENT_US + 1)
        assert pulse.look(packets, SILENT_US + ANSWER_US) == "fine"


def test_in_a_lobby_where_nothing_but_answers_comes_it_is_asked_less_often() -> None:
    pulse = Pulse(0)
    assert pulse.look(0, SILENT_US) == "ask"
    pulse.heard(SILENT_US)
    assert pulse.look(0, SILENT_US + QUIET_US - 1) == "fine"
    assert pulse.look(0, SILENT_US + QUIET_US) == "ask"


def test_the_wait_grows_with_each_attempt_that_fails_and_never_over_its_most() -> None:
    waits = [wait_us(failed, 0.0) for failed in range(40)]
    assert waits[0] == FIRST_US
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_US
    assert FIRST_US <= wait_us(40, 1.0) < LONGEST_US
