"""How often what comes to nothing is tried again."""

from agent.not_before import NotBefore


def tries(it: NotBefore, until_s: int, since_s: int = 0) -> list[int]:
    """The seconds at which it is tried, always in vain."""
    found = []
    for now_s in range(since_s, until_s):
        if it.may(b"k", now_s):
            found.append(now_s)
            it.came_to_nothing(b"k", now_s)
    return found


def test_what_comes_to_nothing_is_tried_again_after_twice_as_long_and_once_a_minute_at_least() -> None:
    assert tries(NotBefore(), 250) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_what_was_done_or_is_not_asked_for_any_more_is_tried_at_once_when_it_is_asked_for_anew() -> None:
    it = NotBefore()
    tries(it, 20)
    it.keep_only([b"k"])
    assert not it.may(b"k", 20)
    it.keep_only([])
    assert tries(it, 24, 20) == [20, 21, 23]
    it.was_done(b"k")
    assert it.may(b"k", 24)
