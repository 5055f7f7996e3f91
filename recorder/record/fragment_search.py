"""The fragments of damaged segments, by a second look at the journal: the first one keeps none of those that were closed."""

from collections.abc import Collection
from pathlib import Path

import msgspec

from recorder.record import layout
from recorder.record.file_check import blocks
from recorder.record.journal_reader import split_lines
from recorder.record.replay import Piece


class _Frag(msgspec.Struct):
    """What the search wants of a line."""

    type: str
    seq: int
    track: str = ""
    seg: int = -1
    n: int = -1
    off: int = 0
    len: int = 0
    sha256: str = ""


def find_fragments(root: Path, segments: Collection[str], last: int) -> dict[str, list[Piece]]:
    """The fragments of these segments, named by their paths, as the entries up to the last that counts tell of them."""
    found: dict[str, list[Piece]] = {path: [] for path in segments}
    by_number = {layout.segment_of(path): pieces for path, pieces in found.items()}
    decoder, number = msgspec.json.Decoder(_Frag), 1
    while (journal := root / layout.journal_file(number)).is_file() and not journal.is_symlink():
        for raw in split_lines(blocks(journal, lambda _: None)):
            if b'"frag"' not in raw:
                continue
            try:
                line = decoder.decode(raw)
            except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
                continue
            pieces = by_number.get((line.track, line.seg)) if line.type == "frag" and line.seq <= last else None
            if pieces is not None:
                pieces.append(Piece(line.off, line.len, line.sha256, "frag", line.n, line.seq))
        number += 1
    return found
