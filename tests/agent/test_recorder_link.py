"""The link to the recorder, held against a real one that is really stopped, killed and started again."""

import asyncio
import base64
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.recorder_link import STALE_S, RecorderAwayError, RecorderLink, RecorderRefusedError
from recorder.contract import control
from recorder.record.checkpoint import Receipt, receipt_text
from tests.lab.room import Room, room
from tests.lab.waiting import until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with room(tmp_path_factory.mktemp("lab")) as it:
        it.wait_live()
        yield it


@asynccontextmanager
async def running(link: RecorderLink) -> AsyncIterator[None]:
    task = asyncio.create_task(link.run())
    try:
        yield
        assert not task.done(), "the link never ends by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def receipt(lab: Room, record: Path, head: tuple[int, str], counter: int) -> Receipt:
    """The centre's, for the head at a line."""
    key = serialization.load_pem_private_key(lab.keys.centre_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = x509.load_pem_x509_certificate(lab.keys.centre.read_bytes())
    certificate = base64.b64encode(signer.public_bytes(serialization.Encoding.DER)).decode()
    bare = Receipt(
        record=record.name.rpartition("_")[2], room="lab", at=head[0], head=head[1], counter=counter, utc_us=time.time_ns() // 1000, sig="",
        certificate=certificate,
    )  # fmt: skip
    return msgspec.structs.replace(bare, sig=base64.b64encode(key.sign(receipt_text(bare), ec.ECDSA(hashes.SHA256()))).decode())


async def test_a_recorder_that_comes_later_is_found(tmp_path: Path) -> None:
    link = RecorderLink(tmp_path)
    async with running(link):
        with pytest.raises(RecorderAwayError, match="is it running"):
            await link.do(control.ArmRequest(on=True, actor="Clerk"))
        assert not link.reachable
        assert link.age_s is None
        told = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            told.set()
            writer.write(b"nonsense\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(serve, path=str(tmp_path / "control.sock"))
        await asyncio.wait_for(told.wait(), 10)
        server.close()
        assert not link.reachable, "what is no state says nothing of the recorder"


async def test_its_state_is_followed_and_its_refusals_are_told(lab: Room) -> None:
    link = RecorderLink(lab.run_dir)
    async with running(link):
        await until(lambda: link.reachable, "the first state")
        assert link.status is not None
        assert {channel.track for channel in link.status.channels} >= {"cam", "judge"}
        with pytest.raises(RecorderRefusedError):
            await link.do(control.StopRequest(actor="Clerk"))
        reply = await link.do(control.Start(hearing="H-1", actor="Clerk"))
        assert reply.record
        await until(lambda: link.status is not None and link.status.state == "open", "the session's state")
        await link.do(control.StopRequest(actor="Clerk"))


async def test_a_recorder_that_hangs_counts_as_away_and_goes_on_as_there(lab: Room) -> None:
    seen: list[bool] = []
    link = RecorderLink(lab.run_dir, on_reachable=seen.append)
    assert lab.process is not None
    async with running(link):
        await until(lambda: link.reachable, "the first state")
        os.kill(lab.process.pid, signal.SIGSTOP)
        try:
            await until(lambda: not link.reachable, "the hang to be seen", STALE_S + 1)
            await until(lambda: seen == [True, False], "the hang to be told", 2)
            with pytest.raises(RecorderAwayError, match=r"within 0\.3 s"):
                await link.do(control.ArmRequest(on=False, actor="Clerk"), deadline_s=0.3)
        finally:
            os.kill(lab.process.pid, signal.SIGCONT)
        await until(lambda: link.reachable, "the state again")
        assert seen == [True, False, True]


async def test_a_recorder_that_is_killed_is_found_again_and_takes_the_receipts_that_came_meanwhile(lab: Room) -> None:
    seen: list[bool] = []
    link = RecorderLink(lab.run_dir, on_reachable=seen.append)
    async with running(link):
        await until(lambda: link.reachable, "the first state")
        reply = await link.do(control.Start(hearing="H-2", actor="Clerk"))
        record = Path(reply.record)
        await until(lambda: link.status is not None and link.status.head_at >= 0, "the first head")
        status = link.status
        lab.kill()
        await until(lambda: seen == [True, False], "the end to be told", 2)
        assert link.status is not None
        assert status is not None
        assert not link.reachable
        head = (status.head_at, status.head)
        for place, counter in ((record, 6), (record.with_name("2024-01-01_lab_no-such-record"), 1), (record, 7)):
            await link.keep(receipt(lab, place, head, counter))
        lab.start()
        await until(lambda: link.reachable, "the new recorder")
        anchors = record / "anchors.jsonl"
        await until(lambda: anchors.exists() and '"counter":7' in anchors.read_text(), "the last receipt beside the record")
        assert anchors.read_text().index('"counter":6') < anchors.read_text().index('"counter":7')
        await link.do(control.StopRequest(actor="Clerk"))


async def test_a_user_who_may_not_is_told_so_and_the_link_goes_on(tmp_path: Path) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(control.json_encoder.encode(control.Reply(ok=False, error="this user may not control the recorder")) + b"\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(refuse, path=str(tmp_path / "control.sock"))
    link = RecorderLink(tmp_path)
    async with running(link):
        with pytest.raises(RecorderRefusedError, match="may not control"):
            await link.do(control.ArmRequest(on=True, actor="Clerk"))
        assert not link.reachable
    server.close()


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (control.StopRequest(actor="agent", reason="forgotten_stop"), {"actor", "reason"}),
        (control.BindRequest(hearing="h1", actor="agent"), {"hearing", "actor"}),
    ],
)
def test_a_recorder_of_before_that_does_not_know_a_field_can_be_asked_without_it(request_: control.Request, fields: set[str]) -> None:
    assert set(msgspec.json.decode(control.json_encoder.encode(request_))) == {"do"} | fields
