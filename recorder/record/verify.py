"""Verifies a record: its chain, its files, its seal, its signer, and what others hold of it. Needs no key and changes nothing.

Every file is read once. What the answer means, and what it cannot prove, is told in ``docs/record-format.md``.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from recorder.record import checksums, layout
from recorder.record.anchors import Anchored, check_anchors, compare_clock
from recorder.record.binding import Binding, check_bindings
from recorder.record.checkpoint import Receipt
from recorder.record.clock_check import ClockCheck
from recorder.record.damage import FileJudge
from recorder.record.file_check import LIST_BYTES, SMALL_BYTES, FileState, blocks, check_file, check_files, inventory, read_small
from recorder.record.fragment_search import find_fragments
from recorder.record.journal_reader import JournalReader, split_lines
from recorder.record.levels import Levels
from recorder.record.order_check import Orders, check_orders
from recorder.record.replay import Piece, Replay
from recorder.record.seal_check import (
    Signed,
    check_checkpoints,
    check_manifest,
    check_signature,
    check_signer,
    check_taken_up,
    check_timestamp,
    check_unsigned_end,
    proven_us,
)
from recorder.record.trust import Authorities
from recorder.record.unsigned_media import UnsignedMedia
from recorder.record.verdict import UNREADABLE, BindingSum, Findings, OrderSum, ProofLevel, Verdict

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all; from any thread."""
_ORDER_EARLY_US = 60_000_000
"""By how much an order's signer's clock may lie behind the room's, as receipts may."""
_SMALL = {
    layout.DEVICE_CHAIN: SMALL_BYTES,
    layout.SUMS_SIGNATURE: SMALL_BYTES,
    layout.SUMS_TIMESTAMP: SMALL_BYTES,
    layout.MANIFEST: LIST_BYTES,
    layout.SUMS: LIST_BYTES,
    layout.ANCHORS: LIST_BYTES,
    layout.BINDINGS: SMALL_BYTES,
}
"""What is held in memory, and how much of it at most."""
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}.*_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the verifier brings along."""

    authorities: Authorities | None = None
    """Who vouches for devices and receipts; None: the signer is not checked."""
    ledger: Sequence[Receipt] | None = None
    """Receipts that the centre holds; those of other records are passed over. None: no ledger was brought."""
    timestamp_roots: Sequence[x509.Certificate] = ()
    hearing: str | None = None
    """Which hearing it must be of."""
    start_token: str | None = None
    """The token that the centre gave out for this start."""


def verify(root: Path, outside: Outside | None = None, *, workers: int = 0, progress: Progress | None = None) -> Verdict:
    """Verify the record in a directory. ``workers`` 0 means all cores."""
    return _Verification(root, outside or Outside(), workers or len(os.sched_getaffinity(0)), progress).run()


class _Verification:
    def __init__(self, root: Path, outside: Outside, workers: int, progress: Progress | None) -> None:
        self._root = root
        self._outside = outside
        self._workers = workers
        self._progress = progress
        self._findings = Findings()
        self._reader = JournalReader(self._findings)
        self._replay = Replay(self._findings, self._reader.digest)
        self._levels: Levels | None = None
        self._verdict = Verdict()
        self._done_bytes = self._total_bytes = 0
        self._small: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def run(self) -> Verdict:
        verdict, findings = self._verdict, self._findings
        try:
            sizes, others = inventory(self._root) if self._root.is_dir() else ({}, [])
        except OSError as error:
            return self._unreadable([(str(error.filename or self._root), error)])
        for other in others:
            findings.error("not_a_file", other, "is no regular file; a record holds no links, no devices, no directory of a file's name")
        journals = [name for name in (layout.journal_file(number + 1) for number in range(9999)) if name in sizes]
        if not journals and layout.SUMS not in sizes:
            why = f"there is no {layout.JOURNAL}" if self._root.is_dir() else "is no directory"
            findings.error("no_journal", str(self._root), why)
            return self._ended("not_a_record")
        self._total_bytes = sum(size for name, size in sizes.items() if not layout.is_half_written(name))
        if unread := self._read_small(sizes):
            return self._unreadable(unread)
        orders = {name: size for name, size in sizes.items() if name.startswith(f"{layout.ORDERS}/")}
        self._levels = Levels() if orders else None
        states = self._read_journals({name: sizes[name] for name in journals})
        if any(state.unreadable for state in states.values()):
            return self._unreadable([(name, state.unreadable) for name, state in states.items() if state.unreadable])
        replay = self._replay
        if replay.genesis is None and layout.SUMS not in sizes and not self._reader.broken:
            findings.error("no_entry", layout.JOURNAL, "the journal holds no entry: nothing became durable")
            return self._ended("not_a_record")
        if replay.genesis is None:
            findings.error("no_genesis", layout.JOURNAL, "the journal's first line is not there: nothing says which hearing this is")
        signed = check_checkpoints(self._root, replay, findings)
        sealed = layout.SUMS in sizes and layout.SUMS_SIGNATURE in sizes
        left = {name for name in sizes if layout.is_half_written(name) and name not in replay.loose}
        states |= {name: FileState(0, "") for name in left}  # belongs to nothing, and may be gone by now: another process was writing it
        states |= check_files(self._root, sorted(name for name in sizes if name not in states), replay.files, self._workers, self._tell)
        self._check_files({name: state for name, state in states.items() if name not in orders}, sealed=sealed, signed_to=signed.to)
        bindings = self._check_bindings(sealed=sealed, chain=signed.chain)
        self._check_identity(bindings)
        anchored = self._check_anchors(signed.chain)
        timestamp_us = self._check_seal(sizes, sealed=sealed, chain=signed.chain)
        self._check_orders(orders, states, sealed=sealed)
        # Of a broken record nothing is proven in any case, and its lines may name a file's bytes as often as they like.
        media = UnsignedMedia(self._root, () if findings.broken else replay.unsigned)
        check_taken_up(self._reader, replay, signed, media, findings)
        check_unsigned_end(self._reader, replay, signed.to, media, findings, sealed=sealed)
        self._check_trust(signed, anchored, timestamp_us, sealed=sealed)
        self._sum_up(states, signed.to, anchored, timestamp_us)
        self._list_bindings(bindings)
        if findings.broken:
            return self._ended("unreadable" if findings.unreadable_alone else "broken")
        if not sealed:
            return self._ended("unsealed")
        if not verdict.signer_trusted:
            return self._ended("signed_only")
        return self._ended("sealed" if anchored is None else "anchored")

    def _read_small(self, sizes: dict[str, int]) -> list[tuple[str, OSError]]:
        """Read what is held in memory; returns what cannot be read. All else would be judged by it."""
        unread = []
        for name, most_bytes in _SMALL.items():
            if name not in sizes:
                continue
            if sizes[name] > most_bytes:
                self._findings.error("file_too_large", name, f"has {sizes[name]} bytes; the most is {most_bytes}")
                continue
            try:
                self._small[name] = read_small(self._root / name, most_bytes)
            except OSError as error:
                unread.append((name, error))
        return unread

    def _unreadable(self, places: Sequence[tuple[str, OSError | str]]) -> Verdict:
        for place, error in places:
            why = error if isinstance(error, str) else error.strerror or str(error)
            self._findings.error(UNREADABLE, place.removeprefix(f"{self._root}/"), f"cannot be read: {why}")
        return self._ended("unreadable" if self._findings.unreadable_alone else "broken")

    def _read_journals(self, sizes: dict[str, int]) -> dict[str, FileState]:
        """Read as far as they went when the files were listed: a record that runs goes on, in files that were not there then."""
        clock, states = ClockCheck(self._findings), {}
        for number, name in enumerate(sizes, 1):
            if name != layout.journal_file(number):
                self._findings.error("journal_missing", layout.journal_file(number), "is not there, but later journal files are")
            digest, state = hashlib.sha256(), FileState(0, "")
            try:
                for line, entry in self._reader.read(name, split_lines(self._hashed(name, sizes[name], digest, state))):
                    clock.take(line, entry)
                    self._replay.take(line, entry)
                    if self._levels is not None:
                        self._levels.take(line, entry)
            except OSError as error:
                state.unreadable = error.strerror or str(error)
            state.sha256 = digest.hexdigest()
            states[name] = state
        self._reader.finish()
        clock.finish()
        self._replay.finish()
        return states

    def _hashed(self, name: str, size: int, digest: "hashlib._Hash", state: FileState) -> Iterator[memoryview]:
        for read in blocks(self._root / name, self._tell):
            if state.len == size:
                return
            block = read[: size - state.len]
            digest.update(block)
            state.len += len(block)
            yield block

    def _check_files(self, states: dict[str, FileState], *, sealed: bool, signed_to: int) -> None:
        reader = self._reader
        intact_to = reader.head.at if reader.suspect is None else reader.suspect - 1
        judge = FileJudge(self._replay, self._findings, self._locate, sealed, reader.broken, signed_to, intact_to)
        sums = None
        if layout.SUMS in states and (sealed or self._replay.seal is not None):
            try:
                sums = checksums.parse(self._small.get(layout.SUMS, b""))
            except checksums.ChecksumsError as error:
                self._findings.error("sums_damaged", layout.SUMS, str(error))
        judge.judge(states, sums)
        self._verdict.intact_to = judge.intact_to

    def _locate(self, segments: Sequence[str]) -> dict[str, tuple[list[Piece], FileState]]:
        found = find_fragments(self._root, segments, self._reader.head.at)
        return {path: (pieces, check_file(self._root / path, pieces, lambda _: None)) for path, pieces in found.items()}

    def _check_bindings(self, *, sealed: bool, chain: list[x509.Certificate]) -> list[Binding]:
        """Bindings stand beside the seal, and are signed by the record's own device."""
        findings, genesis = self._findings, self._replay.genesis
        if layout.BINDINGS not in self._small or genesis is None:
            return []
        if not sealed:
            findings.error("binding_unsealed", layout.BINDINGS, "speaks of a seal, and none is there")
            return []
        sums_sha256 = hashlib.sha256(self._small.get(layout.SUMS, b"")).hexdigest()
        found = check_bindings(self._small[layout.BINDINGS], genesis.record, sums_sha256, chain)
        for place, text in found.torn:
            findings.doubt("binding_unreadable", place, text)
        for place, code, text in found.problems:
            findings.error(code, place, text)
        return found.given

    def _list_bindings(self, bindings: list[Binding]) -> None:
        self._verdict.bindings = [
            BindingSum(given.number, given.hearing, given.case, given.actor, given.reason, given.utc_us) for given in bindings
        ]
        if bindings:
            self._verdict.hearing, self._verdict.case = bindings[-1].hearing, bindings[-1].case

    def _check_identity(self, bindings: list[Binding]) -> None:
        genesis, findings, outside = self._replay.genesis, self._findings, self._outside
        if genesis is None:
            return
        named = _NAME.fullmatch(self._root.resolve().name)
        if named is not None and named[1] != genesis.record:
            findings.error("other_record", self._root.name, f"the directory is named after another record; this one is {genesis.record}")
        hearing = bindings[-1].hearing if bindings else self._replay.story.hearing
        if outside.hearing is not None and outside.hearing != hearing:
            findings.error("other_hearing", layout.JOURNAL, f"this is a record of hearing '{hearing}', not of '{outside.hearing}'")
        if outside.start_token is not None and outside.start_token != genesis.start_token:
            findings.error("start_token", layout.JOURNAL, "the session was started with another token than the one given out for it")

    def _check_anchors(self, chain: list[x509.Certificate]) -> Anchored | None:
        anchors = self._small.get(layout.ANCHORS, b"")
        outside = self._outside
        return check_anchors(anchors, outside.ledger, self._reader, self._replay, outside.authorities, chain, self._findings)

    def _check_seal(self, sizes: dict[str, int], *, sealed: bool, chain: list[x509.Certificate]) -> int | None:
        findings, replay = self._findings, self._replay
        if not sealed:
            if layout.SUMS_SIGNATURE in sizes:
                findings.error("sums_missing", layout.SUMS, "its signature is there, but the list is not")
            elif replay.seal is not None:
                findings.note(
                    "seal_unfinished", layout.SUMS_SIGNATURE, "the journal is sealed, but the signature over all files is not there"
                )
            return None
        if replay.seal is None and not self._reader.broken:
            findings.error(
                "seal_missing", layout.JOURNAL, "the files are signed as sealed, but the journal has no seal: its end was cut off"
            )
        check_manifest(self._root, replay, findings)
        signature = check_signature(self._root, self._small.get(layout.SUMS, b""), chain, findings)
        if signature is None:
            return None
        roots = self._outside.timestamp_roots or (self._outside.authorities.roots if self._outside.authorities is not None else ())
        timestamp_us = check_timestamp(self._root, signature, roots, findings)
        if timestamp_us is not None and replay.genesis is not None and self._reader.head.at >= 0:
            at = self._reader.head.at
            compare_clock(self._reader, replay, findings, layout.SUMS_TIMESTAMP, at, timestamp_us, ahead=True)
        return timestamp_us

    def _check_orders(self, files: dict[str, int], states: dict[str, FileState], *, sealed: bool) -> None:
        """Orders stand beside the seal; each must be in force, and nothing else may stand among them."""
        findings, genesis = self._findings, self._replay.genesis
        if self._levels is None or genesis is None:
            return
        if not sealed:
            findings.error("order_unsealed", layout.ORDERS, "orders speak of a seal, and none is there")
            return
        unread = {path: state for path, state in states.items() if state.unreadable and path.startswith((layout.ORDERS, layout.KEYS))}
        if unread:  # who may give an order hangs on all of these
            for path, state in unread.items():
                if path in files:
                    findings.error(UNREADABLE, path, f"cannot be read: {state.unreadable}")
            return
        found = check_orders(self._root, files, genesis, self._small.get(layout.SUMS, b""), self._levels)
        for problem in found.problems:
            findings.error(problem.code, problem.place, problem.text)
        for path in found.unfinished:
            text = (
                "was left by an order that was never finished, as after a crash; it belongs to nothing. Or the order itself was taken away"
            )
            findings.doubt("order_unfinished", path, text)
        self._list_orders(found)

    def _list_orders(self, found: Orders) -> None:
        for given in found.given:
            order = given.order
            if order.utc_us + _ORDER_EARLY_US < self._reader.utc_us[self._reader.head.at]:
                self._findings.doubt("order_early", layout.order_file(order.number), "is dated before the record's end: a clock was wrong")
            signed_by = f"{given.recipient} ({given.subject})"
            self._verdict.orders.append(
                OrderSum(
                    order.number, order.level, order.tracks, order.from_us, order.to_us, order.actor, order.order, signed_by, order.utc_us,
                    len(order.keys),
                )
            )  # fmt: skip

    def _check_trust(self, signed: Signed, anchored: Anchored | None, timestamp_us: int | None, *, sealed: bool) -> None:
        chain = signed.chain
        if self._replay.genesis is None:
            return
        last = self._reader.head.at
        seen_us = proven_us(self._replay, last, anchored, timestamp_us)
        at_us = timestamp_us or self._reader.utc_us[last]
        vouched = check_signer(chain, self._replay, self._outside.authorities, at_us, seen_us, self._findings)
        # A certificate that lies beside a record says nothing of it: only what its key signed does.
        has_signed = signed.to >= 0 or (sealed and not self._findings.has("seal_signature"))
        self._verdict.signer_trusted = vouched and has_signed
        if chain:
            self._verdict.signer = chain[0].subject.rfc4514_string()

    def _sum_up(self, states: dict[str, FileState], signed_to: int, anchored: Anchored | None, timestamp_us: int | None) -> None:
        verdict, replay, reader = self._verdict, self._replay, self._reader
        genesis = replay.genesis
        if genesis is not None:
            verdict.record, verdict.title, verdict.court, verdict.room = genesis.record, genesis.title, genesis.court, genesis.room
            verdict.hearing, verdict.case = replay.story.hearing, replay.story.case
            verdict.started_utc_us, verdict.ended_utc_us = reader.utc_us[0], reader.utc_us[-1]
            verdict.duration_us = replay.seal.duration_us if replay.seal is not None else replay.last_us
        if anchored is not None:
            verdict.anchored_to, verdict.anchored_utc_us = anchored.at, anchored.utc_us
        verdict.timestamp_utc_us = timestamp_us
        verdict.signed_to = signed_to
        verdict.entries = reader.head.at + 1
        verdict.sums_sha256 = states[layout.SUMS].sha256 if layout.SUMS in states else ""
        verdict.head = reader.head.sha256 if verdict.entries else ""
        verdict.not_recorded = replay.story.intervals
        verdict.tracks = replay.tracks
        verdict.files = len(states)
        verdict.bytes_read = sum(state.len for state in states.values())

    def _ended(self, level: ProofLevel) -> Verdict:
        self._verdict.level = level
        self._verdict.findings = self._findings.all()
        self._verdict.errors_found = self._findings.errors_found
        return self._verdict

    def _tell(self, size: int) -> None:
        with self._lock:
            self._done_bytes += size
            if self._progress is not None:
                self._progress(self._done_bytes, self._total_bytes)
