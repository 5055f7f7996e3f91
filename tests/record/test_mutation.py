"""Whatever is changed in a sealed record, wherever: it does not verify as sealed, and the verifier does not stumble."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.record import layout
from recorder.record.checkpoint import Receipt
from recorder.record.verify import Outside, verify
from recorder.seal import read_heads
from tests.record.conftest import copied
from tests.record.record_builder import Builder

FINE = {"sealed", "anchored"}


@pytest.fixture(scope="module")
def spare(finished: tuple[Builder, list[Receipt]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose files are changed and put back again."""
    return copied(finished[0], tmp_path_factory.mktemp("mutated")).root


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def receipts(anchors: bytes) -> set[bytes]:
    """Receipts stand for themselves: their order, repetition and empty lines mean nothing."""
    return set(anchors.split(b"\n")) - {b""}


slow = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(slow, max_examples=150)
@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(spare: Path, outside: Outside, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files(spare)))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "cut"]))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != before[at]))
    changed = {
        "replace": before[:at] + bytes([byte]) + before[at + 1 :],
        "insert": before[:at] + bytes([byte]) + before[at:],
        "delete": before[:at] + before[at + 1 :],
        "cut": before[:at],
    }[kind]
    if path.name == layout.ANCHORS and receipts(changed) == receipts(before):
        return
    try:
        path.write_bytes(changed)
        verdict = verify(spare, outside)
        assert verdict.level not in FINE, (path, kind, at)
        assert verdict.errors or verdict.level == "not_a_record"
    finally:
        path.write_bytes(before)


@settings(slow, max_examples=60)
@given(data=st.data())
def test_no_changed_line_goes_unnoticed(spare: Path, outside: Outside, data: st.DataObject) -> None:
    path = spare / data.draw(st.sampled_from([layout.JOURNAL, layout.ANCHORS, layout.SUMS, layout.DEVICE_CHAIN]))
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    one, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
    kind = data.draw(st.sampled_from(["delete", "double", "swap", "cut"]))
    if kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == "double":
        lines.insert(other, lines[one])
    else:
        del lines[one : one + 1 if kind == "delete" else None]
    changed = b"".join(lines)
    if changed == before or (path.name == layout.ANCHORS and receipts(changed) == receipts(before)):
        return
    try:
        path.write_bytes(changed)
        assert verify(spare, outside).level not in FINE, (path, kind, one, other)
    finally:
        path.write_bytes(before)


@settings(slow, max_examples=60)
@given(data=st.data())
def test_no_changed_file_goes_unnoticed(spare: Path, outside: Outside, data: st.DataObject) -> None:
    there = files(spare)
    one, other = data.draw(st.sampled_from(there)), data.draw(st.sampled_from(there))
    kind = data.draw(st.sampled_from(["delete", "copy over", "rename", "swap", "empty"]))
    kept = {path: path.read_bytes() for path in {one, other}}
    if kind in {"copy over", "swap"} and kept[one] == kept[other]:
        return
    new = one.with_name(one.name + "x")
    try:
        if kind == "delete":
            one.unlink()
        elif kind == "rename":
            one.rename(new)
        elif kind == "empty":
            one.write_bytes(b"")
        else:
            other.write_bytes(kept[one])
            if kind == "swap":
                one.write_bytes(kept[other])
        assert verify(spare, outside).level not in FINE, (one, kind, other)
    finally:
        new.unlink(missing_ok=True)
        for path, content in kept.items():
            path.write_bytes(content)


@settings(slow, max_examples=60)
@given(data=st.data())
def test_cutting_a_running_record_anywhere_is_never_called_tampering(begun_root: Path, outside: Outside, data: st.DataObject) -> None:
    """A power cut keeps any beginning of the journal (its media was durable before)."""
    path = begun_root / layout.JOURNAL
    before = path.read_bytes()
    first = before.index(b"\n") + 1
    cut = data.draw(st.integers(0, len(before)))
    try:
        path.write_bytes(before[:cut])
        verdict = verify(begun_root, outside)
        assert verdict.level == ("unsealed" if cut >= first - 1 else "not_a_record")
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def begun_root(finished: tuple[Builder, list[Receipt]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = Builder(tmp_path_factory.mktemp("begun"), finished[0].keys)
    builder.record(3)
    builder.pause(10)
    builder.record(2)
    return builder.root


@pytest.fixture(scope="module")
def twice_written(finished: tuple[Builder, list[Receipt]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A running record whose journal goes on in a second file that repeats many lines, and the hashes of its lines."""
    builder = Builder(tmp_path_factory.mktemp("twice"), finished[0].keys)
    builder.record(3)
    made = []
    for _ in range(8):
        made += builder.fragments()
        builder.wait(0.5)
    done = builder.put(*made)
    rolled = builder.ledger.next_journal(done, done.journal.data)
    (builder.root / rolled.journal.path).write_bytes(rolled.journal.data)
    builder.record(2)
    return builder.root, [head.sha256 for _, _, head in read_heads(builder.root)]


@settings(slow, max_examples=150)
@given(data=st.data())
def test_of_lines_that_are_written_twice_nothing_else_is_ever_believed(
    twice_written: tuple[Path, list[str]], outside: Outside, data: st.DataObject
) -> None:
    """Whatever is done to either file, bytes changed or whole pages taken: it is broken, or intact to where it is as it was."""
    root, hashes = twice_written
    path = root / data.draw(st.sampled_from([layout.JOURNAL, layout.journal_file(2)]))
    before = path.read_bytes()
    changed = bytearray(before)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(before) - 1))
        end = data.draw(st.sampled_from([at + 1, (at // 512 + 1) * 512, (at // 4096 + 1) * 4096]))
        size = min(end, len(before)) - at
        changed[at : at + size] = data.draw(st.sampled_from([bytes(size), b"0" * size, before[:size], before[-size:]]))
    try:
        path.write_bytes(changed)
        verdict = verify(root, outside)
        assert verdict.level in {"broken", "unsealed", "not_a_record"}
        assert verdict.level != "unsealed" or verdict.head == hashes[verdict.entries - 1]
    finally:
        path.write_bytes(before)


@settings(slow, max_examples=100)
@given(data=st.data())
def test_a_page_of_lines_that_stand_twice_may_be_lost_in_either_file(
    twice_written: tuple[Path, list[str]], outside: Outside, data: st.DataObject
) -> None:
    """The append was never synced in the first file; the second file was lost behind it, or is whole."""
    root, hashes = twice_written
    first, second = root / layout.JOURNAL, root / layout.journal_file(2)
    kept = {path: path.read_bytes() for path in (first, second)}
    begins = kept[first].index(kept[second].split(b"\n", 1)[0])
    page = data.draw(st.sampled_from([512, 4096]))
    whole = data.draw(st.booleans())
    try:
        for path, begin in ((first, begins), (second, 0)):
            if path == second and whole:
                continue
            holed = bytearray(kept[path])
            for off in range(begin // page * page, len(holed), page):
                if data.draw(st.booleans()):
                    holed[max(off, begin) : off + page] = bytes(len(holed[max(off, begin) : off + page]))
            path.write_bytes(holed)
        verdict = verify(root, outside)
        assert verdict.level == "unsealed", verdict.errors
        assert verdict.entries == len(hashes) or not whole
        assert verdict.head == hashes[verdict.entries - 1]
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_the_spare_record_is_whole_again(spare: Path, outside: Outside, tmp_path: Path) -> None:
    """The tests above mean something only if what they start from verifies."""
    shutil.copytree(spare, tmp_path / spare.name)
    assert verify(tmp_path / spare.name, outside).level == "anchored"
