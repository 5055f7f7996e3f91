"""A seal that a disk or the key refuses: the other disk's copy is sealed where it can be, the room is told, and of the right remedy."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from recorder import seal, sealed_copy
from recorder.contract import control
from recorder.recovery import is_sealed
from recorder.seal import not_sealed
from recorder.signing import KeySigner, SigningError
from tests.recorder.committing import judged, signer
from tests.recorder.room_in_process import RoomInProcess

STOP = control.StopRequest(actor="clerk")


def alarm(it: RoomInProcess, code: str) -> str:
    return next((alarm.detail for alarm in it.recorder.status().alarms if alarm.code == code), "")


async def test_a_record_whose_directory_is_gone_from_the_disk_that_leads_is_sealed_on_the_other_one(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    record = await it.begin()
    await it.mirror_in_step()
    shutil.rmtree(record)
    reply = await it.do(STOP)
    copy = it.mirror / record.name
    assert (reply.ok, reply.record) == (True, str(copy)), reply.error
    assert judged(copy).level == "sealed"
    assert str(record) in alarm(it, "copies_not_completed")
    assert str(copy) in alarm(it, "copies_not_completed")


async def test_a_disk_that_is_full_when_the_record_is_sealed_leaves_the_seal_to_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = RoomInProcess(tmp_path)
    record = await it.begin()
    await it.mirror_in_step()
    refuse_seals(monkeypatch, it.primary)
    reply = await it.do(STOP)
    assert reply.ok, reply.error
    assert is_sealed(it.mirror / record.name)
    assert not is_sealed(record)
    assert f"make room there and start the recorder again; its copy {it.mirror / record.name} is sealed" in alarm(
        it, "copies_not_completed"
    )


async def test_a_disk_that_takes_the_seal_after_all_is_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    record = await it.begin()
    await it.mirror_in_step()
    put_file = seal.put_file
    refused: list[Path] = []

    def put(path: Path, data: bytes) -> None:
        if path.parent == record and not refused:
            refused.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        put_file(path, data)

    monkeypatch.setattr(seal, "put_file", put)
    assert (await it.do(STOP)).ok
    assert refused
    assert is_sealed(record)
    assert is_sealed(it.mirror / record.name)
    assert it.alarms() == []


async def test_a_record_that_no_disk_seals_is_an_alarm_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = RoomInProcess(tmp_path)
    record = await it.begin()
    await it.mirror_in_step()
    refuse_seals(monkeypatch, it.primary, it.mirror)
    reply = await it.do(STOP)
    assert (reply.ok, reply.record) == (False, str(record))
    assert it.recorder.state == "idle"
    assert alarm(it, "record_unsealed") == f"{record}: {reply.error}"
    assert "make room" in reply.error


class LostKey(KeySigner):
    """A token that was pulled."""

    def __init__(self) -> None:
        super().__init__(signer().private_key, signer().chain)

    def sign(self, data: bytes) -> bytes:
        raise RuntimeError(f"token was removed ({len(data)} bytes)")


async def test_a_key_that_fails_is_what_is_to_be_repaired(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path, LostKey())
    await it.begin()
    reply = await it.do(STOP)
    assert "the signing key failed (token was removed" in reply.error
    assert "make room" not in reply.error
    assert reply.error in alarm(it, "record_unsealed")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/d/r/SHA256SUMS.part"), "make room there"),
        (OSError(errno.EIO, os.strerror(errno.EIO), "/d/r/SHA256SUMS.part"), "look after the disk of /d"),
        (SigningError("the signing key does not answer within 10 s"), "repair it"),
        (ValueError("a journal that nobody can read"), "see the recorder's log"),
    ],
)
def test_the_remedy_is_that_of_the_error(error: Exception, remedy: str) -> None:
    words = not_sealed(error, Path("/d/r"))
    assert f"; {remedy}" in words
    assert words.endswith(" and start the recorder again")


def refuse_seals(monkeypatch: pytest.MonkeyPatch, *full: Path) -> None:
    """These disks have no room for a file of the seal any more."""
    put_file = seal.put_file

    def put(path: Path, data: bytes) -> None:
        if any(path.is_relative_to(base) for base in full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        put_file(path, data)

    for module in (seal, sealed_copy):
        monkeypatch.setattr(module, "put_file", put)
