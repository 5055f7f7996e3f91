"""What the device signs beside its records: which hearing one belongs to, who carried it away, and what was not recorded for a fault.

The signing key never leaves the recorder, and it signs no bytes that others hand it: it makes the texts itself, from fields, each under a
first line of its own.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.upstream.contract import FaultCertificate, fault_text
from recorder.clock import utc_us
from recorder.contract import control
from recorder.disk import sync_directory
from recorder.file_copy import append_line, copy_lines
from recorder.past_records import past_records
from recorder.record import canonical, layout
from recorder.record.binding import Binding, Bindings, binding_line, binding_text, check_bindings
from recorder.record.canonical import NotCanonicalError
from recorder.record.cms import check_detached
from recorder.record.file_check import LIST_BYTES, SMALL_BYTES, open_plain, read_small
from recorder.record.handover import Handover, handover_text
from recorder.record.journal import entry_number
from recorder.record.trust import name, rooms
from recorder.room_disks import RoomDisks
from recorder.signing import Signer
from recorder.threads import apart

log = structlog.get_logger()

Request = control.BindSealed | control.CertifyFault | control.CertifyHandover | control.FindRecord | control.FindRecords
ANSWER_S = 8.0
"""Nobody waits longer; the agent gives up after 10 s."""
_HANGS = "a disk or the signing key does not answer; check them and ask again, it may have been done by then"
_LINE_BYTES = 16 * 1024
_END_BYTES = 256 * 1024
"""In so many last bytes of a sealed journal stand its seal and the checkpoint over it."""


class NotaryError(Exception):
    """It cannot be signed; the message says why and what to do."""


class Notary:
    """Signs for one room, one thing after the other, in threads: a disk or key that hangs holds up nobody but who asks for a signature.

    Args:
        disks: the room's.
        signer: the device's key.
        left: the records, by their ids, that are left as they are; looked at anew for each that is asked for.
    """

    def __init__(self, disks: RoomDisks, signer: Signer, left: Mapping[str, control.LeftUnsealed] | None = None) -> None:
        self._disks = disks
        self._signer = signer
        self._left = {} if left is None else left
        self._at: dict[bool, asyncio.Task[control.Reply]] = {}
        """What is being signed (True), or looked for. It goes on when nobody waits for it any more, and no other begins before it ends."""

    async def do(self, request: Request) -> control.Reply:
        """Do what a request asks."""
        end_s = asyncio.get_running_loop().time() + ANSWER_S
        signs = not isinstance(request, control.FindRecord | control.FindRecords)
        while signs in self._at and not self._at[signs].done():
            if not await _ended(self._at[signs], end_s):
                return control.Reply(ok=False, error=_HANGS)
        task = self._at[signs] = asyncio.create_task(self._do(request))
        return task.result() if await _ended(task, end_s) else control.Reply(ok=False, error=_HANGS)

    async def _do(self, request: Request) -> control.Reply:
        try:
            if isinstance(request, control.BindSealed):
                record = await apart(partial(self._bind, request), "bind a record")
                return control.Reply(ok=True, record=record)
            if isinstance(request, control.FindRecord):
                return control.Reply(ok=True, found=await apart(partial(self._find, request.record), "find a record"))
            if isinstance(request, control.FindRecords):
                past = partial(past_records, self._disks, self._left, since_utc_us=request.since_utc_us, now_utc_us=utc_us())
                return control.Reply(ok=True, records=await apart(past, "find records"))
            signed = await apart(partial(self._sign, request), "sign")
            return control.Reply(ok=True, signed=msgspec.json.encode(signed).decode())
        except NotaryError as error:
            return control.Reply(ok=False, error=str(error))
        except NotCanonicalError as error:
            return control.Reply(ok=False, error=f"this cannot be signed: {error}")
        except OSError as error:
            return control.Reply(ok=False, error=f"a disk failed: {error.strerror or error}; check it and ask again")

    def _bind(self, request: control.BindSealed) -> str:
        """Append the binding to every sealed copy of the record; what one of them lacked is made good."""
        copies = self._copies(request.record)
        if not copies:
            raise NotaryError(f"no sealed record {request.record} is here; one that is being recorded is bound without naming it")
        if not any(_sealer(root).public_key() == self._signer.chain[0].public_key() for root in copies):
            # No verifier would believe it, and it would make the record doubtful.
            raise NotaryError(f"record {request.record} was sealed by another device, which alone can bind it")
        longest = max(copies, key=lambda root: len(self._bindings(root, request.record).given))
        known = self._bindings(longest, request.record)
        if not known.given or not _is_same(known.given[-1], request):
            self._append(longest, known, request)
        for copy in copies:
            if copy != longest:
                self._copy(longest, copy)
        return str(longest)

    def _append(self, longest: Path, known: Bindings, request: control.BindSealed) -> None:
        binding = canonical.writable(
            Binding(
                record=request.record, sums_sha256=_sums_sha256(longest), number=len(known.given) + 1, previous_sha256=known.last_sha256,
                hearing=request.hearing, case=request.case, actor=request.actor, reason=request.reason, utc_us=utc_us(),
            )
        )  # fmt: skip
        line = binding_line(binding, self._signer.sign(binding_text(binding)))
        if (longest / layout.BINDINGS).exists() and (longest / layout.BINDINGS).stat().st_size > SMALL_BYTES - _LINE_BYTES:
            raise NotaryError("the record was bound too often")
        append_line(longest / layout.BINDINGS, line)

    def _find(self, record: str) -> control.RecordFound:
        """How a record stands, by the end of its journal: a sealed one ends with its seal and the checkpoint over it."""
        copies = self._copies(record)
        if not copies:
            bases = self._disks.answering()
            roots = [root for base in bases for root in base.glob(f"*_{record}")] if layout.is_id(record) else []
            there = bool(roots)
            silent = [name for name, base in self._disks.named() if base not in bases]
            if silent and not there:  # it may lie there: that it is gone would be certified
                raise NotaryError(f"whether record {record} is here cannot be told: the {' and the '.join(silent)} disk does not answer")
            left = self._left.get(record) if there else None
            if there and left is None and not silent and not any((root / layout.JOURNAL).exists() for root in roots):
                # Begun in memory while no disk took anything: nothing will ever take it up.
                left = control.LeftUnsealed(cause="record_unread", detail=f"{roots[0]} has no journal; it is left as it is")
            return control.RecordFound(there=there, left=left)
        journal = max(copies[0].iterdir(), key=lambda path: layout.journal_number(path.name) or 0)
        with open_plain(journal) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
            # A power cut may have torn the last one; the seal's files are made all the same at the next start.
            lines = [line for line in file.read().split(b"\n") if entry_number(line) not in {None, -1}]
        if not lines:
            raise NotaryError(f"{journal} ends with no whole line; see `courtroom verify`")
        seals = [msgspec.json.decode(line) for line in lines if b'"type":"seal"' in line]
        return control.RecordFound(
            there=True,
            sealed=True,
            duration_us=int(seals[-1]["duration_us"]) if seals else 0,
            reason=str(seals[-1]["reason"]) if seals else "",
            at=int(msgspec.json.decode(lines[-1])["seq"]),
            head=hashlib.sha256(lines[-1]).hexdigest(),
        )

    def _copies(self, record: str) -> list[Path]:
        """The copies of a record whose seal counts; what is no record's id (a pattern, a path) has none."""
        if not layout.is_id(record):
            return []
        copies, failure = list[Path](), None
        for root in (root for base in self._disks.answering() for root in base.glob(f"*_{record}")):
            try:
                if self._disks.trust.is_sealed(root):
                    copies.append(root)
            except OSError as error:
                failure = error
        if failure is not None and not copies:  # one that fails must not hide the other
            raise failure
        return copies

    def _copy(self, record: Path, copy: Path) -> None:
        try:
            copy_lines(record, copy, layout.BINDINGS)
            sync_directory(copy)
        except OSError as error:
            log.warning("a disk does not take the binding", record=str(copy), error=str(error))

    def _bindings(self, root: Path, record: str) -> Bindings:
        path = root / layout.BINDINGS
        found = check_bindings(read_small(path) if path.exists() else b"", record, _sums_sha256(root), self._signer.chain)
        if found.problems:
            place, _, text = found.problems[0]
            raise NotaryError(f"{root.name}/{place} {text}; see `courtroom verify`")
        return found

    def _certify(self, request: control.CertifyFault) -> FaultCertificate:
        if request.from_utc_us + request.lost_s * 1_000_000 > utc_us():
            raise NotaryError("a fault that lies in the future is none")
        certificate = FaultCertificate(
            hearing=request.hearing, record=request.record, cause=request.cause, detail=request.detail, channels=list(request.channels),
            from_utc_us=request.from_utc_us, lost_s=request.lost_s, key_id=self._signer.key_id, sig="",
        )  # fmt: skip
        certificate = canonical.writable(certificate)
        return msgspec.structs.replace(certificate, sig=base64.b64encode(self._signer.sign(fault_text(certificate))).decode())

    def _sign(self, request: control.CertifyFault | control.CertifyHandover) -> FaultCertificate | Handover:
        return self._certify(request) if isinstance(request, control.CertifyFault) else self._hand_over(request)

    def _hand_over(self, request: control.CertifyHandover) -> Handover:
        # One damaged copy, or one that is sealed otherwise, must not keep the other here.
        if not any(_has_seal(root, request.sums_sha256) for root in self._copies(request.record)):
            raise NotaryError(f"no record {request.record} with this seal is here")
        people = [" ".join(person.split()) for person in request.people]
        if len({person.casefold() for person in people if person}) != len(people):
            raise NotaryError("a handover needs two named people")
        device = self._signer.chain[0]
        handover = Handover(
            room=rooms(device)[0] if rooms(device) else name(device), record=request.record, sums_sha256=request.sums_sha256,
            files_sha256=request.files_sha256, bytes=request.bytes, files=request.files, people=tuple(people), utc_us=utc_us(), sig="",
            certificate=base64.b64encode(device.public_bytes(serialization.Encoding.DER)).decode(),
        )  # fmt: skip
        return msgspec.structs.replace(handover, sig=base64.b64encode(self._signer.sign(handover_text(handover))).decode())


def _is_same(given: Binding, request: control.BindSealed) -> bool:
    """Whether this is the binding that stands: asked for again, because no answer came, it is not signed twice."""
    asked = [canonical.normalised(text) for text in (request.hearing, request.case, request.actor, request.reason)]
    return [given.hearing, given.case, given.actor, given.reason] == asked


def _sums_sha256(root: Path) -> str:
    return hashlib.sha256(read_small(root / layout.SUMS, LIST_BYTES)).hexdigest()


def _sealer(root: Path) -> x509.Certificate:
    """Who sealed a copy whose seal counts."""
    return check_detached(read_small(root / layout.SUMS_SIGNATURE), read_small(root / layout.SUMS, LIST_BYTES)).certificate


def _has_seal(root: Path, sums_sha256: str) -> bool:
    try:
        return _sums_sha256(root) == sums_sha256
    except OSError:
        return False


async def _ended(task: "asyncio.Task[control.Reply]", end_s: float) -> bool:
    await asyncio.wait({task}, timeout=max(0.0, end_s - asyncio.get_running_loop().time()))
    return task.done()
