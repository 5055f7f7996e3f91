import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.room import Storage
from recorder import sealed_copy
from recorder.disk import Disk
from recorder.file_copy import DamagedError
from recorder.record import layout
from recorder.record.checksums import ChecksumsError
from recorder.room_disks import RoomDisks
from recorder.seal import put_file
from recorder.sealed_copy import complete, is_level, put_seal
from tests.lab.waiting import until
from tests.recorder.committing import NAME, Writer, bytes_of, copy_of, judged, sealed_and_behind, trust


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Path]:
    """A sealed record, and a copy of it that stayed behind."""
    return sealed_and_behind(tmp_path)


def always() -> bool:
    return True


def test_a_copy_that_is_behind_is_completed_and_then_sealed(sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    assert not is_level(record, behind)
    assert complete(record, behind, always)
    assert judged(behind).level == "sealed"
    assert bytes_of(record) == bytes_of(behind)


def test_an_empty_file_that_a_crash_left_is_in_the_copy_too(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "first")
    writer.record(4, per_segment=2)
    record, behind = copy_of(writer.root, tmp_path / "primary"), copy_of(writer.root, tmp_path / "mirror")
    writer.committer.close()
    empty = layout.segment_file("cam", 9)
    (record / empty).write_bytes(b"")
    writer.take_up(record)
    writer.seal()
    assert (record / empty).read_bytes() == b""
    lacking = copy_of(record, tmp_path / "lacking")
    (lacking / empty).unlink()
    assert not is_level(record, lacking)
    assert complete(record, behind, always)
    assert judged(behind).level == "sealed"
    assert bytes_of(record) == bytes_of(behind)


def test_the_names_of_new_directories_are_durable_before_the_lines_that_speak_of_what_is_in_them(
    sealed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, behind = sealed
    shutil.rmtree(behind / layout.TRACKS)
    done: list[Path] = []

    def told(sync: Callable[[int], None]) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            sync(descriptor)
            done.append(Path(f"/proc/self/fd/{descriptor}").readlink())

        return call

    monkeypatch.setattr(os, "fsync", told(os.fsync))
    monkeypatch.setattr(os, "fdatasync", told(os.fdatasync))
    assert complete(record, behind, always)
    before = done[: done.index(behind / layout.JOURNAL)]
    assert {behind, behind / layout.TRACKS, behind / layout.TRACKS / "cam", behind / layout.TRACKS / "mic"} <= set(before)


def test_what_the_copy_holds_otherwise_is_kept_aside(sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    segment, stranger = behind / layout.segment_file("cam", 0), behind / layout.segment_file("cam", 40)
    changed = b"X" + segment.read_bytes()[1:]
    segment.write_bytes(changed)
    stranger.write_bytes(b"alone")
    assert complete(record, behind, always)
    assert bytes_of(record) == bytes_of(behind)
    aside = behind.parent / ".differs" / NAME / "tracks" / "cam"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == {"seg-000000.m4s.1": changed, "seg-000040.m4s.1": b"alone"}


@pytest.mark.parametrize("path", ["../outside", "tracks/../../outside", "/outside"])
def test_a_seal_that_lists_what_lies_elsewhere_has_nothing_copied_there(sealed: tuple[Path, Path], path: str) -> None:
    record, behind = sealed
    outside = record.parent / "outside"
    outside.write_bytes(b"what somebody wants elsewhere")
    before, sums = bytes_of(behind), record / layout.SUMS
    sums.write_text(f"{hashlib.sha256(outside.read_bytes()).hexdigest()}  {path}\n{sums.read_text()}")
    with pytest.raises(ChecksumsError, match="outside the record"):
        complete(record, behind, always)
    assert not (behind.parent / "outside").exists()
    assert bytes_of(behind) == before


def lay_link(link: Path, elsewhere: Path) -> None:
    """Put a link to a directory that lies elsewhere in a place, with what lay there."""
    if link.exists():
        link.rename(elsewhere)
    else:
        elsewhere.mkdir()
    link.symlink_to(elsewhere)


@pytest.mark.parametrize(("side", "place"), [(0, f"{layout.TRACKS}/cam"), (0, f"{layout.TRACKS}/link"), (0, ""), (1, "")])
def test_nothing_is_copied_from_or_to_where_a_link_leads(sealed: tuple[Path, Path], tmp_path: Path, side: int, place: str) -> None:
    record, behind = sealed
    elsewhere = tmp_path / "elsewhere"
    lay_link((record, behind)[side] / place, elsewhere)
    before = bytes_of(elsewhere)
    with pytest.raises(DamagedError, match="no regular file"):
        complete(record, behind, always)
    assert bytes_of(elsewhere) == before
    assert not (behind / layout.SUMS_SIGNATURE).exists()


@pytest.mark.parametrize("place", [f"{layout.TRACKS}/cam", f"{layout.TRACKS}/link"])
def test_a_link_in_the_copy_is_set_aside_and_the_copy_completed(sealed: tuple[Path, Path], tmp_path: Path, place: str) -> None:
    record, behind = sealed
    elsewhere = tmp_path / "elsewhere"
    lay_link(behind / place, elsewhere)
    before = bytes_of(elsewhere)
    assert complete(record, behind, always)
    assert bytes_of(elsewhere) == before
    assert bytes_of(behind) == bytes_of(record)


def test_a_copy_that_is_broken_off_is_not_sealed_and_goes_on_later(sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    asked = iter([True] * 3 + [False])
    assert not complete(record, behind, lambda: next(asked))
    assert judged(behind).level == "unsealed"
    assert complete(record, behind, always)
    assert bytes_of(record) == bytes_of(behind)


def test_a_copy_is_never_completed_from_a_damaged_record(sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    good = (behind / layout.segment_file("cam", 0)).read_bytes()
    (record / layout.segment_file("cam", 0)).write_bytes(bytes(len(good)))
    (behind / layout.segment_file("cam", 0)).write_bytes(good[:10])
    assert not complete(record, behind, always)
    assert (behind / layout.segment_file("cam", 0)).read_bytes() == good[:10]
    assert not (behind / layout.SUMS_SIGNATURE).exists()


def test_a_copy_is_never_gone_on_with_by_bytes_that_the_seal_contradicts(sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    segment, beginning = record / layout.segment_file("cam", 3), behind / layout.segment_file("cam", 3)
    good = segment.read_bytes()
    beginning.write_bytes(good[:100])
    segment.write_bytes(good[:-1] + bytes((good[-1] ^ 1,)))
    assert not complete(record, behind, always)
    assert beginning.read_bytes() == good[:100]
    assert not (behind / layout.SUMS_SIGNATURE).exists()
    segment.write_bytes(good)
    assert complete(record, behind, always)
    assert bytes_of(record) == bytes_of(behind)


def test_the_signature_comes_last_so_that_a_copy_with_it_is_complete(sealed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    record, behind = sealed
    assert complete(record, behind, always)
    for name in (layout.SUMS, layout.SUMS_SIGNATURE, layout.MANIFEST):
        (behind / name).unlink()

    def full_at_the_sums(path: Path, data: bytes) -> None:
        if path.name == layout.SUMS:
            raise OSError(errno.ENOSPC, "No space left on device")
        put_file(path, data)

    monkeypatch.setattr(sealed_copy, "put_file", full_at_the_sums)
    with pytest.raises(OSError, match="No space"):
        put_seal(record, behind)
    assert not (behind / layout.SUMS_SIGNATURE).exists()


def test_a_receipt_goes_to_both_copies_and_one_that_a_copy_lacks_is_brought(tmp_path: Path, sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    disks = RoomDisks(Storage(primary=str(tmp_path / "primary"), mirror=str(tmp_path / "mirror")), trust())
    uuid = NAME.split("_")[-1]
    assert disks.add_receipt(uuid, b"one", record)
    (behind / layout.ANCHORS).unlink()
    assert disks.add_receipt(uuid, b"two", record)
    assert (record / layout.ANCHORS).read_bytes() == b"one\ntwo\n"
    assert complete(record, behind, always)
    assert (behind / layout.ANCHORS).read_bytes() == b"two\none\n"
    assert not disks.add_receipt("00000000-0000-0000-0000-000000000000", b"three", None)


async def test_an_old_record_with_a_bad_byte_in_its_list_ends_nothing_and_is_an_alarm(tmp_path: Path, sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    sums = bytearray((record / layout.SUMS).read_bytes())
    sums[100] = 0xFF
    (record / layout.SUMS).write_bytes(sums)
    disks = RoomDisks(Storage(primary=str(tmp_path / "primary"), mirror=str(tmp_path / "mirror")), trust())
    told: list[tuple[str, bool]] = []
    disks.trouble = lambda code, _detail, on: told.append((code, on))
    await disks.look()
    await until(lambda: bool(told), "the alarm")
    assert told == [("copies_not_completed", True)]
    assert not (behind / layout.SUMS_SIGNATURE).exists()


async def test_a_disk_that_hangs_hides_nothing_of_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recorder.room_disks.ANSWER_S", 0.2)
    released, real = threading.Event(), Disk.free_bytes

    def hang(self: Disk) -> int:
        if self.root.name == "primary":
            released.wait(30)
        return real(self)

    for name in ("primary", "mirror"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(Disk, "free_bytes", hang)
    disks = RoomDisks(Storage(primary=str(tmp_path / "primary"), mirror=str(tmp_path / "mirror")), trust())
    for _ in range(2):
        await disks.look()
        assert set(disks.free_bytes) == {"mirror"}
    released.set()
    while "primary" not in disks.free_bytes:
        await disks.look()


def test_a_record_that_is_sealed_on_one_disk_is_not_taken_up_from_the_other(tmp_path: Path, sealed: tuple[Path, Path]) -> None:
    record, behind = sealed
    assert behind.parent != record.parent
    either = [("primary", "mirror"), ("mirror", "primary")]
    for primary, mirror in either:
        assert RoomDisks(Storage(primary=str(tmp_path / primary), mirror=str(tmp_path / mirror)), trust()).unsealed() == []


def test_a_binding_that_comes_while_a_copy_is_sealed_is_on_that_copy_too(
    sealed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, behind = sealed

    def bound_meanwhile(path: Path, data: bytes) -> None:
        if path.name == layout.SUMS_SIGNATURE:
            (record / layout.BINDINGS).write_bytes(b"a binding\n")
        put_file(path, data)

    monkeypatch.setattr(sealed_copy, "put_file", bound_meanwhile)
    assert complete(record, behind, always)
    assert (behind / layout.BINDINGS).read_bytes() == b"a binding\n"
