"""A centre whose disk is nearly full takes no further part, loses none that it took, and goes on when there is room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from agent.archive.offer import make_offer
from agent.upstream import transfer
from agent.upstream.centre import front
from agent.upstream.centre.disk_room import RESERVE_BYTES, Room, is_short
from agent.upstream.centre.storage import NoRoomError
from agent.upstream.centre.uploads import RefusedError, no_room
from provisioning.keys import Hierarchy
from tests.archive.test_upload_sweep import ROOM, archive
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
LARGE = 100 * RESERVE_BYTES
FULL, FREE = Room(LARGE, RESERVE_BYTES), Room(LARGE, LARGE)


@given(all_bytes=st.integers(0, 2**50), free_bytes=st.integers(0, 2**50), wanted_bytes=st.integers(0, 2**40))
def test_what_is_taken_never_leaves_less_than_the_reserve(all_bytes: int, free_bytes: int, wanted_bytes: int) -> None:
    left = free_bytes - wanted_bytes
    if is_short(Room(all_bytes, free_bytes), wanted_bytes):
        assert left < RESERVE_BYTES
    else:
        assert left >= RESERVE_BYTES or left * 20 >= all_bytes - 20


async def test_a_record_waits_in_the_room_until_there_is_room_and_what_was_taken_stays(
    keys: Hierarchy, make_record: Make, tmp_path: Path
) -> None:
    record = make_record(big=True).root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        upload = (await at.uploads.offer(ROOM, offer)).upload
        large = max(offer.files, key=lambda file: file.len)
        await at.send(record, upload, next(file for file in offer.files if file is not large))
        before = (await at.uploads.state(ROOM, upload)).missing_parts
        at.room = FULL
        assert await at.storage.is_short()
        with pytest.raises(RefusedError) as refused:
            await at.send(record, upload, large)
        assert (refused.value.problem.status, refused.value.problem.title) == (507, "The archive's disk is full; what it took stays.")
        assert (await at.uploads.offer(ROOM, offer)).missing_parts == before
        at.room = FREE
        assert not await at.storage.is_short()
        assert (await at.sent(record, offer)).state == "acknowledged"


async def test_parts_that_come_at_once_do_not_share_the_same_free_bytes(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record(big=True).root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        upload = (await at.uploads.offer(ROOM, offer)).upload
        file = max(offer.files, key=lambda each: each.len)
        wanted = transfer.PartsWanted(parts=[transfer.PartWanted(path=file.path, number=number) for number in (1, 2)])
        first, second = (await at.uploads.addresses(ROOM, upload, wanted)).addresses
        data = (record / file.path).read_bytes()
        at.room = Room(LARGE, RESERVE_BYTES + transfer.PART_BYTES)
        begun, go_on, read = asyncio.Event(), asyncio.Event(), list[bool]()

        async def slowly() -> AsyncIterator[bytes]:
            begun.set()
            await go_on.wait()
            yield data[: transfer.PART_BYTES]

        async def nothing() -> AsyncIterator[bytes]:
            read.append(True)
            yield b""

        taking = asyncio.create_task(at.storage.put(first.url.removeprefix("/v1/parts/"), slowly()))
        await begun.wait()
        with pytest.raises(NoRoomError):
            await at.storage.put(second.url.removeprefix("/v1/parts/"), nothing())
        assert not read
        go_on.set()
        assert await taking


async def test_the_answer_says_when_to_try_again() -> None:
    async def full(_: web.Request) -> web.StreamResponse:
        raise no_room(NoRoomError("0 bytes are free"))

    answer = await front._problems(make_mocked_request("PUT", "/v1/parts/x"), full)
    assert (answer.status, answer.headers["Retry-After"]) == (507, str(front.NO_ROOM_AGAIN_S))
