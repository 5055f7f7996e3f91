"""A recipient whose certificate cannot be used costs the room that reader, never its record, and never unnoticed."""

import datetime as dt
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.room import RecipientCertificate
from recorder import media_keys
from recorder.contract import child, control
from recorder.recipients import RecipientError, load_recipients
from recorder.record import entries
from tests.lab.room import Room
from tests.recorder.committing import judged, keys
from tests.recorder.room_in_process import RoomInProcess, alarms_in, entries_of
from tests.recorder.test_cli import courtroom

pytestmark = pytest.mark.timeout(60)


def court(base: Path) -> Path:
    path = base / "court.pem"
    path.write_bytes(keys().court.certificate.public_bytes(Encoding.PEM))
    return path


def of_key(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "archive")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1))
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def put(kind: str, path: Path) -> None:
    if kind == "curve":
        of_key(path, ec.generate_private_key(ec.SECP256R1()))
    elif kind == "short":
        of_key(path, rsa.generate_private_key(65537, 1024))  # noqa: S505 - that it is refused is what is tested
    elif kind == "text":
        path.write_text("not PEM")
    elif kind == "pipe":
        os.mkfifo(path)


WRONG = {
    "curve": "is not of an RSA key",
    "short": "is of 1024 bits",
    "text": "holds no PEM certificate",
    "pipe": "cannot be read: is no regular file",
    "missing": "cannot be read: No such file or directory",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_certificate_that_cannot_be_used_is_told_and_the_others_are(tmp_path: Path, kind: str) -> None:
    good, bad = (RecipientCertificate(name=name, certificate=str(tmp_path / f"{name}.pem")) for name in ("court", "archive"))
    court(tmp_path)
    put(kind, tmp_path / "archive.pem")
    found = load_recipients([bad, good])
    assert [key.name for key in found.keys] == ["court"]
    assert len(found.unread) == 1
    assert found.unread[0].startswith(f"[[recipient]] 'archive': {tmp_path / 'archive.pem'} {WRONG[kind]}")
    assert "check-config" in found.unread[0]
    with pytest.raises(RecipientError, match="archive"):
        load_recipients([bad])
    assert load_recipients([]).keys == []


async def test_the_room_records_for_those_who_are_left_and_says_so(tmp_path: Path) -> None:
    named = [{"name": "court", "certificate": str(court(tmp_path))}, {"name": "archive", "certificate": str(tmp_path / "none.pem")}]
    it = RoomInProcess(tmp_path, recipient=named)
    await it.without_children()
    assert it.alarms() == ["recipient_unread"]
    record = await it.begin()
    await it.stop()
    assert ("recipient_unread", True) in alarms_in(record)
    genesis = entries_of(record)[0]
    assert isinstance(genesis, entries.Genesis)
    assert ([recipient.name for recipient in genesis.recipients], genesis.media) == (["court"], "cenc-aes-ctr")
    await it.recorder.close()


async def test_a_session_whose_tracks_cannot_be_started_is_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path, recipient=[{"name": "court", "certificate": str(court(tmp_path))}])
    device = it.recorder.children["mic"]
    await it.without_children()
    device.opened = child.Opened(driver="test-tone", address="", serial="", tracks={"judge": "audio"})
    it.recorder.children["mic"] = device

    def fails(*_: object) -> bytes:
        raise TypeError("Only RSA keys are supported at this time.")

    monkeypatch.setattr(media_keys, "wrap", fails)
    reply = await it.do(control.Start(hearing="hearing-1", actor="clerk"))
    assert not reply.ok
    assert "could not begin and is over (Only RSA keys" in reply.error
    assert it.recorder.state == "idle"
    assert not control.is_obeyed(control.Start(hearing="hearing-1", actor="clerk"), reply), "it is no start with a warning"
    (record,) = it.primary.glob("*_room-1_*")

    ended = next(entry for entry in entries_of(record) if isinstance(entry, entries.Seal))
    assert ended.reason == "could not begin: Only RSA keys are supported at this time."
    assert judged(record).errors == []
    found = (await it.do(control.FindRecord(record=record.name.rpartition("_")[2]))).found
    assert found is not None
    assert found.reason.startswith(control.COULD_NOT_BEGIN)
    monkeypatch.undo()
    assert (await it.do(control.Start(hearing="hearing-1", actor="clerk"))).ok, "the next one can begin"
    await it.stop()
    await it.store.close()


def test_a_recorder_whose_records_nobody_could_read_says_so_and_begins_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.keys.court.write_text("not PEM")
    status, output = courtroom("recorder", "run", "--config", room.config, "--run", tmp_path / "run")
    assert status == 1
    assert f"{room.keys.court} holds no PEM certificate" in output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("run", ["file", "/proc/none"])
def test_a_directory_of_sockets_that_cannot_be_made_is_one_clear_error(tmp_path: Path, run: str) -> None:
    (tmp_path / "file").write_text("")
    status, output = courtroom("recorder", "run", "--config", Room(tmp_path).config, "--run", tmp_path / run)
    assert status == 1
    assert "name another directory by --run" in output
    assert "Traceback" not in output
