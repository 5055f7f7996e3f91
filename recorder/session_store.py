"""Sessions on the disk: begun, taken up after a crash, sealed.

What blocks runs in threads; the core's event loop never waits for a disk.
"""

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import sole_process
from provisioning.room import RoomConfig
from recorder import snapshot
from recorder.background_check import CODE, FAILED_CODE, BackgroundCheck
from recorder.clock import SessionClock, boot_id, clock_state, mono_us, utc_us
from recorder.commit import CommitReport, Committer
from recorder.contract import control
from recorder.disk import Disk, DiskName
from recorder.disk_pair import Trouble
from recorder.ledger import Ledger
from recorder.open_session import OpenSession
from recorder.recipients import load_recipients
from recorder.record import canonical, entries, layout
from recorder.record.entries import Level
from recorder.record.journal import Head, Times
from recorder.recovery import Left, read_left, recovered
from recorder.room_disks import RoomDisks, keep_head_at, put_unstamped, unstamped_file
from recorder.seal import chain_pem, not_sealed, put_file, put_seal_files, stamp
from recorder.seal_trust import trust_of
from recorder.signing import Signer
from recorder.snapshot import Snapshots
from recorder.storage import record_name
from recorder.taking_up import Ending, judge
from recorder.threads import apart, within

log = structlog.get_logger()

PREPARE_S = 5.0
"""A disk that takes no new record for so long does not lead it."""
READ_S = 120.0
"""A record that cannot be read in so long is left as it is. Without a snapshot all lines of a long hearing are read: tens of seconds."""
_CLOSE_S = 3.0
OnCommit = Callable[[CommitReport], None]


class SessionStore:
    """The room's disks and key."""

    def __init__(self, config: RoomConfig, signer: Signer, config_sha256: str) -> None:
        """Read the recipients' certificates.

        Raises:
            RecipientError: some are named, and none can be used.
        """
        self.signer = signer
        read = load_recipients(config.recipient)
        self.recipients, self.unread_recipients = read.keys, read.unread
        self.room_disks = RoomDisks(config.storage, trust_of(config, signer.chain))
        self._config = config
        self._config_sha256 = config_sha256
        self._background: set[asyncio.Task[None]] = set()
        """What is sealed, or completed, behind the room's back."""
        self.left: dict[str, control.LeftUnsealed] = {}
        """The records, by their ids, that were found at the start and stay as they are."""
        self._led: set[str] = set()
        """Names of the records that have a committer, or are to have one."""
        self._leading = threading.Lock()
        """Held while it is decided by them whether the disks' locks are wanted: one session may begin while another one is let go."""

    def can_be_opened(self, level: Level) -> bool:
        """Whether media of this level would have a reader: with recipients, one of them must be let in."""
        return not self.recipients or any(level in recipient.levels for recipient in self.recipients)

    async def begin(
        self, request: control.Start, origin_mono_us: int, sources: list[entries.Source], on_commit: OnCommit, on_trouble: Trouble
    ) -> OpenSession:
        """Begin a record: its directory, its first line. It is led on the primary disk, or where that takes nothing on the mirror.

        Raises:
            OSError: no disk takes anything.
        """
        record = uuid.uuid4()
        clock = SessionClock(origin_mono_us)
        disk, previous_head = await apart(partial(self._prepare, record_name(self._config.room.id, record, utc_us())), "begin a record")
        genesis = entries.Genesis(
            record=str(record),
            hearing=request.hearing,
            case=request.case,
            title=request.title,
            court=self._config.room.court,
            room=self._config.room.id,
            actor=request.actor,
            start_token=request.start_token,
            previous_head=previous_head,
            device_certificate_sha256=self.signer.key_id,
            boot=boot_id(),
            agent_version=version("courtroom-agent"),
            config_sha256=self._config_sha256,
            origin_mono_us=origin_mono_us,
            clock=clock_state(),
            sources=sources,
            recipients=[
                entries.Recipient(name=r.name, certificate_sha256=r.certificate.fingerprint(hashes.SHA256()).hex()) for r in self.recipients
            ],
            media="cenc-aes-ctr" if self.recipients else "clear",
        )
        try:
            genesis, times = canonical.writable(genesis), clock.times()  # before there is a committer that somebody would have to end
        except canonical.NotCanonicalError:
            await apart(partial(self.closed, disk.root), "let go of a record")
            raise
        opened = self._open(str(record), clock, disk, Ledger(), genesis, on_commit, on_trouble, times)
        opened.committer.put_entry(genesis, times, urgent=request.level == "open")  # else in one round with its level
        if request.level != "open":
            opened.committer.put_entry(
                entries.LevelChange(level=request.level, actor=request.actor, order="", from_us=0), clock.times(), urgent=True
            )
        return opened

    async def recover(
        self, on_commit: OnCommit, on_trouble: Trouble, stop_of: Callable[[str], control.StopRequest | None] = lambda _: None
    ) -> OpenSession | None:
        """Look at what earlier runs left, and take up the newest session that was still open.

        ``stop_of`` tells whether the end of a session was asked for, by its record's id. All others are sealed in the background, as is
        what only lacks its seal: the room is ready meanwhile.

        Raises:
            sole_process.HeldError: another recorder writes a record on these disks.
        """
        loop = asyncio.get_running_loop()

        def trouble(code: str, detail: str, on: bool) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever listened
                loop.call_soon_threadsafe(on_trouble, code, detail, on)

        self.room_disks.trouble = trouble
        found, unstamped = await apart(partial(self._read_left, trouble), "look for what earlier runs left")
        newest, rest = judge((left for left in found if not left.sealed), stop_of, utc_us())
        for left, _ in rest:  # for a session that begins before this one is sealed
            await apart(partial(self.room_disks.keep_head, left.ledger.head), "keep the last head")
        opened = None if newest is None else self._take_up(newest, on_commit, on_trouble)
        finished = [left for left in found if left.sealed]
        self._keep(asyncio.create_task(self._seal_rest(finished, rest, unstamped, on_trouble), name="seal what earlier runs left"))
        return opened

    def follow(self, opened: OpenSession) -> None:
        """What is still done for a session that ended is waited for at the end of the recorder."""
        if opened.follow_up is not None:
            self._keep(opened.follow_up)

    async def close(self) -> None:
        """End what is done in the background; what is not done then is done at the next start."""
        if self._background:
            _, left = await asyncio.wait(self._background, timeout=_CLOSE_S)
            for task in left:
                task.cancel()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _read_left(self, on_trouble: Trouble) -> tuple[list[Left], list[Path]]:
        """The records that are not sealed, and the sealed ones that still want a timestamp."""
        self.room_disks.make()
        self.room_disks.claim(wait_s=sole_process.WAIT_S)
        key = self.signer.chain[0].public_key()
        known_key = key if isinstance(key, ec.EllipticCurvePublicKey) else None
        found = []
        unsealed = self.room_disks.unsealed()
        for base in self.room_disks.answering():
            snapshot.tidy(base, {root.name for root in unsealed})
        for root in unsealed:
            try:
                left = within(partial(read_left, root, known_key), READ_S, "read a record")
            except Exception as error:  # whoever had the disk may have put anything there, and the room records all the same
                log.error("a record cannot be read", record=str(root), exc_info=None if isinstance(error, OSError) else error)
                why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
                self._leave("record_unread", root, f"cannot be read: {why}; it is left as it is", on_trouble)
                continue
            if left is None:
                self._leave("record_unread", root, "has no durable first line; it is left as it is")
            elif left.genesis.device_certificate_sha256 != self.signer.key_id:
                why = "was begun with another certificate and cannot be sealed with this one"
                self._leave("record_unsealed", root, why, on_trouble, left.last.t_us if left.last else 0)
            else:
                self.room_disks.set_false_seals_aside(root.name)
                found.append(left)
        return found, self.room_disks.unstamped()

    def _leave(
        self, cause: Literal["record_unread", "record_unsealed"], root: Path, why: str, on_trouble: Trouble | None = None, long_us: int = 0
    ) -> None:
        """A record stays as it is: whoever asks for it is told, and so is the room where somebody can do something about it."""
        detail = f"{root} {why}"
        log.warning("a record is left as it is", detail=detail)
        self.left[root.name.rpartition("_")[2]] = control.LeftUnsealed(cause=cause, detail=detail, duration_us=long_us)
        if on_trouble is not None:
            on_trouble(cause, detail, True)

    async def _seal_rest(self, finished: list[Left], rest: list[Ending], unstamped: list[Path], on_trouble: Trouble) -> None:
        for left in finished:
            if left.signed is not None and left.signed.doubt:
                on_trouble(CODE, f"{left.record}: {left.signed.doubt}", True)
            problem = await apart(partial(self._finish_late, left), "seal what a crash left")
            log.warning("sealed what a crash had left unsealed", record=str(left.record), problem=problem)
        for root in unstamped:
            await apart(partial(self._stamp_late, root), "stamp what a crash left")
        for left, request in rest:
            # What the disks do under a session that is over is no alarm of the room.
            opened = self._take_up(left, lambda _: None, lambda code, detail, on: log.warning("trouble", code=code, detail=detail, on=on))
            session = opened.session(send=lambda *_: False, restart=lambda *_: None)
            problem = await opened.seal(session, request, left.last.t_us if left.last else 0)
            self.follow(opened)
            log.warning("sealed an interrupted session", record=str(left.record), reason=request.reason, problem=problem)
            if problem is not None:
                on_trouble("record_unsealed", f"{left.record}: {problem}", True)
        with self._leading:
            if not self._led:
                self.room_disks.release()

    def _finish_late(self, left: Left) -> str | None:
        problem = self.finish(left.record, left.ledger.head)
        if problem is None:
            self._stamp_late(left.record)
            self.room_disks.keep_head(left.ledger.head)
        return problem

    def _stamp_late(self, root: Path) -> None:
        try:
            self.stamp(root)
            self._copy_seal(root, copied=False)
        except OSError as error:
            log.error("what a crash left of a seal cannot be completed now", record=str(root), error=str(error))

    def disks(self, opened: OpenSession | None) -> list[control.DiskStatus]:
        """The disks as they were last looked at."""
        found = []
        for name, path in self.room_disks.named():
            is_there = name in self.room_disks.free_bytes
            free, state, lag = self.room_disks.free_bytes.get(name, 0), self.room_disks.idle_state(name), 0
            if opened is not None:
                mirror = opened.committer.mirror
                if name == opened.committer.lead:
                    state = "failing" if opened.committer.failing else "recording"
                elif mirror is not None:
                    state, lag = mirror.state, mirror.lag_bytes
            found.append(
                control.DiskStatus(
                    disk="primary" if name == "primary" else "mirror",
                    path=str(path),
                    state=state,
                    free_bytes=free,
                    hours_left=opened.forecast.hours_left(free) if opened is not None and is_there else None,
                    lag_bytes=lag,
                )
            )
        return found

    def finish(self, root: Path, head: Head) -> str | None:
        """Write the seal's files beside a finished journal, on its own disk; returns in words why not, or None. Blocks."""
        try:
            keep_head_at(root.parent, head)
            if self._config.timestamp is not None:
                put_unstamped(root)
        except OSError as error:  # a full disk, which has room for the seal perhaps
            log.warning("what stands beside the seal was not written", record=str(root), error=str(error))
        self.room_disks.remember_head(head)
        try:
            put_seal_files(root, self.signer)
        except Exception as error:  # noqa: BLE001 - a token's library raises anything
            log.error("sealing failed", record=str(root), error=repr(error))
            return not_sealed(error, root)
        return None

    def stamp(self, root: Path) -> None:
        """Get a sealed record's timestamp, where an authority is configured. Blocks, no longer than room.toml says."""
        sealed = stamp(root, self._config.timestamp)
        if self._config.timestamp is not None and not sealed.timestamped:
            log.warning("no timestamp", detail=sealed.detail)
        unstamped_file(root).unlink(missing_ok=True)

    def follow_up(self, root: Path, head: Head, *, copied: bool) -> None:
        """Have the other disk keep the head, and seal its copy; one that is behind is completed later. Blocks."""
        if head.sha256 == self.room_disks.last_head():  # else a later record has ended meanwhile
            self.room_disks.keep_head(head)
        self._copy_seal(root, copied=copied)

    def closed(self, root: Path) -> None:
        """Nothing writes this record any more: its copy may be completed."""
        with self._leading:
            self._led.discard(root.name)
            self.room_disks.recording = bool(self._led)
            if not self._led:
                self.room_disks.release()

    def _copy_seal(self, root: Path, *, copied: bool) -> None:
        self.room_disks.copy_seal(root, level=copied)
        for _, base in self.room_disks.named():
            snapshot.remove(base / root.name)

    def _prepare(self, name: str) -> tuple[Disk, str]:
        """The disk that leads a new record, with its directory; and the head of the record before."""
        disk = self.room_disks.first_that("begin a record", partial(self._prepare_on, name), PREPARE_S)
        self.room_disks.make()
        with self._leading, contextlib.suppress(sole_process.HeldError):  # another recorder's record is one of its own
            self._led.add(name)
            self.room_disks.claim(wait_s=0)
        return disk, self.room_disks.last_head()

    def _prepare_on(self, name: str, _: DiskName, base: Path) -> Disk:
        disk = self.room_disks.disk(base / name)
        disk.make()
        # From the first moment on, so that a record that is never sealed can be verified too.
        put_file(disk.root / layout.DEVICE_CHAIN, chain_pem(self.signer))
        if disk.ballast is not None and not disk.ballast.lay():
            log.warning("no room for the ballast", disk=disk.name)
        return disk

    def _open(
        self,
        record: str,
        clock: SessionClock,
        disk: Disk,
        ledger: Ledger,
        genesis: entries.Genesis,
        on_commit: OnCommit,
        on_trouble: Trouble,
        began: Times,
        left: Left | None = None,
    ) -> OpenSession:
        loop = asyncio.get_running_loop()
        storage = self._config.storage
        ledger.holds(layout.DEVICE_CHAIN, chain_pem(self.signer))
        opened: OpenSession

        def committed(report: CommitReport) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever listened
                loop.call_soon_threadsafe(opened.on_report, report)
                loop.call_soon_threadsafe(on_commit, report)

        def told(code: str, detail: str, on: bool) -> None:
            if not opened.ended:
                on_trouble(code, detail, on)

        def trouble(code: str, detail: str, on: bool) -> None:
            self.room_disks.heard(code, on=on)
            with contextlib.suppress(RuntimeError):  # likewise
                loop.call_soon_threadsafe(told, code, detail, on)

        committer = Committer(
            disk,
            ledger,
            other=self.room_disks.other(disk),
            memory_bytes=storage.memory_mib * 1024 * 1024,
            now=clock.times,
            on_commit=committed,
            on_trouble=trouble,
        )
        self._led.add(disk.root.name)
        self.room_disks.recording = True
        opened = OpenSession(self, record, clock, committer, genesis, began, trouble)
        opened.left = left
        snapshots = Snapshots(lambda: committer.disk.root, lambda: opened.head.at, self.signer, None if left is None else left.journal)
        opened.companions.append(snapshots)
        committer.start()
        snapshots.start()
        return opened

    def _take_up(self, left: Left, on_commit: OnCommit, on_trouble: Trouble) -> OpenSession:
        boot = boot_id()
        now = Times(mono_us(), utc_us(), 0)
        entry, clock = recovered(left, now, boot, utc_trusted=clock_state().source == "kernel")
        disk = self.room_disks.disk(left.record)
        times = clock.times()
        opened = self._open(
            left.genesis.record, clock, disk, Ledger.resumed(left.ledger, left.files), left.genesis, on_commit, on_trouble, times, left
        )
        log.warning(
            "took up what a crash had left", record=str(left.record), entries=left.ledger.head.at + 1, by_snapshot=left.from_snapshot
        )
        opened.committer.put_entry(entry, times)
        opened.committer.close_segments(times)
        if left.rewritten:
            opened.tell(CODE, f"{layout.JOURNAL}: {left.rewritten}")
        check = BackgroundCheck(left, partial(opened.tell, CODE), partial(opened.tell, FAILED_CODE))
        opened.companions.append(check)
        opened.sums = lambda: opened.committer.totals() if check.sums_hold else opened.counted()
        check.start()
        return opened
