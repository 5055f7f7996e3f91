"""Carries out the centre's look-ins: asks vks for them, and tells the centre of each that it began and how it ended, or why it did not."""

import asyncio

import msgspec
import structlog

from agent.conference_link import ConferenceAwayError, ConferenceLink
from agent.look_ins import GONE, LookIn, LookIns, LookInsError, over, refusal, unknown
from agent.room_process import RoomProcess
from agent.upstream import contract
from recorder.contract import conference

log = structlog.get_logger()

LOOK_S = 0.5


class LookInDesk:
    """For one room; ``run`` sees to it that each ends.

    Args:
        process: the room.
        link: to vks.
        look_ins: those that are open.
    """

    def __init__(self, process: RoomProcess, link: ConferenceLink, look_ins: LookIns) -> None:
        self._process = process
        self._link = link
        self._look_ins = look_ins
        self._one_at_a_time = asyncio.Lock()
        """So that what is told of a look-in is told once, and its begin before its end."""
        self._ended_by: dict[str, tuple[str, str]] = {}
        """Who ended one in the room, and why, by its name."""
        link.on_fact = self._heard

    async def begin(self, command: contract.StartLookIn) -> tuple[bool, str]:
        """Let somebody look in; returns whether it began, and why not."""
        async with self._one_at_a_time:
            why = await self._begin(command)
            if why:
                await self._tell(command, "refused", detail=why)
            else:
                await self._tell_begun(command.lookin)
        return not why, why or "the room shows it"

    async def end(self, command: contract.EndLookIn) -> tuple[bool, str]:
        """End one for the centre. Where vks is away it ends when it is back, for nobody here knows it any more."""
        async with self._one_at_a_time:
            one = self._look_ins.find(command.lookin)
            if one is None:
                return True, "nobody looks in by that name"
            await self._end_in_room(one.lookin)
            await self._over(one, "by the centre")
        return True, "it is over"

    async def run(self) -> None:
        """Compare what is known with what is shown, for ever."""
        while True:
            async with self._one_at_a_time:
                await self._compare()
            await asyncio.sleep(LOOK_S)

    async def _begin(self, command: contract.StartLookIn) -> str:
        now = self._process.stamp()
        why = refusal(command, [one.lookin for one in self._look_ins.open], now.utc_us)
        if why:
            return why
        one = LookIn(
            lookin=command.lookin, person=command.person, reason=command.reason, boot=now.boot,
            until_mono_us=now.mono_us + command.length_s * 1_000_000,
        )  # fmt: skip
        act = conference.BeginLookIn(
            look_in=command.lookin, person=command.person, reason=command.reason, length_s=command.length_s,
            token_sha256=command.token_sha256,
        )  # fmt: skip
        try:
            self._look_ins.put(one)
            await self._link.tell_now()  # that the room is open may be news to vks
            answer = await self._link.ask(act)
            if not answer.code:
                self._look_ins.put(msgspec.structs.replace(one, began=True))
                return ""
            why = answer.words or answer.code
        except (ConferenceAwayError, LookInsError) as error:
            why = str(error)
        self._forget(one)  # should it have begun nevertheless, it is unknown, and is ended
        return why

    async def _tell_begun(self, lookin: str) -> None:
        """Noted after it was told: a kill between the two tells it twice, and never not."""
        one = self._look_ins.find(lookin)
        if one is None or one.told:
            return
        await self._tell(one, "began")
        try:
            self._look_ins.note_told(lookin)
        except LookInsError as error:
            log.error("what is known of look-ins cannot be kept", error=str(error))

    async def _compare(self) -> None:
        stands, now, status = self._link.stands_now, self._process.stamp(), self._process.status()
        shown = None if stands is None else [one.look_in for one in stands.look_ins]
        room = None if status is None else status.state
        for one in self._look_ins.open:
            if not one.began:
                await self._tell(one, "refused", detail="the agent was started anew while it was asked for")
                self._forget(one)
                continue
            await self._tell_begun(one.lookin)
            if why := over(one, shown, room, now):
                await self._over(one, why)
        for name in unknown(self._look_ins.open, shown or []):
            await self._end_in_room(name)

    async def _over(self, one: LookIn, why: str) -> None:
        await self._tell_begun(one.lookin)
        by, reason = self._ended_by.pop(one.lookin, ("", ""))
        await self._tell(one, "ended", by=by, detail=reason if why == GONE and reason else why)
        self._forget(one)

    def _forget(self, one: LookIn) -> None:
        try:
            self._look_ins.drop(one.lookin)
        except LookInsError as error:
            log.error("what is known of look-ins cannot be kept", error=str(error))

    async def _end_in_room(self, name: str) -> None:
        try:
            await self._link.ask(conference.EndLookIn(look_in=name))
        except ConferenceAwayError as error:
            log.warning("a look-in is to end, and vks is away", look_in=name, error=str(error))

    def _heard(self, fact: conference.Fact) -> None:
        if fact.name == "look_in_ended" and fact.data.get("by"):
            self._ended_by[str(fact.data["look_in"])] = (str(fact.data["by"]), str(fact.data.get("reason", "")))

    async def _tell(self, one: LookIn | contract.StartLookIn, phase: contract.LookInPhase, by: str = "", detail: str = "") -> None:
        await self._process.tell(
            contract.LookedIn(lookin=one.lookin, person=one.person, reason=one.reason, phase=phase, by=by, detail=detail)
        )
