"""The room's uploader against a centre in the same process: pace, forgetting and refusing centres, storages that must not be trusted."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from agent.archive import offer, part_sender
from agent.archive.hashed import Hashed
from agent.archive.offer import make_offer
from agent.archive.pace import Pace
from agent.archive.upload import UnreadableError, Uploader, UploadStoppedError, UploadTroubledError, VerificationWaitsError
from agent.upstream import transfer
from agent.upstream.client import RefusedError, UpstreamError
from provisioning.keys import Hierarchy
from recorder.record import layout
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.trust import Authorities
from tests.archive.conftest import acknowledged, until
from tests.archive.seaweed import free_port
from tests.record.record_builder import Builder

Make = Callable[..., Builder]


def refused(status: int) -> RefusedError:
    return RefusedError(transfer.Problem(type="about:blank", title="no", status=status))


@dataclass
class Centre:
    """Knows one upload; a storage listens at ``address``."""

    builder: Builder
    keys: Hierarchy
    address: str = ""
    answers: list[Exception] = field(default_factory=list)
    offer_answers: list[Exception] = field(default_factory=list)
    offers: int = 0
    verifying: int = 0
    detail: str = ""
    change: dict[str, object] = field(default_factory=dict)
    missing: set[tuple[str, int]] = field(default_factory=set)
    known: bool = False
    put: list[str] = field(default_factory=list)
    stall: bool = False
    """The storage takes nothing of the next part."""

    async def offer(self, offer: transfer.UploadOffer) -> transfer.UploadState:
        self.offers += 1
        if self.offer_answers:
            raise self.offer_answers.pop(0)
        if not self.known:
            self.known = True
            self.missing = {(file.path, number + 1) for file in offer.files for number in range(len(file.parts))}
        return await self.upload("u")

    async def upload(self, upload: str) -> transfer.UploadState:
        assert upload == "u"
        if self.answers:
            raise self.answers.pop(0)
        ack = self._acknowledgement() if not self.missing and not self.verifying else None
        state = "open" if self.missing else "verifying" if ack is None else "acknowledged"
        self.verifying -= bool(self.verifying and not self.missing)
        return transfer.UploadState(
            upload="u", state=state, missing_parts=len(self.missing), detail=self.detail, acknowledgement=ack,  # type: ignore[arg-type]
        )  # fmt: skip

    async def addresses(self, upload: str, wanted: transfer.PartsWanted) -> transfer.PartAddresses:
        del upload
        return transfer.PartAddresses(
            addresses=[
                transfer.PartAddress(path=part.path, number=part.number, url=f"{self.address}/{part.number}/{part.path}", headers={})
                for part in wanted.parts
                if (part.path, part.number) in self.missing
            ]
        )

    async def parts_done(self, upload: str, done: transfer.PartsDone) -> transfer.UploadState:
        msgspec.json.decode(msgspec.json.encode(done), type=transfer.PartsDone)  # as the centre's front reads it, with its limits
        self.missing -= {(part.path, part.number) for part in done.parts}
        return await self.upload(upload)

    async def take(self, request: web.Request) -> web.Response:
        if self.stall:
            self.stall = False
            await asyncio.sleep(30)
        await request.read()
        self.put.append(request.path)
        return web.Response(headers={"ETag": '"x"'})

    def _acknowledgement(self) -> Acknowledgement:
        return acknowledged(self.builder, self.keys.centre, **self.change)


@pytest.fixture
async def centre(make_record: Make, keys: Hierarchy) -> AsyncIterator[Centre]:
    made = Centre(make_record(big=True), keys)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.add_routes([web.put("/{path:.*}", made.take)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    made.address = f"http://127.0.0.1:{port}"
    yield made
    await runner.cleanup()


def uploader(centre: Centre, authorities: Authorities, pace: Pace | None = None) -> Uploader:
    return Uploader(centre, centre.address, centre_tls=None, pace=pace or Pace(), authorities=lambda: authorities, retry_s=(0.01, 0.05))


def size(root: Path) -> int:
    return sum(file.len for file in make_offer(root).files)


async def test_a_hearing_slows_what_is_on_its_way_and_its_end_lets_it_go(centre: Centre, authorities: Authorities) -> None:
    root = centre.builder.root
    total = size(root)
    pace = Pace(None, hearing_cap_bytes_s=2e6)
    async with uploader(centre, authorities, pace) as sender:
        sender.set_hearing(hearing=True)
        task = asyncio.create_task(sender.send(root))
        await until(lambda: sender.sent_bytes > 0)
        began, before = time.monotonic(), sender.sent_bytes
        await asyncio.sleep(1.0)
        rate = (sender.sent_bytes - before) / (time.monotonic() - began)
        assert rate < 1.3 * 2e6
        assert sender.sent_bytes < total
        sender.set_hearing(hearing=False)
        async with asyncio.timeout(20):
            assert (await task) is not None
    assert sender.sent_bytes >= total


@pytest.mark.parametrize("late", [False, True])
async def test_the_archive_never_has_all_of_a_large_file_that_the_seal_contradicts(
    centre: Centre, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    """Large files are read as a whole while they are sent: the last part of each waits for that."""
    root = centre.builder.root
    large = [file for file in make_offer(root).files if len(file.parts) > 1]
    with (root / large[0].path).open("r+b") as file:
        file.write(b"\x00" * 16)
    hold, check = threading.Event(), offer.check_whole

    def check_later(*args: Any) -> None:
        hold.wait()
        check(*args)

    if late:
        monkeypatch.setattr("agent.archive.whole_check.check_whole", check_later)
    async with uploader(centre, authorities) as sender:
        task = asyncio.create_task(sender.send(root))
        if late:
            await until(lambda: len(centre.missing) == len(large))
            hold.set()
        with pytest.raises(UnreadableError, match=f"{large[0].path} is not what SHA256SUMS says"):
            await task
    assert {(file.path, len(file.parts)) for file in large} <= centre.missing


async def test_a_cancelled_upload_reads_no_further(centre: Centre, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def check(root: Path, offered: transfer.UploadOffer, stopped: threading.Event, hashed: Hashed) -> None:
        del root, offered, hashed
        if stopped.wait(30):
            ended.set()

    monkeypatch.setattr("agent.archive.whole_check.check_whole", check)
    async with uploader(centre, authorities) as sender:
        task = asyncio.create_task(sender.send(centre.builder.root))
        await until(lambda: bool(centre.put))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended.is_set()


async def test_hundreds_of_small_files_in_a_row_are_noted_in_notes_that_the_centre_takes(
    centre: Centre, authorities: Authorities, keys: Hierarchy, tmp_path: Path
) -> None:
    """As in the record of a hearing with many participants: far more parts than one note may hold, of few bytes."""
    centre.builder = Builder(tmp_path / "many", keys, tracks={f"p{number:03}-voice": ("audio", 200) for number in range(120)})
    centre.builder.record(1)
    centre.builder.close()
    offered = make_offer(centre.builder.root)
    assert len(offered.files) > 250
    assert sum(file.len for file in offered.files) < 8 * 1024 * 1024
    async with uploader(centre, authorities) as sender:
        assert await sender.send(centre.builder.root) is not None
    assert len(centre.put) == len(offered.files)


class Reads:
    """Counts the bytes that are read of records."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self._read = offer._read_at
        monkeypatch.setattr(offer, "_read_at", self)

    def __call__(self, descriptor: int, at: int, length: int) -> bytes:
        data = self._read(descriptor, at, length)
        self.bytes += len(data)
        return data


async def test_a_record_that_waits_is_read_once(centre: Centre, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> None:
    root = centre.builder.root
    reads, total = Reads(monkeypatch), size(root)
    away = UpstreamError("away")
    async with uploader(centre, authorities) as sender:
        reads.bytes = 0
        for _ in range(3):
            centre.offer_answers = [away]
            with pytest.raises(UploadTroubledError):
                await sender.send(root, tries=1)
        assert reads.bytes == total
        centre.verifying = 1000
        assert await sender.send(root, patience_s=0.05) is None
        sent = reads.bytes
        for _ in range(3):
            assert await sender.send(root, patience_s=0.05) is None
        assert reads.bytes == sent


async def test_a_record_of_which_a_file_was_touched_is_read_again_as_far_as_it_was(
    centre: Centre, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = centre.builder.root
    reads = Reads(monkeypatch)
    segment = next((root / layout.TRACKS).glob("mic-judge/seg-*.m4s"))
    async with uploader(centre, authorities) as sender:
        centre.verifying = 1000
        assert await sender.send(root, patience_s=0.05) is None
        reads.bytes = 0
        data = bytearray(segment.read_bytes())
        data[0] ^= 1
        segment.write_bytes(data)
        with pytest.raises(UnreadableError, match=segment.name):
            await sender.send(root, patience_s=0.05)
    assert reads.bytes == len(data)


async def test_a_centre_that_forgot_the_upload_is_offered_the_record_again(centre: Centre, authorities: Authorities) -> None:
    centre.verifying = 3
    trouble: list[str] = []
    async with uploader(centre, authorities) as sender:
        task = asyncio.create_task(sender.send(centre.builder.root, troubled=trouble.append))
        await until(lambda: bool(centre.put))
        centre.answers = [refused(404)]
        centre.known = False
        assert (await task) is not None
    assert (centre.offers, len(trouble)) == (2, 1)


@pytest.mark.parametrize(("status", "error"), [(422, UploadStoppedError), (401, UploadTroubledError), (403, UploadTroubledError)])
async def test_a_refused_record_is_stopped_and_a_refused_certificate_is_trouble(
    centre: Centre, authorities: Authorities, status: int, error: type[Exception]
) -> None:
    centre.answers = [refused(status), refused(status)]
    async with uploader(centre, authorities) as sender:
        with pytest.raises(error):
            await sender.send(centre.builder.root, tries=2)
    assert centre.put == []


async def test_a_long_verification_gives_others_their_turn(centre: Centre, authorities: Authorities) -> None:
    centre.verifying = 1000
    async with uploader(centre, authorities) as sender:
        assert await sender.send(centre.builder.root, patience_s=0.1) is None
        centre.verifying = 0
        assert await sender.send(centre.builder.root, patience_s=0.1) is not None


async def test_a_room_is_told_why_the_archive_cannot_verify_what_it_has(centre: Centre, authorities: Authorities) -> None:
    centre.verifying, centre.detail = 1000, "the verification waits: Access Denied"
    async with uploader(centre, authorities) as sender:
        with pytest.raises(VerificationWaitsError, match="Access Denied"):
            await sender.send(centre.builder.root, patience_s=0.1)
        centre.verifying = 0
        assert await sender.send(centre.builder.root, patience_s=0.1) is not None


@pytest.mark.parametrize(
    ("change", "why"),
    [({"files_sha256": "0" * 64}, "other files than were sent"), ({"room": "room-2"}, "room-2"), ({"verdict": "unsealed"}, "unsealed")],
)
async def test_an_acknowledgement_for_something_else_stops_the_record(
    centre: Centre, authorities: Authorities, change: dict[str, object], why: str
) -> None:
    centre.change = change
    async with uploader(centre, authorities) as sender:
        with pytest.raises(UploadStoppedError, match=why):
            await sender.send(centre.builder.root)


@pytest.mark.parametrize("address", ["http://storage.example", "ftp://127.0.0.1", "http://127.0.0.1.example:80", "file:///tmp"])
async def test_no_part_goes_where_anybody_could_listen(centre: Centre, authorities: Authorities, address: str) -> None:
    centre.address = address
    async with uploader(centre, authorities) as sender:
        with pytest.raises(UploadTroubledError, match="must be https"):
            await sender.send(centre.builder.root, tries=1)
    assert sender.sent_bytes == 0


async def test_a_storage_that_takes_nothing_is_given_up_and_tried_again(
    centre: Centre, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_sender, "IDLE_S", 0.3)
    centre.stall = True
    trouble: list[str] = []
    async with uploader(centre, authorities) as sender:
        assert await sender.send(centre.builder.root, troubled=trouble.append) is not None
    assert len(trouble) == 1


def test_receipts_are_offered_to_their_last_whole_line_and_unfinished_orders_not(make_record: Make) -> None:
    builder = make_record()
    before = {file.path for file in make_offer(builder.root).files}
    (builder.root / "anchors.jsonl").write_bytes(b"{torn")
    (builder.root / "orders" / "0001").mkdir(parents=True)
    (builder.root / "orders" / "0001.json.p7s").write_bytes(b"half")
    (builder.root / "orders" / "0001" / "cam-judge-00.cms").write_bytes(b"half")
    assert {file.path for file in make_offer(builder.root).files} == before
    (builder.root / "anchors.jsonl").write_bytes(b"{}\n{torn")
    (builder.root / "orders" / "0001.json").write_bytes(b"{}\n")
    offer = make_offer(builder.root)
    more = {"anchors.jsonl", "orders/0001.json", "orders/0001.json.p7s", "orders/0001/cam-judge-00.cms"}
    assert {file.path for file in offer.files} == before | more
    assert {file.len for file in offer.files if file.path == "anchors.jsonl"} == {3}
    assert msgspec.json.decode(msgspec.json.encode(offer), type=transfer.UploadOffer) == offer
