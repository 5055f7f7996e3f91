"""What the clerk's commands about participants show, where an agent answers them as the test wants."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web
from typer.testing import CliRunner, Result

from agent.conference_cli import app
from agent.desk import SOCKET
from agent.guest_desk import Done, GuestState, Invited
from agent.identity_desk import Identifying
from agent.visit_desk import VisitAnswer, VisitState
from recorder.contract.conference import LookingIn, Present, Vouch

LINK = "https://centre.example/r/lab/join/#token"


@asynccontextmanager
async def agent(run_dir: Path, path: str, answer: msgspec.Struct) -> AsyncIterator[list[bytes]]:
    """An agent that answers whatever is asked there, and notes it."""
    orders: list[bytes] = []

    async def asked(request: web.Request) -> web.Response:
        orders.append(await request.read())
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    application = web.Application()
    application.router.add_route("*", path, asked)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(run_dir / SOCKET)).start()
        yield orders
    finally:
        await runner.cleanup()


async def command(run_dir: Path, *words: str) -> Result:
    """What a command printed."""
    arguments = [*words, "--run", str(run_dir)]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done


def talking(person: str, consultation: int) -> Present:
    return Present(
        person=person, name="A. Party", role="party", place="hearing", connected=True, rival=False, muted=False, hand=False,
        consultation=consultation, quality="good",
    )  # fmt: skip


async def test_who_invites_reads_the_link_and_the_id_and_a_script_the_link_alone(tmp_path: Path) -> None:
    invited = Invited(hearing="h1", person="g7", token="token", link=LINK, until="2026-12-01 18:00")
    async with agent(tmp_path, "/conference/invite", invited):
        done = await command(tmp_path, "invite", "A. Party", "party", "--by", "A. Clerk")
    assert done.stdout == f"{LINK}\n"
    assert "A. Party is g7" in done.stderr


async def test_the_list_names_the_private_talk_that_is_to_be_ended(tmp_path: Path) -> None:
    state = GuestState(hearing="h1", title="Case 1", running=True, people=[talking("g1", 2), talking("g2", 0)])
    async with agent(tmp_path, "/conference", state):
        done = await command(tmp_path, "list")
    first, second = [line for line in done.stdout.splitlines() if "A. Party" in line]
    assert "in private talk 2" in first
    assert "private" not in second


async def test_the_clerk_reads_who_looks_in_why_and_for_how_long_also_where_nobody_has_come(tmp_path: Path) -> None:
    until_us = time.monotonic_ns() // 1_000 + 240_000_000
    look_in = LookingIn(look_in="look-1", person="B. Inspector", reason="a complaint", until_mono_us=until_us, watches=True)
    async with agent(tmp_path, "/conference", GuestState(hearing="h1", title="", running=True, look_ins=[look_in])):
        done = await command(tmp_path, "list")
    assert "B. Inspector of the Situation Centre looks in for 4 min more (look-1): a complaint" in done.stdout


async def test_the_clerk_reads_whether_a_large_audience_watches_and_why_not(tmp_path: Path) -> None:
    state = GuestState(hearing="h1", title="", running=True, audience="on_air")
    async with agent(tmp_path, "/conference", state):
        assert "A large audience watches." in (await command(tmp_path, "list")).stdout
    (tmp_path / SOCKET).unlink(missing_ok=True)
    refused = GuestState(hearing="h1", title="", running=True, audience_fault="the server answers 401 Unauthorized")
    async with agent(tmp_path, "/conference", refused):
        assert "the large audience: the server answers 401 Unauthorized" in (await command(tmp_path, "list")).stdout


async def test_the_clerk_reads_for_whose_page_nobody_has_vouched(tmp_path: Path) -> None:
    people = [msgspec.structs.replace(talking("g1", 0), unvouched=True), talking("g2", 0)]
    async with agent(tmp_path, "/conference", GuestState(hearing="h1", title="", running=True, people=people)):
        done = await command(tmp_path, "list")
    first, second = [line for line in done.stdout.splitlines() if "A. Party" in line]
    assert ("unvouched" in first, "unvouched" in second) == (True, False)
    assert "courtroom conference vouch PERSON CODE" in done.stdout


async def test_a_code_is_typed_in_the_groups_in_which_it_is_read(tmp_path: Path) -> None:
    async with agent(tmp_path, "/conference/act", Done(text="Done.")) as orders:
        await command(tmp_path, "vouch", "g1", "12345", "67890", "12345", "67890", "--by", "A. Clerk")
    assert msgspec.json.decode(orders[0], type=Vouch) == Vouch(by="A. Clerk", person="g1", code="12345678901234567890")


async def test_the_list_says_whose_identity_is_confirmed(tmp_path: Path) -> None:
    people = [
        msgspec.structs.replace(talking(f"g{number}", 0), identity=identity)
        for number, identity in enumerate(("unchecked", "checking", "confirmed", "refused"))
    ]
    async with agent(tmp_path, "/conference", GuestState(hearing="h1", title="Case 1", running=True, people=people)):
        done = await command(tmp_path, "list")
    lines = [line for line in done.stdout.splitlines() if "A. Party" in line]
    for line, words in zip(lines, ("not checked", "being checked", "confirmed", "refused"), strict=True):
        assert words in line


async def test_who_checks_somebody_reads_where_the_screen_is_and_a_script_the_link_alone(tmp_path: Path) -> None:
    link = "http://127.0.0.1:8443/identity/#token"
    async with agent(tmp_path, "/conference/identify", Identifying(link=link)):
        done = await command(tmp_path, "identify", "g1", "--by", "A. Clerk")
    assert done.stdout == f"{link}\n"
    assert "Only this screen shows g1" in done.stderr


async def test_the_clerk_reads_how_the_room_s_own_visit_stands_also_where_no_hearing_is_near(tmp_path: Path) -> None:
    visit = VisitState(root="https://centre.example/r/lab", phase="waits", title="Case 1", name="Court 2")
    async with agent(tmp_path, "/conference", GuestState(hearing="", title="", running=True, visit=visit)):
        done = await command(tmp_path, "list")
    assert "this room's visit in “Case 1” as “Court 2”: waits to be admitted by the other room's clerk" in done.stdout
    away = VisitState(root="https://centre.example/r/lab", words="the other room cannot be reached")
    async with agent(tmp_path, "/conference", GuestState(hearing="", title="", running=True, visit=away)):
        done = await command(tmp_path, "list")
    assert "this room's visit: dials https://centre.example/r/lab: the other room cannot be reached" in done.stdout
    over = VisitState(root="https://centre.example/r/lab", phase="over", title="Case 1", name="Court 2", words="the hearing has ended")
    async with agent(tmp_path, "/conference", GuestState(hearing="", title="", running=True, visit=over)):
        done = await command(tmp_path, "list")
    assert "this room's visit in “Case 1” as “Court 2”: over (https://centre.example/r/lab): the hearing has ended" in done.stdout


async def test_a_link_that_no_command_line_is_to_show_is_asked_for_and_not_echoed(tmp_path: Path) -> None:
    async with agent(tmp_path, "/conference/visit", VisitAnswer(text="This room waits.")):
        arguments = ["visit", "-", "--by", "A. Clerk", "--run", str(tmp_path)]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, input=f"{LINK}\n")
    assert done.exit_code == 0, done.output
    assert "This room waits." in done.stdout
    assert LINK not in done.output


async def test_an_identification_number_is_asked_for_and_not_echoed(tmp_path: Path) -> None:
    invited = Invited(hearing="h1", person="g7", token="token", link=LINK, until="2026-12-01 18:00")
    async with agent(tmp_path, "/conference/invite", invited) as orders:
        arguments = ["invite", "A. Party", "party", "--iin", "-", "--by", "A. Clerk", "--run", str(tmp_path)]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, input="123456789011\n")
    assert done.exit_code == 0, done.output
    assert b"123456789011" in orders[0]
    assert "123456789011" not in done.output
