"""Who may do what at the centre: by the certificate alone, and each refusal is one clear problem."""

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from agent.upstream import transfer
from agent.upstream.centre import admin
from agent.upstream.client import Credentials, RefusedError, UpstreamClient, UpstreamError
from agent.upstream.enrolment import RoomFiles
from agent.upstream.operations import OPERATIONS, Operation
from agent.upstream.requests import new_key, request
from tests.lab.centre import Centre, centre
from tests.lab.events import batch, beat, hearing
from tests.lab.tls import Authority


async def asked(it: Centre, context: ssl.SSLContext, method: str, path: str, **options: object) -> tuple[int, transfer.Problem]:
    """A request that is refused: the status and the problem."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.request(method, it.url + path, **options) as response,  # type: ignore[arg-type]
    ):
        assert response.content_type == "application/problem+json", await response.text()
        return response.status, msgspec.json.decode(await response.read(), type=transfer.Problem)


def stranger(it: Centre) -> ssl.SSLContext:
    """Somebody without a certificate."""
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(it.home.roots))


async def test_a_room_cannot_speak_for_another(shared: Centre, first_room: RoomFiles) -> None:
    async with shared.client(first_room) as client:
        with pytest.raises(RefusedError, match="another room"):
            await client.put_events(batch("room-2", str(uuid.uuid4()), 1))


def test_a_revoked_room_is_refused(shared: Centre) -> None:
    files = shared.enrol("revoked-1")

    async def beats() -> None:
        async with shared.client(files) as client:
            await client.beat(beat())

    asyncio.run(beats())
    shared.ask(admin.Revoke(name="revoked-1"))
    with pytest.raises(RefusedError, match="revoked"):
        asyncio.run(beats())


async def test_a_renewal_that_is_held_back_does_not_outlive_the_revocation(shared: Centre) -> None:
    files = await asyncio.to_thread(shared.enrol, "revoked-2")
    body = msgspec.json.encode(transfer.Renewal(transport_request=request(new_key(), "revoked-2")))
    async with connected(shared, files) as (reader, writer):
        writer.write(b"POST /v1/renew HTTP/1.1\r\nHost: centre\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 100")  # the caller was let in
        await reader.readline()
        await asyncio.to_thread(shared.ask, admin.Revoke(name="revoked-2"))
        writer.write(body)
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("path", ["/v1/feed?after=AFTER&wait=30", "/v1/events?after=0&wait=30"])
async def test_who_waits_while_he_is_revoked_is_told_nothing_more(tmp_path: Path, path: str) -> None:
    with centre(tmp_path) as it:
        files = await asyncio.to_thread(it.enrol, "other")
        await asyncio.to_thread(it.plan, hearing("h0", "revoked"))
        async with it.client(files) as client:
            after = (await client.feed(0, 0, 0)).as_of
            if "feed" in path:
                name, context = "revoked", (await asyncio.to_thread(it.enrol, "revoked")).credentials.context()
            else:
                name, context = "case_system", (await asyncio.to_thread(it.role, "case_system")).context()
            waiting = asyncio.create_task(asked(it, context, "GET", path.replace("AFTER", str(after))))
            # It waits: nothing tells from outside that it does, and if it did not, it would be answered and the test fail at its end.
            await asyncio.wait({waiting}, timeout=0.5)
            await asyncio.to_thread(it.ask, admin.Revoke(name=name))
            await asyncio.to_thread(it.plan, hearing("h1", "revoked"))
            await client.put_events(batch("other", str(uuid.uuid4()), 1))
            status, problem = await asyncio.wait_for(waiting, 20)
        assert (status, "revoked" in problem.title) == (403, True)


async def test_certificates_that_are_expired_or_by_another_authority_are_refused(shared: Centre, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "Another root")
    for name, expired in (("foreign", False), ("old", True)):
        pair = other.issue(name, urn="urn:courtroom:room:room-1", expired=expired)
        async with UpstreamClient(shared.url, Credentials(key=pair.key, certificate=pair.certificate, roots=shared.home.roots)) as client:
            with pytest.raises(UpstreamError):
                await client.beat(beat())


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if "anyone" not in each.callers], ids=lambda each: each.id)
async def test_without_a_certificate_nothing_is_answered(shared: Centre, operation: Operation) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    status, problem = await asked(shared, stranger(shared), operation.method, path, data=b"{}")
    assert (status, problem.title) == (401, "A certificate of this centre is needed.")


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if not each.callers & {"room", "anyone"}], ids=lambda each: each.id)
async def test_a_room_may_do_nothing_that_is_for_others(shared: Centre, first_room: RoomFiles, operation: Operation) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    status, problem = await asked(shared, first_room.credentials.context(), operation.method, path, data=b"{}")
    assert status == 403
    assert "is for: " in problem.detail


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if "room" in each.callers], ids=lambda each: each.id)
async def test_a_case_system_is_no_room(shared: Centre, operation: Operation) -> None:
    context = (await asyncio.to_thread(shared.role, "case_system")).context()
    path = operation.path.replace("{", "").replace("}", "")
    assert (await asked(shared, context, operation.method, path, data=b"{}"))[0] == 403


BAD = {
    b"": (400, "no JSON"),
    b"{": (400, "no JSON"),
    b"\xff": (400, "no JSON"),
    b"[" * 100_000: (422, "not one of the contract"),
    b"[]": (422, "not one of the contract"),
    b'{"epoch":"e","events":[]}': (422, "not one of the contract"),
    b'{"epoch":"e","events":[{}],"more":1}': (422, "not one of the contract"),
}


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
async def test_a_message_that_is_none_is_refused_with_its_place(shared: Centre, first_room: RoomFiles, body: bytes) -> None:
    status, problem = await asked(shared, first_room.credentials.context(), "POST", "/v1/events", data=body)
    assert (status, BAD[body][1] in problem.title) == (BAD[body][0], True)
    assert problem.detail


@contextlib.asynccontextmanager
async def connected(it: Centre, files: RoomFiles) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A room's connection, for requests that no client makes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", it.port, ssl=files.credentials.context())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_heartbeat_of_ten_gibibytes_is_refused_by_its_head(shared: Centre, first_room: RoomFiles) -> None:
    async with connected(shared, first_room) as (reader, writer):
        writer.write(b"POST /v1/heartbeat HTTP/1.1\r\nHost: centre\r\nContent-Length: 10737418240\r\n\r\n" + b"x" * 1000)
        await writer.drain()
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 413")


async def test_a_heartbeat_without_an_end_is_cut_off(shared: Centre, first_room: RoomFiles) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    async with connected(shared, first_room) as (reader, writer):
        writer.write(b"POST /v1/heartbeat HTTP/1.1\r\nHost: centre\r\nTransfer-Encoding: chunked\r\n\r\n")

        async def pour() -> None:
            try:
                while True:
                    writer.write(chunk)
                    await writer.drain()
            except OSError:
                return

        pouring = asyncio.create_task(pour())
        assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 413")
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


async def test_who_speaks_too_slowly_is_dropped_while_others_are_served(shared: Centre, first_room: RoomFiles) -> None:
    """Slow loris: half a head and then nothing, and a body of a byte in a while."""

    async def silent() -> None:
        async with connected(shared, first_room) as (reader, writer):
            writer.write(b"POST /v1/heartbeat HTTP/1.1\r\nHost: cen")
            with contextlib.suppress(ConnectionError):
                assert await reader.read(1) == b""

    async def trickling() -> None:
        async with connected(shared, first_room) as (reader, writer):
            writer.write(b"POST /v1/heartbeat HTTP/1.1\r\nHost: centre\r\nContent-Length: 1000\r\n\r\n")
            answer = asyncio.create_task(reader.readline())
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait([answer], timeout=0.5)
            assert (await answer).startswith(b"HTTP/1.1 408")

    slow = [asyncio.create_task(kind()) for kind in (silent, trickling) for _ in range(25)]
    async with shared.client(first_room) as client, asyncio.timeout(60):
        while any(not each.done() for each in slow):
            async with asyncio.timeout(5):
                await client.beat(beat())
            await asyncio.wait(slow, timeout=1)
    await asyncio.gather(*slow)


async def test_an_address_that_is_none_is_a_problem_too(shared: Centre, first_room: RoomFiles) -> None:
    context = first_room.credentials.context()
    assert (await asked(shared, context, "GET", "/v1/nothing"))[0] == 404
    status, problem = await asked(shared, context, "DELETE", "/v1/events")
    assert (status, "Allowed" in problem.detail) == (405, True)


def test_the_centre_listens_where_its_configuration_says_and_its_keys_are_its_own(tmp_path: Path) -> None:
    with centre(tmp_path) as it:
        assert it.home.settings().host == "127.0.0.1"
        for path in it.home.root.rglob("*"):
            if path.suffix in {".key", ".sqlite", ".sock"}:
                assert path.stat().st_mode & 0o077 == 0, path
