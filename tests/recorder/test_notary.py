"""What the device signs beside its records, asked for through the recorder's control socket."""

import base64
import hashlib
import shutil
import time
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.upstream.contract import FaultCertificate, fault_text
from recorder.contract import control
from recorder.contract.client import ControlError
from recorder.record import layout
from recorder.record.handover import Handover, handover_text
from recorder.record.trust import Authorities, load_certificates
from recorder.record.verify import Outside, verify
from tests.lab.room import room
from tests.recorder.room_in_process import RoomInProcess


def test_a_record_is_bound_after_its_seal_on_both_disks_and_what_one_missed_is_made_good(tmp_path: Path) -> None:
    with room(tmp_path, mirror=tmp_path / "mirror") as it:
        it.wait_live("cam", "judge", "witness")
        it.begin()
        it.wait(lambda status: status.entries > 20, "something to be recorded")
        root = Path(it.do(control.StopRequest(actor="Clerk")).record)
        record = root.name.rpartition("_")[2]
        outside = Outside(authorities=Authorities(load_certificates(tmp_path / "keys" / "root.pem")))
        copy = tmp_path / "mirror" / root.name

        it.do(control.BindSealed(record=record, hearing="hearing-8", actor="Clerk", reason="it began without a plan"))
        (copy / layout.BINDINGS).unlink()
        for _ in range(3):
            it.do(control.BindSealed(record=record, hearing="hearing-9", case="7599", actor="Clerk", reason="the wrong case"))
        for place in (root, copy):
            verdict = verify(place, outside)
            assert (verdict.level, verdict.hearing, verdict.case) == ("sealed", "hearing-9", "7599")
            assert [given.hearing for given in verdict.bindings] == ["hearing-8", "hearing-9"]

        text = (root / layout.BINDINGS).read_bytes()
        (root / layout.BINDINGS).write_bytes(text.replace(b"hearing-8", b"hearing-7"))
        shutil.rmtree(copy)
        with pytest.raises(ControlError, match="courtroom verify"):
            it.do(control.BindSealed(record=record, hearing="hearing-8", actor="Clerk"))
        with pytest.raises(ControlError, match="no sealed record"):
            it.do(control.BindSealed(record="no-such", hearing="hearing-8", actor="Clerk"))
        with pytest.raises(ControlError, match="name the person"):
            it.do(control.BindSealed(record=record, hearing="hearing-8", actor=" "))


def test_a_fault_is_certified_by_the_device_and_not_before_it_happened(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait(lambda _: True, "the recorder to answer")
        now_us = time.time_ns() // 1000
        fault = control.CertifyFault(
            hearing="hearing-1", cause="recorder_unreachable", channels=["judge"], from_utc_us=now_us - 90_000_000, lost_s=60
        )
        certificate = msgspec.json.decode(it.do(fault).signed, type=FaultCertificate)
        device = x509.load_pem_x509_certificates((tmp_path / "keys" / "device-chain.pem").read_bytes())[0]
        assert certificate.key_id == device.fingerprint(hashes.SHA256()).hex()
        key = device.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(base64.b64decode(certificate.sig), fault_text(certificate), ec.ECDSA(hashes.SHA256()))
        with pytest.raises(ControlError, match="future"):
            it.do(msgspec.structs.replace(fault, from_utc_us=now_us, lost_s=3600))


def test_who_carries_a_record_away_is_signed_by_the_device_and_only_of_a_record_with_that_seal(tmp_path: Path) -> None:
    with room(tmp_path, mirror=tmp_path / "mirror") as it:
        it.wait_live("cam", "judge", "witness")
        it.begin()
        it.wait(lambda status: status.entries > 20, "something to be recorded")
        root = Path(it.do(control.StopRequest(actor="Clerk")).record)
        request = control.CertifyHandover(
            record=root.name.rpartition("_")[2], sums_sha256=hashlib.sha256((root / layout.SUMS).read_bytes()).hexdigest(),
            files_sha256="a" * 64, bytes=1000, files=9, people=["Dana  Kim", "Ivan Petrov"],
        )  # fmt: skip
        handover = msgspec.json.decode(it.do(request).signed, type=Handover)
        assert (handover.room, handover.people) == ("lab", ("Dana Kim", "Ivan Petrov"))
        device = x509.load_der_x509_certificate(base64.b64decode(handover.certificate))
        assert device == x509.load_pem_x509_certificates((tmp_path / "keys" / "device-chain.pem").read_bytes())[0]
        key = device.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(base64.b64decode(handover.sig), handover_text(handover), ec.ECDSA(hashes.SHA256()))
        for change, why in (
            ({"sums_sha256": "0" * 64}, "with this seal"),
            ({"record": "*"}, "with this seal"),
            ({"people": ["Dana Kim", "dana kim"]}, "two named people"),
            ({"people": ["Dana Kim", " "]}, "two named people"),
        ):
            with pytest.raises(ControlError, match=why):
                it.do(msgspec.structs.replace(request, **change))
        with pytest.raises(ControlError, match="no sealed record"):
            it.do(control.BindSealed(record="*", hearing="hearing-8", actor="Clerk"))
        # The other disk's copy is damaged, and must not keep this one here.
        (tmp_path / "mirror" / root.name / layout.SUMS).write_bytes(bytes(100))
        assert msgspec.json.decode(it.do(request).signed, type=Handover).sums_sha256 == request.sums_sha256


async def test_that_a_record_is_gone_is_said_only_when_every_disk_was_looked_at(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    record = (await it.begin()).name.rpartition("_")[2]
    await it.mirror_in_step()
    await it.stop()
    find, other = control.FindRecord(record=record), control.FindRecord(record="2f6e7f64-1f43-4e06-9a5e-8c4a2f0a9d10")
    gone = (await it.do(other)).found
    assert gone is not None
    assert not gone.there
    it.primary.rename(tmp_path / "away")
    found = (await it.do(find)).found
    assert found is not None
    assert found.sealed, "the other disk has it"
    it.mirror.rename(tmp_path / "away too")
    for base in (it.primary, it.mirror):
        reply = await it.do(find)
        assert not reply.ok
        assert "does not answer" in reply.error
        base.mkdir()
    found = (await it.do(find)).found
    assert found is not None
    assert not found.there


async def test_the_records_that_were_begun_since_then_are_named_with_the_hearing_that_they_belong_to_by_now(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    first = (await it.begin()).name
    await it.mirror_in_step()
    await it.stop()
    second = (await it.begin()).name
    await it.stop()
    await it.do(control.BindSealed(record=second.rpartition("_")[2], hearing="hearing-2", actor="Clerk"))
    third = str(await it.begin())
    (it.primary / "no record").mkdir()
    (it.mirror / first / layout.JOURNAL).write_bytes(b"torn")
    found = (await it.do(control.FindRecords(since_utc_us=0))).records
    assert found is not None
    assert [(Path(one.path).name, one.room, one.hearing) for one in found.past] == [
        (first, "room-1", "hearing-1"), (second, "room-1", "hearing-2"),
    ]  # fmt: skip
    assert (found.silent, found.unsealed) == ([], [third])
    it.mirror.rename(tmp_path / "away")
    since = control.FindRecords(since_utc_us=found.past[0].began_utc_us + 1)
    fewer = (await it.do(since)).records
    assert fewer == control.RecordsFound(past=found.past[1:], unsealed=[third], silent=["mirror"])
    await it.stop()


async def test_a_record_is_found_to_its_end_where_a_failing_disk_left_its_journal_in_several_files(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    shutil.rmtree(it.mirror)
    root = await it.begin()
    await it.stop()
    find = control.FindRecord(record=root.name.rpartition("_")[2])
    in_one = (await it.do(find)).found
    assert in_one is not None
    assert in_one.sealed
    *lines, seal, last = (root / layout.JOURNAL).read_bytes().splitlines(keepends=True)
    (root / layout.JOURNAL).write_bytes(b"".join(lines))
    (root / layout.journal_file(2)).write_bytes(seal)
    (root / layout.journal_file(3)).write_bytes(seal + last)
    assert (await it.do(find)).found == in_one


async def test_a_sealed_record_whose_last_line_a_power_cut_tore_is_found(tmp_path: Path) -> None:
    room = RoomInProcess(tmp_path)
    await room.without_children()
    record = await room.begin()
    await room.stop()
    journal = record / layout.JOURNAL
    text = journal.read_bytes().rstrip(b"\n")
    whole, torn = text.rsplit(b"\n", 1)
    journal.write_bytes(whole + b"\n" + torn[:40])
    found = (await room.do(control.FindRecord(record=record.name.rpartition("_")[2]))).found
    assert found is not None
    assert found.sealed
    assert found.head == hashlib.sha256(whole.rsplit(b"\n", 1)[-1]).hexdigest()
    journal.write_bytes(b"torn")
    nothing = await room.do(control.FindRecord(record=record.name.rpartition("_")[2]))
    assert not nothing.ok
    assert "no whole line" in nothing.error
    await room.recorder.close()
