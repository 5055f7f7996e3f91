"""A picture goes to all who watch, to each from a keyframe on, and to nobody whom it would delay."""

from hypothesis import given
from hypothesis import strategies as st

from vks.forwarding import KEYFRAME_AGAIN_US, MOST_GOP_BYTES, Feed, Slot
from vks.h264_payloads import is_keyframe, join

KEY, DELTA = [b"\x67\x42\x01", b"\x68\x01", b"\x65" + b"k" * 3_000], [b"\x41" + b"d" * 500]
STEP_US = 40_000


class Page:
    """A viewer's page: takes pictures while its link does."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, int]] = []
        self.takes = True

    def write(self, payloads: list[bytes], mono_us: int) -> bool:
        if self.takes:
            units = join(tuple(payloads))
            assert units is not None
            self.seen.append((is_keyframe(units), mono_us))
        return self.takes


class Camera:
    """A source that begins anew when it is asked to."""

    def __init__(self) -> None:
        self.asked = 0
        self.now_us = 0
        self.feed = Feed(self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def give(self, *pictures: list[bytes]) -> None:
        for units in pictures:
            self.now_us += STEP_US
            self.feed.take(units, self.now_us, self.now_us)


def watching(camera: Camera) -> tuple[Page, Slot]:
    page = Page()
    slot = Slot(page)
    slot.show(camera.feed, camera.now_us)
    return page, slot


def test_who_joins_sees_the_group_of_pictures_that_is_under_way() -> None:
    camera = Camera()
    camera.give(KEY, DELTA, DELTA)
    page, _ = watching(camera)
    assert [key for key, _ in page.seen] == [True, False, False]
    assert camera.asked == 0
    camera.give(DELTA)
    assert len(page.seen) == 4


def test_who_joins_after_a_long_group_asks_for_a_new_one() -> None:
    camera = Camera()
    camera.give(KEY, *[DELTA] * (MOST_GOP_BYTES // 500))
    page, _ = watching(camera)
    assert (page.seen, camera.asked) == ([], 1)
    camera.give(DELTA, KEY, DELTA)
    assert [key for key, _ in page.seen] == [True, False]


def test_a_slow_viewer_misses_pictures_until_a_keyframe_and_nobody_else_does() -> None:
    camera = Camera()
    camera.give(KEY)
    (slow, slot), (quick, _) = watching(camera), watching(camera)
    slow.takes = False
    camera.give(DELTA)
    slow.takes = True
    camera.give(DELTA, DELTA)
    slot.starved(camera.now_us)
    camera.give(KEY, DELTA)
    assert [key for key, _ in slow.seen] == [True, True, False]
    assert [key for key, _ in quick.seen] == [True, False, False, False, True, False]
    assert camera.asked == 1


def test_wishes_of_many_for_a_keyframe_become_one_and_none_is_lost() -> None:
    camera = Camera()
    camera.give(KEY)
    slots = [watching(camera)[1] for _ in range(20)]
    for slot in slots:
        slot.want_keyframe(camera.now_us)
    assert camera.asked == 1
    camera.give(*[DELTA] * (KEYFRAME_AGAIN_US // STEP_US + 1))
    assert camera.asked == 2


def test_a_keyframe_that_comes_meanwhile_is_enough_for_all_who_wished_for_one() -> None:
    camera = Camera()
    slots = [watching(camera)[1] for _ in range(4)]
    for slot in slots:
        slot.want_keyframe(camera.now_us + 1)
    camera.give(KEY, *[DELTA] * (2 * KEYFRAME_AGAIN_US // STEP_US))
    assert camera.asked == 1


def test_parameter_sets_that_stand_outside_the_pictures_come_before_each_keyframe() -> None:
    camera = Camera()
    camera.feed.describe(b"\x00\x00\x00\x01\x67\x42\x01\x00\x00\x00\x01\x68\x01")
    taken: list[list[bytes] | None] = []

    class Reader(Page):
        def write(self, payloads: list[bytes], mono_us: int) -> bool:
            taken.append(join(tuple(payloads)))
            return super().write(payloads, mono_us)

    slot = Slot(Reader())
    slot.show(camera.feed, 0)
    camera.give(KEY[2:], DELTA)
    assert taken == [[b"\x67\x42\x01", b"\x68\x01", KEY[2]], DELTA]


def test_after_another_feed_is_shown_the_first_gives_nothing_more() -> None:
    first, second = Camera(), Camera()
    first.give(KEY)
    second.give(KEY)
    page, slot = watching(first)
    slot.show(second.feed, 0)
    first.give(DELTA, KEY)
    assert len(page.seen) == 2
    assert not first.feed.watched
    slot.show(None, 0)
    second.give(KEY)
    assert len(page.seen) == 2


def test_a_slot_tells_when_another_picture_has_begun_and_not_before() -> None:
    first, second, begun, page = Camera(), Camera(), [], Page()
    first.give(KEY)
    slot = Slot(page, lambda: begun.append(len(page.seen)))
    slot.show(first.feed, 0)
    assert begun == [1]
    slot.show(second.feed, 0)
    second.give(DELTA)
    assert begun == [1]
    second.give(KEY, DELTA)
    assert begun == [1, 2]


@given(st.lists(st.sampled_from(["key", "delta", "join", "full", "free", "forget", "starved"]), max_size=80))
def test_no_viewer_gets_a_picture_without_all_that_it_builds_on(steps: list[str]) -> None:
    camera, pages, slots = Camera(), [], []
    given: list[tuple[bool, int]] = []
    broken_us: set[int] = set()
    for step in steps:
        if step in {"key", "delta"}:
            camera.give(KEY if step == "key" else DELTA)
            given.append((step == "key", camera.now_us))
        elif step == "join":
            page, slot = watching(camera)
            pages.append(page)
            slots.append(slot)
        elif step in {"full", "free"}:
            for page in pages:
                page.takes = step == "free"
        elif step == "forget":
            camera.feed.forget()
            broken_us.add(camera.now_us)
        else:
            for slot in slots:
                slot.starved(camera.now_us)
    times = [at_us for _, at_us in given]
    for page in pages:
        for (_, before_us), (key, at_us) in zip([(False, -1), *page.seen], page.seen, strict=False):
            follows = before_us in times and times.index(at_us) == times.index(before_us) + 1 and before_us not in broken_us
            assert key or follows


def test_who_was_called_sees_nothing_of_the_group_of_pictures_that_began_before() -> None:
    camera = Camera()
    camera.give(KEY, DELTA)
    page = Page()
    slot = Slot(page)
    slot.not_before_us = camera.now_us + 1
    slot.show(camera.feed, camera.now_us)
    camera.give(DELTA, DELTA)
    assert page.seen == [], "what follows needs what came before"
    slot.starved(camera.now_us)
    assert camera.asked == 1
    camera.give(KEY, DELTA)
    assert [key for key, _ in page.seen] == [True, False]
    assert all(at_us >= slot.not_before_us for _, at_us in page.seen)
