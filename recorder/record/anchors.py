"""Receipts: what somebody outside the room held of the chain, from ``anchors.jsonl`` and from a ledger that the verifier brings. Pure."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.record import canonical, layout
from recorder.record.checkpoint import Receipt, receipt_text
from recorder.record.journal_reader import JournalReader
from recorder.record.replay import Replay
from recorder.record.trust import Authorities, name, parse_certificate, rooms
from recorder.record.verdict import Findings

CLOCK_TOLERANCE_US = 60_000_000
"""How far the room's claim of UTC may lie from what others' clocks prove, beside the error that it claimed itself."""


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
    stored = _stored(anchors, findings)
    _check_stored(stored, replay, findings)
    for place, _, receipt in stored:
        if receipt.record != genesis.record or receipt.room != genesis.room:
            findings.doubt("receipt_foreign", place, "is a receipt for another record or room; it counts for nothing")
        else:
            checker.check(place, receipt, from_record=True)
    own = [receipt for receipt in ledger or () if receipt.record == genesis.record]
    for receipt in own:
        checker.check(f"ledger, receipt {receipt.counter}", receipt, from_record=False)
    if ledger is not None and not own:
        text = (
            "the ledger that was given holds no receipt of this record: it proves nothing of it. Is it the right centre's, and up to date?"
        )
        findings.doubt("ledger_silent", "ledger", text)
    return checker.anchored


def _stored(anchors: bytes, findings: Findings) -> list[tuple[str, str, Receipt]]:
    found = []
    for number, line in enumerate(anchors.split(b"\n"), 1):
        if not line:
            continue
        place = f"{layout.ANCHORS}, line {number}"
        try:
            found.append((place, hashlib.sha256(line).hexdigest(), _parse(line)))
        except ValueError as error:
            findings.doubt("receipt_unreadable", place, f"is no receipt ({error}); a crash can tear a line")
    return found


def _check_stored(stored: Iterable[tuple[str, str, Receipt]], replay: Replay, findings: Findings) -> None:
    held = {digest for _, digest, _ in stored}
    for seq, entry in replay.receipts:
        if entry.receipt_sha256 not in held:
            text = f"the receipt for entry {entry.at} was stored in {layout.ANCHORS} and is not there any more"
            findings.error("receipt_missing", f"entry {seq}", text)


def _parse(line: bytes) -> Receipt:
    return msgspec.convert(canonical.decode(line), Receipt)


@dataclass(slots=True)
class _Checker:
    reader: JournalReader
    replay: Replay
    authorities: Authorities | None
    chain: Sequence[x509.Certificate]
    findings: Findings
    anchored: Anchored | None = None

    def check(self, place: str, receipt: Receipt, *, from_record: bool) -> None:
        """One receipt of this record."""
        why = self._refusal(receipt)
        if why is not None:
            self.findings.doubt("receipt_forged" if from_record else "ledger_untrusted", place, f"{why}; it counts for nothing")
            return
        if self.authorities is None and from_record:  # of whom a ledger is, whoever brings it knows; of this, nobody
            text = "who signed it was not checked, as no authority was given (--ca); it counts for nothing"
            if not self._fits(receipt):
                self.findings.doubt("receipt_unchecked", place, f"speaks of another chain than this; {text}")
            return
        head = self.reader.digest(receipt.at)
        if head is None:
            last = self.reader.head.at
            text = f"somebody outside the room held entry {receipt.at}, but the journal ends with entry {last}: its end was cut off"
            if self.reader.broken:
                text = f"somebody outside the room held entry {receipt.at}, which this journal does not prove"
            self.findings.error("tail_missing", place, text)
            return
        if head != receipt.head:
            text = f"somebody outside the room held another head for entry {receipt.at}: the journal was rewritten after that"
            self.findings.error("head_contradicted", place, text)
            return
        self._check_clock(place, receipt)
        if self.authorities is not None and (self.anchored is None or receipt.at > self.anchored.at):
            self.anchored = Anchored(receipt.at, receipt.utc_us)

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
        for seq, entry in self.replay.receipts:
            if entry.at == receipt.at and seq < len(self.reader.utc_us):
                self._compare(place, seq, receipt.utc_us, ahead=False)

    def _compare(self, place: str, seq: int, other_us: int, *, ahead: bool) -> None:
        compare_clock(self.reader, self.replay, self.findings, place, seq, other_us, ahead=ahead)


def compare_clock(reader: JournalReader, replay: Replay, findings: Findings, place: str, seq: int, other_us: int, *, ahead: bool) -> None:
    """The line ``seq`` was there before (``ahead``) or was written after another's clock said ``other_us``: does its UTC fit?"""
    claim_us = reader.utc_us[seq]
    off_us = claim_us - other_us if ahead else other_us - claim_us
    # Nothing is said where another line stands before the genesis.
    error_us = next((bound for since, bound in reversed(replay.story.error_us) if since <= seq), None)
    if off_us <= CLOCK_TOLERANCE_US + (error_us or 0):
        return
    which = "ahead of" if ahead else "behind"
    text = f"entry {seq} claims a UTC that is at least {off_us / 1e6:.0f} s {which} what this proves"
    if error_us is None:
        findings.doubt("clock_off", place, f"{text}; the room said that nothing disciplined its clock")
    else:
        findings.error("clock_off", place, f"{text}; the room claimed to know it within {error_us / 1e6:.3f} s")
