"""Sessions on the disk: begun, taken up after a crash, sealed.

What blocks runs in threads; the core's event loop never waits for a disk.
"""

import asyncio
import base64
import contextlib
import hashlib
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.room import RoomConfig
from recorder import media_keys, snapshot
from recorder.background_check import CODE, BackgroundCheck
from recorder.clock import SessionClock, boot_id, clock_state, mono_us, utc_us
from recorder.commit import CommitReport, Committer
from recorder.contract import control
from recorder.disk import Disk
from recorder.disk_pair import Trouble
from recorder.journal_read import read_on
from recorder.journal_state import JournalState
from recorder.ledger import Ledger
from recorder.open_session import OpenSession
from recorder.record import entries, layout
from recorder.record.checkpoint import Receipt
from recorder.record.entries import Level, TrackTotal
from recorder.record.journal import Head, Times
from recorder.recovery import Left, read_left, recovered, totals
from recorder.room_disks import RoomDisks
from recorder.seal import chain_pem, put_file, seal
from recorder.signing import Signer
from recorder.snapshot import Snapshots
from recorder.storage import record_name

log = structlog.get_logger()

TAKE_UP_WITHIN_US = 12 * 3600 * 1_000_000
"""A session that a crash broke off is taken up again at the next start, unless that comes later than this: then it is sealed as it is."""
_CLOSE_S = 3.0
OnCommit = Callable[[CommitReport], None]


class SessionStore:
    """The room's disks and key."""

    def __init__(self, config: RoomConfig, signer: Signer, config_sha256: str) -> None:
        self.signer = signer
        self.recipients = [
            media_keys.RecipientKey(
                name=recipient.name,
                certificate=x509.load_pem_x509_certificate(Path(recipient.certificate).read_bytes()),
                levels=frozenset(recipient.levels),
            )
            for recipient in config.recipient
        ]
        self.trouble: Trouble = lambda code, detail, on: log.warning("trouble", code=code, detail=detail, on=on)
        self.room_disks = RoomDisks(config.storage)
        self._config = config
        self._config_sha256 = config_sha256
        self._sealing: asyncio.Task[None] | None = None
        self._led: set[str] = set()
        """Names of the records that have a committer."""

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
        disk = await asyncio.to_thread(self._prepare, record_name(self._config.room.id, record, utc_us()))
        genesis = entries.Genesis(
            record=str(record),
            hearing=request.hearing,
            case=request.case,
            title=request.title,
            court=self._config.room.court,
            room=self._config.room.id,
            actor=request.actor,
            start_token=request.start_token,
            previous_head=self.room_disks.last_head(),
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
        opened = self._open(str(record), clock, disk, Ledger(), genesis, on_commit, on_trouble)
        opened.committer.put_entry(genesis, clock.times(), urgent=True)
        if request.level != "open":
            opened.committer.put_entry(
                entries.LevelChange(level=request.level, actor=request.actor, order="", from_us=0), clock.times(), urgent=True
            )
        return opened

    async def recover(self, on_commit: OnCommit, on_trouble: Trouble) -> OpenSession | None:
        """Look at what earlier runs left, and take up the newest session that was still open.

        All others are sealed in the background, as is what only lacks its seal: the room is ready meanwhile.
        """
        with contextlib.suppress(OSError):  # a disk that does not answer; it may come, and the other one does meanwhile
            self.room_disks.primary.mkdir(mode=0o700, parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()

        def trouble(code: str, detail: str, on: bool) -> None:
            loop.call_soon_threadsafe(on_trouble, code, detail, on)

        found = await asyncio.to_thread(self._read_left, trouble)
        open_ones = sorted((left for left in found if not left.sealed), key=lambda left: left.last.utc_us if left.last else 0)
        newest = open_ones.pop() if open_ones else None
        rest = [(left, "interrupted: a later session was taken up") for left in open_ones]
        if newest is not None and newest.last is not None and utc_us() - newest.last.utc_us > TAKE_UP_WITHIN_US:
            hours = (utc_us() - newest.last.utc_us) / 3600e6
            rest.append((newest, f"interrupted: the recorder came back after {hours:.0f} h, and takes a session up within 12 h only"))
            newest = None
        for left, _ in rest:
            self.room_disks.keep_head(left.ledger.head)  # for a session that begins before this one is sealed
        opened = None if newest is None else self._take_up(newest, on_commit, on_trouble)
        finished = [left for left in found if left.sealed]
        self._sealing = asyncio.create_task(self._seal_rest(finished, rest, on_trouble), name="seal what earlier runs left")
        return opened

    async def close(self) -> None:
        """End what is sealed in the background; what is not done then is done at the next start."""
        if self._sealing is not None:
            await asyncio.wait({self._sealing}, timeout=_CLOSE_S)
            self._sealing.cancel()

    def _read_left(self, on_trouble: Trouble) -> list[Left]:
        key = self.signer.chain[0].public_key()
        found = []
        unsealed = self.room_disks.unsealed()
        for _, base in self.room_disks.named():
            snapshot.tidy(base, {root.name for root in unsealed})
        for root in unsealed:
            try:
                left = read_left(root, key if isinstance(key, ec.EllipticCurvePublicKey) else None)
            except OSError as error:
                on_trouble("record_unread", f"{root} cannot be read: {error.strerror or error}; it is left as it is", True)
                continue
            if left is None:
                log.warning("a record without a durable first line is left as it is", record=str(root))
            elif left.genesis.device_certificate_sha256 != self.signer.key_id:
                on_trouble("record_unsealed", f"{root} was begun with another certificate and cannot be sealed with this one", True)
            else:
                found.append(left)
        return found

    async def _seal_rest(self, finished: list[Left], rest: list[tuple[Left, str]], on_trouble: Trouble) -> None:
        for left in finished:
            problem = await asyncio.to_thread(self.finish, left.record, left.ledger.head)
            log.warning("sealed what a crash had left unsealed", record=str(left.record), problem=problem)
        for left, reason in rest:
            opened = self._take_up(left, lambda _: None, on_trouble)
            session = opened.session(lambda _device, _message: False)
            request = control.StopRequest(actor="recorder", reason=reason)
            problem = await opened.seal(session, request, left.last.t_us if left.last else 0)
            log.warning("sealed an interrupted session", record=str(left.record), reason=reason, problem=problem)

    def disks(self, opened: OpenSession | None) -> list[control.DiskStatus]:
        """The disks as they were last looked at."""
        found = []
        for name, path in self.room_disks.named():
            free, state, lag = self.room_disks.free_bytes.get(name, 0), "ready" if name in self.room_disks.free_bytes else "gone", 0
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
                    hours_left=opened.forecast.hours_left(free) if opened is not None else None,
                    lag_bytes=lag,
                )
            )
        return found

    async def add_receipt(self, text: str, opened: OpenSession | None) -> str | None:
        """Store a receipt of the centre in its record's anchors; returns in words why not, or None."""
        try:
            receipt = msgspec.json.decode(text, type=Receipt)
            base64.b64decode(receipt.sig, validate=True)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            return f"not a receipt: {error}"
        line = msgspec.json.encode(receipt, order="sorted")
        leader = opened.committer.disk.root if opened is not None and opened.record == receipt.record else None
        if not await asyncio.to_thread(self.room_disks.add_receipt, receipt.record, line, leader):
            return f"no record {receipt.record} is here, or no disk takes it"
        if opened is not None and opened.record == receipt.record:
            opened.committer.put_entry(
                entries.Receipt(at=receipt.at, receipt_sha256=hashlib.sha256(line).hexdigest()), opened.clock.times()
            )
        return None

    def finish(self, root: Path, head: Head, *, copied: bool = False) -> str | None:
        """Write the seal's files beside a finished journal, and beside the other disk's copy; one that is behind is completed later."""
        self._led.discard(root.name)
        self.room_disks.recording = bool(self._led)
        try:
            sealed = seal(root, self.signer, self._config.timestamp)
        except (OSError, ValueError) as error:
            log.error("sealing failed", record=str(root), error=str(error))
            return f"the record is complete but not sealed: {error}; make room and start the recorder again"
        self.room_disks.keep_head(head)
        if self._config.timestamp is not None and not sealed.timestamped:
            log.warning("no timestamp", detail=sealed.detail)
        self.room_disks.copy_seal(root, level=copied)
        for _, base in self.room_disks.named():
            snapshot.remove(base / root.name)
        return None

    def _prepare(self, name: str) -> Disk:
        failure = OSError("no disk is configured")
        for _, base in self.room_disks.named():
            disk = self.room_disks.disk(base / name)
            try:
                disk.make()
                # From the first moment on, so that a record that is never sealed can be verified too.
                put_file(disk.root / layout.DEVICE_CHAIN, chain_pem(self.signer))
                if disk.ballast is not None and not disk.ballast.lay():
                    log.warning("no room for the ballast", disk=disk.name)
            except OSError as error:
                log.error("a record cannot begin here", disk=disk.name, error=str(error))
                failure = error
            else:
                return disk
        raise failure

    def _open(
        self,
        record: str,
        clock: SessionClock,
        disk: Disk,
        ledger: Ledger,
        genesis: entries.Genesis,
        on_commit: OnCommit,
        on_trouble: Trouble,
        left: Left | None = None,
    ) -> OpenSession:
        loop = asyncio.get_running_loop()
        storage = self._config.storage
        ledger.holds(layout.DEVICE_CHAIN, chain_pem(self.signer))
        opened: OpenSession

        def committed(report: CommitReport) -> None:
            loop.call_soon_threadsafe(opened.on_report, report)
            loop.call_soon_threadsafe(on_commit, report)

        def trouble(code: str, detail: str, on: bool) -> None:
            loop.call_soon_threadsafe(on_trouble, code, detail, on)

        committer = Committer(
            disk,
            ledger,
            other=self.room_disks.other(disk),
            memory_bytes=storage.memory_mib * 1024 * 1024,
            now=clock.times,
            on_commit=committed,
            on_trouble=trouble,
        )
        self.trouble = trouble
        self._led.add(disk.root.name)
        self.room_disks.recording = True
        opened = OpenSession(self, record, clock, committer, genesis)
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
        opened = self._open(
            left.genesis.record, clock, disk, Ledger.resumed(left.ledger, left.files), left.genesis, on_commit, on_trouble, left
        )
        log.warning(
            "took up what a crash had left", record=str(left.record), entries=left.ledger.head.at + 1, by_snapshot=left.from_snapshot
        )
        times = clock.times()
        opened.committer.put_entry(entry, times)
        opened.committer.close_segments(times)
        check = BackgroundCheck(left, lambda words: self.trouble(CODE, words, True))
        opened.companions.append(check)
        opened.sums = lambda: opened.committer.totals() if check.sums_hold else _counted(opened)
        check.start()
        return opened


def _counted(opened: OpenSession) -> list[TrackTotal]:
    """The tracks' sums by the journal itself: those that a snapshot told are not known to be right."""
    state = JournalState()
    read_on(opened.committer.disk.root, state)
    return totals(state)
