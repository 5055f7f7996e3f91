"""What may be deleted in a room, and what a deletion leaves behind wherever a crash ends it."""

import dataclasses
import datetime as dt
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.archive import retention
from agent.archive.acknowledgement import check_for, place, store
from agent.archive.records import Records, SealedRecord, Standing
from agent.archive.retention import RetentionError, choose, delete, finish, tombstone_file, tombstones
from provisioning.keys import Hierarchy
from recorder.record import layout
from recorder.record.acknowledgement import AcknowledgementError
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from tests.archive.conftest import acknowledged
from tests.record.record_builder import Builder

DAY_US = 86_400_000_000
NOW_US = 1000 * DAY_US
Make = Callable[..., Builder]


def held(number: int, size: int, acknowledged_us: int | None, *, late: bool) -> SealedRecord:
    standing: Standing = "pending" if acknowledged_us is None else "late" if late else "delivered"
    return SealedRecord(
        name=f"r{number}", record=str(number), room="room-1", began_utc_us=number, bytes=size, files=9, sums_sha256="", files_sha256="",
        copies=(), standing=standing, changed_utc_us=0, acknowledged_utc_us=acknowledged_us,
    )  # fmt: skip


@given(
    records=st.lists(st.tuples(st.integers(0, 10**12), st.one_of(st.none(), st.integers(0, NOW_US)), st.booleans()), max_size=30),
    keep_days=st.floats(0, 900),
    need_bytes=st.integers(-(10**13), 10**13),
)
def test_only_delivered_aged_records_go_oldest_first_and_no_more_than_needed(
    records: list[tuple[int, int | None, bool]], keep_days: float, need_bytes: int
) -> None:
    all_held = [held(number, size, at, late=late) for number, (size, at, late) in enumerate(records)]
    chosen = choose(all_held, now_us=NOW_US, keep_days=keep_days, need_bytes=need_bytes)
    may = [
        one
        for one in all_held
        if one.standing == "delivered" and one.acknowledged_utc_us is not None and NOW_US - one.acknowledged_utc_us >= keep_days * DAY_US
    ]
    assert all(one in may for one in chosen)
    ages = [one.acknowledged_utc_us or 0 for one in chosen]
    assert all(old <= (young.acknowledged_utc_us or 0) for old in ages for young in may if young not in chosen)
    assert sum(one.bytes for one in chosen[:-1]) < max(need_bytes, 1) or not chosen
    assert sum(one.bytes for one in chosen) >= need_bytes or len(chosen) == len(may)


def look(builder: Builder, authorities: Authorities, *more: Path) -> SealedRecord:
    (found,) = Records([builder.root.parent, *more], authorities).look()
    return found


def test_a_record_goes_by_a_valid_acknowledgement_which_stays_in_its_tombstone(
    make_record: Make, keys: Hierarchy, authorities: Authorities
) -> None:
    builder = make_record()
    base = builder.root.parent
    assert look(builder, authorities).standing == "pending"
    store(builder.root, acknowledged(builder, keys.centre))
    found = look(builder, authorities)
    now_us = time.time_ns() // 1000
    assert choose([found], now_us=now_us, keep_days=1, need_bytes=1) == []
    assert choose([found], now_us=now_us + 2 * DAY_US, keep_days=1, need_bytes=1) == [found]
    delete(found, authorities)
    assert [path.name for path in base.iterdir()] == [tombstone_file(builder.root).name]
    (tombstone,) = tombstones(base, pytest.fail)
    assert (tombstone.record, tombstone.bytes) == (found.record, found.bytes)
    assert tombstone.acknowledgement == found.acknowledgement
    assert Records([base], authorities).look() == []


@pytest.mark.parametrize(
    ("signer", "other", "why"),
    [
        ("device", {}, "signed by a room"),
        ("tsa", {}, "not for signing documents"),
        ("centre", {"verdict": "broken"}, "'broken'"),
        ("centre", {"sums_sha256": "0" * 64}, "SHA256SUMS"),
        ("centre", {"record": "another"}, "record another"),
        ("centre", {"room": "room-2"}, "room room-2"),
        ("centre", {"by": "Centre\nroom-1"}, "not for printing"),
        ("centre", {"utc_us": time.time_ns() // 1000 + DAY_US}, "in the future"),
        ("centre", {"utc_us": 1}, "and was not on"),
    ],
)
def test_what_proves_nothing_is_told_and_deletes_nothing(
    make_record: Make, keys: Hierarchy, authorities: Authorities, signer: str, other: dict[str, object], why: str
) -> None:
    builder = make_record()
    forged = acknowledged(builder, getattr(keys, signer), **other)
    store(builder.root, forged)
    found = look(builder, authorities)
    assert found.standing == "pending"
    assert why in found.why
    assert choose([found], now_us=NOW_US * 1000, keep_days=0, need_bytes=10**13) == []
    with pytest.raises(RetentionError, match=builder.root.name):
        delete(dataclasses.replace(found, acknowledgement=forged, standing="delivered"), authorities)
    assert verify(builder.root, Outside(authorities=authorities)).level == "sealed"


@pytest.mark.parametrize("text", ["é", "AAAA", "!"])
def test_a_damaged_acknowledgement_is_refused_in_words(make_record: Make, keys: Hierarchy, authorities: Authorities, text: str) -> None:
    builder = make_record()
    for change in ({"sig": text}, {"certificate": text}):
        with pytest.raises(AcknowledgementError, match=r"damaged|does not hold"):
            check_for(builder.root, msgspec.structs.replace(acknowledged(builder, keys.centre), **change), authorities)


def test_an_altered_acknowledgement_and_a_stranger_are_refused(make_record: Make, keys: Hierarchy, authorities: Authorities) -> None:
    builder = make_record()
    good = acknowledged(builder, keys.centre)
    check_for(builder.root, good, authorities)
    for change in ({"counter": 2}, {"files_sha256": "0" * 64}, {"people": ("A", "B")}, {"bytes": 1}):
        with pytest.raises(AcknowledgementError, match="signature does not hold"):
            check_for(builder.root, msgspec.structs.replace(good, **change), authorities)
    with pytest.raises(AcknowledgementError, match="vouches"):
        check_for(builder.root, good, Authorities([keys.issuing.certificate]))


def change_media(root: Path) -> None:
    path = root / layout.segment_file("cam-judge", 0)
    status = path.stat()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def add_receipt(root: Path) -> None:
    with (root / layout.ANCHORS).open("ab") as file:
        file.write(b"{}\n")


def add_order(root: Path) -> None:
    (root / layout.ORDERS).mkdir()
    (root / layout.order_file(1)).write_bytes(b"{}\n")


def begin_order(root: Path) -> None:
    (root / layout.ORDERS).mkdir()
    (root / layout.order_signature_file(1)).write_bytes(b"half")


def take_away(root: Path) -> None:
    (root / layout.segment_file("cam-judge", 0)).unlink()


def put_link(root: Path) -> None:
    (root / "link").symlink_to("/etc/passwd")


def put_file(root: Path) -> None:
    (root / "tracks" / "more").write_bytes(b"x")


CHANGES = [change_media, add_receipt, add_order, begin_order, take_away, put_link, put_file]


@pytest.mark.parametrize("on", ["primary", "mirror"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_from_the_acknowledgement_on_either_disk_keeps_the_record_there_and_here(
    make_record: Make, keys: Hierarchy, authorities: Authorities, tmp_path: Path, change: Callable[[Path], None], on: str
) -> None:
    builder = make_record()
    store(builder.root, acknowledged(builder, keys.centre))
    shutil.copytree(builder.root, tmp_path / "mirror" / builder.root.name)
    found = look(builder, authorities, tmp_path / "mirror")
    assert (found.standing, len(found.copies)) == ("delivered", 2)
    change(builder.root if on == "primary" else tmp_path / "mirror" / builder.root.name)
    with pytest.raises(RetentionError, match=builder.root.name):
        delete(found, authorities)
    for base in (builder.root.parent, tmp_path / "mirror"):
        assert (base / builder.root.name / layout.SUMS).exists()
        finish(base)
        assert tombstones(base, pytest.fail) == []


def test_a_receipt_that_the_other_disk_missed_holds_nothing_up_and_both_copies_go(
    make_record: Make, keys: Hierarchy, authorities: Authorities, tmp_path: Path
) -> None:
    builder = make_record()
    mirror = tmp_path / "mirror"
    shutil.copytree(builder.root, mirror / builder.root.name)
    (builder.root / layout.ANCHORS).write_bytes(b"{}\n{}\n")
    (mirror / builder.root.name / layout.ANCHORS).write_bytes(b"{}\n{torn")
    store(builder.root, acknowledged(builder, keys.centre))
    found = look(builder, authorities, mirror)
    assert (found.root, found.standing) == (builder.root, "delivered")
    delete(found, authorities)
    assert [path.name for path in mirror.iterdir()] == [path.name for path in builder.root.parent.iterdir()]


def test_a_torn_receipt_is_no_late_file_and_a_whole_one_is(make_record: Make, keys: Hierarchy, authorities: Authorities) -> None:
    builder = make_record()
    store(builder.root, acknowledged(builder, keys.centre))
    records = Records([builder.root.parent], authorities)
    (builder.root / layout.ANCHORS).write_bytes(b"{torn")
    assert [one.standing for one in records.look()] == ["delivered"]
    (builder.root / layout.ANCHORS).write_bytes(b"{torn\n")
    assert [one.standing for one in records.look()] == ["late"]


def crash_at(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that dies before its ``number``-th change of the disk; whether it died."""
    pid = os.fork()
    if pid == 0:
        left = number

        def hook(event: str, args: tuple[object, ...]) -> None:
            nonlocal left
            writes = event == "open" and bool(int(str(args[2])) & (os.O_WRONLY | os.O_RDWR))
            if event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir"} or writes:
                left -= 1
                if left < 0:
                    os._exit(9)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_a_crash_anywhere_in_a_deletion_leaves_the_whole_record_or_its_tombstone(
    make_record: Make, keys: Hierarchy, authorities: Authorities, tmp_path: Path
) -> None:
    made = make_record(seconds=1)
    store(made.root, acknowledged(made, keys.centre))
    outside = Outside(authorities=authorities)
    died, left = 0, set()
    for number in range(500):
        base = tmp_path / f"disk{number}"
        shutil.copytree(made.root.parent, base)
        (found,) = Records([base], authorities).look()
        if not crash_at(number, lambda record=found: delete(record, authorities)):  # type: ignore[misc]
            break
        died += 1
        # A second crash, in the middle of putting right what the first one left.
        crash_at(number % 7, lambda disk=base: finish(disk))  # type: ignore[misc]
        finish(base)
        names = sorted(path.name for path in base.iterdir() if not path.name.endswith(".part"))
        root = base / made.root.name
        if root.exists():
            assert verify(root, outside).level == "sealed"
            assert names == [root.name, place(root).name]
            assert [one.standing for one in Records([base], authorities).look()] == ["delivered"]
        else:
            assert names == [tombstone_file(root).name]
            assert [one.name for one in tombstones(base, pytest.fail)] == [root.name]
        left.add(root.exists())
        shutil.rmtree(base)
    assert died > 10
    assert left == {True, False}


def test_a_receipt_that_comes_in_the_moment_of_deletion_brings_the_record_back(
    make_record: Make, keys: Hierarchy, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = make_record()
    store(builder.root, acknowledged(builder, keys.centre))
    found = look(builder, authorities)
    judge = retention._judge

    def slow(*args: object) -> object:
        answer = judge(*args)  # type: ignore[arg-type]
        add_receipt(builder.root)
        return answer

    monkeypatch.setattr(retention, "_judge", slow)
    with pytest.raises(RetentionError, match="in this moment"):
        delete(found, authorities)
    assert (builder.root / layout.ANCHORS).exists()
    assert tombstones(builder.root.parent, pytest.fail) == []


@pytest.mark.parametrize("again", [False, True])
def test_a_disk_that_fails_in_a_deletion_keeps_the_record_and_tells_of_none(
    make_record: Make, keys: Hierarchy, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    """``again``: nor can it be put right at once."""
    builder = make_record()
    store(builder.root, acknowledged(builder, keys.centre))
    found, base, files = look(builder, authorities), builder.root.parent, retention._files

    def read(root: Path) -> dict[str, tuple[int, int, int]]:
        if root.parent.name == retention.LEAVING:
            raise OSError(errno.EIO, "Input/output error")
        return files(root)

    def fail(disk: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(disk))

    with monkeypatch.context() as patched:
        patched.setattr(retention, "_files", read)
        if again:
            patched.setattr(retention, "finish", fail)
        with pytest.raises(RetentionError, match="Input/output error"):
            delete(found, authorities)
    assert builder.root.exists() != again
    assert tombstones(base, pytest.fail) == []
    finish(base)
    assert verify(builder.root, Outside(authorities=authorities)).level == "sealed"
    assert not tombstone_file(builder.root).exists()


def test_what_was_not_yet_given_up_comes_back_and_what_was_goes(make_record: Make, keys: Hierarchy, authorities: Authorities) -> None:
    """A crash between the two moves of a deletion, and one behind the second."""
    builder = make_record()
    base = builder.root.parent
    store(builder.root, acknowledged(builder, keys.centre))
    for directory, stays in ((retention.LEAVING, True), (retention.DELETING, False)):
        tombstone_file(builder.root).write_bytes(b"{}")
        (base / directory).mkdir()
        builder.root.rename(base / directory / builder.root.name)
        finish(base)
        assert builder.root.exists() == stays == place(builder.root).exists()
        assert tombstone_file(builder.root).exists() != stays
        if stays:
            assert verify(builder.root, Outside(authorities=authorities)).level == "sealed"


def test_a_revoked_signer_lets_nothing_go_whenever_he_says_that_he_signed(make_record: Make, keys: Hierarchy) -> None:
    """Who stole the key dates what he signs as he likes."""
    builder = make_record()
    store(builder.root, acknowledged(builder, keys.centre, utc_us=time.time_ns() // 1000 - 1_800_000_000))
    now = dt.datetime.now(dt.UTC)
    entry = x509.RevokedCertificateBuilder().serial_number(keys.centre.certificate.serial_number).revocation_date(now).build()
    listed = x509.CertificateRevocationListBuilder().issuer_name(keys.root.certificate.subject).last_update(now)
    listed = listed.next_update(now + dt.timedelta(days=1)).add_revoked_certificate(entry)
    assert isinstance(keys.root.key, ec.EllipticCurvePrivateKey)
    revocations = listed.sign(keys.root.key, hashes.SHA256())
    before = look(builder, Authorities([keys.root.certificate]))
    assert before.standing == "delivered"
    authorities = Authorities([keys.root.certificate], [revocations])
    assert "was revoked" in look(builder, authorities).why
    with pytest.raises(RetentionError, match="was revoked"):
        delete(before, authorities)
