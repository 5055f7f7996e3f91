"""A signature that is still being made when its session is sealed: behind the seal stands no checkpoint but the seal's own."""

import threading
import time
from pathlib import Path

import pytest

from recorder.contract import control
from recorder.record import layout
from recorder.signing import KeySigner
from tests.lab.waiting import until
from tests.recorder.committing import judged, signer
from tests.recorder.room_in_process import RoomInProcess

PATIENCE_S = 5.0


class LateKey(KeySigner):
    """Its first signature comes when a file of the record holds what is waited for."""

    def __init__(self, wanted: bytes, file: str) -> None:
        super().__init__(signer().private_key, signer().chain)
        self.wanted, self.file = wanted, file
        self.record: Path | None = None
        self.asked, self.given = threading.Event(), threading.Event()

    def sign(self, data: bytes) -> bytes:
        if self.record is None or self.asked.is_set():
            return super().sign(data)
        self.asked.set()
        end_s = time.monotonic() + PATIENCE_S
        path = self.record / self.file
        while not (path.exists() and self.wanted in path.read_bytes()):
            assert time.monotonic() < end_s
            time.sleep(0.0005)
        try:
            return super().sign(data)
        finally:
            self.given.set()


@pytest.mark.parametrize(("wanted", "file"), [(b'"type":"seal"', layout.JOURNAL), (b"  journal.jsonl", layout.SUMS)])
async def test_a_signature_that_comes_when_its_session_is_sealed_already_is_let_go(tmp_path: Path, wanted: bytes, file: str) -> None:
    key = LateKey(wanted, file)
    it = RoomInProcess(tmp_path, key)
    key.record = await it.begin()
    opened = it.recorder.opened
    assert opened is not None
    opened.checkpoint()
    await until(key.asked.is_set, "the key to be asked")
    reply = await it.do(control.StopRequest(actor="clerk"))
    assert reply.ok, reply.error
    await until(key.given.is_set, "the signature")
    await it.recorder.close()
    verdict = judged(key.record)
    assert verdict.level == "sealed", verdict.findings
