"""The clerk's commands about hearings, against the agent's own socket."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from agent import desk
from agent.local_server import LocalServer
from tests.agent.test_local_server import STATE, NotedDesk, probes


def hearing(base: Path, *words: str, actor: str = "A. Clerk") -> subprocess.Popen[str]:
    environment = dict(os.environ) | {"COURTROOM_RUN": str(base), "COURTROOM_ACTOR": actor, "COLUMNS": "80", "TZ": "America/Lima"}
    command = [sys.executable, "-m", "agent.cli", "hearing", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


async def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = await asyncio.to_thread(process.communicate)
    return process.returncode, out, err


def column(out: str, number: int) -> str:
    """All words of one column of a printed table, one behind the other."""
    return "".join(cells[number + 1].strip() for line in out.splitlines() if len(cells := line.replace("┃", "│").split("│")) > number + 1)


async def test_the_clerk_works_from_a_terminal(tmp_path: Path) -> None:
    noted = NotedDesk()
    async with LocalServer(probes(), noted, tmp_path):
        code, out, _ = await ended(hearing(tmp_path, "list"))
        assert code == 0
        assert "2026-17" in out
        assert "Judge B." in out
        assert "16:06-17:06" in column(out, 1), "the courtroom's time, not the PC's"
        assert "2026-99" in out
        assert column(out, 5).endswith("ddcf5111-0b5c-4c79-a2a5-5d9e1f1f8f5e"), (
            "nothing of an id is cut off, however narrow the terminal is"
        )
        code, out, _ = await ended(hearing(tmp_path, "status"))
        assert "Hearing 2026-17 is due. Begin?" in out
        assert "(until 16:06:40)" in out
        assert "courtroom hearing answer p1 yes|no" in out
        assert ("courtroom hearing not-held 2026-16" in out, "answer p2" in out) == (True, False)
        assert "the centre is away" in out
        assert "record 2026-11-01_lab_7 goes to the archive: 29 %" in out
        noted.shown = msgspec.structs.replace(STATE, centre_refuses="The certificate is revoked.")
        code, out, _ = await ended(hearing(tmp_path, "status"))
        assert "the centre refuses this room (The certificate is revoked.)" in out
        assert "the centre is away" not in out
        noted.warns = "the disk takes nothing of it yet"
        code, out, err = await ended(hearing(tmp_path, "start", "2026-17"))
        assert (code, "StartOrder" in out, err.strip()) == (0, True, noted.warns)
        noted.refuses = desk.DeskError("hearing 2026-17 is being recorded; stop it first")
        code, _, err = await ended(hearing(tmp_path, "not-held", "2026-17", "--reason", "illness"))
        assert (code, err.strip()) == (1, "hearing 2026-17 is being recorded; stop it first")
        code, _, err = await ended(hearing(tmp_path, "note", "red\x1b[31m"))
        assert (code, err.strip()) == (1, "not an order: a note may not hold control characters")
    assert [(type(one), one.actor) for one in noted.orders] == [(desk.StartOrder, "A. Clerk")]
    code, _, err = await ended(hearing(tmp_path, "stop"))
    assert code == 2
    assert "courtroom-agent" in err


async def test_the_list_has_what_is_of_today_or_still_open_and_all_of_it_where_that_is_asked_for(tmp_path: Path) -> None:
    midnight_us = 1_795_028_400_000_000  # 2026-11-19 00:00 in Almaty
    hour_us = 3_600_000_000

    def planned(id_: str, ends_us: int, state: str) -> desk.PlannedHearing:
        return desk.PlannedHearing(id=id_, case="", title="", judge="", starts_utc_us=ends_us - 2, ends_utc_us=ends_us, state=state)

    def session(hearing: str, began_us: int, state: str) -> desk.OtherSession:
        return desk.OtherSession(session=f"s{hearing}", hearing=hearing, case="", state=state, began_utc_us=began_us)

    noted = NotedDesk()
    noted.shown = msgspec.structs.replace(
        STATE, utc_us=midnight_us + 9 * hour_us,
        hearings=[
            planned("H-old", midnight_us - 1, "delivered"), planned("H-open", midnight_us - 1, "planned"),
            planned("H-today", midnight_us, "sealed"), planned("H-later", midnight_us + 99 * hour_us, "planned"),
        ],
        others=[
            session("O-old", midnight_us - 1, "sealed"), session("O-running", midnight_us - 1, "open"), session("", 1, "sealed"),
            session("O-today", midnight_us, "sealed"),
        ],
    )  # fmt: skip
    async with LocalServer(probes(), noted, tmp_path):
        _, out, _ = await ended(hearing(tmp_path, "list"))
        assert [one for one in ("H-old", "H-open", "H-today", "H-later", "O-old", "O-running", "O-today") if one in out] == [
            "H-open", "H-today", "H-later", "O-running", "O-today",
        ]  # fmt: skip
        assert "bound yet" in out
        assert "2 of before today are left out" in out
        _, out, _ = await ended(hearing(tmp_path, "list", "--all"))
        assert ("H-old" in out, "O-old" in out, "left out" in out) == (True, True, False)
