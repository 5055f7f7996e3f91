"""What a record's journal says of a track's fragments."""

from itertools import pairwise
from pathlib import Path

from recorder.record import entries
from recorder.seal import read_journal


def joined(record: Path, track: str, most_apart_us: int = 0) -> int:
    """How many fragments a track of one part has; each begins where the one before ended, or at most so much later."""
    found = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Frag) and entry.track == track]
    timescale = next(entry.timescale for _, entry in read_journal(record) if isinstance(entry, entries.Init) and entry.track == track)
    assert [fragment.n for fragment in found] == list(range(len(found)))
    for before, fragment in pairwise(found):
        assert 0 <= fragment.t0 - before.t0 - before.dur <= most_apart_us * timescale // 1_000_000
    return len(found)
