"""A table of files keeps what a mapping would, whatever the order, and in a fraction of the memory."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.file_table import FileTable, Stored
from recorder.record import layout

PATHS = st.one_of(
    st.builds(layout.segment_file, st.sampled_from(["judge", "cam-1.low"]), st.integers(0, 6) | st.just(2_000_000)),
    st.sampled_from(
        ["journal.jsonl", "keys/judge-00.cms", "tracks/judge/seg-1.m4s", "tracks/judge/seg-0000001.m4s", "tracks/../seg-000000.m4s"]
    ),
)
Steps = list[tuple[str, Stored | None]]


@st.composite
def steps_and_width(draw: st.DrawFn) -> tuple[Steps, int]:
    width = draw(st.sampled_from([0, 16, 32]))
    stored = st.builds(Stored, st.integers(0, 2**40), st.none() | st.binary(min_size=width, max_size=width) if width else st.none())
    return draw(st.lists(st.tuples(PATHS, st.none() | stored), max_size=40)), width


@given(given=steps_and_width())
def test_a_table_of_files_is_a_mapping(given: tuple[Steps, int]) -> None:
    steps, width = given
    table = FileTable(hash_bytes=width)
    model: dict[str, Stored] = {}
    for path, stored in steps:
        if stored is None:
            table.remove(path)
            model.pop(path, None)
        else:
            table.put(path, stored)
            model[path] = stored
    assert dict(table.items()) == model
    assert all(table.get(path) == stored for path, stored in model.items())
    assert len(table) == len(model)
    assert msgspec.json.decode(msgspec.json.encode(table), type=FileTable) == table


def test_a_hearing_of_eight_hours_in_a_full_room_takes_less_than_a_megabyte() -> None:
    tracemalloc.start()
    table = FileTable()
    for number in range(480):
        for track in range(34):
            table.put_segment(f"track-{track}", number, Stored(number, bytes(32)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1_000_000
    assert len(table) == 480 * 34


def test_a_copy_is_not_changed_with_its_original() -> None:
    table = FileTable()
    table.put("tracks/judge/seg-000000.m4s", Stored(1, None))
    copy = table.copied()
    table.put("tracks/judge/seg-000000.m4s", Stored(2, None))
    table.put("journal.jsonl", Stored(3, None))
    assert dict(copy.items()) == {"tracks/judge/seg-000000.m4s": Stored(1, None)}


@pytest.mark.parametrize("path", ["tracks/judge/seg-000000.m4s", "tracks/judge/seg-000007.m4s", "journal.jsonl"])
@pytest.mark.parametrize("width", [0, 16])
def test_a_hash_is_never_cut_to_a_table_s_width(path: str, width: int) -> None:
    table = FileTable(hash_bytes=width)
    with pytest.raises(ValueError, match=f"a hash of 32 bytes for a table of hashes of {width}"):
        table.put(path, Stored(1, bytes(32)))
    assert path not in table
