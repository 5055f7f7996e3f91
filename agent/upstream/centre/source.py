"""Where a schedule comes from when the case system does not put it itself: an adapter reads, the follower carries over what changed.

An adapter of a case system is a ``ScheduleSource``: it says which hearings there are *now*. What is new, changed or gone is found here, by
pure functions; an adapter need not know what it said before. ``source_file.py`` and ``source_calendar.py`` are two of them.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from agent.upstream import contract
from agent.upstream.centre.backend import AwayError, Plan
from agent.upstream.centre.decisions import wrong_times
from agent.upstream.plain_words import plain

log = structlog.get_logger()

AHEAD_US = 60 * 86_400 * 1_000_000
"""Hearings that begin later are left for later."""
BACK_US = 86_400 * 1_000_000
"""Of hearings that began longer ago nothing is carried over."""
FEW = 3
"""So many hearings may go at once whatever else is planned; of more, at most half of what was planned."""


class SourceError(Exception):
    """The source cannot be read now, or what it says cannot be believed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All hearings that a source has from a day ago until ``AHEAD_US`` from now.

    ``refused`` are those that cannot be taken, by their id (or their place, where they have none) with the reason: they are told, the
    others are carried over, and a refused hearing that was planned before stays as it was; of a refused series (``id``) all occurrences
    (``id/…``) do.

    ``elsewhere`` are those that the source has before or behind that span, by their id (None: no hearing can be made of it): they are not
    gone. One that was planned within it is carried over to where it is now.
    """

    hearings: Sequence[contract.Hearing]
    refused: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, contract.Hearing | None] = field(default_factory=dict)


class ScheduleSource(Protocol):
    """An adapter of a case system."""

    @property
    def name(self) -> str:
        """What hearings of it are marked by at the centre: it never changes those of another source."""
        ...

    @property
    def period_s(self) -> float:
        """How often it is read."""
        ...

    async def read(self, now_utc_us: int) -> Reading | None:
        """What it has now; None where nothing changed since it was read last.

        Raises:
            SourceError: it cannot be read; what was read before stays.
        """
        ...


def believable(reading: Reading) -> Reading:
    """The reading without hearings whose times cannot be or that come twice."""
    hearings: dict[str, contract.Hearing] = {}
    refused = dict(reading.refused)
    for hearing in reading.hearings:
        if why := wrong_times(hearing):
            refused[hearing.id] = why
        elif hearings.setdefault(hearing.id, hearing) != hearing:
            refused[hearing.id] = "it comes twice, and not the same"
    return Reading([hearing for name, hearing in hearings.items() if name not in refused], refused, reading.elsewhere)


def adjourned(reading: Reading, planned: Sequence[contract.Hearing]) -> list[contract.Hearing]:
    """Hearings that are planned within the span and that the source has elsewhere now."""
    within = {hearing.id for hearing in reading.hearings} | set(reading.refused)
    moved = [reading.elsewhere.get(hearing.id) for hearing in planned if hearing.id not in within]
    return [hearing for hearing in moved if hearing is not None and hearing.ends_utc_us > hearing.starts_utc_us]


def overruled(reading: Reading, planned: Sequence[contract.Hearing]) -> list[contract.Hearing]:
    """Hearings of the source that somebody else has planned otherwise; ``planned`` is what is not the source's."""
    kept = {hearing.id: hearing for hearing in planned}
    return [
        hearing
        for hearing in reading.hearings
        if (other := kept.get(hearing.id)) is not None and msgspec.structs.replace(other, start_token=hearing.start_token) != hearing
    ]


def missing(reading: Reading, planned: Sequence[contract.Hearing]) -> list[contract.Hearing]:
    """Of the hearings that are planned those that the source has no more."""
    there = {hearing.id for hearing in reading.hearings} | set(reading.refused) | set(reading.elsewhere)
    known = [hearing for hearing in planned if hearing.state == "planned"]
    return [hearing for hearing in known if hearing.id not in there and hearing.id.rpartition("/")[0] not in reading.refused]


def vanished(reading: Reading, planned: Sequence[contract.Hearing]) -> list[contract.Hearing]:
    """Hearings that the source had and has no more, as cancelled; ``planned`` is what it had planned from now on.

    Raises:
        SourceError: the source is empty, or so many are gone that its fault is likelier than that they all were cancelled.
    """
    gone = missing(reading, planned)
    known = [hearing for hearing in planned if hearing.state == "planned"]
    if gone and (not (reading.hearings or reading.refused or reading.elsewhere) or len(gone) > max(FEW, len(known) // 2)):
        raise SourceError(
            f"{len(gone)} of {len(known)} planned hearings are gone from it at once; none of them is cancelled. "
            'If that is meant, cancel them in it ("state": "cancelled" in a file, STATUS:CANCELLED in a calendar). What is cancelled by '
            "`courtroom centre schedule` instead, the source changes no more"
        )
    return [msgspec.structs.replace(hearing, state="cancelled") for hearing in gone]


class SourceFollower:
    """Keeps a plan as a source has it.

    Args:
        source: the adapter.
        plan: the centre's schedule.
        now_utc_us: the centre's clock.
    """

    def __init__(self, source: ScheduleSource, plan: Plan, now_utc_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._source = source
        self._plan = plan
        self._now_utc_us = now_utc_us
        self._trouble = ""
        self._left: Reading | None = None
        """What was read and could not be carried over: the source may not say it again."""
        self._disbelieved = ""
        """Why not all that was read last is carried over; until the source says something else, it stays so."""
        self._refused: dict[str, str] = {}
        self._begun: set[str] = set()
        self._overruled: dict[str, contract.Hearing] = {}

    async def run(self) -> None:
        """Follow for ever; a source that is away, or says what cannot be believed, is told once and read again."""
        while True:
            try:
                await self.step()
            except (SourceError, AwayError, sqlite3.Error) as error:
                if str(error) != self._trouble:
                    log.error("the source of the schedule", source=self._source.name, error=str(error))
                self._trouble = str(error)
            else:
                if self._trouble:
                    log.info("the source of the schedule is read again", source=self._source.name)
                self._trouble = ""
            await asyncio.sleep(self._source.period_s)

    async def step(self) -> None:
        """Read once, and carry over what changed.

        Raises:
            SourceError: nothing could be read, or not all that it says is believed.
            AwayError: the plan cannot be kept for the moment.
            sqlite3.Error: nor can it in a file.
        """
        now_us = self._now_utc_us()
        found = await self._source.read(now_us) or self._left
        if found is None:
            if self._disbelieved:
                raise SourceError(self._disbelieved)
            return
        self._left = found
        reading = believable(found)
        self._tell_refused(dict(reading.refused))
        await self._plan.put(reading.hearings, self._source.name)
        planned = [change.hearing for change in await self._plan.starting(now_us - BACK_US, now_us + AHEAD_US, self._source.name)]
        everybodys = [change.hearing for change in await self._plan.starting(now_us - BACK_US, now_us + AHEAD_US)]
        own = {hearing.id for hearing in planned}
        self._tell_overruled(overruled(reading, [hearing for hearing in everybodys if hearing.id not in own]))
        self._tell_begun(missing(reading, [hearing for hearing in planned if hearing.starts_utc_us < now_us]))
        self._disbelieved = ""
        if moved := adjourned(reading, planned):
            await self._plan.put(moved, self._source.name)
        try:
            gone = vanished(reading, [hearing for hearing in planned if hearing.starts_utc_us >= now_us])
        except SourceError as error:
            self._disbelieved, self._left = str(error), None
            raise
        if gone:
            log.info("hearings are gone from the source and cancelled", source=self._source.name, hearings=[one.id for one in gone])
            await self._plan.put(gone, self._source.name)
        self._left = None

    def _tell_begun(self, gone: list[contract.Hearing]) -> None:
        """A source may drop what is over: that a hearing is gone after its beginning does not say that it is not held."""
        names = {hearing.id for hearing in gone}
        if new := sorted(names - self._begun):
            why = "they should have begun already; cancel them in it, or by `courtroom centre schedule`, if they are not held"
            log.warning("hearings are gone from the source and stay planned", source=self._source.name, hearings=new, why=why)
        self._begun = names

    def _tell_overruled(self, hearings: list[contract.Hearing]) -> None:
        if new := [hearing.id for hearing in hearings if self._overruled.get(hearing.id) != hearing]:
            why = "the case system, `courtroom centre schedule` or another source has put them"
            log.warning("hearings of the source are not taken", source=self._source.name, hearings=new, why=why)
        self._overruled = {hearing.id: hearing for hearing in hearings}

    def _tell_refused(self, refused: dict[str, str]) -> None:
        for name, why in refused.items():
            if self._refused.get(name) != why:
                log.warning("a hearing of the source cannot be planned", source=self._source.name, hearing=name, why=plain(why))
        self._refused = refused
