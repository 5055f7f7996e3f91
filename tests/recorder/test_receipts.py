"""Which receipts of the centre are stored beside a record: none that would spoil it."""

import base64
import datetime as dt
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.keys import Identity, build
from recorder.contract import control
from recorder.journal_line import line_sha256
from recorder.record import layout
from recorder.record.checkpoint import Receipt, receipt_text
from recorder.seal import read_heads
from tests.recorder.committing import bytes_of, judged, keys
from tests.recorder.room_in_process import RoomInProcess


def signed(receipt: Receipt, by: Identity) -> str:
    certificate = base64.b64encode(by.certificate.public_bytes(serialization.Encoding.DER)).decode()
    bare = msgspec.structs.replace(receipt, certificate=certificate)
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    signature = by.key.sign(receipt_text(bare), ec.ECDSA(hashes.SHA256()))
    return msgspec.json.encode(msgspec.structs.replace(bare, sig=base64.b64encode(signature).decode())).decode()


def plain(it: RoomInProcess) -> Receipt:
    status = it.recorder.status()
    return Receipt(
        record=Path(status.record).name.rpartition("_")[2], room="room-1", at=status.head_at, head=status.head, counter=1,
        utc_us=int(dt.datetime.now(dt.UTC).timestamp() * 1e6), sig="", certificate="",
    )  # fmt: skip


def receipt_for(it: RoomInProcess) -> str:
    return signed(plain(it), keys().centre)


async def test_a_receipt_for_the_records_own_head_is_stored_while_it_is_made_and_when_it_is_sealed(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    await it.begin()
    assert (await it.do(control.AddReceipt(receipt=receipt_for(it)))).ok
    later = plain(it)
    record = await it.stop()
    last = [head for _, _, head in read_heads(record)][-1]
    final = msgspec.structs.replace(later, at=last.at, head=last.sha256, counter=2)
    assert (await it.do(control.AddReceipt(receipt=signed(final, keys().centre)))).ok
    verdict = judged(record)
    assert (verdict.level, verdict.errors) == ("anchored", [])
    assert len((record / layout.ANCHORS).read_bytes().splitlines()) == 2


async def test_no_receipt_that_would_spoil_a_record_is_stored_and_the_room_is_told_once(tmp_path: Path) -> None:
    it = RoomInProcess(tmp_path)
    await it.begin()
    real = plain(it)
    first = await it.stop()
    await it.begin()
    second = await it.stop()
    before = [bytes_of(record) for record in (first, second)]
    stranger = build("room-1", dt.datetime.now(dt.UTC))
    forged = [
        signed(msgspec.structs.replace(real, record="*"), keys().centre),
        signed(msgspec.structs.replace(real, room="room-2"), keys().centre),
        signed(msgspec.structs.replace(real, head="0" * 64), keys().centre),
        signed(msgspec.structs.replace(real, at=100_000), keys().centre),
        signed(msgspec.structs.replace(real, utc_us=2**62), keys().centre),
        signed(real, keys().device),
        signed(real, stranger.centre),
        msgspec.json.encode(msgspec.structs.replace(real, sig="AAAA", certificate="AAAA")).decode(),
        signed(real, keys().centre).replace('"counter":1', '"counter":7'),
    ]
    for text in forged:
        reply = await it.do(control.AddReceipt(receipt=text))
        assert not reply.ok, text
        assert it.alarms() == ["receipt_refused"]
    long = await it.do(control.AddReceipt(receipt=signed(real, keys().centre).replace('"certificate":"', f'"certificate":"{"A" * 70_000}')))
    assert "no verifier takes more than 65536" in long.error
    elsewhere = signed(msgspec.structs.replace(real, record="7d9f1c1e-52a4-4f0e-9c2b-3f6f8f3b9a11"), keys().centre)
    assert not (await it.do(control.AddReceipt(receipt=elsewhere))).ok
    assert [bytes_of(record) for record in (first, second)] == before
    assert (await it.do(control.AddReceipt(receipt=signed(real, keys().centre)))).ok
    assert it.alarms() == []
    assert judged(first).level == "anchored"


@pytest.mark.parametrize("block_bytes", [40, 300, 1 << 20])
async def test_every_line_is_found_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr("recorder.journal_line._BLOCK_BYTES", block_bytes)
    it = RoomInProcess(tmp_path)
    await it.begin()
    for number in range(20):
        await it.do(control.AddNote(author="a", text=f'"seq":{number}, {"long" * number}'))
    record = await it.stop()
    heads = [head for _, _, head in read_heads(record)]
    assert [line_sha256(record, head.at) for head in heads] == [head.sha256 for head in heads]
    assert line_sha256(record, len(heads)) is None
    assert line_sha256(record, -1) is None
