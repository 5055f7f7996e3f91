"""The room's delivery service: sends sealed records to the archive, and deletes what the archive holds when room is needed.

It runs beside everything else and holds nothing up. Records go one after the other, the oldest first.

What it does follows from what lies on the disks: records, acknowledgements, tombstones. Its own file only remembers of which it has told.
So a crash at any moment tells a thing twice at worst, and never not.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from agent.archive import retention
from agent.archive.acknowledgement import write_durably
from agent.archive.queue import Outcome, Queue
from agent.archive.reasons import Reasons
from agent.archive.records import Records, SealedRecord
from agent.archive.told import Told
from agent.archive.upload import UploadStoppedError, UploadTroubledError, VerificationWaitsError
from agent.archive.vouchers import Vouchers
from agent.upstream.contract import RecordDeleted, RecordDelivered
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.shown import encodable
from recorder.record.trust import TrustError

log = structlog.get_logger()

LOOK_S = 30.0
"""How often the disks are looked at."""
_TRIES = 5
_PATIENCE_S = 10.0
"""For how long the archive's verdict on what was just sent is waited for. On a record that waits for it, it is asked once a turn."""
_RATE_S = 30.0
_AGAIN_S = 10.0
_BLIND = "the disks cannot be looked at"
Tell = Callable[[RecordDelivered | RecordDeleted], Awaitable[None]]
"""Called with what the centre must know; returns when that is durable."""


class Sender(Protocol):
    """What is wanted of ``Uploader``."""

    @property
    def sent_bytes(self) -> int:
        """All that was given to the network so far."""
        ...

    def set_hearing(self, *, hearing: bool) -> None:
        """A hearing began or ended."""
        ...

    async def send(
        self, root: Path, *, progress: Callable[[int, int], None], troubled: Callable[[str], None], tries: int, patience_s: float
    ) -> Acknowledgement | None:
        """Send a record; its checked acknowledgement, or None while the archive verifies it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStatus:
    """How the delivery stands. ``sending`` is a record's name, or empty; ``alarms`` are for somebody to look at."""

    pending: int
    pending_bytes: int
    oldest_pending_h: float
    sending: str
    done_bytes: int
    total_bytes: int
    rate_bytes_s: float
    alarms: tuple[str, ...]
    reasons: Reasons = field(default_factory=Reasons)

    def indicators(self) -> dict[str, float]:
        """By the names that the centre's page and the metrics have."""
        sent = {"upload_sent_percent": 100 * self.done_bytes / max(1, self.total_bytes)} if self.sending else {}
        return {
            "upload_pending_records": float(self.pending), "upload_pending_gib": self.pending_bytes / 1024**3,
            "upload_oldest_pending_h": self.oldest_pending_h, "upload_rate_mib_s": self.rate_bytes_s / 1024**2, **sent,
        }  # fmt: skip


class Delivery:
    """Runs until it is cancelled; a deletion that has begun is over then, or is broken off without having deleted anything.

    Args:
        records: the room's records.
        uploader: sends them, entered already; None in a closed network, where a disk is carried (``courtroom archive``).
        tell: takes events.
        told: a file of its own.
        keep_days: so long after its acknowledgement a record stays.
        free_bytes: records are deleted only while a disk has less room than this.
        vouchers: who vouches for the archive, read anew at each look and before each deletion; None: as ``records`` has it.
        look_s: how often the disks are looked at.
    """

    def __init__(
        self,
        records: Records,
        uploader: Sender | None,
        tell: Tell,
        told: Path,
        *,
        keep_days: float,
        free_bytes: int,
        vouchers: Vouchers | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._records = records
        self._uploader = uploader
        self._tell = tell
        self._told_file = told
        self._keep_days = keep_days
        self._free_bytes = free_bytes
        self._vouchers = vouchers
        self._doubt = ""
        self._blind = ""
        """Why the disks could not be looked at the last time."""
        self._clock_believed: bool | None = None
        self._waits_for_clock = False
        self._look_s = look_s
        self._queue = Queue()
        self._told: Told | None = None
        self._right: set[Path] = set()
        self._found: list[SealedRecord] = []
        self._hearing, self._ends = False, False
        self._look_now, self._looked, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._sending = ""
        self._progress = (0, 0)
        self._trouble = ""
        self._kept: dict[str, str] = {}
        self._unread: list[str] = []
        """What tombstones do not say any more, as far as is known."""
        self._sent: deque[tuple[float, int]] = deque()

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(self._keep_house, _BLIND))
            # Apart: who is told may be away for long, and records go on being found, sent and deleted.
            group.create_task(self._for_ever(self._tell_next, "what was told cannot be noted"))
            if self._uploader is not None:
                group.create_task(self._for_ever(self._send_next, "a record cannot be sent"))

    def set_hearing(self, *, hearing: bool) -> None:
        """A hearing began (slower, and nothing is deleted) or ended."""
        self._hearing = hearing
        if self._uploader is not None:
            self._uploader.set_hearing(hearing=hearing)
        if not hearing:
            self.hurry()

    def set_clock(self, *, believed: bool | None) -> None:
        """Whether the room's clock may be believed; None: nobody says. Records are deleted by their age, and so only while it may."""
        self._clock_believed = believed

    def hurry(self) -> None:
        """Look at the disks now: a record was sealed, or an acknowledgement came."""
        self._look_now.set()

    def status(self) -> DeliveryStatus:
        """How it stands now; every word of it can be sent and stored."""
        waiting = [one for one in self._found if one.standing != "delivered"]
        pending = [one for one in waiting if one.standing == "pending"]
        oldest_us = min((one.changed_utc_us for one in pending), default=None)
        troubles = self._records.broken | self._kept | self._queue.stuck()
        by_record = {encodable(name): encodable(why) for name, why in troubles.items()}  # of files that may have any name
        alarms = [f"{name}: {why}" for name, why in by_record.items()]
        stops = [f"{_BLIND}: {self._blind}"] if self._blind else []
        stops += [f"no record is deleted: {self._doubt}"] if self._doubt else []
        stops += ["no record is deleted to make room: the room's clock is not to be believed"] if self._waits_for_clock else []
        alarms += stops
        alarms += [f"{one.name}: {one.why}" for one in pending if one.why]
        away = [f"the archive is not reached: {self._trouble}"] if self._trouble else []
        alarms += self._unread
        return DeliveryStatus(
            pending=len(pending), pending_bytes=sum(one.bytes for one in pending),
            oldest_pending_h=0.0 if oldest_us is None else max(0.0, time.time_ns() / 1000 - oldest_us) / 3.6e9, sending=self._sending,
            done_bytes=self._progress[0], total_bytes=self._progress[1], rate_bytes_s=self._rate(), alarms=tuple(map(encodable, alarms)),
            reasons=Reasons(by_record=by_record, of_all=tuple(map(encodable, (*stops, *away)))),
        )  # fmt: skip

    async def _for_ever(self, step: Callable[[], Awaitable[None]], words: str) -> None:
        while True:
            try:
                await step()
            except OSError as error:
                log.warning(words, error=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def _keep_house(self) -> None:
        """One look at the disks, and what follows from it."""
        try:
            await self._to_its_end(self._put_right)
            await asyncio.to_thread(self._trust_anew)
            self._found = await asyncio.to_thread(self._records.look)
            self._looked.set()
            self._news.set()
            await self._delete_old()
        except OSError as error:
            self._blind = str(error)
            raise
        self._blind = ""
        await _either(self._look_now, self._look_s)
        self._look_now.clear()

    def _trust_anew(self) -> None:
        """Believe whom the files name now. Where they cannot be read, who was believed last is, and nothing is deleted."""
        if self._vouchers is None:
            return
        try:
            authorities, doubt = self._vouchers.read(dt.datetime.now(dt.UTC))
        except (TrustError, OSError) as error:
            doubt = str(error)
        else:
            self._records.trust(authorities)
        if doubt and doubt != self._doubt:
            log.error("no record is deleted: who vouches for the archive is not known", error=doubt)
        self._doubt = doubt

    def _put_right(self) -> None:
        """What a crash left of deletions, on disks that were not there at the last look; and of what was told."""
        there = set(self._records.answering())
        self._right &= there
        for base in there - self._right:
            try:
                retention.finish(base)
            except OSError as error:  # at the next look again; the other disk is looked at meanwhile
                log.warning("what a deletion left cannot be put right", disk=str(base), error=str(error))
            else:
                self._right.add(base)
        if self._told is not None:
            return
        try:
            self._told = msgspec.json.decode(self._told_file.read_bytes(), type=Told)
        except FileNotFoundError:
            self._told = Told()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error("it is not known what was told; it is told again", file=str(self._told_file), error=str(error))
            self._told = Told()

    async def _tell_next(self) -> None:
        await self._news.wait()
        self._news.clear()
        await self._tell_news(self._found)

    async def _tell_news(self, found: list[SealedRecord]) -> None:
        assert self._told is not None
        before = msgspec.json.encode(self._told)
        for one in found:
            for ack in one.acknowledged:
                if self._told.has_delivered(one.record, ack.sums_sha256):
                    continue
                await self._tell(RecordDelivered(record=one.record, sums_sha256=ack.sums_sha256, by=ack.by))
                self._told.add_delivered(one.record, ack.sums_sha256)
                log.info("a record is in the archive", record=one.name, by=ack.by)
                self.hurry()  # it may be deleted now
        there = {one.name for one in found}
        for gone in await asyncio.to_thread(self._gone):
            if gone.name not in there and self._told.deleted.get(gone.record) != gone.sums_sha256:
                await self._tell(RecordDeleted(record=gone.record, sums_sha256=gone.sums_sha256, freed_bytes=gone.bytes))
                self._told.deleted[gone.record] = gone.sums_sha256
        after = msgspec.json.encode(self._told)
        if after != before:
            await asyncio.to_thread(write_durably, self._told_file, after + b"\n")

    def _gone(self) -> list[retention.Tombstone]:
        unread: list[str] = []
        found = [tombstone for base in self._records.answering() for tombstone in retention.tombstones(base, unread.append)]
        for trouble in unread:
            if trouble not in self._unread:
                log.error("a tombstone cannot be read", trouble=trouble)
        self._unread = unread
        return found

    async def _delete_old(self) -> None:
        """Delete what may go where a disk has too little room, a record at a time, until a hearing begins."""
        if not self._free_bytes:
            return
        need_bytes = await asyncio.to_thread(retention.need_bytes, self._records.answering(), self._free_bytes)
        self._waits_for_clock = need_bytes > 0 and self._clock_believed is False
        if not self._clock_believed:
            return
        assert self._told is not None
        told = [one for one in self._found if self._told.has_delivered(one.record, one.sums_sha256)]
        chosen = retention.choose(told, now_us=time.time_ns() // 1000, keep_days=self._keep_days, need_bytes=need_bytes)
        for record in chosen:
            await asyncio.to_thread(self._trust_anew)
            if self._may_not_delete() or self._doubt or not self._clock_believed:
                return
            try:
                await self._to_its_end(partial(retention.delete, record, self._records.authorities, self._may_not_delete))
            except retention.DeletionStoppedError:
                return
            except retention.RetentionError as error:
                if self._kept.get(record.name) != str(error):
                    log.error("a record is not deleted", error=str(error))
                self._kept[record.name] = str(error)
                self._right -= {root.parent for root in record.copies}
                continue
            self._kept.pop(record.name, None)
            log.info("a record was deleted here; the archive has it", record=record.name, bytes=record.bytes)
            self._look_now.set()

    def _may_not_delete(self) -> bool:
        return self._hearing or self._ends

    async def _to_its_end(self, work: Callable[[], object]) -> None:
        """Do it in a thread, and end with it also when cancelled: whoever comes after must not delete beside it."""
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self._ends = True
            await asyncio.gather(running, return_exceptions=True)
            raise

    async def _send_next(self) -> None:
        assert self._uploader is not None
        await self._looked.wait()
        record, wait_s = self._queue.next(self._found, time.monotonic(), time.time_ns() // 1000)
        if record is None:
            self._looked.clear()
            await _either(self._looked, wait_s)
            self._looked.set()
            return
        self._sending, self._progress = record.name, (0, record.bytes)
        try:
            outcome, why = await self._send(self._uploader, record)
        finally:
            self._sending, self._progress = "", (0, 0)
        self._queue.ended(record, outcome, time.monotonic(), why)
        if outcome == "delivered":
            # Until the next look, which tells of it.
            self._found = [one if one.name != record.name else replace(one, standing="delivered") for one in self._found]
            self.hurry()

    async def _send(self, uploader: Sender, record: SealedRecord) -> tuple[Outcome, str]:
        """Send a record from the disk that is right; where that is damaged, from the other one."""
        reasons: list[str] = []
        patience_s = 0.0 if self._queue.is_verified(record) else _PATIENCE_S
        for root in record.copies:
            try:
                ack = await uploader.send(root, progress=self._moved, troubled=self._troubled, tries=_TRIES, patience_s=patience_s)
            except UploadStoppedError as error:  # UnreadableError too; what no seal lists may be damaged, and the archive alone notices
                log.error("a record cannot be sent from this disk", copy=str(root), error=str(error))
                reasons += [str(error)] if str(error) not in reasons else []
                continue
            except VerificationWaitsError as error:
                self._trouble = ""
                return "verifying", f"the archive has all of it: {error}"
            except UploadTroubledError as error:
                return "troubled", str(error)
            self._trouble = ""
            if ack is None:
                return "verifying", ""
            await asyncio.to_thread(self._records.store, record, ack)
            if ack.files_sha256 == record.files_sha256 or not reasons:
                return "delivered", ""
            break  # it has the other copy, and not what came to this one since
        return "refused", "; ".join(reasons)

    def _moved(self, done: int, total: int) -> None:
        self._progress = (done, total)

    def _troubled(self, words: str) -> None:
        if words != self._trouble:
            log.warning("the archive cannot be reached; it is tried again", error=words)
        self._trouble = words

    def _rate(self) -> float:
        """Bytes a second over the last half minute."""
        now_s, sent = time.monotonic(), self._uploader.sent_bytes if self._uploader is not None else 0
        while len(self._sent) > 1 and self._sent[1][0] < now_s - _RATE_S:
            self._sent.popleft()
        rate = (sent - self._sent[0][1]) / (now_s - self._sent[0][0]) if self._sent and now_s > self._sent[0][0] else 0.0
        if not self._sent or now_s - self._sent[-1][0] >= 1.0:
            self._sent.append((now_s, sent))
        return rate


async def _either(event: asyncio.Event, wait_s: float) -> None:
    """Until something happens, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
