"""Who may open what: the level of a session's start holds from its first byte, and keys are nowhere but in their wrapped files."""

import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from provisioning.keys import make
from recorder import media_keys
from recorder.contract import control
from recorder.contract.client import ControlError
from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.room import Room, room

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def with_press(base: Path) -> str:
    """A second recipient who may open what is open, and nothing else."""
    press = make(base / "press", "press")
    return f'[[recipient]]\nname = "press"\ncertificate = "{press.court}"\nlevels = ["open"]\n'


def opened_by(key: Path, certificate: Path, wrapped: Path) -> bool:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    try:
        media_keys.unwrap(wrapped.read_bytes(), x509.load_pem_x509_certificate(certificate.read_bytes()), private)
    except media_keys.MediaKeyError:
        return False
    return True


def test_a_session_that_begins_secret_is_secret_from_its_first_byte(tmp_path: Path) -> None:
    with room(tmp_path / "room", extra=with_press(tmp_path)) as it:
        it.wait_live("cam", "judge")
        record = Path(it.do(control.Start(hearing="h", actor="Clerk", level="secret")).record)
        it.recorded(1)
        it.do(control.SetLevel(level="open", actor="Judge"))
        it.recorded(1)
        it.stop()
    keys = tmp_path / "press" / "court.key"
    levels = {entry.part: entry.level for _, entry in read_journal(record) if isinstance(entry, entries.Init) and entry.track == "judge"}
    assert levels == {0: "secret", 1: "open"}
    for part, may in ((0, False), (1, True)):
        wrapped = record / "keys" / f"judge-{part:02d}.cms"
        assert opened_by(keys, keys.with_suffix(".pem"), wrapped) is may
        assert opened_by(it.keys.court_key, it.keys.court, wrapped)


def test_a_level_that_nobody_may_open_is_refused_and_recording_goes_on_as_it_was(tmp_path: Path) -> None:
    with room(tmp_path / "room", recipients=False, extra=with_press(tmp_path)) as it:
        it.wait_live("cam", "judge")
        with pytest.raises(ControlError, match=r"nobody may open level 'closed'.*recipient"):
            it.do(control.Start(hearing="h", actor="Clerk", level="closed"))
        record = it.begin()
        it.recorded(1)
        with pytest.raises(ControlError, match="nobody may open level 'secret'"):
            it.do(control.SetLevel(level="secret", actor="Judge"))
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
    assert not [entry for _, entry in read_journal(record) if isinstance(entry, entries.LevelChange)]


def test_no_key_stands_in_the_log_whatever_goes_wrong(tmp_path: Path) -> None:
    with room(tmp_path / "room", program="tests.lab.stumbling_core") as it:
        it.wait_live("judge")
        record = it.begin()
        it.wait(lambda status: any(c.track == "judge" and c.written_us > 2_000_000 for c in status.channels), "sound")
        it.stop()
        keys = [key for track in ("cam", "judge") for key in _keys(it, record, track)]
        log = it.log.read_bytes()
    assert b"ZeroDivisionError" in log, "the core stumbled over the camera's fragments"
    assert keys
    for key in keys:
        assert key.hex().encode() not in log
        assert repr(key).strip("b'\"").encode() not in log


def _keys(it: Room, record: Path, track: str) -> list[bytes]:
    private = serialization.load_pem_private_key(it.keys.court_key.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    certificate = x509.load_pem_x509_certificate(it.keys.court.read_bytes())
    files = sorted((record / "keys").glob(f"{track}-*.cms"))
    return [bytes.fromhex(media_keys.unwrap(file.read_bytes(), certificate, private).key) for file in files]


PAUSES = [
    ("privileged", "off_record"),
    *(pytest.param(*one, marks=pytest.mark.long) for one in (("deliberation", "off_record"), ("privileged", "deliberation"))),
]


@pytest.mark.parametrize(("first", "second"), PAUSES)
def test_from_one_pause_into_another_the_devices_hear_exactly_when_they_may(tmp_path: Path, first: str, second: str) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge", "room-mix")
        record = it.begin()
        it.recorded(1)
        it.do(control.PauseRequest(state=first, actor="Judge"))  # type: ignore[arg-type]
        it.do(control.PauseRequest(state=second, actor="Judge"))  # type: ignore[arg-type]
        paused_us = it.wait(lambda _: True, "status").t_us
        settled = it.wait(lambda status: status.t_us > paused_us + 1_000_000, "the last words of before")
        before, start_us = {c.track: c.units for c in settled.channels}, settled.t_us
        after = it.wait(lambda status: status.t_us > start_us + 3_000_000, "three seconds")
        for channel in after.channels:
            assert (channel.units > before[channel.track]) is (second == "off_record"), channel
        assert not after.alarms
        it.do(control.ResumeRequest(actor="Judge"))
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert len(readback.parts(record, "judge", it.keys.court_key, it.keys.court)) == 2
    shutil.rmtree(record)
