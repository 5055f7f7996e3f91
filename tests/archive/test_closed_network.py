"""A record goes to an archive on a disk and its receipt comes back, by the commands; and what a thief or a forger of the disk gains."""

import asyncio
import base64
import contextlib
import dataclasses
import datetime as dt
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner, Result

from agent.archive import handover as handovers
from agent.archive.acknowledgement import load, place, sign
from agent.archive.cli import app
from agent.archive.handover import copy_record, handover_file, receipt_file
from agent.archive.offer import hash_file
from agent.archive.station import GIVEN
from agent.upstream.transfer import Acknowledgement
from provisioning.keys import Hierarchy, KeyFiles, build
from provisioning.room import FileKey, Storage
from recorder.contract import control
from recorder.control_server import ControlServer
from recorder.notary import Notary
from recorder.record import layout
from recorder.record.handover import Handover, handover_text
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from recorder.room_disks import RoomDisks
from recorder.signing import open_signer
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
CARRIERS = ("Aigerim Sadykova", "Bauyrzhan Ospanov")
ARCHIVISTS = ("Dana Kim", "Ivan Petrov")


@dataclasses.dataclass
class Closed:
    """A room without a network, a disk, and an archive station."""

    base: Path
    keys: KeyFiles
    config: Path
    run: Path

    @property
    def records(self) -> Path:
        return self.base / "records"

    @property
    def disk(self) -> Path:
        return self.base / "disk"

    @property
    def into(self) -> Path:
        return self.base / "archive"

    def do(self, *args: object, people: tuple[str, ...] = (), confirm: tuple[str, ...] | None = None) -> Result:
        """Run the command; the people type their names where they are asked."""
        named = [word for person in people for word in ("--by", person)]
        typed = "".join(f"{word}\n" for word in (people if confirm is None else confirm))
        return CliRunner().invoke(app, [*map(str, args), *named], input=typed, env={"COLUMNS": "300", "TERM": "dumb"})

    def copy(self, *args: object, people: tuple[str, ...] = CARRIERS, confirm: tuple[str, ...] | None = None) -> Result:
        return self.do("--to", self.disk, "--config", self.config, "--run", self.run, *args, people=people, confirm=confirm)

    def receive(self, *, people: tuple[str, ...] = ARCHIVISTS, ca: Path | None = None) -> Result:
        return self.do(
            "receive", self.disk, "--into", self.into, "--key", self.keys.centre_key, "--certificate", self.keys.centre, "--ca",
            ca or self.keys.root, people=people,
        )  # fmt: skip

    def accept(self, *receipts: Path, people: tuple[str, ...] = CARRIERS) -> Result:
        return self.do("accept", *(receipts or (self.disk,)), "--config", self.config, people=people)

    def status(self) -> str:
        return self.do("status", "--config", self.config).stdout


@contextlib.contextmanager
def recorder(run: Path, records: Path, keys: KeyFiles) -> Iterator[None]:
    """The recorder's control socket with its notary behind it: whose device key nobody else has."""
    run.mkdir(exist_ok=True)
    signer = open_signer(FileKey(kind="file", key=str(keys.device_key), chain=str(keys.chain)))
    notary = Notary(RoomDisks(Storage(primary=str(records))), signer)

    async def do(request: control.AnyRequest) -> control.Reply:
        assert isinstance(request, control.CertifyHandover)
        return await notary.do(request)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    server = ControlServer(run, do, lambda: None, frozenset())  # type: ignore[arg-type,return-value]
    wait(server.start())
    try:
        yield
    finally:
        wait(server.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def closed(tmp_path: Path, key_files: KeyFiles) -> Iterator[Closed]:
    for name in ("records", "disk", "archive"):
        (tmp_path / name).mkdir()
    config = tmp_path / "room.toml"
    config.write_text(
        f'centre_roots = "{key_files.root}"\n[room]\nid = "room-1"\ncourt = "Court"\n[storage]\nprimary = "{tmp_path / "records"}"\n'
        f'[signing]\nkind = "file"\nkey = "{key_files.device_key}"\nchain = "{key_files.chain}"\n'
        '[[camera]]\nid = "cam"\ndriver = "test-pattern"\n'
    )
    with recorder(tmp_path / "run", tmp_path / "records", key_files):
        yield Closed(tmp_path, key_files, config, tmp_path / "run")


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


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
    assert "take a larger disk" in result.output
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


def change_media(closed: Closed, root: Path) -> None:
    del closed
    path = root / layout.segment_file("cam-judge", 0)
    path.write_bytes(b"x" + path.read_bytes()[1:])


def change_media_and_list(closed: Closed, root: Path) -> None:
    before = hash_file(root, layout.segment_file("cam-judge", 0), (root / layout.segment_file("cam-judge", 0)).stat().st_size)
    change_media(closed, root)
    path = root / layout.segment_file("cam-judge", 0)
    after = hash_file(root, layout.segment_file("cam-judge", 0), path.stat().st_size)
    sums = root / layout.SUMS
    sums.write_text(sums.read_text().replace(before, after))


def drop_handover(closed: Closed, root: Path) -> None:
    del closed
    handover_file(root).unlink()


def change_people(closed: Closed, root: Path) -> None:
    del closed
    path = handover_file(root)
    path.write_text(path.read_text().replace(CARRIERS[1], "Somebody Else"))


def add_receipt(closed: Closed, root: Path) -> None:
    del closed
    (root / layout.ANCHORS).write_bytes(b"{}\n")


def put_link(closed: Closed, root: Path) -> None:
    del closed
    path = root / layout.MANIFEST
    path.unlink()
    path.symlink_to("/etc/passwd")


def rename(closed: Closed, root: Path) -> None:
    del closed
    other = root.with_name(root.name[:-1] + "f")
    root.rename(other)
    handover_file(root).rename(handover_file(other))


def sign_anew(closed: Closed, root: Path) -> None:
    """By a thief who has made himself a room of the same name."""
    thief = build("room-1", dt.datetime.now(dt.UTC))
    told = handovers.load_handover(handover_file(root))
    assert isinstance(thief.device.key, ec.EllipticCurvePrivateKey)
    forged = _sign_handover(told, thief)
    handover_file(root).write_bytes(msgspec.json.encode(forged))
    del closed


def _sign_handover(told: Handover, keys: Hierarchy) -> Handover:
    bare = msgspec.structs.replace(
        told, certificate=base64.b64encode(keys.device.certificate.public_bytes(serialization.Encoding.DER)).decode()
    )
    assert isinstance(keys.device.key, ec.EllipticCurvePrivateKey)
    signature = keys.device.key.sign(handover_text(bare), ec.ECDSA(hashes.SHA256()))
    return msgspec.structs.replace(bare, sig=base64.b64encode(signature).decode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_media, "is not what SHA256SUMS says"),
        (change_media_and_list, "its seal is not the one"),
        (drop_handover, "nobody signed for this record"),
        (change_people, "was changed"),
        (add_receipt, "not those that"),
        (put_link, "holds no links"),
        (rename, "is for record"),
        (sign_anew, "vouches"),
    ],
)
def test_the_archive_takes_nothing_from_a_disk_that_somebody_changed(
    closed: Closed, make_record: Make, change: Callable[[Closed, Path], None], why: str
) -> None:
    root = make_record(seconds=1).root
    good(closed.copy())
    change(closed, closed.disk / root.name)
    result = closed.receive()
    assert result.exit_code == 1
    assert why in result.output
    assert in_archive(closed) == []


def in_archive(closed: Closed) -> list[str]:
    return sorted(path.name for path in closed.into.iterdir() if path.is_dir() and not path.name.startswith("."))


@pytest.mark.parametrize("change", [change_media, add_receipt])
def test_one_that_was_changed_keeps_no_other_from_being_taken_and_is_taken_from_a_disk_that_is_right(
    closed: Closed, make_record: Make, change: Callable[[Closed, Path], None]
) -> None:
    first, second = make_record(seconds=1).root, make_record(seconds=1).root
    good(closed.copy())
    change(closed, closed.disk / first.name)
    assert closed.receive().exit_code == 1
    assert in_archive(closed) == [second.name]
    shutil.rmtree(closed.disk)
    closed.disk.mkdir()
    good(closed.copy())
    good(closed.receive())
    assert in_archive(closed) == [first.name, second.name]


def test_a_changed_disk_cannot_spoil_what_the_archive_has(closed: Closed, make_record: Make, authorities: Authorities) -> None:
    builder = make_record()
    good(closed.copy())
    good(closed.receive())
    root = closed.disk / builder.root.name
    (root / layout.ORDERS).mkdir()
    (root / layout.order_file(1)).write_bytes(b"{}\n")
    assert closed.receive().exit_code == 1
    assert verify(closed.into / builder.root.name, Outside(authorities=authorities)).level == "sealed"
    assert not (closed.into / builder.root.name / layout.ORDERS).exists()


@pytest.mark.parametrize(
    ("signer", "change", "why"),
    [
        ("centre", {"room": "room-2"}, "about room room-2"),
        ("centre", {"record": "00000000-0000-4000-8000-000000000000"}, "not here"),
        ("centre", {"sums_sha256": "0" * 64}, "about SHA256SUMS"),
        ("centre", {"verdict": "unsealed"}, "not sealed"),
        ("centre", {"people": ()}, "two different people"),
        ("centre", {"people": ("Dana Kim", "Dana Kim")}, "two different people"),
        ("device", {}, "signed by a room"),
        ("tsa", {}, "not for signing documents"),
    ],
)
def test_the_room_takes_no_receipt_that_proves_nothing(
    closed: Closed, make_record: Make, keys: Hierarchy, signer: str, change: dict[str, object], why: str
) -> None:
    builder = make_record()
    good(closed.copy())
    good(closed.receive())
    path = receipt_file(closed.disk / builder.root.name)
    identity = getattr(keys, signer)
    forged = sign(
        msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Acknowledgement), **change), identity.key, identity.certificate
    )
    path.write_bytes(msgspec.json.encode(forged))
    result = closed.accept()
    assert result.exit_code == 1
    assert why in result.output
    assert not place(builder.root).exists()
    path.write_bytes(b"\xff{}")
    assert "holds no acknowledgement" in closed.accept().output


def test_a_station_of_another_authority_takes_nothing(closed: Closed, make_record: Make, tmp_path: Path) -> None:
    make_record()
    good(closed.copy())
    other = tmp_path / "other.pem"
    other.write_bytes(build("room-1", dt.datetime.now(dt.UTC)).root.pem)
    assert "vouches" in closed.receive(ca=other).output


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
