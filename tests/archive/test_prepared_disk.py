"""A disk that somebody prepared leads no write onto other records, and no read out of it: in the room and at the archive."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import intermediates, write_durably
from agent.archive.handover import INCOMING, HandoverError, copy_record, missing_bytes, receipt_file
from agent.archive.offer import OfferError, files_by_bytes
from agent.archive.station import Station, accepted
from provisioning.keys import Hierarchy
from recorder.record import layout
from recorder.record.trust import Authorities
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
Bytes = dict[str, bytes]


def bytes_of(root: Path) -> Bytes:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def tracks_in_half_a_copy(disk: Path, victim: Path, name: str) -> None:
    (disk / INCOMING / name).mkdir(parents=True)
    (disk / INCOMING / name / "tracks").symlink_to(victim / "tracks")


def half_a_copy(disk: Path, victim: Path, name: str) -> None:
    (disk / INCOMING).mkdir()
    (disk / INCOMING / name).symlink_to(victim)


def place_of_halves(disk: Path, victim: Path, name: str) -> None:
    del name
    (disk / INCOMING).symlink_to(victim.parent)


def whole_copy(disk: Path, victim: Path, name: str) -> None:
    (disk / name).symlink_to(victim)


def file_in_half_a_copy(disk: Path, victim: Path, name: str) -> None:
    (disk / INCOMING / name).mkdir(parents=True)
    (disk / INCOMING / name / layout.JOURNAL).symlink_to(victim / layout.JOURNAL)


def pipe_in_half_a_copy(disk: Path, victim: Path, name: str) -> None:
    del victim
    (disk / INCOMING / name).mkdir(parents=True)
    os.mkfifo(disk / INCOMING / name / layout.JOURNAL)


@pytest.mark.parametrize(
    "prepare", [tracks_in_half_a_copy, half_a_copy, place_of_halves, whole_copy, file_in_half_a_copy, pipe_in_half_a_copy]
)
def test_a_link_on_the_disk_is_refused_before_anything_is_written(
    make_record: Make, tmp_path: Path, prepare: Callable[[Path, Path, str], None]
) -> None:
    victim, carried = make_record(seconds=1).root, make_record(seconds=2).root
    disk = tmp_path / "disk"
    disk.mkdir()
    prepare(disk, victim, carried.name)
    before, there = bytes_of(victim), sorted(victim.parent.iterdir())
    with pytest.raises(HandoverError, match="link"):
        copy_record(carried, disk / carried.name)
    with pytest.raises(HandoverError, match="link"):
        missing_bytes([carried], disk)
    assert bytes_of(victim) == before
    assert sorted(victim.parent.iterdir()) == there


def test_a_link_that_comes_while_it_is_copied_leads_nowhere(make_record: Make, tmp_path: Path) -> None:
    victim, carried = make_record(seconds=1).root, make_record(seconds=2).root
    disk = tmp_path / "disk"
    disk.mkdir()
    before = bytes_of(victim)

    def put_link(done: int, total: int) -> None:
        del done, total
        tracks = disk / INCOMING / carried.name / "tracks"
        if not os.path.lexists(tracks):
            tracks.symlink_to(victim / "tracks")

    with pytest.raises(HandoverError, match="link"):
        copy_record(carried, disk / carried.name, put_link)
    assert bytes_of(victim) == before


def test_a_link_where_a_half_written_file_would_be_is_not_followed(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "record.handover.json"
    victim.write_bytes(b"evidence")
    (tmp_path / f".{target.name}.{os.getpid()}.part").symlink_to(victim)
    target.symlink_to(victim)
    write_durably(target, b"handover\n")
    assert victim.read_bytes() == b"evidence"
    assert not target.is_symlink()
    assert target.read_bytes() == b"handover\n"


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "receipt").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_durably(tmp_path / "receipt", b"receipt\n")
    assert [path.name for path in tmp_path.iterdir()] == ["receipt"]


@pytest.mark.parametrize("name", [layout.DEVICE_CHAIN, layout.JOURNAL, layout.SUMS])
def test_a_pipe_on_the_disk_is_not_waited_for(make_record: Make, name: str) -> None:
    root = make_record(seconds=1).root
    (root / name).unlink()
    os.mkfifo(root / name)
    assert intermediates(root) == [] or name != layout.DEVICE_CHAIN
    with pytest.raises(OfferError):
        files_by_bytes(root)


def test_the_station_takes_no_record_that_is_a_link_and_the_room_no_such_receipt(
    make_record: Make, tmp_path: Path, authorities: Authorities, keys: Hierarchy
) -> None:
    root = make_record(seconds=1).root
    disk, into = tmp_path / "disk", tmp_path / "into"
    for made in (disk, into):
        made.mkdir()
    (disk / root.name).symlink_to(root)
    assert isinstance(keys.centre.key, ec.EllipticCurvePrivateKey)
    station = Station(into=into, authorities=authorities, key=keys.centre.key, certificate=keys.centre.certificate)
    with pytest.raises(HandoverError, match="is a link"):
        station.take(disk / root.name, ("Dana Kim", "Ivan Petrov"))
    with pytest.raises(HandoverError, match="is a link"):
        missing_bytes([disk / root.name], into)
    assert list(into.iterdir()) == []
    secret = tmp_path / "secret"
    secret.write_bytes(b"{}")
    receipt_file(disk / root.name).symlink_to(secret)
    with pytest.raises(HandoverError, match="cannot be read"):
        accepted(receipt_file(disk / root.name), [], authorities)
