"""``courtroom deliver`` as a process, with a real centre by mutual TLS: a record goes, also after a kill and a renewed certificate."""

import asyncio
import datetime as dt
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from agent.archive import process, reasons
from agent.archive.acknowledgement import check_for, load, place
from agent.archive.delivery import Delivery, DeliveryStatus, Sender
from agent.archive.records import Records
from agent.archive.upload import Uploader
from agent.archive.vouchers import Vouchers
from agent.desk import SOCKET, DeliveryAnswer, DeliveryReport, Sending
from agent.indicators import of_delivery
from agent.local_server import MAX_BODY_BYTES
from agent.upstream.client import Credentials
from agent.upstream.contract import RecordDelivered
from agent.upstream.enrolment import RoomFiles
from provisioning.keys import Hierarchy, KeyFiles
from provisioning.room import Centre as CentreStanza
from provisioning.room import FileKey, RoomConfig
from provisioning.room_file import load as load_room
from recorder.record import layout
from recorder.record.trust import Authorities, load_certificates
from recorder.signing import KeySigner, open_signer
from tests.archive.conftest import until
from tests.lab.centre import Centre, centre
from tests.record.record_builder import Builder


@dataclass
class Agent:
    """Answers at the agent's socket; a hearing runs where ``hearing`` says so."""

    hearing: bool = False
    reports: list[DeliveryReport] = field(default_factory=list)

    @property
    def events(self) -> list[object]:
        return [event for report in self.reports for event in report.events]

    async def take(self, request: web.Request) -> web.Response:
        self.reports.append(msgspec.json.decode(await request.read(), type=DeliveryReport))
        return web.Response(body=msgspec.json.encode(DeliveryAnswer(hearing=self.hearing)))


@asynccontextmanager
async def listening(run: Path) -> AsyncIterator[Agent]:
    agent = Agent()
    app = web.Application()
    app.router.add_post("/delivery", agent.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(run / SOCKET)).start()
    yield agent
    await runner.cleanup()


def sealed(base: Path, keys: Hierarchy, files: RoomFiles) -> Path:
    """A record of the enrolled room's own device, at rest for two minutes."""
    signer = open_signer(FileKey(kind="file", key=str(files.signing_key), chain=str(files.chain)))
    assert isinstance(signer, KeySigner)
    builder = Builder(base, keys, signer=signer)
    builder.record(4)
    builder.close()
    then = time.time() - 120
    for path in (layout.SUMS_SIGNATURE, layout.SUMS):
        os.utime(builder.root / path, (then, then))
    return builder.root


def configured(base: Path, it: Centre, files: RoomFiles, where: str = 'url = "{}"') -> Path:
    config = base / "room.toml"
    config.write_text(
        f'centre_roots = "{it.home.roots}"\n[room]\nid = "room-1"\ncourt = "Court"\n[storage]\nprimary = "{base / "records"}"\n'
        f'[signing]\nkind = "file"\nkey = "{files.signing_key}"\nchain = "{files.chain}"\n'
        f'[centre]\n{where.format(it.url)}\nkey = "{files.transport_key}"\ncertificate = "{files.transport}"\nroots = "{files.roots}"\n'
        '[[camera]]\nid = "cam"\ndriver = "test-pattern"\n'
    )
    return config


def start(config: Path, run: Path) -> subprocess.Popen[bytes]:
    with config.with_name("deliver.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "deliver", "--config", str(config), "--own-run", str(run)], stdout=log, stderr=log
        )


@pytest.mark.parametrize("where", ['url = "{}"', 'url = "https://127.0.0.1:1"\narchive_url = "{}"'])
def test_a_sealed_record_is_taken_by_the_centre_over_mutual_tls_and_the_agent_is_told(tmp_path: Path, keys: Hierarchy, where: str) -> None:
    with centre(tmp_path) as it:
        files = it.enrol("room-1")
        root = sealed(tmp_path / "records", keys, files)
        config = configured(tmp_path, it, files, where)
        (tmp_path / "run").mkdir()

        async def run() -> None:
            async with listening(tmp_path / "run") as agent:
                child = start(config, tmp_path / "run")
                await until(lambda: bool(agent.reports))
                child.send_signal(signal.SIGKILL)
                child.wait()
                child = start(config, tmp_path / "run")
                try:
                    await until(lambda: bool(agent.events))
                    await until(lambda: reasons.read(root.parent) == reasons.Reasons())
                finally:
                    child.terminate()
                    assert await asyncio.to_thread(child.wait, 20) == 0
                ack = load(place(root))
                (event,) = agent.events
                assert event == RecordDelivered(record=ack.record, sums_sha256=ack.sums_sha256, by=ack.by)
                check_for(root, ack, Authorities(load_certificates(it.home.roots)))

        asyncio.run(run())
        stored = list((it.home.root / "records").rglob(layout.JOURNAL))
        assert [path.read_bytes() for path in stored] == [(root / layout.JOURNAL).read_bytes()]


async def test_a_renewed_certificate_is_taken_up_and_an_old_one_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CREDENTIALS_S", 0.02)
    for name in ("key", "pem", "roots"):
        (tmp_path / name).write_text("old")
    stanza = CentreStanza(
        url="https://127.0.0.1:1", key=str(tmp_path / "key"), certificate=str(tmp_path / "pem"), roots=str(tmp_path / "roots")
    )  # fmt: skip
    task = asyncio.create_task(process._renewed(stanza))
    done, _ = await asyncio.wait([task], timeout=0.3)
    assert not done
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(tmp_path / "pem")
    async with asyncio.timeout(10):
        await task


def closed_network(base: Path, keys: KeyFiles, more: str = "") -> RoomConfig:
    (base / "records").mkdir()
    config = base / "room.toml"
    config.write_text(
        f'centre_roots = "{keys.root}"\n[room]\nid = "room-1"\ncourt = "Court"\n[storage]\nprimary = "{base / "records"}"\n'
        f'[signing]\nkind = "file"\nkey = "{keys.device_key}"\nchain = "{keys.chain}"\n{more}'
        '[[camera]]\nid = "cam"\ndriver = "test-pattern"\n'
    )
    return load_room(config)


@asynccontextmanager
async def delivering(room: RoomConfig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Sender | None]]:
    """``_deliver``, with an agent that is away; what each delivery that it began sends by."""
    began: list[Sender | None] = []
    make = process._delivery

    def begin(room: RoomConfig, vouchers: Vouchers, records: Records, uploader: Uploader | None, agent: process.AgentSocket) -> Delivery:
        began.append(uploader)
        return make(room, vouchers, records, uploader, agent)

    monkeypatch.setattr(process, "_delivery", begin)
    monkeypatch.setattr(process, "CREDENTIALS_S", 0.01)
    vouchers = Vouchers.of(room)
    records = Records([Path(room.storage.primary)], vouchers.read(dt.datetime.now(dt.UTC))[0])
    async with process.AgentSocket(Path(room.storage.primary)) as agent:
        task = asyncio.create_task(process._deliver(room, vouchers, records, agent))
        yield began
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_in_a_closed_network_one_delivery_goes_on_for_ever(
    tmp_path: Path, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    stamps = process._stamps

    def counted(paths: list[Path]) -> list[tuple[int, int]]:
        nonlocal looks
        looks += 1
        return stamps(paths)

    monkeypatch.setattr(process, "_stamps", counted)
    async with delivering(closed_network(tmp_path, key_files), monkeypatch) as began:
        await until(lambda: looks > 5)
        assert began == [None]


async def test_keys_that_cannot_be_used_disturb_no_delivery_until_they_can(
    tmp_path: Path, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    context = Credentials.context

    def counted(credentials: Credentials) -> ssl.SSLContext:
        nonlocal tries
        tries += 1
        return context(credentials)

    monkeypatch.setattr(Credentials, "context", counted)
    key, stanza = tmp_path / "transport.key", f'certificate = "{key_files.centre}"\nroots = "{key_files.root}"\n'
    room = closed_network(tmp_path, key_files, f'[centre]\nurl = "https://127.0.0.1:1"\nkey = "{key}"\n{stanza}')
    async with delivering(room, monkeypatch) as began:
        await until(lambda: tries > 5)
        assert began == [None]
        key.write_bytes(key_files.centre_key.read_bytes())
        await until(lambda: len(began) == 2)
        assert began[1] is not None


@pytest.mark.parametrize("sending", ["2026-11-01_room-1_7", ""])
def test_how_far_a_record_is_on_its_way_is_told_only_while_one_is(sending: str) -> None:
    status = DeliveryStatus(
        pending=1, pending_bytes=8, oldest_pending_h=0.0, sending=sending, done_bytes=2, total_bytes=8, rate_bytes_s=1.0, alarms=()
    )
    report = process._told_of(status)
    assert report.sending == (Sending(record=sending, done_bytes=2, total_bytes=8) if sending else None)
    assert of_delivery(report.indicators).get("upload_sent_percent") == (25.0 if sending else None)


def test_however_many_records_are_refused_the_agent_takes_what_it_is_told() -> None:
    alarms = tuple(f"record {number}: {chr(1) * 2_000}" for number in range(1_000))
    status = DeliveryStatus(
        pending=1, pending_bytes=8, oldest_pending_h=0.0, sending="", done_bytes=0, total_bytes=0, rate_bytes_s=1.0, alarms=alarms
    )
    report = process._told_of(status)
    assert len(msgspec.json.encode(report)) < MAX_BODY_BYTES
    assert report.alarms[-1] == "and 950 more records: `courtroom archive status`"


async def test_the_clock_is_believed_only_while_the_agent_says_that_it_is() -> None:
    answers: list[DeliveryAnswer | process.AgentAwayError] = [
        DeliveryAnswer(hearing=False, clock_believed=True), process.AgentAwayError("away"), DeliveryAnswer(hearing=False),
    ]  # fmt: skip
    said: list[bool | None] = []

    class Asked(process.AgentSocket):
        async def report(self, report: DeliveryReport) -> DeliveryAnswer:
            del report
            if not answers:
                raise asyncio.CancelledError
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    class Told(Delivery):
        def set_clock(self, *, believed: bool | None) -> None:
            said.append(believed)

    async def tell(_: object) -> None:
        pytest.fail("there is no news")

    delivery = Told(Records([], Authorities([])), None, tell, Path("none"), keep_days=1, free_bytes=1)
    with pytest.raises(asyncio.CancelledError):
        await process._report(delivery, Asked(Path()))
    assert said == [True, None, False]
