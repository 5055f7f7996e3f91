"""One line of a record's journal by its number, found from the end: what is asked for was written just now, or closes the record."""

import hashlib
import os
import re
from pathlib import Path

from recorder.record import layout
from recorder.record.file_check import open_plain

_BLOCK_BYTES = 256 * 1024
_seq = re.compile(rb'"seq":([0-9]{1,16}),')
"""Nowhere else in a line: inside a text the quotation marks are escaped, and no entry has a field of this name."""


def line_sha256(record: Path, seq: int) -> str | None:
    """SHA-256 (hex) of the line ``seq``, which is the chain's head there; None where the journal has no such line.

    Raises:
        OSError: the disk failed.
    """
    number = 1
    while (record / layout.journal_file(number + 1)).exists():
        number += 1
    for file in (record / layout.journal_file(number) for number in range(number, 0, -1)):
        if file.exists() and (found := _find(file, seq)) is not None:
            return found
    return None


def _find(path: Path, seq: int) -> str | None:
    with open_plain(path) as file:
        start = file.seek(0, os.SEEK_END)
        begun = b""
        """The end of a line whose beginning lies in the block before."""
        while start > 0:
            end, start = start, max(0, start - _BLOCK_BYTES)
            file.seek(start)
            data = file.read(end - start) + begun
            first = data.find(b"\n") + 1 if start else 0
            begun = data[:first]
            if start and not first:
                begun = data  # a line that is longer than the block
                continue
            *lines, _ = data[first:].split(b"\n")  # what no line feed ends is torn, or was read before
            for line in reversed(lines):
                match = _seq.search(line)
                if match is None:
                    continue
                if int(match[1]) == seq:
                    return hashlib.sha256(line).hexdigest()
                if int(match[1]) < seq:
                    return None
    return None
