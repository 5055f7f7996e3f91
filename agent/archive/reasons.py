"""Why records are still here, as the delivery's process knows it: a small file beside them, which ``courtroom archive status`` reads."""

from pathlib import Path

import msgspec

from agent.archive.acknowledgement import write_durably
from recorder.record.file_check import read_small

NAME = ".delivery-reasons.json"
MAX_BYTES = 16 * 1024 * 1024


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """``by_record``: why one is not delivered, or not deleted. ``of_all``: what keeps every record from that."""

    by_record: dict[str, str] = {}
    of_all: tuple[str, ...] = ()


def keep(base: Path, reasons: Reasons) -> None:
    """Write them to the records' directory.

    Raises:
        OSError: it cannot be written.
    """
    write_durably(base / NAME, msgspec.json.encode(reasons) + b"\n")


def read(base: Path) -> Reasons | None:
    """What the delivery wrote last; None where it wrote nothing that can be read."""
    try:
        return msgspec.json.decode(read_small(base / NAME, MAX_BYTES), type=Reasons)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
