"""A record goes to an archive on a disk and its receipt comes back, by the commands."""

import datetime as dt
import hashlib
import json
import re
import shutil
import time
from pathlib import Path

import pytest

from agent.archive import handover as handovers
from agent.archive.acknowledgement import load, place
from agent.archive.handover import copy_record, handover_file, receipt_file
from agent.archive.reasons import NAME, Reasons, keep
from agent.archive.station import GIVEN
from provisioning.keys import CLOSED_DIRECTORY, Hierarchy, build, write
from recorder.record import layout
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from tests.archive.closed import ARCHIVISTS, CARRIERS, Closed, Make, good, in_archive
from tests.record.record_builder import Builder


def test_a_record_goes_there_and_its_receipt_comes_back(closed: Closed, make_record: Make, authorities: Authorities) -> None:
    builder = make_record()
    name = builder.root.name
    assert "not delivered" in closed.status()

    said = good(closed.copy())
    assert f"{CARRIERS[0]} and {CARRIERS[1]} take the disk" in said
    assert "on its way" in closed.status()
    assert json.loads(handover_file(closed.disk / name).read_text())["people"] == list(CARRIERS)

    assert "sealed; receipt 1" in good(closed.receive())
    assert verify(closed.into / name, Outside(authorities=authorities)).level == "sealed"
    assert {path.name for path in closed.into.iterdir() if not path.name.startswith(".")} == {name, GIVEN}

    assert f"{name}: in the archive, acknowledged by Centre receipts" in good(closed.accept())
    ack = load(place(builder.root))
    assert ack.people == ARCHIVISTS
    assert "delivered on" in closed.status()
    assert "0 records" in closed.status()
    assert [json.loads(line)["people"] for line in (closed.records / "handovers.jsonl").read_text().splitlines()] == [list(CARRIERS)]
    # Again: known already, nothing to carry.
    assert "known already" in good(closed.accept())
    assert "nothing to carry" in good(closed.copy())


def test_a_record_that_one_disk_damaged_is_carried_from_the_other(closed: Closed, make_record: Make, authorities: Authorities) -> None:
    root, mirror = make_record().root, closed.base / "mirror"
    closed.config.write_text(closed.config.read_text().replace("[storage]\n", f'[storage]\nmirror = "{mirror}"\n'))
    shutil.copytree(root, mirror / root.name)
    media = root / layout.segment_file("cam-judge", 0)
    media.write_bytes(b"x" + media.read_bytes()[1:])
    assert "copied from the other disk" in good(closed.copy())
    assert "sealed; receipt 1" in good(closed.receive())
    assert verify(closed.into / root.name, Outside(authorities=authorities)).level == "sealed"


def test_a_record_that_the_two_disks_sealed_otherwise_is_taken_under_both_seals(
    closed: Closed, keys: Hierarchy, authorities: Authorities
) -> None:
    mirror = closed.base / "mirror"
    closed.config.write_text(closed.config.read_text().replace("[storage]\n", f'[storage]\nmirror = "{mirror}"\n'))
    for base, seconds in ((closed.records, 6), (mirror, 3)):
        builder = Builder(base, keys)
        builder.record(seconds)
        builder.close()
    name = builder.root.name
    for receipt in (1, 2):
        good(closed.copy())
        assert f"sealed; receipt {receipt}" in good(closed.receive())
        good(closed.accept())
        shutil.rmtree(closed.disk)
        closed.disk.mkdir()
    assert "nothing to carry" in good(closed.copy())
    seals = {hashlib.sha256((base / name / layout.SUMS).read_bytes()).hexdigest() for base in (closed.records, mirror)}
    first, second = in_archive(closed)
    assert first == name
    assert second.removeprefix(f"{name}.") in seals
    assert {hashlib.sha256((closed.into / one / layout.SUMS).read_bytes()).hexdigest() for one in (first, second)} == seals
    assert [verify(closed.into / one, Outside(authorities=authorities)).level for one in (first, second)] == ["sealed", "sealed"]
    # What comes to either later goes to where it lies.
    builder.receipt(journal=False)
    good(closed.copy())
    said = good(closed.receive())
    assert "anchored; receipt 3" in said
    assert f"under another seal too; this one lies in {closed.into / second}" in said
    assert in_archive(closed) == [first, second]
    good(closed.accept())
    assert "nothing to carry" in good(closed.copy())


def test_the_stations_receipt_says_that_a_stretch_was_signed_too_late(closed: Closed, make_record: Make) -> None:
    make_record(unsigned_s=12)
    good(closed.copy())
    assert ": sealed in part; receipt 1" in good(closed.receive())
    good(closed.accept())
    assert "delivered on" in closed.status()


def test_what_came_to_a_record_later_is_carried_once_more_and_an_old_receipt_does_not_count_for_it(
    closed: Closed, make_record: Make, authorities: Authorities
) -> None:
    builder = make_record()
    good(closed.copy())
    good(closed.receive())
    old = shutil.copy(receipt_file(closed.disk / builder.root.name), closed.base / "old.receipt.json")
    builder.receipt(journal=False)
    assert "carry it once more" in good(closed.accept())
    assert "files came since" in closed.status()
    good(closed.copy())
    assert "anchored; receipt 2" in good(closed.receive())
    good(closed.accept())
    assert "delivered on" in closed.status()
    assert "files came since" not in closed.status()
    assert verify(closed.into / builder.root.name, Outside(authorities=authorities)).level == "anchored"
    before = place(builder.root).read_bytes()
    assert "known already" in good(closed.accept(Path(old)))
    assert place(builder.root).read_bytes() == before


def test_a_copy_that_was_broken_off_is_gone_on_with(closed: Closed, make_record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = make_record(big=True)
    written: list[str] = []
    write = handovers._Copy.write

    def counted(self: handovers._Copy, path: str, size: int) -> str:
        if len(written) == 4:
            raise OSError(5, "the disk was pulled")
        written.append(path)
        return write(self, path, size)

    monkeypatch.setattr(handovers._Copy, "write", counted)
    assert "the disk was pulled" in closed.copy().output
    assert not (closed.disk / builder.root.name).exists()
    half = closed.disk / ".incoming" / builder.root.name / written[0]
    half.write_bytes(bytes(len(half.read_bytes())))
    first, last = written[1:], len(written)
    written.clear()

    def noted(self: handovers._Copy, path: str, size: int) -> str:
        written.append(path)
        return write(self, path, size)

    monkeypatch.setattr(handovers._Copy, "write", noted)
    good(closed.copy())
    assert not set(first) & set(written)
    assert len(written) + last - 1 == len([path for path in builder.root.rglob("*") if path.is_file()])
    good(closed.receive())


def test_a_disk_that_holds_other_bytes_than_it_was_given_is_not_carried(
    closed: Closed, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = make_record()
    write = handovers._Copy.write

    def lying(self: handovers._Copy, path: str, size: int) -> str:
        answer = write(self, path, size)
        if path == layout.JOURNAL:
            with (self._disk / self._inside / path).open("r+b") as file:
                file.write(b"X")
        return answer

    monkeypatch.setattr(handovers._Copy, "write", lying)
    assert "reads back other bytes than were written: do not use this disk" in closed.copy().output
    assert not (closed.disk / builder.root.name).exists()


def test_a_disk_that_is_too_small_is_refused_before_anybody_is_asked(
    closed: Closed, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_record()
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=1000))
    result = closed.copy(people=())
    assert result.exit_code == 1
    (needed,) = re.findall(r"has 1\.0 kB left, and ([0-9.]+ [kM]B) must go there: take a larger disk", result.output)
    assert not needed.startswith("0.0")
    assert "Who" not in result.output
    assert list(closed.disk.iterdir()) == []


@pytest.mark.parametrize(
    ("people", "confirm", "why"),
    [
        (("Dana Kim", "dana  kim"), (), "two different people"),
        (("Dana Kim", ""), (), "no person's name"),
        (("Dana Kim", "Ivan Petrov"), ("Dana Kim", "Dana Kim"), "Ivan Petrov did not confirm"),
        (("Dana Kim", "Ivan Petrov"), ("Dana Kim",), "Aborted"),
        (("Dana\x1b[2JKim", "Ivan Petrov"), (), "no person's name"),
    ],
)
def test_nothing_leaves_the_room_without_two_people_who_both_say_yes(
    closed: Closed, make_record: Make, people: tuple[str, ...], confirm: tuple[str, ...], why: str
) -> None:
    make_record()
    result = closed.copy(people=people, confirm=confirm)
    assert result.exit_code == 1
    assert why in result.output
    assert list(closed.disk.iterdir()) == []


def test_names_are_asked_for_where_they_are_not_given(closed: Closed, make_record: Make) -> None:
    make_record()
    assert "take the disk" in good(closed.copy(people=(), confirm=(*CARRIERS, *CARRIERS)))


def test_without_the_recorder_nobody_signs_and_the_copy_is_not_lost(closed: Closed, make_record: Make, tmp_path: Path) -> None:
    builder = make_record()
    result = closed.do("--to", closed.disk, "--config", closed.config, "--run", tmp_path / "none", people=CARRIERS)
    assert "courtroom recorder run" in result.output
    assert "nobody signed" in closed.receive().output
    before = (closed.disk / builder.root.name / layout.JOURNAL).stat().st_ino
    good(closed.copy())
    assert (closed.disk / builder.root.name / layout.JOURNAL).stat().st_ino == before
    good(closed.receive())


def test_copying_two_at_once_or_a_stranger_in_the_way_is_refused_in_words(closed: Closed, make_record: Make) -> None:
    first = make_record()
    shutil.copytree(first.root, closed.disk / first.root.name)
    (closed.disk / first.root.name / layout.JOURNAL).write_bytes(b"another")
    assert "is there already and is another" in closed.copy().output
    assert "no sealed record nonsense" in closed.copy("nonsense").output
    result = closed.do("--to", closed.base / "not-mounted", "--config", closed.config, people=CARRIERS)
    assert "is the disk mounted?" in result.output


def test_progress_goes_to_the_end(make_record: Make, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    began = time.monotonic()
    copy_record(make_record().root, tmp_path / "there", lambda done, total: told.append((done, total)))
    assert time.monotonic() - began < 30
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_a_station_whose_receipts_no_room_would_take_signs_none_and_asks_nobody(closed: Closed, make_record: Make) -> None:
    make_record()
    good(closed.copy())
    long_ago = write(build("room-1", dt.datetime.now(dt.UTC) - dt.timedelta(days=900)), closed.base / "long-ago")
    elsewhere = write(build("room-9", dt.datetime.now(dt.UTC)), closed.base / "elsewhere")
    both = closed.base / "both.pem"
    both.write_bytes(closed.keys.root.read_bytes() + long_ago.root.read_bytes())
    for signer, why in (
        ((closed.keys.device_key, closed.keys.chain), "it is room room-1's"),
        ((elsewhere.device_key, elsewhere.chain), "it is room room-9's"),
        ((elsewhere.centre_key, elsewhere.centre), "no given authority vouches for Centre receipts"),
        ((long_ago.centre_key, long_ago.centre), "and was not on"),
        ((closed.keys.tsa_key, closed.keys.tsa), "is not for signing documents"),
    ):
        result = closed.receive(signer=signer, ca=both, people=())
        assert (result.exit_code, why in result.output, "Who" in result.output) == (1, True, False), result.output
    assert list(closed.disk.glob("*.receipt.json")) == []
    assert list(closed.into.iterdir()) == []


def test_the_station_believes_the_roots_that_lie_where_keys_make_lays_them(closed: Closed) -> None:
    assert str(CLOSED_DIRECTORY.parent / "roots.pem") in good(closed.do("receive", "--help"))


def test_the_clerk_reads_why_a_record_is_not_delivered_and_why_another_is_not_deleted(closed: Closed, make_record: Make) -> None:
    refused, young, damaged = (make_record().root.name for _ in range(3))
    good(closed.copy(young, damaged))
    good(closed.receive())
    good(closed.accept())
    assert "does courtroom-delivery run?" in closed.status()
    why = {refused: "the archive refuses it: no authority vouches for it", damaged: "a sector is gone", "a record that is gone": "x"}
    keep(closed.records, Reasons(by_record=why, of_all=("no record is deleted: the list ran out",)))
    lines = {name: next(line for line in closed.status().splitlines() if name in line) for name in (refused, young, damaged)}
    assert "not delivered (the archive refuses it: no authority vouches for it)" in lines[refused]
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    assert f"stays until {until:%Y-%m}" in lines[young]
    assert "a sector is gone" in lines[damaged]
    assert "no record is deleted: the list ran out" in closed.status()
    (closed.records / NAME).write_bytes(b"{")
    assert "not delivered" in closed.status()
    config = closed.config.read_text()
    for stanza, words in (
        ("days = 0\nfree_gib = 0", "free_gib = 0 deletes nothing"),
        ("days = 0\nfree_gib = 0.000001", "while the disks have"),
    ):
        closed.config.write_text(f"{config}[retention]\n{stanza}\n")
        assert words in next(line for line in closed.status().splitlines() if young in line)
