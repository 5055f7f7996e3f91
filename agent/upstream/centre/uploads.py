"""The centre's side of the archive: takes offers, hands out addresses, and acknowledges what it has read back and verified.

Each method takes the room's name as its certificate has it, and a message; what is refused raises ``RefusedError`` with the answer to give.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from agent.upstream import transfer
from agent.upstream.centre.backend import AwayError
from agent.upstream.centre.background import keep_on
from agent.upstream.centre.notary import Notary, NotaryError
from agent.upstream.centre.record_check import Found, RecordCheckError, check_record, most_s_of
from agent.upstream.centre.storage import ADDRESS_S, LostError, NoRoomError, Storage, StorageError, Target
from agent.upstream.centre.turns import Turns
from agent.upstream.centre.upload_offer import MOST_BYTES, offer_problem, upload_name
from agent.upstream.centre.upload_store import FullError, Most, StoredFile, Upload, UploadStore
from agent.upstream.centre.workroom import Workroom
from agent.upstream.transfer import PART_BYTES
from recorder.record.acknowledgement import VERDICTS, Acknowledgement
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities

log = structlog.get_logger()

REFUSED_DAYS = 7
"""For so long the files of a refused record lie in the storage: whoever asks why it was refused has them, and they need not come again.
Likewise those of an offer in whose place the room sends another."""
OPEN_DAYS = 30
"""After so long the files of a record go that a room began to send and never went on with; it may begin anew."""
SWEEP_S = 3600.0
MOST = Most(records=64, offers=64, bytes=2 * MOST_BYTES)
"""A room sends one record after the other, and offers each again only when an order or a receipt came, or from another disk."""
_AT_ONCE = 4
Ledger = Callable[[str], Awaitable[Sequence[Receipt]]]
"""The receipts that the centre gave for a record's heads."""
Vouching = Callable[[], Awaitable[Authorities]]
"""Who vouches for rooms' devices, and what was revoked until now."""
Answer = TypeVar("Answer")


class RefusedError(Exception):
    """The request is refused with this answer; its ``status`` is HTTP's."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(f"{title} {detail}".strip())
        self.problem = transfer.Problem(type="about:blank", title=title, status=status, detail=detail)


def no_room(error: NoRoomError) -> RefusedError:
    """What a room is told: it keeps the record, and tries again."""
    return RefusedError(507, "The archive's disk is full; what it took stays.", str(error))


class Uploads:
    """All uploads of all rooms; use ``start`` and ``stop`` around it.

    Args:
        store: the file of its tables.
        storage: where records are kept.
        work: where records lie that are being verified; what a bucket holds needs room there for the longest one.
        authorities: who vouches for rooms' devices; asked anew for each verification.
        ledger: the receipts of a record.
        notary: who signs.
        retry_s: the first and the longest wait where the storage is away during a verification.
        most: how much a room may have on its way.
    """

    def __init__(
        self,
        store: Path,
        storage: Storage,
        work: Workroom,
        *,
        authorities: Vouching,
        ledger: Ledger,
        notary: Notary,
        retry_s: tuple[float, float] = (1.0, 300.0),
        most: Most = MOST,
    ) -> None:
        self._thread = ThreadPoolExecutor(1, "uploads")
        self._store = UploadStore(store)
        self._storage = storage
        self._work = work
        self._authorities = authorities
        self._ledger = ledger
        self._notary = notary
        self._retry_s = retry_s
        self._most = most
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = Turns()
        self._sweeper: asyncio.Task[None] | None = None
        self._checker: asyncio.Task[None] | None = None
        self._cleaner: asyncio.Task[None] | None = None
        self._handles = asyncio.Lock()
        self._begun_s = dict[str, float]()
        """When the storage said last that a handle stands."""

    async def start(self) -> None:
        """Take up the verifications that a stop or a crash interrupted."""
        self._cleaner = asyncio.create_task(self._clear())
        for upload in await self._do(self._store.verifying):
            self._verify_soon(upload)
        self._sweeper = asyncio.create_task(keep_on("the sweep of the archive", self._sweep))
        self._checker = asyncio.create_task(self._check_storage())

    async def stop(self) -> None:
        """End; what is being verified is taken up at the next start."""
        tasks = [*self._tasks.values(), *(task for task in (self._sweeper, self._checker, self._cleaner) if task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._do(self._store.close)
        self._thread.shutdown()

    async def offer(self, room: str, offer: transfer.UploadOffer) -> transfer.UploadState:
        """``offerRecord``: the same offer again finds the same upload; what was acknowledged as no room takes it is verified anew."""
        problem = await self._do(offer_problem, offer)
        if problem is not None:
            raise RefusedError(422, "The offer is not one of a sealed record.", problem)
        upload, now_utc_us = await self._do(upload_name, room, offer), time.time_ns() // 1000
        try:
            await self._do(self._store.offer, upload, room, offer, now_utc_us, self._most)
        except FullError as error:
            raise RefusedError(429, "Too much of this room is on its way.", str(error)) from error
        await self._do(self._store.begin_verifying, upload)
        await self._do(self._store.doubt, upload, lambda ack: self._notary.stands_by(ack, now_utc_us))
        return await self._answer(upload)

    async def state(self, room: str, upload: str) -> transfer.UploadState:
        """``upload``: how it stands."""
        await self._known(room, upload)
        return await self._answer(upload)

    async def addresses(self, room: str, upload: str, wanted: transfer.PartsWanted) -> transfer.PartAddresses:
        """``addressParts``: where to put those of the parts that are missing."""
        known = await self._known(room, upload)
        if known.state != "open":
            return transfer.PartAddresses(addresses=[])
        await self._do(self._store.touch, upload, time.time_ns() // 1000)
        missing = await self._do(self._store.missing, upload, [(part.path, part.number) for part in wanted.parts])
        if missing is None:
            raise RefusedError(422, "A part is of no file of this upload.")
        addresses, handles = [], dict[str, str]()
        try:
            for part in missing:
                target = part.target
                if target.handle and not await self._is_begun(target):
                    target = target._replace(handle="")
                if not target.handle:
                    async with self._handles:
                        if target.key not in handles:
                            again = await self._do(self._store.missing, upload, [(part.path, part.number)])
                            stands = again[0].target.handle if again else ""
                            new = stands or await self._storage.begin(target)
                            handles[target.key] = await self._do(self._store.set_handle, target.key, new)
                    target = target._replace(handle=handles[target.key])
                place = await self._storage.address(target, part.number, part.sha256)
                addresses.append(transfer.PartAddress(path=part.path, number=part.number, url=place.url, headers=place.headers))
        except NoRoomError as error:
            raise no_room(error) from error
        except (StorageError, LostError) as error:
            raise RefusedError(503, "The storage cannot be used now.", str(error)) from error
        return transfer.PartAddresses(addresses=addresses)

    async def _is_begun(self, target: Target) -> bool:
        """Whether the handle of a file still stands; the storage is asked once in the life of an address."""
        now_s = time.monotonic()
        if now_s - self._begun_s.get(target.handle, -ADDRESS_S) < ADDRESS_S:
            return True
        try:
            await self._storage.check_begun(target)
        except LostError as error:
            await self._do(self._store.forget_handle, target.key, target.handle)
            log.warning("the storage gave a half sent file up; it is sent anew", file=target.key, error=str(error))
            return False
        except StorageError:
            return True  # one that is away is met by the part that is put
        self._begun_s = {handle: at_s for handle, at_s in self._begun_s.items() if now_s - at_s < ADDRESS_S} | {target.handle: now_s}
        return True

    async def parts(self, room: str, upload: str, done: transfer.PartsDone) -> transfer.UploadState:
        """``noteParts``: the last one begins the verification."""
        known = await self._known(room, upload)
        if known.state == "open":
            missing = await self._do(self._store.missing, upload, [(part.path, part.number) for part in done.parts])
            if missing is None:
                raise RefusedError(422, "A part is of no file of this upload.")
            targets = {(part.path, part.number): part.target for part in missing}
            taken = []
            for part in done.parts:
                target = targets.get((part.path, part.number))
                if target is None:
                    continue
                if not self._storage.took(target, part.number, part.etag):
                    raise RefusedError(422, "The storage did not take this part.", f"{part.path}, part {part.number}")
                taken.append(part)
            await self._do(self._store.note, upload, taken)
        return await self._answer(upload)

    async def discard(self, now_utc_us: int) -> int:
        """Give the place of records back that were refused or given up so many days ago; returns of how many files.

        Raises:
            StorageError: some cannot be removed, as the first says; they are tried again.
        """
        over, left = (now_utc_us - days * 86_400_000_000 for days in (REFUSED_DAYS, OPEN_DAYS))
        await self._do(lambda: self._store.sweep(over_utc_us=over, open_utc_us=left))
        number, last = 0, 0
        failed: list[str] = []
        while removals := await self._do(self._store.removals, last):
            last = removals[-1][0]
            for removal, target in removals:
                try:
                    gone = await self._storage.remove(target)
                except (StorageError, OSError) as error:  # the others need not wait for it
                    failed.append(str(error))
                    continue
                number += gone
                if not gone:
                    # The tables were restored from before it was acknowledged, and the room may have deleted the record since.
                    log.error("a file that was acknowledged was to be discarded, and stays: uploads.sqlite was restored", file=target.key)
                await self._do(self._store.removed, removal)
        if failed:
            raise StorageError(f"{len(failed)} of {len(failed) + number}: {failed[0]}")
        return number

    async def _check_storage(self) -> None:
        """Say at once what would keep every record from being acknowledged."""
        try:
            await self._storage.check()
        except (StorageError, LostError) as error:
            log.error("the storage of records cannot be used as it is: mend it, or [s3] in centre.toml", error=str(error))

    async def _clear(self) -> None:
        """Give the room back that a kill in a verification left taken, before the next one."""
        async with self._turns.of(""):
            try:
                await self._work.clear()
            except OSError as error:
                log.error("what was left of a verification cannot be removed", directory=str(self._work.base), error=str(error))

    async def _sweep(self) -> None:
        while True:
            try:
                if number := await self.discard(time.time_ns() // 1000):
                    log.info("files of records that were refused or given up are discarded", files=number)
            except (StorageError, LostError, OSError) as error:
                log.error("files of records that were refused or given up are not discarded", error=str(error))
            await asyncio.sleep(SWEEP_S)

    async def _known(self, room: str, upload: str) -> Upload:
        known = await self._do(self._store.upload, upload, room)
        if known is None or known.state == "superseded":
            # Told so, a room offers the record again as it is now.
            raise RefusedError(404, "There is no such upload of this room.")
        return known

    async def _answer(self, upload: str) -> transfer.UploadState:
        answer = await self._do(self._store.answer, upload)
        if answer.state == "verifying":
            self._verify_soon(upload)
        return answer

    def _verify_soon(self, upload: str) -> None:
        if upload not in self._tasks:
            self._tasks[upload] = asyncio.create_task(self._verify(upload))
            self._tasks[upload].add_done_callback(lambda _: self._tasks.pop(upload, None))

    async def _verify(self, upload: str) -> None:
        wait_s = self._retry_s[0]
        head = await self._do(self._store.upload, upload, None)
        told = ""
        while head is not None:
            try:
                async with self._turns.of(head.room):
                    await self._verify_once(upload)
                return
            except (StorageError, RecordCheckError, NotaryError, OSError, AwayError) as error:
                if str(error) != told:
                    told = str(error)
                    log.error("a record waits to be verified: it is tried again and again", room=head.room, record=head.name, error=told)
                await self._do(self._store.set_detail, upload, f"the verification waits: {error}")
            await asyncio.sleep(wait_s)
            wait_s = min(self._retry_s[1], wait_s * 2)

    async def _verify_once(self, upload: str) -> None:
        head = await self._do(self._store.upload, upload, None)
        if head is None or head.state != "verifying":
            return
        self._notary.check(time.time_ns() // 1000)  # before hours of work, and a lock that nobody shortens
        files = await self._do(self._store.files, upload)
        await self._work.clear()  # and there it is, whatever somebody removed to make room
        taken_bytes = head.bytes if self._storage.copies_to(self._work.base) else 0
        async with self._work.record(head.name, [file.path for file in files], taken_bytes) as root:
            versions = await self._fetch(upload, root, files)
            if versions is None:
                return
            receipts = await self._ledger(head.record)
            found = await check_record(root, await self._authorities(), receipts, most_s=most_s_of(head.bytes))
            refusal = _refusal(head, found, transfer.files_sha256({file.path: file.sha256 for file in files}))
            if refusal is not None:
                damaged = await asyncio.to_thread(_damaged, root, files)
                if damaged:
                    await self._lose(upload, damaged, "the storage gave back other bytes than it took")
                else:
                    await self._do(self._store.refuse, upload, refusal, time.time_ns() // 1000)
                return
        for file in files:
            await self._storage.keep(file.target, versions[file.path])
        await self._acknowledge(head, found)

    async def _fetch(self, upload: str, root: Path, files: Sequence[StoredFile]) -> dict[str, str] | None:
        """Have the storage finish all files and read them back; versions by path. None: some were lost, and are missing again."""
        versions: dict[str, str] = {}
        lost: list[StoredFile] = []
        queue = list(reversed(files))

        async def work() -> None:
            while queue:
                file = queue.pop()
                try:
                    if not file.stored:
                        await self._storage.complete(file.target, file.parts)
                        await self._do(self._store.set_stored, file.target.key)
                    versions[file.path] = await self._storage.fetch(file.target, root / file.path)
                except LostError:
                    lost.append(file)

        workers = [asyncio.create_task(work()) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if lost:
            await self._lose(upload, lost, "the storage lost parts that it had taken")
            return None
        return versions

    async def _lose(self, upload: str, files: Sequence[StoredFile], why: str) -> None:
        for file in files:
            await self._storage.discard(file.target)
        await self._do(self._store.lose, upload, [file.target.key for file in files], f"{why}: {files[0].path}", time.time_ns() // 1000)

    async def _acknowledge(self, head: Upload, found: Found) -> None:
        counter = await self._do(self._store.next_counter, head.upload)
        bare = Acknowledgement(
            record=head.record, room=head.room, sums_sha256=found.sums_sha256, files_sha256=found.files_sha256, bytes=head.bytes,
            files=head.files, verdict=found.verdict, counter=counter, utc_us=time.time_ns() // 1000, by=self._notary.by, sig="",
            certificate="",
        )  # fmt: skip
        if not await self._do(self._store.acknowledge, head.upload, self._notary.signed(bare)):
            raise StorageError("the storage does not hold all of the record any more")

    async def _do(self, function: Callable[..., Answer], *args: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)


def _refusal(head: Upload, found: Found, files_sha256: str) -> str | None:
    if found.verdict not in VERDICTS:
        return f"The record does not verify. {found.words}"
    if (found.record, found.room) != (head.record, head.room):
        return f"This is record {found.record} of room {found.room}, offered as {head.record} of {head.room}."
    if found.hearing != head.hearing:
        return f"This is a record of hearing '{found.hearing}', offered as one of '{head.hearing}'."
    if (found.sums_sha256, found.files_sha256) != (head.sums_sha256, files_sha256):
        return "The files are not those that were offered."
    return None


def _damaged(root: Path, files: Sequence[StoredFile]) -> list[StoredFile]:
    """The files whose parts are not those that were put: the storage's fault and not the room's."""
    return [file for file in files if _part_hashes(root / file.path) != [sha256 for _, sha256 in file.parts]]


def _part_hashes(path: Path) -> list[str]:
    with path.open("rb") as opened:
        parts = [hashlib.sha256(opened.read(PART_BYTES)).hexdigest()]
        while data := opened.read(PART_BYTES):
            parts.append(hashlib.sha256(data).hexdigest())
    return parts
