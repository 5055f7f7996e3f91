"""The command line and the control socket where people err or leave: one clear error, and no traceback."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import application
from recorder.cli import app
from recorder.contract import control
from recorder.control_server import ControlServer
from tests.lab.room import Room
from tests.lab.room import room as running_room

STATUS = control.Status(
    state="idle",
    record="",
    hearing="",
    t_us=0,
    entries=0,
    head="",
    head_at=-1,
    signed_at=-1,
    preroll_armed=False,
    commit_p99_us=0,
    channels=[],
    disks=[],
    alarms=[],
)


def courtroom(*arguments: str | bytes | Path) -> tuple[int, str]:
    """Exit status and all output of the command."""
    command = [sys.executable, "-m", "agent.cli", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=dict(os.environ, COLUMNS="500"))
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize(
    "words", [("note", b"a\xff", "--by", "Clerk"), ("note", "a", "--by", b"\xff"), ("start", b"\xff", "--by", "Clerk")]
)
def test_bytes_that_are_no_utf8_are_one_clear_error(tmp_path: Path, words: tuple[str | bytes, ...]) -> None:
    async def answer(_: control.AnyRequest) -> control.Reply:
        return control.Reply(ok=True)

    async def ask() -> tuple[int, str]:
        server = ControlServer(tmp_path, answer, lambda: STATUS, frozenset())
        await server.start()
        try:
            return await asyncio.to_thread(courtroom, "recorder", *words, "--run", tmp_path)
        finally:
            await server.close()

    status, output = asyncio.run(ask())
    assert status == 1
    assert "not UTF-8" in output
    assert "Traceback" not in output


def noted(run_dir: Path, text: str) -> tuple[int, str, list[str]]:
    """Exit status and output of a note, and what of it reached the recorder."""
    taken: list[str] = []

    async def answer(request: control.AnyRequest) -> control.Reply:
        assert isinstance(request, control.AddNote)
        taken.append(request.text)
        return control.Reply(ok=True)

    async def ask() -> tuple[int, str]:
        server = ControlServer(run_dir, answer, lambda: STATUS, frozenset())
        await server.start()
        try:
            return await asyncio.to_thread(courtroom, "recorder", "note", text, "--by", "Clerk", "--run", run_dir)
        finally:
            await server.close()

    return *asyncio.run(ask()), taken


def test_a_note_that_was_pasted_with_another_systems_line_ends_is_taken(tmp_path: Path) -> None:
    assert noted(tmp_path, "one\r\ntwo\r\n") == (0, "", ["one\ntwo\n"])


def test_a_note_with_a_control_character_is_refused_in_words(tmp_path: Path) -> None:
    assert noted(tmp_path, "a\x07b") == (1, "not a request: a note may not hold control characters\n", [])


@pytest.mark.parametrize(
    ("words", "status"), [(("start", "h-1"), 0), (("pause", "off_record"), 0), (("resume",), 0), (("level", "closed"), 0), (("stop",), 1)]
)
def test_what_is_obeyed_and_not_on_the_disk_yet_is_done_with_a_warning_and_a_record_that_is_not_sealed_is_an_error(
    tmp_path: Path, words: tuple[str, ...], status: int
) -> None:
    async def answer(_: control.AnyRequest) -> control.Reply:
        return control.Reply(ok=False, error="look after the disk", record="/records/one")

    async def ask() -> tuple[int, str]:
        server = ControlServer(tmp_path, answer, lambda: STATUS, frozenset())
        await server.start()
        try:
            return await asyncio.to_thread(courtroom, "recorder", *words, "--by", "Clerk", "--run", tmp_path)
        finally:
            await server.close()

    code, output = asyncio.run(ask())
    assert (code, "look after the disk" in output) == (status, True)


@pytest.mark.parametrize("command", [("status",), ("stop", "--by", "Clerk")])
def test_a_path_that_no_socket_can_have_is_told_to_clients(tmp_path: Path, command: tuple[str, ...]) -> None:
    status, output = courtroom("recorder", *command, "--run", tmp_path / ("r" * 120))
    assert status == 1
    assert "path too long" in output
    assert "None" not in output


@pytest.mark.parametrize("words", [["status"], ["start", "h-1", "--by", "Clerk"]])
def test_who_may_not_look_into_the_directory_of_the_sockets_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    class Refusing(socket.socket):
        def connect(self, _address: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("os.access", lambda *_, **__: False)
    monkeypatch.setattr("socket.socket", Refusing)
    done = CliRunner().invoke(app, [*words, "--run", str(tmp_path)], env={"COLUMNS": "500"})
    assert (done.exit_code, "may not speak to the recorder" in done.output) == (1, True), done.output
    assert "run it as root" in done.output


def test_a_recorder_whose_sockets_would_have_too_long_paths_says_so_and_begins_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path)
    run = tmp_path / ("r" * (107 - len(os.fsencode(tmp_path)) - len("//bus/room-mix.pcm.sock") + 1))
    status, output = courtroom("recorder", "run", "--config", room.config, "--run", run)
    assert status == 1
    assert "bus/room-mix.pcm.sock" in output
    assert "Traceback" not in output
    assert not run.exists()


@pytest.mark.parametrize("in_the_way", ["", "bus", "control.sock/kept"])
def test_a_recorder_whose_sockets_cannot_be_made_says_where_and_what_to_do(tmp_path: Path, in_the_way: str) -> None:
    room = Room(tmp_path)
    something = tmp_path / "sockets" / in_the_way
    something.parent.mkdir(parents=True, exist_ok=True)
    something.touch()
    status, output = courtroom("recorder", "run", "--config", room.config, "--run", tmp_path / "sockets")
    assert status == 1
    assert str(tmp_path / "sockets") in output
    assert "another directory by --run" in output
    assert "Traceback" not in output
    assert something.is_file()


def test_a_recorder_that_ends_while_somebody_streams_its_state_logs_no_error(tmp_path: Path) -> None:
    said: list[dict[str, object]] = []

    async def answer(_: control.AnyRequest) -> control.Reply:
        return control.Reply(ok=True)

    async def end() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        server = ControlServer(tmp_path, answer, lambda: STATUS, frozenset())
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control.sock"))
        writer.write(control.json_encoder.encode(control.Subscribe()) + b"\n")
        first = await reader.readline()
        await server.close()
        await reader.read()
        writer.close()
        return first

    assert b'"idle"' in asyncio.run(end())
    assert said == []


def test_no_command_shows_what_its_variables_hold_when_it_fails() -> None:
    loaded = [point.load() for point in entry_points(group="courtroom.commands")]
    applications = [application(), *(one for one in loaded if isinstance(one, typer.Typer))]
    assert len(applications) > 1
    for one in applications:
        assert not one.pretty_exceptions_enable
        assert not one.pretty_exceptions_show_locals


def test_the_recorder_runs_on_libcs_heap_alone_in_the_process_that_was_started(tmp_path: Path) -> None:
    with running_room(tmp_path) as room:
        room.wait_live()
        assert room.process is not None
        assert b"PYTHONMALLOC=malloc" in Path(f"/proc/{room.process.pid}/environ").read_bytes().split(b"\0")
