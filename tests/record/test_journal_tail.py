"""What stands behind the journal's last line, however much of it there is."""

import hashlib
import os
import tracemalloc
from collections.abc import Callable

from recorder.record import entries, layout
from recorder.record.journal import Chain, Times
from recorder.record.verify import Outside, verify
from tests.record.record_builder import Builder

MIB = 1024 * 1024
HOLE_BYTES = 48 * MIB
"""More than a verifier keeps, and more than sealing may take as a whole."""


def test_a_hole_behind_the_journal_is_named_by_the_recovery_and_sealed_in_little_memory(
    begun: Callable[..., Builder], outside: Outside
) -> None:
    builder = begun()
    builder.record(2)
    journal = builder.root / layout.JOURNAL
    os.truncate(journal, journal.stat().st_size + HOLE_BYTES)
    builder.recover()
    builder.record(2)
    tracemalloc.start()
    builder.close()
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < HOLE_BYTES // 2
    verdict = verify(builder.root, outside)
    assert (verdict.level, [finding.code for finding in verdict.findings]) == ("sealed", ["recovered_tear"])


def test_a_third_recovery_explains_no_further_piece_of_a_tail(begun: Callable[..., Builder]) -> None:
    """Each would have all of the tail read anew. The second of a recorder names all that the first has left."""
    builder = begun()
    builder.record(2)
    journal, chain = builder.root / layout.JOURNAL, Chain(builder.ledger.head)
    off = journal.stat().st_size
    tail = b"\0" * 100 + b"\n" + b'{"prev":"x","seq":999999,"type":"x"}\n'
    with journal.open("ab") as file:
        file.write(tail)

    def recovery(skip_bytes: int, size: int) -> bytes:
        piece = tail[skip_bytes : skip_bytes + size]
        torn = entries.ByteRange(file=layout.JOURNAL, off=off + skip_bytes, len=size, sha256=hashlib.sha256(piece).hexdigest())
        entry = entries.Recovered(
            last=chain.head.at, boot="boot-1", same_boot=True, torn=[torn], damaged=[], from_us=builder.t_us, to_us=builder.t_us,
            origin_mono_us=builder.origin_mono_us,
        )  # fmt: skip
        return chain.line(entry, Times(builder.mono_us, builder.utc_us, builder.t_us))

    first = recovery(0, 10)
    begun_head = chain.head
    (builder.root / layout.journal_file(2)).write_bytes(first + recovery(10, len(tail) - 10))
    assert verify(builder.root).errors == []
    chain.head = begun_head
    (builder.root / layout.journal_file(2)).write_bytes(first + recovery(10, 10) + recovery(20, len(tail) - 20))
    assert [finding.code for finding in verify(builder.root).errors] == ["recovery_mismatch"]
