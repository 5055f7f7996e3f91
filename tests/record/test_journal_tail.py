"""What stands behind the journal's last line, however much of it there is."""

import os
import tracemalloc
from collections.abc import Callable

from recorder.record import layout
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
