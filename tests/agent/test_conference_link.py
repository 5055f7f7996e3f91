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
from agent.recorder_link import RecorderLink, RecorderRefusedError
from recorder.contract import conference, control
from tests.agent.statuses import status
from tests.lab.waiting import until

WAS_US = 1_000_000
STANDS = conference.Stands(hearing="h1", people=[], sharing="", look_ins=[], order=b"")


@asynccontextmanager
async def linked(run_dir: Path, recorder: RecorderLink, *names: str) -> AsyncIterator[ConferenceLink]:
    """The link to a vks that tells these facts, each by itself; it has taken them all."""

    async def agent(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        told = [conference.Told(mono_us=WAS_US, facts=[conference.Fact(name=name, data={})]) for name in names]
        for message in (*told, STANDS):
            await socket.send_str(conference.encoder.encode(message).decode())
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/agent", agent)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    await web.UnixSite(runner, conference.socket_path(str(run_dir))).start()
    link = ConferenceLink(run_dir, recorder, lambda: None)
    running = asyncio.create_task(link.run())
    try:
        await until(lambda: link.stands is not None, "all that is told")
        yield link
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
    left = [control.AddEvent(name=name, data={}, mono_us=WAS_US) for name in ("c", "d", "e")]
    assert [call.args[0] for call in recorder.do.await_args_list] == left, "with when they were, however late"
    assert [line.get("lost") for line in logs[:2]] == [None, 2]


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
