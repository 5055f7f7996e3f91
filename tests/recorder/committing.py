"""Records written by the recorder's own committer, on disks that fail on order."""

import datetime as dt
import errno
import functools
import hashlib
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.keys import Hierarchy, build
from recorder.checkpointer import checkpoint
from recorder.commit import CommitReport, Committer
from recorder.contract import child
from recorder.disk import Disk, DiskName, Write
from recorder.ledger import Ledger
from recorder.record import entries, layout
from recorder.record.journal import Times
from recorder.record.trust import Authorities
from recorder.record.verdict import Verdict
from recorder.record.verify import Outside, verify
from recorder.recovery import read_left, recovered
from recorder.seal import chain_pem, put_file, seal
from recorder.seal_trust import SealTrust
from recorder.signing import KeySigner
from recorder.storage import Ballast, record_name
from tests.record.boxed_media import FRAGMENT_HEAD_BYTES, boxed, boxed_header

RECORD = uuid.UUID("7d9f1c1e-52a4-4f0e-9c2b-3f6f8f3b9a11")
TIMESCALE = 1000
FRAGMENT_US = 500_000
TRACKS = ("cam", "mic")
START_UTC_US = int(dt.datetime.now(dt.UTC).timestamp()) * 1_000_000
BOOT = "boot-1"
NAME = record_name("room-1", RECORD, START_UTC_US)
"""The record's directory."""


@functools.cache
def keys() -> Hierarchy:
    return build("room-1", dt.datetime.now(dt.UTC))


@functools.cache
def signer() -> KeySigner:
    device = keys().device
    assert isinstance(device.key, ec.EllipticCurvePrivateKey)
    return KeySigner(device.key, [device.certificate, keys().issuing.certificate])


def trust() -> SealTrust:
    root = keys().root.certificate
    return SealTrust(signer().chain, [root], Authorities([root]))


def fault(number: int) -> OSError:
    return OSError(number, {errno.EIO: "Input/output error", errno.ENOSPC: "No space left on device"}.get(number, "failed"))


class FaultyDisk(Disk):
    """A disk that counts what is asked of it, and refuses when ``refuse`` says so. Of a refused write it has written some of the bytes.

    ``alone`` is held during each write and sync, so that whoever holds it sees the disk as a kill would leave it.
    """

    share = 0.5
    """How much of a refused write."""

    def __init__(self, root: Path, refuse: Callable[[int, str, str], int] = lambda *_: 0, name: DiskName = "primary") -> None:
        super().__init__(root, name)
        self.refuse = refuse
        self.operations = 0
        self.alone: AbstractContextManager[object] = nullcontext()

    def make(self) -> None:
        with self.alone:
            number = self.ask("make", "")
            if number:
                raise fault(number)
            super().make()

    def write(self, write: Write) -> None:
        with self.alone:
            number = self.ask("write", write.path)
            if number:
                super().write(self.taken(write))
                raise fault(number)
            super().write(write)

    def taken(self, write: Write) -> Write:
        """What is written of a refused write."""
        return Write(write.path, write.off, write.data[: int(len(write.data) * self.share)])

    def sync(self, paths: Iterable[str]) -> None:
        for path in sorted(paths):
            with self.alone:
                number = self.ask("sync", path)
                if number:
                    raise fault(number)
                super().sync([path])

    def ask(self, what: str, path: str) -> int:
        self.operations += 1
        return self.refuse(self.operations, what, path)


@dataclass
class Writer:
    """One record in the making. Its clocks stand still but for ``record``."""

    base: Path
    refuse: Callable[[int, str, str], int] = lambda *_: 0
    other: Disk | None = None
    ballast: Ballast | None = None
    memory_bytes: int = 1 << 20
    reports: list[CommitReport] = field(default_factory=list)
    troubles: list[tuple[str, bool]] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)
    """What each trouble said when it began."""
    heard: threading.Condition = field(default_factory=threading.Condition)
    t_us: int = 0
    n: int = 0
    part: int = 0

    def __post_init__(self) -> None:
        self.root = self.base / NAME
        self.disk = FaultyDisk(self.root, self.refuse)
        self.disk.ballast = self.ballast
        self.disk.make()
        put_file(self.root / layout.DEVICE_CHAIN, chain_pem(signer()))
        self._open(Ledger())
        self.committer.put_entry(self.genesis(), self.times(), urgent=True)
        self.begin_parts()

    def genesis(self) -> entries.Genesis:
        return entries.Genesis(
            record=str(RECORD), hearing="hearing-1", case="", title="", court="Court", room="room-1", actor="clerk", start_token="",
            previous_head=entries.FIRST_PREV, device_certificate_sha256=signer().key_id, boot=BOOT, agent_version="0",
            config_sha256="0" * 64, origin_mono_us=1, clock=entries.ClockState(source="kernel", offset_us=0, error_us=2000), sources=[],
            recipients=[], media="cenc-aes-ctr",
        )  # fmt: skip

    def times(self) -> Times:
        return Times(self.t_us + 1, START_UTC_US + self.t_us, self.t_us)

    def begin_parts(self) -> None:
        for track in TRACKS:
            self.committer.put_key(track, self.part, f"wrapped key of {track} {self.part}".encode(), self.times())
            init = entries.Init(
                track=track, part=self.part, file=layout.init_file(track, self.part), len=0, sha256="", kind="audio", codec="fLaC",
                timescale=TIMESCALE, key=layout.key_file(track, self.part),
            )  # fmt: skip
            self.committer.put_init(init, boxed_header(TIMESCALE, f"{track} {self.part}"), self.times())

    def fragment(self, *, new_segment: bool = False, size: int = 300, tracks: Iterable[str] = TRACKS) -> None:
        """Put half a second of every track; wait for nothing."""
        at_us = self.t_us
        self.t_us += FRAGMENT_US
        for track in tracks:
            message = child.Fragment(
                track=track, part=self.part, t0=at_us * TIMESCALE // 1_000_000, dur=FRAGMENT_US * TIMESCALE // 1_000_000,
                timescale=TIMESCALE, key=True, new_segment=new_segment,
            )  # fmt: skip
            self.committer.put_fragment(message, media(track, self.n, size), self.times())
        self.n += 1

    def record(self, fragments: int, *, per_segment: int = 4, size: int = 300) -> None:
        """Put fragments, each in a round of its own, with a checkpoint after every second one; done when all are durable."""
        for index in range(fragments):
            self.fragment(new_segment=self.n % per_segment == 0, size=size)
            self.flush()
            if index % 2:
                self.checkpoint()

    def checkpoint(self) -> None:
        self.committer.put_entry(checkpoint(signer(), str(RECORD), self.reports[-1].head), self.times())

    def flush(self, timeout_s: float = 20.0) -> None:
        self.committer.flush().result(timeout_s)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        """Wait until what the committer told makes this true."""
        with self.heard:
            assert self.heard.wait_for(condition, timeout_s), what

    def seal(self) -> str:
        """End the session and seal it, where it is led; returns how the mirror stood."""
        self.committer.close_segments(self.times())
        self.flush()
        self.committer.put_entry(
            entries.Seal(
                reason="ended", actor="clerk", duration_us=self.t_us, tracks=self.committer.totals(), paused_us={},
                mirror=self.committer.prove(),
            ),
            self.times(),
        )  # fmt: skip
        self.flush()
        self.checkpoint()
        self.flush()
        verdict = self.committer.close()
        seal(self.committer.disk.root, signer(), None)
        return verdict

    def take_up(self, root: Path, other: Disk | None = None, refuse: Callable[[int, str, str], int] = lambda *_: 0) -> None:
        """A new recorder finds the record as it is in ``root`` and goes on, with what lies on the ``other`` disk behind it."""
        self.root, self.other = root, other
        left = read_left(root)
        assert left is not None
        self.t_us = max(self.t_us, left.last.t_us if left.last else 0) + 3_000_000
        entry, _ = recovered(left, Times(self.t_us + 1, START_UTC_US + self.t_us, 0), BOOT, utc_trusted=True)
        self.disk = FaultyDisk(root, refuse)
        self._open(Ledger.resumed(left.ledger, left.files))
        self.committer.put_entry(entry, self.times())
        self.committer.close_segments(self.times())
        self.part = max((track.next_part for track in left.tracks.values()), default=0)
        self.begin_parts()
        self.flush()

    def _open(self, ledger: Ledger) -> None:
        ledger.holds(layout.DEVICE_CHAIN, (self.root / layout.DEVICE_CHAIN).read_bytes())
        self.committer = Committer(
            self.disk, ledger, other=self.other, memory_bytes=self.memory_bytes, now=self.times,
            on_commit=self._committed, on_trouble=self._troubled,
        )  # fmt: skip
        self.committer.start()

    def _committed(self, report: CommitReport) -> None:
        with self.heard:
            self.reports.append(report)
            self.heard.notify_all()

    def _troubled(self, code: str, detail: str, on: bool) -> None:
        with self.heard:
            if on:
                self.details[code] = detail
            self.troubles.append((code, on))
            self.heard.notify_all()


def media(track: str, n: int, size: int) -> bytes:
    ticks = FRAGMENT_US * TIMESCALE // 1_000_000
    return boxed(n * ticks, ticks, hashlib.shake_128(f"{track} {n}".encode()).digest(max(8, size - FRAGMENT_HEAD_BYTES)))


def judged(root: Path) -> Verdict:
    return verify(root, Outside(authorities=Authorities([keys().root.certificate])), workers=1)


def copy_of(root: Path, base: Path) -> Path:
    """The record as a kill would leave it now: what was written, synced or not."""
    return Path(shutil.copytree(root, base / root.name))


def bytes_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def sealed_and_behind(base: Path) -> tuple[Path, Path]:
    """A sealed record, and a copy of it that stayed behind."""
    writer = Writer(base / "primary")
    writer.record(4, per_segment=2)
    behind = copy_of(writer.root, base / "mirror")
    writer.record(4, per_segment=2)
    writer.seal()
    return writer.root, behind
