"""The centre's receipts: which of them are believed, before one is stored beside a record for ever.

``anchors.jsonl`` is only ever appended to, and a line in it that does not hold spoils the record. So a receipt is stored only where it
names this room, a record that is here, and the head which that record's own journal has at that line, and where its signature holds.
"""

import base64
import datetime as dt
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.open_session import OpenSession
from recorder.record import canonical, entries, layout
from recorder.record.checkpoint import MOST_RECEIPT_BYTES, Receipt, receipt_text
from recorder.record.trust import Authorities, TrustError, name, parse_certificate, rooms
from recorder.room_disks import RoomDisks
from recorder.threads import apart

log = structlog.get_logger()


class ReceiptError(Exception):
    """A receipt is not stored; the message says why."""


class ForgedReceiptError(ReceiptError):
    """It contradicts the record, or nobody answers for it: somebody must look at what sends such receipts."""


class Receipts:
    """Takes the receipts of one room."""

    def __init__(self, room: str, disks: RoomDisks, chain: Sequence[x509.Certificate], authorities: Authorities | None) -> None:
        self._room = room
        self._disks = disks
        self._chain = chain
        self._authorities = authorities

    async def take(self, text: str, opened: OpenSession | None) -> None:
        """Store a receipt with its record; in one that is being made, an entry says so.

        Raises:
            ReceiptError: it is not stored.
        """
        try:
            receipt = msgspec.json.decode(text, type=Receipt)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            raise ReceiptError(f"not a receipt: {error}") from error
        line = msgspec.json.encode(receipt, order="sorted")
        if len(line) > MOST_RECEIPT_BYTES:
            raise ForgedReceiptError(f"a receipt of {len(line)} bytes, and no verifier takes more than {MOST_RECEIPT_BYTES}")
        opened = opened if opened is not None and opened.record == receipt.record else None
        leader = None if opened is None else opened.committer.disk.root
        await apart(partial(self._store, receipt, line, leader), "take a receipt")
        if opened is not None:
            entry = entries.Receipt(at=receipt.at, receipt_sha256=hashlib.sha256(line).hexdigest())
            opened.committer.put_entry(entry, opened.clock.times())

    def _store(self, receipt: Receipt, line: bytes, leader: Path | None) -> None:
        if not layout.is_id(receipt.record):
            raise ForgedReceiptError("a receipt whose record is none")
        if receipt.room != self._room:
            raise ForgedReceiptError(f"a receipt of another room ({receipt.room})")
        refused = refusal(receipt, self._chain, self._authorities)
        if refused is not None:
            raise ForgedReceiptError(refused)
        try:
            heads = self._disks.heads(receipt.record, receipt.at)
        except OSError as error:
            raise ReceiptError(str(error)) from error
        if receipt.head not in heads:
            raise ForgedReceiptError(f"record {receipt.record} has another head at line {receipt.at}, or no such line")
        if not self._disks.add_receipt(receipt.record, line, leader):
            raise ReceiptError(f"no disk takes the receipt for record {receipt.record}")


def refusal(receipt: Receipt, chain: Sequence[x509.Certificate], authorities: Authorities | None) -> str | None:
    """Why nobody outside the room answers for a receipt, in words, or None; ``chain`` is the room's own, the device's certificate first."""
    try:
        signer = parse_certificate(base64.b64decode(receipt.certificate, validate=True))
        signature = base64.b64decode(receipt.sig, validate=True)
        text = receipt_text(receipt)
        canonical.encode(receipt)
        _ = dt.datetime.fromtimestamp(receipt.utc_us / 1e6, tz=dt.UTC)
    except (ValueError, OverflowError, OSError, TrustError) as error:
        return f"the receipt is damaged: {error}"
    key = signer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return "the receipt's signer has no elliptic curve key"
    try:
        key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return "the receipt's signature does not hold"
    if rooms(signer) or signer in chain:
        return f"the receipt is signed by a room's device ({name(signer)}), which proves nothing from outside"
    return None if authorities is None else authorities.refusal(signer, list(chain[1:]), receipt.utc_us)
