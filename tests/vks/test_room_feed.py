"""The room's pictures come from the media bus: to who begins to watch, live ones first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from recorder.children.bus_server import BusServer, BusStream
from recorder.contract import bus
from tests.children.linked import wait_for
from vks.forwarding import MOST_GOP_BYTES, Slot
from vks.h264_payloads import is_keyframe, join
from vks.room_feed import RoomPicture
from vks.times import mono_us

KEY_BYTES, DELTA_BYTES, STEP_US = 10_000, 2_000, 40_000
_START = b"\0\0\0\1"


class Page:
    """A viewer's page."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, int]] = []
        self.comes = asyncio.Event()

    def write(self, payloads: list[bytes], at_us: int) -> bool:
        units = join(tuple(payloads))
        assert units is not None
        self.seen.append((is_keyframe(units), at_us))
        self.comes.set()
        return True


class Camera:
    """A camera on the bus, read by another already: a group of pictures is under way. It begins anew when it is asked to."""

    def __init__(self, run_dir: Path) -> None:
        self.asked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def asked() -> None:
            loop.call_soon_threadsafe(self.asked.set)

        self.stream: BusStream = BusServer(str(run_dir), []).stream(bus.Hello(stream="cam", kind="video", codec="h264"), asked)

    def take(self, at_us: int, *, key: bool) -> None:
        unit = _START + (b"\x65" + b"k" * KEY_BYTES if key else b"\x41" + b"d" * DELTA_BYTES)
        self.stream.publish(at_us, STEP_US, key=key, data=unit)

    def past(self, deltas: int) -> int:
        """A keyframe and so many pictures after it, until now; returns when the first was taken."""
        first_us = mono_us() - (deltas + 1) * STEP_US
        for number in range(deltas + 1):
            self.take(first_us + number * STEP_US, key=number == 0)
        return first_us


@asynccontextmanager
async def watched(run_dir: Path) -> AsyncIterator[tuple[Page, Slot]]:
    page, picture = Page(), RoomPicture(str(run_dir), "cam")
    slot = Slot(page)
    slot.show(picture.feed, mono_us())
    reads = asyncio.create_task(picture.run())
    try:
        yield page, slot
    finally:
        reads.cancel()


@pytest.mark.timeout(20)
async def test_a_long_group_of_pictures_that_was_under_way_goes_to_no_viewer_and_he_begins_with_a_keyframe(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.past(MOST_GOP_BYTES // DELTA_BYTES)
    async with watched(tmp_path) as (page, _):
        await asyncio.to_thread(wait_for, lambda: camera.stream.watched, "the reader")
        camera.asked.clear()
        camera.take(mono_us(), key=False)
        await camera.asked.wait()
        key_us = mono_us()
        camera.take(key_us, key=True)
        await page.comes.wait()
        assert page.seen == [(True, key_us)]


@pytest.mark.timeout(20)
async def test_a_short_group_of_pictures_that_was_under_way_is_shown_at_once(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    first_us = camera.past(2)
    async with watched(tmp_path) as (page, _):
        await asyncio.to_thread(wait_for, lambda: camera.stream.watched, "the reader")
        camera.take(mono_us(), key=False)
        await page.comes.wait()
        assert page.seen[0] == (True, first_us)
        assert [key for key, _ in page.seen] == [True, False, False, False]


@pytest.mark.timeout(20)
async def test_who_tries_another_picture_in_vain_finds_this_one_as_it_was(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with watched(tmp_path) as (page, slot):
        feed = slot.feed
        await asyncio.to_thread(wait_for, lambda: camera.stream.watched, "the reader")
        camera.take(mono_us(), key=True)
        await page.comes.wait()
        slot.show(None, mono_us())
        camera.take(between_us := mono_us(), key=False)
        assert feed is not None
        await asyncio.to_thread(wait_for, lambda: feed.last_us == between_us, "the picture that nobody watches")
        slot.show(feed, mono_us())
        assert page.seen[-1] == (False, between_us)


@pytest.mark.timeout(20)
async def test_a_picture_that_nobody_watches_for_a_while_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vks.room_feed.LINGER_US", 0)
    camera = Camera(tmp_path)
    async with watched(tmp_path) as (page, slot):
        await asyncio.to_thread(wait_for, lambda: camera.stream.watched, "the reader")
        camera.take(mono_us(), key=True)
        await page.comes.wait()
        slot.show(None, mono_us())
        camera.take(mono_us(), key=False)
        await asyncio.to_thread(wait_for, lambda: not camera.stream.watched, "the reader to leave")
