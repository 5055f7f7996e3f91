"""What the centre's archive gives the place back of, and what no sweep touches, whatever a room does meanwhile."""

import datetime as dt
import hashlib
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.offer import make_offer
from agent.upstream import transfer
from agent.upstream.centre.disk_room import Room, room_of
from agent.upstream.centre.notary import Notary
from agent.upstream.centre.storage import DirectoryStorage, StorageError, Target
from agent.upstream.centre.upload_store import Most
from agent.upstream.centre.uploads import MOST, OPEN_DAYS, REFUSED_DAYS, RefusedError, Uploads
from agent.upstream.centre.workroom import Workroom
from agent.upstream.transfer import UploadOffer, UploadState
from provisioning.keys import Hierarchy, build
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities
from tests.lab.waiting import until
from tests.record.record_builder import Builder

ROOM = "room-1"
DAY_US = 86_400_000_000
Make = Callable[..., Builder]


def in_days(days: float) -> int:
    return time.time_ns() // 1000 + int(days * DAY_US)


class Hooked(DirectoryStorage):
    """A directory that lets something happen before each removal."""

    before_removal: Callable[[Target], Awaitable[None]] | None = None

    async def remove(self, target: Target) -> bool:
        if self.before_removal is not None:
            await self.before_removal(target)
        return await super().remove(target)


class Archive:
    """A centre's archive in this process, whom it trusts, and a room that sends to it."""

    def __init__(self, root: Path, keys: Hierarchy, most: Most) -> None:
        assert isinstance(keys.centre.key, ec.EllipticCurvePrivateKey)
        self.root = root
        self.room: Room | None = None
        """What its disk has, where that is not to be the truth."""
        self.trusted = keys
        self.work_room: Room | None = None
        """What the disk of its verifications has, likewise."""
        work = Workroom(root / "work", lambda path: self.work_room or room_of(path))
        self.storage = Hooked(root / "storage", room=lambda path: self.room or room_of(path))
        self.uploads = Uploads(
            root / "uploads.sqlite", self.storage, work, authorities=self._authorities, ledger=self._no_receipts,
            notary=Notary(key=keys.centre.key, certificate=keys.centre.certificate, by="Centre"), retry_s=(0.05, 0.1), most=most,
        )  # fmt: skip

    async def _authorities(self) -> Authorities:
        return Authorities([self.trusted.root.certificate])

    async def _no_receipts(self, _record: str) -> Sequence[Receipt]:
        return ()

    def files(self) -> list[Path]:
        return [path for path in self.root.joinpath("storage", "records").rglob("*") if path.is_file()]

    async def sent(self, record: Path, offer: UploadOffer) -> UploadState:
        """Offer it, send what is missing, and wait for what the centre says of it."""
        state = await self.uploads.offer(ROOM, offer)
        for file in offer.files if state.state == "open" else []:
            await self.send(record, state.upload, file)
        return await self.judged(state.upload)

    async def send(self, record: Path, upload: str, file: transfer.RecordFile) -> None:
        """Send the parts of a file that are missing."""
        wanted = transfer.PartsWanted(parts=[transfer.PartWanted(path=file.path, number=n) for n in range(1, len(file.parts) + 1)])
        for address in (await self.uploads.addresses(ROOM, upload, wanted)).addresses:
            data = (record / file.path).read_bytes()[: file.len]
            at = (address.number - 1) * transfer.PART_BYTES

            async def chunks(piece: bytes = data[at : at + transfer.PART_BYTES]) -> AsyncIterator[bytes]:
                yield piece

            tag = await self.storage.put(address.url.removeprefix("/v1/parts/"), chunks())
            done = transfer.PartDone(path=address.path, number=address.number, etag=tag)
            await self.uploads.parts(ROOM, upload, transfer.PartsDone(parts=[done]))

    async def judged(self, upload: str) -> UploadState:
        """How it stands when its verification is over."""
        while True:
            task = self.uploads._tasks.get(upload)
            state = await self.uploads.state(ROOM, upload)
            if state.state != "verifying":
                return state
            if task is not None:
                await task


@asynccontextmanager
async def archive(root: Path, keys: Hierarchy, most: Most = MOST) -> AsyncIterator[Archive]:
    made = Archive(root, keys, most)
    await made.uploads.start()
    try:
        yield made
    finally:
        await made.uploads.stop()


def others() -> Hierarchy:
    """Authorities that vouch for none of our records."""
    return build(ROOM, dt.datetime.now(dt.UTC))


def make_old(at: Archive, days: float) -> None:
    """As if all uploads stood for so long as they do."""
    with sqlite3.connect(at.root / "uploads.sqlite") as db:
        db.execute("UPDATE uploads SET utc_us = ?", (in_days(-days),))
    db.close()


def small(number: int, hearing: str = "hearing") -> UploadOffer:
    """An offer of a record that nobody has."""
    record = str(uuid.UUID(int=number))
    hashes = {path: hashlib.sha256(f"{number} {path}".encode()).hexdigest() for path in ("journal.jsonl", "SHA256SUMS", "SHA256SUMS.p7s")}
    files = [transfer.RecordFile(path=path, len=10, sha256=sha256, parts=[sha256]) for path, sha256 in hashes.items()]
    name = f"2026-01-01_{ROOM}_{record}"
    return UploadOffer(record=record, name=name, hearing=hearing, sums_sha256=hashes["SHA256SUMS"], files=files)


async def test_a_refused_record_that_is_sent_again_while_it_is_swept_keeps_all_files(
    keys: Hierarchy, make_record: Make, tmp_path: Path
) -> None:
    """The room offers it again at the worst time: the sweep has chosen what goes, and removes it only when the record is acknowledged."""
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        at.trusted = others()
        assert (await at.sent(record, offer)).state == "refused"
        make_old(at, REFUSED_DAYS + 1)
        at.trusted = keys
        answers = list[str]()

        async def again(_: Target) -> None:
            if not answers:
                answers.append((await at.sent(record, offer)).state)

        at.storage.before_removal = again
        assert await at.uploads.discard(in_days(0)) == len(offer.files)
        assert answers == ["acknowledged"]
        assert len(at.files()) == len(offer.files)
        assert (await at.uploads.offer(ROOM, offer)).acknowledgement is not None
        assert await at.uploads.discard(in_days(365)) == 0
        assert len(at.files()) == len(offer.files)


async def test_what_could_not_be_removed_is_removed_later_and_nothing_else(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        at.trusted = others()
        assert (await at.sent(record, offer)).state == "refused"
        at.trusted = keys

        async def away(_: Target) -> None:
            raise StorageError("away")

        at.storage.before_removal = away
        for _ in range(2):
            with pytest.raises(StorageError, match="away"):
                await at.uploads.discard(in_days(REFUSED_DAYS + 1))
        assert (await at.sent(record, offer)).state == "acknowledged"
        assert len(at.files()) == 2 * len(offer.files)
        at.storage.before_removal = None
        assert await at.uploads.discard(in_days(REFUSED_DAYS + 1)) == len(offer.files)
        assert len(at.files()) == len(offer.files)


async def test_a_file_that_cannot_be_removed_keeps_no_other(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record().root
    async with archive(tmp_path / "centre", keys) as at:
        at.trusted = others()
        assert (await at.sent(record, make_offer(record))).state == "refused"
        first = list[Target]()

        async def locked(target: Target) -> None:
            first.append(target)
            if target == first[0]:
                raise StorageError("locked")

        at.storage.before_removal = locked
        for _ in range(2):
            with pytest.raises(StorageError, match="locked"):
                await at.uploads.discard(in_days(REFUSED_DAYS + 1))
            assert [path.name for path in at.files()] == [Path(first[0].key).name]


async def test_nothing_is_acknowledged_that_the_storage_is_not_known_to_hold(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        real, kept = at.storage.keep, list[str]()

        async def keep(target: Target, version: str) -> None:
            await real(target, version)
            kept.append(target.key)
            if len(kept) == 1:
                with sqlite3.connect(at.root / "uploads.sqlite") as db:
                    db.execute("UPDATE objects SET stored = 0 WHERE key = ?", (target.key,))
                db.close()

        at.storage.keep = keep  # type: ignore[method-assign]
        assert (await at.sent(record, offer)).state == "acknowledged"
        assert len(kept) == 2 * len(offer.files)


async def test_an_offer_takes_the_place_of_what_was_open_of_its_record(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    """Bound to a hearing while it is sent, or sent on from another disk: what was superseded counts no more, and goes in time."""
    record = make_record().root
    offer = make_offer(record)
    bare = msgspec.structs.replace(offer, hearing="before")
    async with archive(tmp_path / "centre", keys, Most(records=1, offers=9, bytes=10**9)) as at:
        first = (await at.uploads.offer(ROOM, bare)).upload
        await at.send(record, first, offer.files[0])
        with pytest.raises(RefusedError, match="1 other records"):
            await at.uploads.offer(ROOM, small(1))
        second = await at.uploads.offer(ROOM, offer)
        missing = sum(len(file.parts) for file in offer.files) - len(offer.files[0].parts)
        assert second.missing_parts == missing
        with pytest.raises(RefusedError, match="no such upload") as refused:
            await at.uploads.state(ROOM, first)
        assert refused.value.problem.status == 404
        again = await at.uploads.offer(ROOM, bare)
        assert (again.upload, again.state, again.missing_parts) == (first, "open", missing)
        assert (await at.sent(record, offer)).state == "acknowledged"
        await at.uploads.offer(ROOM, small(1))
        assert await at.uploads.discard(in_days(REFUSED_DAYS + 1)) == 0
        assert len(at.files()) == len(offer.files)


async def test_what_a_room_never_goes_on_with_goes_after_some_weeks(keys: Hierarchy, make_record: Make, tmp_path: Path) -> None:
    record = make_record(big=True).root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys, Most(records=1, offers=9, bytes=10**9)) as at:
        upload = (await at.uploads.offer(ROOM, offer)).upload
        make_old(at, OPEN_DAYS - 1)
        await at.send(record, upload, offer.files[0])
        assert await at.uploads.discard(in_days(OPEN_DAYS - 1)) == 0
        assert await at.uploads.discard(in_days(OPEN_DAYS + 1)) == 1
        with pytest.raises(RefusedError, match="no such upload"):
            await at.uploads.state(ROOM, upload)
        await at.uploads.offer(ROOM, small(1))
        make_old(at, OPEN_DAYS + 1)
        assert await at.uploads.discard(in_days(0)) == 0
        assert (await at.sent(record, offer)).state == "acknowledged"


async def test_a_room_has_no_more_on_its_way_than_it_may(keys: Hierarchy, tmp_path: Path) -> None:
    async with archive(tmp_path / "centre", keys, Most(records=2, offers=3, bytes=60)) as at:
        for hearing in ("a", "b", "c", "a"):
            await at.uploads.offer(ROOM, small(1, hearing))
        with pytest.raises(RefusedError, match="offered 3 times") as refused:
            await at.uploads.offer(ROOM, small(1, "d"))
        assert refused.value.problem.status == 429
        # What the record shares is counted once, and what was refused counts until it goes.
        longer = msgspec.structs.replace(small(2), files=[msgspec.structs.replace(small(2).files[0], len=11), *small(2).files[1:]])
        with pytest.raises(RefusedError, match="more than 60 bytes"):
            await at.uploads.offer(ROOM, longer)
        await at.uploads.offer(ROOM, small(2))
        with pytest.raises(RefusedError, match="2 other records"):
            await at.uploads.offer(ROOM, small(3))
        await at.uploads.offer("room-2", small(3))
        await at.uploads.discard(in_days(OPEN_DAYS + 1))
        await at.uploads.offer(ROOM, small(3))
        await at.uploads.offer(ROOM, small(1, "d"))


async def test_what_the_storage_lost_is_acknowledged_to_nobody_and_the_rest_of_it_stays(
    keys: Hierarchy, make_record: Make, tmp_path: Path
) -> None:
    """The room may have deleted the record by an acknowledgement of before: no sweep takes what is left of it."""
    builder = make_record()
    record, first = builder.root, make_offer(builder.root)
    async with archive(tmp_path / "centre", keys) as at:
        before = await at.sent(record, first)
        damaged = next(path for path in at.files() if path.name == "device-chain.pem")
        damaged.chmod(0o600)
        damaged.write_bytes(b"x" * damaged.stat().st_size)
        builder.receipt(journal=False)
        assert (await at.sent(record, make_offer(record))).state == "open"
        with pytest.raises(RefusedError, match="no such upload"):
            await at.uploads.state(ROOM, before.upload)
        assert await at.uploads.discard(in_days(365)) == 1
        assert len(at.files()) == len(first.files) - 1
        again = await at.uploads.offer(ROOM, first)
        assert (again.upload, again.state, again.missing_parts, again.acknowledgement) == (before.upload, "open", 1, None)
        anew = await at.sent(record, first)
        assert before.acknowledgement is not None
        assert anew.acknowledgement is not None
        assert anew.acknowledgement.counter > before.acknowledgement.counter


async def test_a_full_disk_does_not_end_the_sweep(keys: Hierarchy, tmp_path: Path) -> None:
    at = Archive(tmp_path / "centre", keys, MOST)
    real, calls = at.uploads._store.sweep, list[int]()

    def sweep(*, over_utc_us: int, open_utc_us: int) -> None:
        calls.append(over_utc_us)
        if len(calls) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        real(over_utc_us=over_utc_us, open_utc_us=open_utc_us)

    at.uploads._store.sweep = sweep  # type: ignore[method-assign]
    await at.uploads.start()
    try:
        await until(lambda: len(calls) == 2, "the next sweep")
    finally:
        await at.uploads.stop()
