"""The control socket's own manners: whose request is still one when the recorder comes to read it."""

import asyncio
import socket
from pathlib import Path

import pytest

from recorder.contract import control
from recorder.control_server import ControlServer
from tests.agent.statuses import status
from tests.lab.waiting import until

RESUME, PAUSE = control.ResumeRequest(actor="Clerk A."), control.PauseRequest(state="privileged", actor="Judge B.")


@pytest.mark.parametrize(("request_", "half_closed", "obeyed"), [(RESUME, False, False), (RESUME, True, True), (PAUSE, False, True)])
async def test_a_resume_whose_giver_hung_up_before_the_recorder_could_read_it_is_dropped_and_a_pause_is_not(
    tmp_path: Path, request_: control.AnyRequest, half_closed: bool, obeyed: bool
) -> None:
    asked: list[control.AnyRequest] = []

    async def do(request: control.AnyRequest) -> control.Reply:
        asked.append(request)
        return control.Reply(ok=True)

    server = ControlServer(tmp_path, do, status, frozenset())
    await server.start()
    try:
        with socket.socket(socket.AF_UNIX) as giver:  # nothing is awaited here: the recorder hangs meanwhile
            giver.connect(str(tmp_path / "control.sock"))
            giver.sendall(control.json_encoder.encode(request_) + b"\n")
            giver.shutdown(socket.SHUT_WR)
            if half_closed:
                await until(lambda: bool(asked), "the recorder to read it")
        last = control.AddNote(author="Clerk A.", text="behind it")
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "control.sock"))
        writer.write(control.json_encoder.encode(last) + b"\n")
        await until(lambda: last in asked, "the recorder to read what came behind it")
        writer.close()
        assert asked == ([request_, last] if obeyed else [last])
    finally:
        await server.close()
