"""Who may do what at the centre: by the certificate alone, and each refusal is one clear problem."""

import asyncio
import base64
import contextlib
import datetime as dt
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from agent.upstream import contract, transfer
from agent.upstream.centre import admin
from agent.upstream.centre.front import MOST_NOBODY
from agent.upstream.centre.listener import Listener
from agent.upstream.client import Credentials, RefusedError, UpstreamClient, UpstreamError
from agent.upstream.enrolment import RoomFiles
from agent.upstream.operations import OPERATIONS, Operation
from agent.upstream.requests import RequestError, new_key, request
from tests.lab.centre import Centre, centre
from tests.lab.events import batch, beat, hearing, long_event
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


async def test_a_room_cannot_have_the_centre_keep_what_is_too_long_for_those_who_read_it(shared: Centre, first_room: RoomFiles) -> None:
    epoch = str(uuid.uuid4())
    good = [long_event("room-1", epoch, seq, 25) for seq in range(1, 6)]
    async with shared.client(first_room) as client:
        with pytest.raises(RefusedError, match=r"Event 1 has \d+ bytes; the most is 65536"):
            await client.put_events(contract.EventBatch(epoch=epoch, events=[long_event("room-1", epoch, 1, 40)]))
        with pytest.raises(RefusedError, match="the most is 262144: send fewer events"):
            await client.put_events(contract.EventBatch(epoch=epoch, events=[*good, long_event("room-1", epoch, 6, 25)]))
        assert (await client.put_events(contract.EventBatch(epoch=epoch, events=good))).to == 5


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
    async with connection(it.port, files.credentials.context()) as pair:
        yield pair


@contextlib.asynccontextmanager
async def connection(port: int, context: ssl.SSLContext) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Anybody's connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
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


async def test_of_connections_that_say_nothing_the_oldest_go_when_there_are_too_many(shared: Centre, first_room: RoomFiles) -> None:
    context = first_room.credentials.context()
    async with Listener(web.Application(), shared.home.server, "127.0.0.1", 0, most_silent=5) as listener, asyncio.timeout(10):
        tasks = asyncio.all_tasks()
        async with contextlib.AsyncExitStack() as stack:
            pairs = [await stack.enter_async_context(connection(listener.port, context)) for _ in range(8)]
            ended = [asyncio.create_task(reader.read(1)) for reader, _ in pairs]
            while sum(each.done() for each in ended) < 3:
                await asyncio.wait([each for each in ended if not each.done()], return_when=asyncio.FIRST_COMPLETED)
            assert not ended[-1].done()
            for each in ended:
                each.cancel()
            await asyncio.gather(*ended, return_exceptions=True)
        while asyncio.all_tasks() - tasks:  # noqa: ASYNC110 - the listener has seen them go
            await asyncio.sleep(0.01)


async def test_who_has_no_certificate_holds_no_connection(shared: Centre) -> None:
    listening = Listener(web.Application(), shared.home.server, "127.0.0.1", 0, head_s=0.5)
    async with listening as listener, asyncio.timeout(10), connection(listener.port, stranger(shared)) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: centre\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                pass


async def test_what_nobody_sends_is_not_looked_at_before_its_token_nor_beyond_its_length(shared: Centre) -> None:
    """A key that is expensive to check is refused for its token, and not for its kind."""
    request_pem = expensive_request()
    wanted = transfer.Enrolment(room="room-1", secret="x" * 40, transport_request=request_pem, signing_request=request_pem)
    body = msgspec.json.encode(wanted)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=stranger(shared), limit=0)) as session:

        async def post(data: bytes) -> tuple[int, str]:
            async with session.post(f"{shared.url}/v1/enrol", data=data) as response:
                return response.status, (await response.read()).decode()

        status, said = await post(body)
        assert (status, "not good for this room" in said) == (403, True)
        assert (await post(b" " * (32 * 1024 + 1)))[0] == 413


async def test_so_many_without_a_certificate_are_dealt_with_at_once_and_no_more(shared: Centre, first_room: RoomFiles) -> None:
    head = b"POST /v1/enrol HTTP/1.1\r\nHost: centre\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n"
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST_NOBODY):
            reader, writer = await stack.enter_async_context(connection(shared.port, stranger(shared)))
            writer.write(head)
            assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 100")
        assert (await asked(shared, stranger(shared), "POST", "/v1/enrol", data=b"{}"))[0] == 503
        async with shared.client(first_room) as client:
            await client.beat(beat())

    async def refused_for_itself() -> bool:
        return (await asked(shared, stranger(shared), "POST", "/v1/enrol", data=b"{}"))[0] == 422

    async with asyncio.timeout(10):
        while not await refused_for_itself():
            pass


def expensive_request() -> str:
    """A certificate request whose signature takes long to check: RSA with an exponent as long as its modulus."""
    bits = 3072

    def tlv(tag: int, value: bytes) -> bytes:
        length = len(value)
        size = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
        return bytes([tag]) + size + value

    def integer(value: int) -> bytes:
        return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    rsa_oid, sha_oid = (tlv(6, bytes.fromhex(f"2a864886f70d0101{end}")) + b"\x05\x00" for end in ("01", "0b"))
    key = tlv(0x30, integer((1 << (bits - 1)) + 12_345) + integer((1 << (bits - 1)) + 1))
    info = tlv(0x30, b"\x02\x01\x00" + tlv(0x30, b"") + tlv(0x30, tlv(0x30, rsa_oid) + tlv(3, b"\x00" + key)) + tlv(0xA0, b""))
    der = tlv(0x30, info + tlv(0x30, sha_oid) + tlv(3, b"\x00" + (1 << (bits - 2)).to_bytes(bits // 8, "big")))
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE REQUEST-----\n"


def test_a_request_of_another_kind_of_key_is_refused_before_its_signature_is_checked(shared: Centre) -> None:
    authority, pem, now = shared.home.authority(), expensive_request(), dt.datetime.now(dt.UTC)
    began_s = time.process_time()
    for _ in range(20):
        with pytest.raises(RequestError, match="another kind of key"):
            authority.transport(pem, "room-1", now)
    assert time.process_time() - began_s < 0.2  # with the signatures it was 0.7 s


async def test_an_address_that_is_none_is_a_problem_too(shared: Centre, first_room: RoomFiles) -> None:
    context = first_room.credentials.context()
    assert (await asked(shared, context, "GET", "/v1/nothing"))[0] == 404
    status, problem = await asked(shared, context, "DELETE", "/v1/events")
    assert (status, "Allowed" in problem.detail) == (405, True)


def test_the_centre_listens_where_its_configuration_says_and_its_keys_are_its_own(tmp_path: Path) -> None:
    with centre(tmp_path) as it:
        assert it.home.settings().host == "127.0.0.1"
        for path in it.home.root.rglob("*"):
            if path.suffix in {".key", ".sqlite", ".sock", ".toml"}:
                assert path.stat().st_mode & 0o077 == 0, path
