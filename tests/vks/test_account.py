"""What the record is told of how participants' media came, and who spoke when."""

from vks.account import BURST, LOSSY_US, PER_S, QUIET_US, Account, Arrival, Told

GOOD = {"a-audio": "good"}


def test_a_turn_of_speaking_is_told_at_its_beginning_and_its_end() -> None:
    account, there = Account(), {"a-audio": Arrival(1, 0, 0)}
    assert account.take(there, GOOD, {"a-audio", "ROOM-audio"}, 1) == [Told("a-audio", "speaks", {})]
    assert account.take(there, GOOD, {"a-audio"}, 2) == []
    assert account.take(there, GOOD, set(), 3) == [Told("a-audio", "silent", {})]


def test_nothing_is_told_of_whoever_is_not_recorded() -> None:
    """As in a private talk: that somebody spoke there is nobody's business."""
    account = Account()
    account.take({"a-audio": Arrival(1, 0, 0)}, GOOD, {"a-audio"}, 1)
    assert account.take({}, {"a-audio": "sound"}, {"a-audio"}, 2) == []
    assert account.take({"a-audio": Arrival(9, 9, 0)}, GOOD, set(), 3) == [], "the turn was not told to go on"


def test_losses_are_told_soon_and_a_good_line_seldom_and_each_packet_once() -> None:
    account = Account()
    assert account.take({"a-audio": Arrival(100, 0, 0)}, GOOD, set(), 1) == []
    assert account.take({"a-audio": Arrival(600, 0, 5)}, GOOD, set(), 1 + LOSSY_US) == []
    assert account.take({"a-audio": Arrival(3_000, 0, 5)}, GOOD, set(), 1 + QUIET_US) == [
        Told("a-audio", "received", {"packets": 2_900, "lost": 0, "jitter_us": 5})
    ]
    assert account.take({"a-audio": Arrival(3_400, 7, 9)}, GOOD, set(), QUIET_US + LOSSY_US) == []
    assert account.take({"a-audio": Arrival(3_500, 7, 9)}, GOOD, set(), 1 + QUIET_US + LOSSY_US) == [
        Told("a-audio", "received", {"packets": 500, "lost": 7, "jitter_us": 9})
    ]
    again = account.take({"a-audio": Arrival(40, 2, 1)}, GOOD, set(), 1 + QUIET_US + 2 * LOSSY_US)
    assert again == [Told("a-audio", "received", {"packets": 40, "lost": 2, "jitter_us": 1})], "a new connection counts from the beginning"


def test_a_link_is_told_where_it_changes() -> None:
    account, there = Account(), {"a-audio": Arrival(1, 0, 0)}
    assert account.take(there, GOOD, set(), 1) == []
    assert account.take(there, {"a-audio": "sound"}, set(), 2) == [Told("a-audio", "link", {"quality": "sound"})]
    assert account.take(there, {"a-audio": "sound"}, set(), 3) == []
    assert account.take(there, GOOD, set(), 4) == [Told("a-audio", "link", {"quality": "good"})]


def test_however_many_speak_at_once_the_recorder_is_told_no_more_than_it_takes_and_all_of_it_in_the_end() -> None:
    account = Account()
    there = {f"p{n}-audio": Arrival(1, 0, 0) for n in range(100)}
    counts, told = list[int](), set[str]()
    for second in range(20):
        found = account.take(there, {}, set(there), 1 + second * 1_000_000)
        counts.append(len(found))
        told |= {one.track for one in found}
    assert counts[0] == BURST
    assert set(counts[1:17]) == {PER_S}
    assert told == set(there)
