"""Carries the centre's commands out, each once, and tells the centre how it went. None of them stops or delays a recording."""

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

import structlog

from agent.conduct import Conductor
from agent.diagnostics.runner import HearingRunsError
from agent.look_in_desk import LookInDesk
from agent.room_process import RoomProcess
from agent.upstream import contract
from agent.upstream.follow import Follower
from provisioning.room_file import ConfigError, load
from recorder.record.shown import encodable

log = structlog.get_logger()

NEXT_CONFIG = "room.toml.next"
_DETAIL_CHARS = 1_900
_BROKEN_OFF = "the room's link to the centre was begun anew while it was carried out"


class Commands:
    """For one room.

    Args:
        process: the room.
        conductor: who runs checks.
        follower: whom to ask for the whole schedule.
        state_dir: where a new configuration is laid down.
        look_ins: who lets the centre look in; None where the room has no videoconference.
    """

    def __init__(
        self, process: RoomProcess, conductor: Conductor, follower: Follower, state_dir: Path, look_ins: LookInDesk | None
    ) -> None:
        self._process = process
        self._conductor = conductor
        self._follower = follower
        self._state_dir = state_dir
        self._look_ins = look_ins
        self._more = asyncio.Event()

    def hurry(self) -> None:
        """New commands may be there."""
        self._more.set()

    async def run(self) -> None:
        """Carry out what comes, for ever. What whoever ran before for this room did not carry out to its end is told as failed."""
        await self._end_broken_off()
        while True:
            self._more.clear()
            command = await self._begin()
            if command is None:
                await self._more.wait()
                continue
            ok, detail = await self._try(command)
            log.info("a command of the centre", do=type(command).__name__, number=command.number, ok=ok, detail=detail)
            await self._end(contract.CommandDone(number=command.number, ok=ok, detail=detail))

    async def _end_broken_off(self) -> None:
        stamp = self._process.stamp()
        if await self._process.store.do(lambda store: store.end_broken_off(_BROKEN_OFF, stamp)):
            self._tell_of_events()

    async def _begin(self) -> contract.AnyCommand | None:
        stamp = self._process.stamp()
        refused, command = await self._process.store.do(lambda store: (store.refuse_commands(stamp), store.begin_command(stamp)))
        if refused:
            self._tell_of_events()
        return command

    async def _end(self, done: contract.CommandDone) -> None:
        stamp = self._process.stamp()
        await self._process.store.do(lambda store: store.end_command(done, stamp))
        self._tell_of_events()

    def _tell_of_events(self) -> None:
        for call in self._process.on_events:
            call()

    async def _try(self, command: contract.AnyCommand) -> tuple[bool, str]:
        try:
            return await self._carry_out(command)
        except Exception as error:  # whatever it is: the centre waits for an answer, and the link is to stay
            log.error("a command of the centre failed", do=type(command).__name__, number=command.number, exc_info=error)
            return False, encodable(f"it failed here: {error or type(error).__name__}")[:_DETAIL_CHARS]

    async def _carry_out(self, command: contract.AnyCommand) -> tuple[bool, str]:
        match command:
            case contract.Refresh():
                self._follower.begin_anew()
                return True, "the whole schedule is asked for"
            case contract.RunDiagnostics():
                try:
                    results = await self._conductor.check("", "command")
                except HearingRunsError as error:
                    return False, str(error)
                return True, ", ".join(f"{result.check}: {result.result}" for result in results)
            case contract.StartLookIn():
                return await (self._refuse_look_in(command) if self._look_ins is None else self._look_ins.begin(command))
            case contract.EndLookIn():
                return (True, "nobody looks in") if self._look_ins is None else await self._look_ins.end(command)
            case contract.Configure():
                return await asyncio.to_thread(self._configure, command)

    async def _refuse_look_in(self, command: contract.StartLookIn) -> tuple[bool, str]:
        """Without a videoconference in the room there is no way to look in; that somebody wanted to is an event of its own."""
        detail = "this room has no videoconference, so nobody can look in"
        await self._process.tell(
            contract.LookedIn(lookin=command.lookin, person=command.person, reason=command.reason, phase="refused", detail=detail)
        )
        return False, detail

    def _configure(self, command: contract.Configure) -> tuple[bool, str]:
        """Lay a new configuration down beside the agent's file, if it is one; a technician takes it over from there."""
        data = command.toml.encode()
        if hashlib.sha256(data).hexdigest() != command.sha256:
            return False, "the configuration is not the one that its hash names"
        descriptor, name = tempfile.mkstemp(dir=self._state_dir, suffix=".toml")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return self._lay_down(part)
        finally:
            part.unlink(missing_ok=True)  # what was laid down has another name by now

    def _lay_down(self, part: Path) -> tuple[bool, str]:
        try:
            new = load(part)
        except ConfigError as error:
            return False, str(error).replace(str(part), "room.toml")[:_DETAIL_CHARS]
        if new.room.id != self._process.room:
            return False, f"the configuration is of room '{new.room.id}'"
        part.replace(self._state_dir / NEXT_CONFIG)
        return True, (
            f"it is checked and lies at {self._state_dir / NEXT_CONFIG}; a technician copies it to /etc/courtroom/room.toml "
            "between two hearings and restarts the recorder"
        )
