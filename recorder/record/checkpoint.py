"""What the device signs at a checkpoint, and what the centre signs in a receipt: short texts that openssl alone can check."""

import msgspec

MOST_RECEIPT_BYTES = 64 * 1024
"""The most that a receipt's line has; it has about one KiB, most of it the certificate."""


def signing_text(record: str, at: int, head: str) -> bytes:
    """The text under a checkpoint's signature (ECDSA P-256, SHA-256): the head (hex) of the chain of ``record`` at line ``at``."""
    return f"courtroom-record-v1\n{record}\n{at}\n{head}\n".encode()


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of ``anchors.jsonl``: somebody outside the room saw this head, as the ``counter``-th of all, at ``utc_us`` of its clock.

    ``sig`` is base64 of a DER ECDSA P-256 signature over ``receipt_text``; ``certificate`` is base64 of the signer's DER certificate.
    """

    record: str
    room: str
    at: int
    head: str
    counter: int
    utc_us: int
    sig: str
    certificate: str
    v: int = 1


def receipt_text(receipt: Receipt) -> bytes:
    """The text under a receipt's signature."""
    return (
        f"courtroom-receipt-v1\n{receipt.record}\n{receipt.room}\n{receipt.at}\n{receipt.head}\n{receipt.counter}\n{receipt.utc_us}\n"
    ).encode()
