"""The archive's word that it holds a whole record: its form, and whether it proves that. Pure."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from cryptography import x509

from recorder.record.enclosed_signature import EnclosedSignatureError, check_enclosed_signature
from recorder.record.trust import Authorities, name, rooms

VERDICTS = frozenset({"sealed", "anchored", "sealed in part", "anchored in part"})
"""What the archive must have found. ``in part``: more than 10 s before a crash were signed only when the recorder was back."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class AcknowledgementError(Exception):
    """An acknowledgement that proves nothing; the message says why."""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The archive holds the whole record and has verified it: only this lets a room delete its own copy.

    ``files_sha256`` names all files that were delivered, with those that came after the seal. ``people`` are the two who answer for it at
    an archive station; the centre names none. ``sig`` is base64 of a DER ECDSA P-256 signature over ``acknowledgement_text``,
    ``certificate`` base64 of the signer's DER certificate.
    """

    record: str
    room: str
    sums_sha256: Sha256
    files_sha256: Sha256
    bytes: Count
    files: Count
    verdict: str
    counter: Count
    utc_us: Count
    by: str
    people: tuple[str, ...] = ()
    sig: str
    certificate: str
    v: Literal[1] = 1


def acknowledgement_text(ack: Acknowledgement) -> bytes:
    """The text under an acknowledgement's signature."""
    lines = (
        "courtroom-acknowledgement-v1", ack.record, ack.room, ack.sums_sha256, ack.files_sha256, ack.bytes, ack.files, ack.verdict,
        ack.counter, ack.utc_us, ack.by, *ack.people,
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode()


def check_acknowledgement(
    ack: Acknowledgement,
    *,
    record: str,
    room: str,
    sums_sha256: str,
    authorities: Authorities,
    others: Sequence[x509.Certificate],
    now_us: int,
) -> None:
    """Hold an acknowledgement against a record and the authorities.

    Args:
        ack: what came from outside.
        record: the record's id, room and hash of its SHA256SUMS as they are here.
        room: likewise.
        sums_sha256: likewise.
        authorities: who vouches for its signer.
        others: certificates that may stand between the signer and an authority.
        now_us: our clock.

    Raises:
        AcknowledgementError: it is about something else, or nobody vouches for it.
    """
    for what, theirs, ours in (("record", ack.record, record), ("room", ack.room, room), ("SHA256SUMS", ack.sums_sha256, sums_sha256)):
        if theirs != ours:
            raise AcknowledgementError(f"the acknowledgement is about {what} {theirs}, not {ours}")
    if ack.verdict not in VERDICTS:
        raise AcknowledgementError(f"the archive found the record to be '{ack.verdict}', not sealed")
    if any(not text.isprintable() for text in (ack.by, *ack.people)):
        raise AcknowledgementError("the acknowledgement's signer or people have names that are not for printing")
    try:
        text = acknowledgement_text(ack)
        signer = check_enclosed_signature("acknowledgement", ack, text, authorities=authorities, others=others, now_us=now_us)
    except EnclosedSignatureError as error:
        raise AcknowledgementError(str(error)) from error
    if rooms(signer):
        raise AcknowledgementError(f"the acknowledgement is signed by a room ({name(signer)}); only an archive can give one")
