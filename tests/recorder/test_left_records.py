"""What the room's disks hold that looks sealed and is not, holds more than what is sealed, or was left behind."""

import datetime as dt
import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import sign
from agent.archive.retention import Tombstone, tombstone_file
from provisioning.keys import Identity, build
from provisioning.room import Storage
from recorder.checkpointer import checkpoint
from recorder.left_records import unsealed
from recorder.record import entries, layout
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.journal import Chain, Times
from recorder.recovery import chain_of
from recorder.room_disks import RoomDisks
from recorder.seal import cms_signature
from recorder.seal_trust import SealTrust
from recorder.signing import KeySigner
from tests.lab.waiting import until
from tests.recorder.committing import NAME, RECORD, START_UTC_US, Writer, bytes_of, copy_of, judged, keys, sealed_and_behind, signer, trust
from tests.recorder.room_in_process import RoomInProcess


def tombstone(*, signer: Identity | None = None, record: str = str(RECORD), forged: bool = False) -> bytes:
    """What a deletion leaves, by an archive's acknowledgement; a forged one was changed behind its signature."""
    archive = signer or keys().centre
    assert isinstance(archive.key, ec.EllipticCurvePrivateKey)
    bare = Acknowledgement(
        record=record, room="room-1", sums_sha256="0" * 64, files_sha256="1" * 64, bytes=1, files=1, verdict="sealed", counter=1,
        utc_us=START_UTC_US, by="Centre", sig="", certificate="",
    )  # fmt: skip
    ack = sign(bare, archive.key, archive.certificate)
    if forged:
        ack = msgspec.structs.replace(ack, counter=2)
    made = Tombstone(
        name=NAME, record=record, room="room-1", sums_sha256="0" * 64, files_sha256="1" * 64, bytes=1, files=1,
        deleted_utc_us=START_UTC_US, acknowledgement=ack,
    )  # fmt: skip
    return msgspec.json.encode(made)


def other_signer(room: str) -> KeySigner:
    made = build(room, dt.datetime.now(dt.UTC))
    assert isinstance(made.device.key, ec.EllipticCurvePrivateKey)
    return KeySigner(made.device.key, [made.device.certificate, made.issuing.certificate])


def left_open(base: Path) -> Path:
    """A record as a power cut leaves it."""
    writer = Writer(base / "first")
    writer.record(6, per_segment=2)
    root = copy_of(writer.root, base / "primary")
    writer.committer.close()
    return root


def lay_seal(root: Path, signature: Callable[[bytes], bytes]) -> None:
    """What somebody who has the disk can lay there."""
    (root / layout.MANIFEST).write_text(f'{{"record":"{root.name.rpartition("_")[2]}"}}\n')
    listed = [path for path in sorted(bytes_of(root)) if path not in layout.UNHASHED]
    sums = "".join(f"{hashlib.sha256((root / path).read_bytes()).hexdigest()}  {path}\n" for path in listed).encode()
    (root / layout.SUMS).write_bytes(sums)
    (root / layout.SUMS_SIGNATURE).write_bytes(signature(sums))


def garbage(_: bytes) -> bytes:
    return b"no signature at all"


def by_another_device(sums: bytes) -> bytes:
    return cms_signature(sums, other_signer("room-1"))


def over_other_bytes(_: bytes) -> bytes:
    return cms_signature(b"something else", signer())


@pytest.mark.parametrize("signature", [garbage, by_another_device, over_other_bytes])
async def test_a_session_whose_one_copy_is_named_as_sealed_and_is_not_goes_on_from_the_other(
    tmp_path: Path, signature: Callable[[bytes], bytes]
) -> None:
    it = RoomInProcess(tmp_path)
    false = left_open(tmp_path)
    good = copy_of(false, tmp_path / "mirror")
    journal = false / layout.JOURNAL
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:12]))
    lay_seal(false, signature)
    before = bytes_of(false)
    try:
        await it.without_children()
        await until(lambda: "record_damaged" in it.alarms(), "the alarm")
        assert it.recorder.status().record == str(good)
        await it.mirror_in_step()
        sealed = await it.stop()
    finally:
        await it.recorder.close()
    assert judged(sealed).level == "sealed"
    kept = bytes_of(false.parent / ".differs" / NAME)
    for name in (layout.SUMS, layout.SUMS_SIGNATURE, layout.MANIFEST):
        assert kept[f"{name}.1"] == before[name]


def test_nothing_is_copied_from_or_to_what_is_named_as_sealed_and_is_not(tmp_path: Path) -> None:
    false = left_open(tmp_path)
    good = copy_of(false, tmp_path / "mirror")
    lay_seal(false, garbage)
    before = bytes_of(false), bytes_of(good)
    disks = disks_of(tmp_path)
    assert f"{false} is named as sealed, and is not" in disks._complete_each()
    assert (bytes_of(false), bytes_of(good)) == before


async def test_a_disk_that_does_not_let_a_false_seal_be_moved_keeps_no_session_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = RoomInProcess(tmp_path)
    false = left_open(tmp_path)
    good = copy_of(false, tmp_path / "mirror")
    journal, rename = false / layout.JOURNAL, Path.rename
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:12]))
    lay_seal(false, garbage)

    def refuse(path: Path, target: Path) -> Path:
        if path.parent == false:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    try:
        await it.without_children()
        assert it.recorder.status().record == str(good)
        sealed = await it.stop()
    finally:
        await it.recorder.close()
    assert judged(sealed).level == "sealed"
    assert (false / layout.SUMS_SIGNATURE).read_bytes() == garbage(b"")


def disks_of(base: Path) -> RoomDisks:
    return RoomDisks(Storage(primary=str(base / "primary"), mirror=str(base / "mirror")), trust())


def test_the_seal_of_another_record_seals_none(tmp_path: Path) -> None:
    record, behind = sealed_and_behind(tmp_path)
    other = behind.with_name("2026-01-01_room-1_00000000-0000-0000-0000-000000000000")
    shutil.copytree(record, other)
    assert trust().is_sealed(record)
    assert "is the seal of the record" in trust().refusal(other)


def test_a_seal_counts_when_its_certificate_was_renewed_or_its_device_replaced_since_and_not_of_another_room(tmp_path: Path) -> None:
    record, _ = sealed_and_behind(tmp_path)
    device = keys().device
    later = other_signer("room-1")
    assert SealTrust(later.chain, [keys().root.certificate]).is_sealed(record)
    assert SealTrust([device.certificate]).is_sealed(record)
    assert not SealTrust(later.chain).is_sealed(record)
    assert not SealTrust(other_signer("room-2").chain, [keys().root.certificate]).is_sealed(record)


def test_a_copy_that_holds_more_than_the_sealed_record_stays_whole_and_is_an_alarm(tmp_path: Path) -> None:
    """The disk that led did not answer at the start: what was behind went on, and was sealed."""
    writer = Writer(tmp_path / "first")
    writer.record(4, per_segment=2)
    behind = copy_of(writer.root, tmp_path / "mirror")
    writer.record(6, per_segment=2)
    more = copy_of(writer.root, tmp_path / "primary")
    writer.committer.close()
    writer.take_up(behind)
    writer.seal()
    before = bytes_of(more)
    disks, told = disks_of(tmp_path), list[tuple[str, str, bool]]()
    disks.trouble = lambda code, detail, on: told.append((code, detail, on))
    disks._complete_all()
    assert [(code, on) for code, _, on in told] == [("copies_not_completed", True)]
    assert str(more) in told[0][1]
    assert str(behind) in told[0][1]
    assert bytes_of(more) == before
    assert not (more.parent / ".differs").exists()


def test_lines_of_a_round_that_failed_on_a_disk_keep_its_copy_from_no_completion(tmp_path: Path) -> None:
    record, behind = sealed_and_behind(tmp_path)
    chain = Chain(chain_of(behind)[-1])
    with (behind / layout.JOURNAL).open("ab") as journal:
        journal.write(chain.line(entries.Note(author="clerk", text="of a round that failed", at_us=0), Times(1, 1, 1)))
    assert disks_of(tmp_path)._complete_each() == ""
    assert bytes_of(record) == bytes_of(behind)


def test_a_copy_that_is_signed_behind_where_it_parts_is_not_completed_though_it_is_shorter(tmp_path: Path) -> None:
    _, behind = sealed_and_behind(tmp_path)
    chain, times = Chain(chain_of(behind)[-1]), Times(1, 1, 1)
    with (behind / layout.JOURNAL).open("ab") as journal:
        journal.write(chain.line(entries.Note(author="clerk", text="went on here", at_us=0), times))
        journal.write(chain.line(checkpoint(signer(), NAME.rpartition("_")[2], chain.head), times))
    before = bytes_of(behind)
    assert "holds what the sealed" in disks_of(tmp_path)._complete_each()
    assert bytes_of(behind) == before


def test_what_is_left_of_a_record_that_was_delivered_and_deleted_is_not_sealed_again(tmp_path: Path) -> None:
    record, behind = sealed_and_behind(tmp_path)
    shutil.rmtree(record)
    disks = disks_of(tmp_path)
    assert disks.unsealed() == [behind]
    tombstone_file(record).write_bytes(tombstone())
    assert disks.unsealed() == []
    assert f"{behind} was left behind" in disks._complete_each()


OTHERS = build("room-1", dt.datetime.now(dt.UTC))


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        (lambda: b"{}", "missing required field"),
        (lambda: tombstone()[:-200], "truncated"),
        (lambda: tombstone(signer=keys().device), "signed by a room"),
        (lambda: tombstone(signer=OTHERS.centre), "no given authority vouches for"),
        (lambda: tombstone(record="7d9f1c1e-52a4-4f0e-9c2b-3f6f8f3b9a12"), "is about record 7d9f1c1e-52a4-4f0e-9c2b-3f6f8f3b9a12"),
        (lambda: tombstone(forged=True), "signature does not hold"),
    ],
)
def test_a_file_that_says_without_proof_that_a_record_was_deleted_keeps_no_session_from_going_on(
    tmp_path: Path, planted: Callable[[], bytes], why: str
) -> None:
    root = left_open(tmp_path)
    (tmp_path / "mirror").mkdir()
    tombstone_file(tmp_path / "mirror" / root.name).write_bytes(planted())
    disks, told = disks_of(tmp_path), list[str]()
    disks.trouble = lambda code, detail, on: told.append(f"{code} {detail} {on}")
    assert disks.unsealed() == [root]
    (alarm,) = told
    assert alarm.startswith("record_damaged ")
    assert "proves nothing" in alarm
    assert why in alarm


def test_where_nobody_is_named_who_vouches_for_an_archive_its_word_counts_for_the_record_that_it_names(tmp_path: Path) -> None:
    root, told = left_open(tmp_path), list[str]()
    alone = SealTrust(signer().chain)
    tombstone_file(root).write_bytes(tombstone(signer=OTHERS.centre))
    assert unsealed([root.parent], alone, told.append) == []
    assert told == []
    tombstone_file(root).write_bytes(tombstone(record="7d9f1c1e-52a4-4f0e-9c2b-3f6f8f3b9a12"))
    assert unsealed([root.parent], alone, told.append) == [root]
    assert len(told) == 1
