"""A handover: two named people carry a sealed record on a disk to an archive, and the room's device signs that they do. Pure.

``<record>.handover.json`` beside the record on the disk holds a ``Handover``; its format is told in ``docs/archive.md``.
"""

import msgspec


class Handover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signed by the room's device: ``sig`` is base64 of a DER ECDSA P-256 signature over ``handover_text``.

    ``certificate`` is base64 of the device's DER certificate, ``utc_us`` its clock.
    """

    room: str
    record: str
    sums_sha256: str
    files_sha256: str
    bytes: int
    files: int
    people: tuple[str, ...]
    utc_us: int
    sig: str
    certificate: str
    v: int = 1


def handover_text(handover: Handover) -> bytes:
    """The text under a handover's signature."""
    lines = (
        "courtroom-handover-v1", handover.room, handover.record, handover.sums_sha256, handover.files_sha256, handover.bytes,
        handover.files, handover.utc_us, *handover.people,
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode()
