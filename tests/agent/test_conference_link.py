"""What vks tells for the record, where the recorder is away and back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import create_autospec

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from agent.conference_link import ConferenceLink
from agent.recorder_link import RecorderAwayError, RecorderLink, RecorderRefusedError
from recorder.contract import conference, control
from tests.agent.statuses import status
from tests.lab.waiting import until

WAS_US = 1_000_000
STANDS = conference.Stands(hearing="h1", people=[], sharing="", look_ins=[], order=b"")


class Vks:
    """A vks that tells these facts on each link, each by itself.

    Args:
        names: theirs.
    """

    def __init__(self, *names: str) -> None:
        self._told = [conference.Told(mono_us=WAS_US + at, facts=[conference.Fact(name=name, data={})]) for at, name in enumerate(names)]
        self._socket: web.WebSocketResponse | None = None
        self.handed: list[int] = []
        """The numbers of the facts until which all is handed over, as it was told on this link."""
        self.links = 0

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.links += 1
        self.handed = []
        for message in (*self._told, STANDS):
            await socket.send_str(conference.encoder.encode(message).decode())
        async for heard in socket:
            said = conference.from_agent.decode(heard.data)
            assert isinstance(said, conference.Handed)
            self.handed.append(said.until_mono_us - WAS_US)
        return socket

    async def break_off(self) -> None:
        """The link is lost."""
        assert self._socket is not None
        await self._socket.close()


@asynccontextmanager
async def linked(run_dir: Path, recorder: RecorderLink, *names: str) -> AsyncIterator[Vks]:
    """The link to a vks that tells these facts; it has taken them all."""
    vks = Vks(*names)
    application = web.Application()
    application.router.add_get("/agent", vks.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    await web.UnixSite(runner, conference.socket_path(str(run_dir))).start()
    link = ConferenceLink(run_dir, recorder, lambda: None)
    running = asyncio.create_task(link.run())
    try:
        await until(lambda: link.stands is not None, "all that is told")
        yield vks
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await runner.cleanup()


async def test_facts_that_are_too_many_for_a_recorder_that_is_away_are_lost_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conference_link.MOST_FACTS", 3)
    recorder = create_autospec(RecorderLink, instance=True, reachable=False, status=status())
    with capture_logs() as logs:
        async with linked(tmp_path, recorder, "a", "b", "c", "d", "e"):
            assert [line["log_level"] for line in logs] == ["error"], "once, as soon as the first is lost"
            recorder.reachable = True
            await until(lambda: recorder.do.await_count == 3, "what is left")
            await until(lambda: len(logs) > 1, "what is told when it is over")
    left = [control.AddEvent(name=name, data={}, mono_us=WAS_US + at) for at, name in ((2, "c"), (3, "d"), (4, "e"))]
    assert [call.args[0] for call in recorder.do.await_args_list] == left, "with when they were, however late"
    assert [line.get("lost") for line in logs[:2]] == [None, 2]


async def test_vks_keeps_what_the_recorder_has_not_taken_and_the_record_has_it_once(tmp_path: Path) -> None:
    gates = {name: asyncio.Event() for name in ("a", "b", "c")}
    taken: list[str] = []

    async def slow(request: control.AddEvent) -> control.Reply:
        await gates[request.name].wait()
        taken.append(request.name)
        return control.Reply(ok=True)

    recorder = create_autospec(RecorderLink, instance=True, reachable=True, status=status())
    recorder.do.side_effect = slow
    async with linked(tmp_path, recorder, "a", "b", "c") as vks:
        gates["a"].set()
        await until(lambda: taken == ["a"], "the first fact to be taken")
        assert vks.handed == []
        await vks.break_off()
        await until(lambda: vks.links == 2, "another link, on which all is told again")
        gates["b"].set()
        gates["c"].set()
        await until(lambda: vks.handed == [2], "the word that all is handed over")
    assert taken == ["a", "b", "c"]


async def test_what_was_handed_over_stays_so_where_the_recorder_goes_away(tmp_path: Path) -> None:
    async def away(request: control.AddEvent) -> control.Reply:
        if request.name == "c":
            raise RecorderAwayError
        return control.Reply(ok=True)

    recorder = create_autospec(RecorderLink, instance=True, reachable=True, status=status())
    recorder.do.side_effect = away
    async with linked(tmp_path, recorder, "a", "b", "c") as vks:
        await until(lambda: vks.handed == [1], "the word on the first two")
        await vks.break_off()
        await until(lambda: vks.links == 2 and vks.handed == [1], "the same word on another link")


async def test_vks_need_not_keep_what_no_record_could_have(tmp_path: Path) -> None:
    recorder = create_autospec(RecorderLink, instance=True, reachable=True, status=status(state="idle"))
    async with linked(tmp_path, recorder, "a", "b") as vks:
        await until(lambda: vks.handed == [1], "the word that nothing waits")
    assert recorder.do.await_count == 0


async def test_facts_are_told_to_a_recorder_of_before_that_does_not_know_when_they_were(tmp_path: Path) -> None:
    taken: list[str] = []

    async def of_before(request: control.AddEvent) -> control.Reply:
        if b"mono_us" in control.json_encoder.encode(request):
            raise RecorderRefusedError(f"{control.NOT_A_REQUEST}: Object contains unknown field `mono_us`")
        taken.append(request.name)
        return control.Reply(ok=True)

    recorder = create_autospec(RecorderLink, instance=True, reachable=True, status=status(state="open"))
    recorder.do.side_effect = of_before
    async with linked(tmp_path, recorder, "admitted", "muted"):
        await until(lambda: len(taken) == 2, "the facts to be taken")
    assert taken == ["admitted", "muted"]


def test_a_vks_of_before_is_told_of_no_field_that_says_nothing() -> None:
    hearing = conference.HearingIs(hearing="h1", title="", state="idle", closed=False, invitations=[], secret=bytes(32))
    told = conference.encoder.encode(hearing)
    assert set(msgspec.json.decode(told)) == {"m", "hearing", "title", "state", "closed", "invitations", "secret"}
    assert conference.from_agent.decode(told) == hearing
