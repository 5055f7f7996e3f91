import gc

from recorder.children.preroll import Preroll

SECRET = b"said before anybody pressed record" * 4


def filled(seconds: int = 10) -> Preroll:
    preroll = Preroll()
    preroll.arm(seconds)
    for n in range(100):
        preroll.put(n * 200_000, key=n % 5 == 0, data=SECRET + bytes([n]), meta=n)
    return preroll


def test_unarmed_it_keeps_nothing() -> None:
    preroll = Preroll()
    preroll.put(0, key=True, data=SECRET, meta=None)
    assert preroll.take(0) == []


def test_it_gives_back_the_last_seconds_from_a_keyframe_on_byte_by_byte() -> None:
    items = filled().take(13_000_000)
    assert [item.meta for item in items] == list(range(65, 100))
    assert items[0].key
    assert items[0].data == SECRET + bytes([65])


def test_it_holds_no_more_than_was_armed() -> None:
    assert filled(seconds=2).take(0)[0].mono_us >= 19_800_000 - 2_000_000


def test_what_it_keeps_cannot_be_read_in_memory() -> None:
    preroll = filled()
    kept = [thing for thing in gc.get_referents(*(item for item in gc.get_referents(preroll.__dict__))) if isinstance(thing, bytes)]
    assert not any(SECRET in thing for thing in kept)
    assert all(SECRET not in repr(item).encode() for item in preroll._kept)


def test_taken_wiped_or_disarmed_it_is_empty_and_off() -> None:
    taken, disarmed = filled(), filled()
    taken.take(0)
    disarmed.arm(0)
    for preroll in (taken, disarmed):
        assert not preroll.armed
        assert preroll.take(0) == []
    preroll = filled()
    preroll.wipe()
    assert preroll.take(0) == []
