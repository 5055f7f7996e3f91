"""The agent's doors inside the PC: probes that tell the truth, and orders by those who may give them only."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent import desk
from agent.desk import SOCKET, DeliveryAnswer, DeliveryReport
from agent.indicators import compose
from agent.local_server import MAX_BODY_BYTES, LocalServer, Probes
from agent.metrics import RoomMetrics, Snapshot
from agent.probes import ready, recording
from agent.recorder_link import RecorderAwayError, RecorderLink, RecorderRefusedError
from agent.status_history import StatusHistory
from recorder.contract import control
from tests.agent.statuses import alarm, disk, sound, status, video
from tests.lab.room import room
from tests.lab.waiting import until

STATE = desk.DeskState(
    room="lab", utc_us=1, recorder="idle", centre_reached=False, languages=["en", "kk"], timezone="Asia/Almaty",
    hearings=[
        desk.PlannedHearing(
            id="2026-17", case="7-1", title="Title", judge="Judge B.", starts_utc_us=1_795_000_000_000_000,
            ends_utc_us=1_795_003_600_000_000, state="planned",
        )
    ],
    others=[
        desk.OtherSession(
            session="ddcf5111-0b5c-4c79-a2a5-5d9e1f1f8f5e", hearing="2026-99", case="7-9", state="open",
            began_utc_us=1_795_000_000_000_000,
        )
    ],
    sending=desk.Sending(record="2026-11-01_lab_7", done_bytes=299, total_bytes=1_000),
    prompts=[
        desk.Prompt(id="p1", code="begin", words={"en": "Hearing 2026-17 is due. Begin?"}, until_utc_us=1_795_000_000_000_000),
        desk.Prompt(
            id="p2", code="not_started", words={"en": "Say why it was not held."}, asks=False, command="courtroom hearing not-held 2026-16"
        ),
    ],
)  # fmt: skip


@dataclass
class NotedDesk:
    """Notes what it is asked."""

    orders: list[desk.Order] = field(default_factory=list)
    refuses: Exception | None = None
    warns: str = ""
    shown: desk.DeskState = STATE

    def state(self) -> desk.DeskState:
        return self.shown

    async def _take(self, order: desk.Order) -> desk.Said:
        if self.refuses:
            raise self.refuses
        self.orders.append(order)
        return desk.Said(text=f"done: {type(order).__name__}", session="s-1", warning=self.warns)

    start = stop = pause = resume = note = bind = withdraw = not_held = answer = _take

    async def diagnostics(self, order: desk.DiagnosticsOrder) -> desk.Checked:
        self.orders.append(order)
        return desk.Checked(checks=[])


def probes(history: StatusHistory | None = None, now: control.Status | None = None) -> Probes:
    history = history or StatusHistory()
    metrics = RoomMetrics(
        lambda: Snapshot(values=compose(history, 0.0), status=now, reachable=now is not None, version="1.2.3", room="lab")
    )
    return Probes(
        ready=lambda: ready(now, reachable=now is not None),
        recording=lambda: recording(now, history, 0.0, reachable=now is not None),
        metrics=metrics.text,
    )


@asynccontextmanager
async def local(socket_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession("http://agent", connector=aiohttp.UnixConnector(str(socket_path))) as session:
        yield session


async def get(url: str, **options: Any) -> tuple[int, bytes, str]:
    async with aiohttp.ClientSession() as session, session.request(options.pop("method", "GET"), url, **options) as response:
        return response.status, await response.read(), response.headers.get("Content-Type", "")


async def test_the_port_is_closed_by_default_and_open_on_loopback_alone(tmp_path: Path) -> None:
    async with LocalServer(probes(), NotedDesk(), tmp_path) as closed:
        assert closed.port is None
    async with LocalServer(probes(), NotedDesk(), tmp_path, port=0) as server:
        assert (await get(f"http://127.0.0.1:{server.port}/live"))[0] == 200
        own = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        others = {str(one[4][0]) for one in own} - {"127.0.0.1"} or {"127.0.0.2"}
        for address in others:
            with pytest.raises(aiohttp.ClientConnectionError):
                await get(f"http://{address}:{server.port}/live", timeout=aiohttp.ClientTimeout(total=3))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", ""])
async def test_another_hosts_name_is_refused_so_that_no_page_in_a_browser_reads_it(tmp_path: Path, host: str) -> None:
    async with LocalServer(probes(), NotedDesk(), tmp_path, port=0) as server:
        for path in ("/live", "/ready", "/recording", "/metrics"):
            code, body, _ = await get(f"http://127.0.0.1:{server.port}{path}", headers={"Host": host.format(port=server.port)})
            assert code in {400, 421}, (path, body)
            assert b"courtroom_" not in body
        assert (await get(f"http://127.0.0.1:{server.port}/live", headers={"Host": f"localhost:{server.port}"}))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_the_port_is_read_only_and_takes_no_orders(tmp_path: Path, method: str) -> None:
    noted = NotedDesk()
    async with LocalServer(probes(), noted, tmp_path, port=0) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert (await get(f"{base}/live", method=method))[0] == 405
        for path in ("/start", "/stop", "/state"):
            assert (await get(base + path, method=method, json={"actor": "A. Clerk"}))[0] in {404, 405}
    assert noted.orders == []


async def test_a_header_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with LocalServer(probes(), NotedDesk(), tmp_path, port=0) as server:
        assert (await get(f"http://127.0.0.1:{server.port}/live", headers={"X-Long": "a" * 9000}))[0] == 400


async def test_a_port_that_is_taken_keeps_nobody_from_giving_orders_and_is_opened_when_it_is_free(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with LocalServer(probes(), NotedDesk(), other, port=port, port_again_s=0.02) as server:
            assert f"[metrics] port = {port}: " in server.trouble
            assert "name one in room.toml" in server.trouble
            async with local(other / SOCKET) as session, session.get("/state") as answer:
                assert answer.status == 200
            taken.close()
            await until(lambda: not server.trouble, "the port to be opened")
            assert (await get(f"http://127.0.0.1:{port}/live"))[0] == 200
    assert not (other / SOCKET).exists()


async def test_a_room_that_is_not_ready_says_why(tmp_path: Path) -> None:
    async with LocalServer(probes(), NotedDesk(), tmp_path, port=0) as server:
        code, body, kind = await get(f"http://127.0.0.1:{server.port}/ready")
        assert (code, kind) == (503, "application/json")
        assert "recorder does not answer" in msgspec.json.decode(body)["reasons"][0]
    for bad, says in (
        (status(video(), disks=[disk("gone")]), "disk primary"),
        (status(video(), alarms=[alarm("disk_full")]), "disk_full"),
        (status(), "no camera"),
    ):
        (reason,) = ready(bad, reachable=True).reasons
        assert says in reason
    assert ready(status(video()), reachable=True).ready
    assert not ready(status(video()), reachable=False).ready, "an old state says nothing"


def test_recording_is_what_comes_to_the_disk_and_nothing_else() -> None:
    history = StatusHistory()
    history.feed(status(video(written_us=1), sound(written_us=1)), 0.0)
    history.feed(status(video(written_us=2), sound(written_us=1)), 5.0)
    now = recording(status(video(written_us=2), sound(written_us=1)), history, 5.0, reachable=True)
    assert (now.recording, now.written, now.still) == (True, ["cam"], ["judge"])
    assert not recording(status(video()), history, 9.0, reachable=True).recording, "open, but nothing moves"
    assert not recording(status(video(), state="deliberation"), history, 5.0, reachable=True).recording
    assert recording(status(video()), history, 5.0, reachable=False).state == "unreachable"


async def test_metrics_are_prometheus_in_base_units_without_the_hearings_name(tmp_path: Path) -> None:
    history = StatusHistory()
    now = status(video(units=7, dropped=2, bytes_written=1000), sound(), t_us=90_000_000, alarms=[alarm("silent", "judge")])
    history.feed(now, 0.0)
    async with LocalServer(probes(history, now), NotedDesk(), tmp_path, port=0) as server:
        code, body, kind = await get(f"http://127.0.0.1:{server.port}/metrics")
    assert code == 200
    assert kind.startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    value = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families.values() for s in family.samples}
    assert value["courtroom_recording_commit_p99_seconds", ()] == pytest.approx(0.009)
    assert value["courtroom_session_duration_seconds", ()] == 90
    assert value["courtroom_track_dropped_units_total", (("track", "cam"),)] == 2
    assert families["courtroom_track_dropped_units"].type == "counter"
    assert value["courtroom_track_level_dbfs", (("track", "judge"),)] == -40
    assert value["courtroom_alarm", (("code", "silent"), ("track", "judge"))] == 1
    assert value["courtroom_agent_info", (("room", "lab"), ("version", "1.2.3"))] == 1
    assert b"H-1" not in body
    assert b"/records" not in body


async def test_orders_reach_the_desk_with_the_name_of_who_gave_them(tmp_path: Path) -> None:
    noted = NotedDesk()
    async with LocalServer(probes(), noted, tmp_path), local(tmp_path / SOCKET) as session:
        async with session.get("/state") as answer:
            assert msgspec.json.decode(await answer.read(), type=desk.DeskState) == STATE
        orders: dict[str, dict[str, object]] = {
            "/start": {"hearing": "2026-17"},
            "/stop": {},
            "/pause": {"state": "off_record"},
            "/resume": {},
            "/note": {"text": "Қазақша\nru"},
            "/bind": {"hearing": "2026-18"},
            "/withdraw": {"session": "s-1"},
            "/not-held": {"hearing": "2026-17", "reason": "illness"},
            "/answer": {"prompt": "p1", "yes": True},
            "/diagnostics": {},
        }
        for path, body in orders.items():
            async with session.post(path, json={"actor": "Ә. Хатшы"} | body) as answer:
                assert answer.status == 200, await answer.text()
    assert [type(one).__name__ for one in noted.orders] == [
        "StartOrder", "StopOrder", "PauseOrder", "ResumeOrder", "NoteOrder", "BindOrder", "WithdrawOrder", "NotHeldOrder", "AnswerOrder",
        "DiagnosticsOrder",
    ]  # fmt: skip
    assert {one.actor for one in noted.orders} == {"Ә. Хатшы"}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/start", b"{}", 400),
        ("/start", b'{"actor": ""}', 400),
        ("/start", b'{"actor": "   "}', 400),
        ("/start", b'{"actor": "A\\u001b[2J"}', 400),
        ("/start", b'{"actor": "A", "sudo": true}', 400),
        ("/start", b'{"actor": "A", "hearing": "../../etc"}', 400),
        ("/not-held", b'{"actor": "A", "hearing": "1", "reason": ""}', 400),
        ("/pause", b'{"actor": "A", "state": "asleep"}', 400),
        ("/start", b"\xff\xfe", 400),
        ("/start", b"[" * 50_000, 400),
        ("/note", b'{"actor": "A", "text": "' + b"a" * MAX_BODY_BYTES + b'"}', 413),
        ("/nonsense", b"{}", 404),
    ],
)
async def test_what_is_no_order_is_refused_in_words(tmp_path: Path, path: str, body: bytes, code: int) -> None:
    noted = NotedDesk()
    async with LocalServer(probes(), noted, tmp_path), local(tmp_path / SOCKET) as session:
        async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == code
            assert (await answer.json())["error"]
        async with session.post("/stop", data=b'{"actor": "A"}', headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 415
    assert noted.orders == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(desk.DeskError("a session runs"), 409), (RecorderRefusedError("no room"), 409), (RecorderAwayError("hangs"), 503)],
)
async def test_a_refusal_keeps_its_words(tmp_path: Path, error: Exception, code: int) -> None:
    async with (
        LocalServer(probes(), NotedDesk(refuses=error), tmp_path),
        local(tmp_path / SOCKET) as session,
        session.post("/start", json={"actor": "A. Clerk"}) as answer,
    ):
        assert (answer.status, (await answer.json())["error"]) == (code, str(error))


AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
head = "POST /stop HTTP/1.1|Host: agent|Content-Type: application/json|Content-Length: 13|Connection: close||"
s.sendall(head.replace("|", chr(13) + chr(10)).encode() + b'{"actor":"A"}')
print(s.recv(65536).decode())
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users may enter, which pytest's own they may not."""
    with tempfile.TemporaryDirectory(prefix="courtroom-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(("allowed", "code"), [([], "403"), ([65534], "200")])
async def test_another_user_is_refused_even_where_the_sockets_mode_lets_him_in(open_directory: Path, allowed: list[int], code: str) -> None:
    noted = NotedDesk()
    path = open_directory / SOCKET
    async with LocalServer(probes(), noted, open_directory, allowed_uids=allowed):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660  # noqa: PTH116 - an async test
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - likewise; the mode is what is not relied on
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AS_NOBODY, str(path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
    assert f"HTTP/1.1 {code} " in said.decode(), said
    assert bool(noted.orders) == (code == "200")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(
    ("clerks", "delivery", "path", "code"),
    [
        ([65534], [], "/delivery", "403"),
        ([65534], [], "/%64elivery?x", "403"),
        ([], [65534], "/delivery", "200"),
        ([], [65534], "/stop", "403"),
    ],
)
async def test_what_the_delivery_tells_no_clerk_can_tell(
    open_directory: Path, clerks: list[int], delivery: list[int], path: str, code: str
) -> None:
    told: list[DeliveryReport] = []

    async def take(report: DeliveryReport) -> DeliveryAnswer:
        told.append(report)
        return DeliveryAnswer(hearing=False)

    async with LocalServer(probes(), NotedDesk(), open_directory, allowed_uids=clerks, delivery_uids=delivery, take_delivery=take):
        os.chmod(open_directory / SOCKET, 0o666)  # noqa: PTH101, S103 - the mode is what is not relied on
        program = AS_NOBODY.replace("/stop", path).replace("Content-Length: 13", "Content-Length: 2").replace('{"actor":"A"}', "{}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(open_directory / SOCKET), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
    assert f"HTTP/1.1 {code} " in said.decode(), said
    assert bool(told) == (code == "200")


async def test_recording_follows_a_real_recorder_that_hangs_and_goes_on(tmp_path: Path) -> None:
    history = StatusHistory()
    with room(tmp_path) as it:
        await asyncio.to_thread(it.wait_live)
        link = RecorderLink(
            it.run_dir,
            on_status=lambda now: history.feed(now, time.monotonic()),
            on_reachable=lambda on: None if on else history.away(),
        )
        following = asyncio.create_task(link.run())
        asked = Probes(
            ready=lambda: ready(link.status, reachable=link.reachable),
            recording=lambda: recording(link.status, history, time.monotonic(), reachable=link.reachable),
            metrics=lambda: b"",
        )
        try:
            async with LocalServer(asked, NotedDesk(), tmp_path, port=0) as server:
                base = f"http://127.0.0.1:{server.port}"

                async def answers(path: str, code: int) -> None:
                    end_s = time.monotonic() + 15
                    while (last := await get(base + path))[0] != code:
                        assert time.monotonic() < end_s, last
                        await asyncio.sleep(0.1)

                await answers("/ready", 200)
                await answers("/recording", 503)
                await link.do(control.Start(hearing="H-1", actor="Clerk"))
                await answers("/recording", 200)
                await link.do(control.PauseRequest(state="deliberation", actor="Clerk"))
                await answers("/recording", 503)
                await link.do(control.ResumeRequest(actor="Clerk"))
                await answers("/recording", 200)
                assert it.process is not None
                os.kill(it.process.pid, signal.SIGSTOP)
                await answers("/recording", 503)
                await answers("/ready", 503)
                assert (await get(f"{base}/live"))[0] == 200, "a recorder that hangs is not the agent's death"
                os.kill(it.process.pid, signal.SIGCONT)
                await answers("/recording", 200)
                values = compose(history, time.monotonic())
                assert values["recording_state"] == 1
                await link.do(control.StopRequest(actor="Clerk"))
                await until(lambda: link.status is not None and link.status.state == "idle", "the end")
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
