"""Receipts: what somebody outside the room held of the chain, from ``anchors.jsonl`` and from a ledger that the verifier brings. Pure."""

import base64
import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.record import canonical, entries, layout
from recorder.record.checkpoint import MOST_RECEIPT_BYTES, Receipt, receipt_text
from recorder.record.journal_reader import JournalReader
from recorder.record.replay import Replay
from recorder.record.trust import Authorities, name, parse_certificate, rooms
from recorder.record.verdict import Findings

CLOCK_TOLERANCE_US = 60_000_000
"""How far the room's claim of UTC may lie from what others' clocks prove, beside the error that it claimed itself."""
_MOST_IDLE = 1000
"""Of so many lines of ``anchors.jsonl`` that count for nothing each is judged."""


class LedgerError(ValueError):
    """A ledger cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """The last head that a trusted signer outside the room holds, and his clock when he first saw it."""

    at: int
    utc_us: int


def parse_ledger(data: bytes) -> list[Receipt]:
    """Receipts, one canonical JSON object a line.

    Raises:
        LedgerError: a line is no receipt.
    """
    receipts = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                receipts.append(_parse(line))
            except ValueError as error:
                raise LedgerError(f"line {number} of the ledger is no receipt: {error}") from error
    return receipts


def check_anchors(
    anchors: bytes,
    ledger: Sequence[Receipt] | None,
    reader: JournalReader,
    replay: Replay,
    authorities: Authorities | None,
    chain: Sequence[x509.Certificate],
    findings: Findings,
) -> Anchored | None:
    """Compare all receipts with the chain. Without authorities nobody vouches for their signers and nothing is anchored.

    The seal does not cover ``anchors.jsonl``, and whoever may write the disk can add lines to it: one that is foreign or forged is a doubt,
    and counts for nothing. Only what a trusted signer outside the room held of this record can contradict it.
    """
    genesis = replay.genesis
    if genesis is None:
        return None
    checker = _Checker(reader, replay, authorities, chain, findings)
    held = _check_stored(anchors, genesis, checker)
    for seq, entry in replay.receipts:
        if entry.receipt_sha256 not in held:
            text = f"the receipt for entry {entry.at} was stored in {layout.ANCHORS} and is not there any more"
            findings.error("receipt_missing", f"entry {seq}", text)
    own = [receipt for receipt in ledger or () if receipt.record == genesis.record]
    for receipt in own:
        checker.check(f"ledger, receipt {receipt.counter}", receipt, from_record=False)
    if ledger is not None and not own:
        text = (
            "the ledger that was given holds no receipt of this record: it proves nothing of it. Is it the right centre's, and up to date?"
        )
        findings.doubt("ledger_silent", "ledger", text)
    return checker.anchored


def _check_stored(anchors: bytes, genesis: entries.Genesis, checker: "_Checker") -> set[str]:
    """Judge the receipts in the record, each once; returns the hashes of their lines.

    Whoever adds lines that count for nothing has as many read as a disk's crashes might leave, and then no more: what the journal names
    is found wherever it stands.
    """
    findings, held, idle = checker.findings, set[str](), 0
    named = {entry.receipt_sha256 for _, entry in checker.replay.receipts}
    for number, line in enumerate(_lines(anchors), 1):
        if not line:
            continue
        digest = hashlib.sha256(line).hexdigest()
        if digest in held or (idle > _MOST_IDLE and digest not in named):
            continue
        place = f"{layout.ANCHORS}, line {number}"
        counts = False
        try:
            receipt = _parse(line)
        except ValueError as error:
            findings.doubt("receipt_unreadable", place, f"is no receipt ({error}); a crash can tear a line")
        else:
            held.add(digest)
            if receipt.record != genesis.record or receipt.room != genesis.room:
                findings.doubt("receipt_foreign", place, "is a receipt for another record or room; it counts for nothing")
            else:
                counts = checker.check(place, receipt, from_record=True)
        idle += not counts
        if idle == _MOST_IDLE + 1 and not counts:
            text = f"more than {_MOST_IDLE} lines count for nothing; behind this one only those are read that the journal names"
            findings.doubt("receipts_unread", place, text)
    return held


def _lines(data: bytes) -> Iterator[bytes]:
    """One after another: there may be a hundred million."""
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        yield data[at:end]
        at = end + 1
    yield data[at:]


def _parse(line: bytes) -> Receipt:
    if len(line) > MOST_RECEIPT_BYTES:
        raise ValueError(f"it has {len(line)} bytes, and a receipt at most {MOST_RECEIPT_BYTES}")
    receipt = canonical.decode_as(line, Receipt)
    if receipt.v != 1:
        raise ValueError(f"it is of format {receipt.v}; known is 1")
    return receipt


@dataclass(slots=True)
class _Checker:
    reader: JournalReader
    replay: Replay
    authorities: Authorities | None
    chain: Sequence[x509.Certificate]
    findings: Findings
    anchored: Anchored | None = None
    stored_at: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By the entry that a receipt is for, the entries that say that it was stored."""

    def __post_init__(self) -> None:
        for seq, entry in self.replay.receipts:
            self.stored_at[entry.at].append(seq)

    def check(self, place: str, receipt: Receipt, *, from_record: bool) -> bool:
        """Judge one receipt of this record; whether it counts, for the record or against it."""
        why = self._refusal(receipt)
        if why is not None:
            self.findings.doubt("receipt_forged" if from_record else "ledger_untrusted", place, f"{why}; it counts for nothing")
            return False
        if self.authorities is None and from_record:  # of whom a ledger is, whoever brings it knows; of this, nobody
            text = "who signed it was not checked, as no authority was given (--ca); it counts for nothing"
            fits = self._fits(receipt)
            if not fits:
                self.findings.doubt("receipt_unchecked", place, f"speaks of another chain than this; {text}")
            return fits
        head = self.reader.digest(receipt.at)
        if head is None:
            last = self.reader.head.at
            text = f"somebody outside the room held entry {receipt.at}, but the journal ends with entry {last}: its end was cut off"
            if self.reader.broken:
                text = f"somebody outside the room held entry {receipt.at}, which this journal does not prove"
            self.findings.error("tail_missing", place, text)
            return True
        if head != receipt.head:
            text = f"somebody outside the room held another head for entry {receipt.at}: the journal was rewritten after that"
            self.findings.error("head_contradicted", place, text)
            return True
        self._check_clock(place, receipt)
        if self.authorities is not None and (self.anchored is None or receipt.at > self.anchored.at):
            self.anchored = Anchored(receipt.at, receipt.utc_us)
        return True

    def _fits(self, receipt: Receipt) -> bool:
        return self.reader.digest(receipt.at) == receipt.head

    def _refusal(self, receipt: Receipt) -> str | None:
        try:
            certificate = parse_certificate(base64.b64decode(receipt.certificate, validate=True))
            signature = base64.b64decode(receipt.sig, validate=True)
        except ValueError as error:  # TrustError and binascii.Error are two of them; text that is not ASCII raises the plain one
            return f"the receipt's certificate or signature is damaged: {error}"
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return "the receipt's signer has no elliptic curve key"
        try:
            key.verify(signature, receipt_text(receipt), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return "the receipt's signature does not hold"
        if rooms(certificate) or certificate in self.chain:
            return f"the receipt is signed by a room's device ({name(certificate)}), which proves nothing from outside"
        if self.authorities is None:
            return None
        refusal = self.authorities.refusal(certificate, self.chain[1:], receipt.utc_us)
        if refusal is not None:
            return refusal
        revoked = self.authorities.revoked(certificate, self.chain[1:])
        if revoked is not None and revoked.utc_us <= receipt.utc_us:
            return f"the receipt's signer {name(certificate)} was revoked ({revoked.reason})"
        return None

    def _check_clock(self, place: str, receipt: Receipt) -> None:
        self._compare(place, receipt.at, receipt.utc_us, ahead=True)
        for seq in self.stored_at.get(receipt.at, ()):
            if seq < len(self.reader.utc_us):
                self._compare(place, seq, receipt.utc_us, ahead=False)

    def _compare(self, place: str, seq: int, other_us: int, *, ahead: bool) -> None:
        compare_clock(self.reader, self.replay, self.findings, place, seq, other_us, ahead=ahead)


def compare_clock(reader: JournalReader, replay: Replay, findings: Findings, place: str, seq: int, other_us: int, *, ahead: bool) -> None:
    """The line ``seq`` was there before (``ahead``) or was written after another's clock said ``other_us``: does its UTC fit?"""
    claim_us = reader.utc_us[seq]
    off_us = claim_us - other_us if ahead else other_us - claim_us
    # Nothing is said where another line stands before the genesis.
    before = bisect_right(replay.story.error_us, seq, key=lambda said: said[0])
    error_us = replay.story.error_us[before - 1][1] if before else None
    if off_us <= CLOCK_TOLERANCE_US + (error_us or 0):
        return
    which = "ahead of" if ahead else "behind"
    text = f"entry {seq} claims a UTC that is at least {off_us / 1e6:.0f} s {which} what this proves"
    if error_us is None:
        findings.doubt("clock_off", place, f"{text}; the room said that nothing disciplined its clock")
    else:
        findings.error("clock_off", place, f"{text}; the room claimed to know it within {error_us / 1e6:.3f} s")
