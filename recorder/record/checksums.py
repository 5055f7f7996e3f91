"""``SHA256SUMS`` in the form that ``sha256sum -c`` reads: one ``<64 hex digits>  <path>`` a line, sorted by path, each path once."""

import re

from recorder.record import layout

_line = re.compile(r"([0-9a-f]{64})  (.+)")


class ChecksumsError(ValueError):
    """The list is not in its one form; the message says where."""


def parse(data: bytes) -> dict[str, str]:
    """Read the list: hashes (hex) by path.

    Raises:
        ChecksumsError: a line of another form, a path that leaves the record, an order or a repetition that is not allowed.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ChecksumsError(f"not UTF-8 at byte {error.start}") from error
    if not text.endswith("\n"):
        raise ChecksumsError("the last line does not end")
    sums: dict[str, str] = {}
    before = ""
    for number, line in enumerate(text[:-1].split("\n"), 1):
        match = _line.fullmatch(line)
        if match is None:
            raise ChecksumsError(f"line {number} is no '<hash>  <path>'")
        if not layout.is_inside(match[2]):
            raise ChecksumsError(f"line {number} names a path outside the record")
        if match[2] <= before:
            raise ChecksumsError(f"line {number} is out of order or repeated")
        before = match[2]
        sums[before] = match[1]
    return sums
