"""The schedule in NATS JetStream: ``Plan`` of ``backend.py``. A change's offset is its message's number in the stream.

1. Each hearing has a subject of its own, of which the last message is kept: what changed behind an offset is what the stream has behind it.
2. A change is stored only where the last message of its hearing is the one that it was made from; a put first asks the stream's leader what
   was stored before it began, so that it never takes an older plan for the one that is in force.
3. That a hearing passes from a source to the case system is a change too, with nothing new in it.
4. Of many hearings in one request each is stored by itself; a request that failed in the middle is to be sent again.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from agent.upstream import contract, transfer
from agent.upstream.centre.backend import API, AwayError, now_utc_us, with_token
from agent.upstream.centre.decisions import may_change
from agent.upstream.centre.nats_connection import Connection
from agent.upstream.centre.nats_follower import Follower
from agent.upstream.centre.nats_jet import Jet, LookAgainError, Stored, attempts
from agent.upstream.centre.nats_names import Stream
from agent.upstream.centre.nats_registry import NatsRegistry
from agent.upstream.centre.news import LocalNews
from agent.upstream.centre.plan_view import Planned, PlanView
from agent.upstream.centre.told_more import ToldMore

_AT_ONCE = 64
_SWEEP_US = 3_600 * 1_000_000
_planned = msgspec.json.Decoder(Planned)


class NatsPlan:
    """``Plan``; ``start`` before, ``stop`` at the end."""

    def __init__(self, connection: Connection, jet: Jet, stream: Stream, registry: NatsRegistry, news: LocalNews) -> None:
        self._jet = jet
        self._stream = stream
        self._registry = registry
        self._news = news
        self._view = PlanView()
        self._swept_us = now_utc_us()
        self._told_more = ToldMore()
        self._follower = Follower(connection, jet, stream, apply=self._apply, clear=self._view.clear)

    async def start(self) -> None:
        """Read what is there, and follow."""
        await self._follower.start()

    async def stop(self) -> None:
        """Follow no longer."""
        await self._follower.stop()

    async def put(self, hearings: Sequence[contract.Hearing], source: str = API) -> transfer.Offset:
        """Take hearings as they are now."""
        await self._follower.confirm()
        by_id: dict[str, list[contract.Hearing]] = {}
        for hearing in hearings:
            by_id.setdefault(hearing.id, []).append(hearing)
        some, away = asyncio.Semaphore(_AT_ONCE), list[AwayError]()

        async def put(versions: Sequence[contract.Hearing]) -> tuple[int, int]:
            offset = changed = 0
            async with some:
                for version in versions:
                    if away:
                        break
                    try:
                        new, is_change = await self._put(version, source)
                    except AwayError as error:
                        away.append(error)
                        break
                    offset, changed = max(offset, new), changed + is_change
            return offset, changed

        done = await asyncio.gather(*map(put, by_id.values()))
        if away:
            raise away[0]
        await self._follower.at_least(max((offset for offset, _ in done), default=0))
        return transfer.Offset(offset=self._follower.seen, changed=sum(changed for _, changed in done))

    async def feed(self, room: str, after: int) -> contract.Feed:
        """What a room must know."""
        self._follower.check_fresh()
        if after > self._follower.seen:  # another front told it more than this one has seen yet, or the centre was restored from a copy
            await self._follower.confirm()
        if after <= self._follower.seen:
            self._told_more.is_found(room)
        elif not self._told_more.is_restored(room, after, time.monotonic()):
            # A leader that was deposed and does not know says so too: a room that believed it would fall back to an older schedule.
            raise AwayError("the stream's leader does not have yet what the room was told")
        now_us = now_utc_us()
        if now_us - self._swept_us > _SWEEP_US:
            self._swept_us = now_us
            self._view.sweep(now_us)
        return self._view.feed(room, after, self._follower.seen, now_us)

    async def after(self, offset: int, most: int) -> Sequence[contract.Change]:
        """Hearings that changed behind an offset."""
        found: list[Stored] = []
        while len(found) < most and offset < self._follower.seen:
            found += await self._jet.read_to(self._stream, offset + 1, self._follower.seen, most=most - len(found))
            offset = found[-1].seq
        return [contract.Change(offset=seq, hearing=_planned.decode(data).hearing) for seq, data in found]

    async def starting(self, from_utc_us: int, to_utc_us: int, source: str | None = None) -> Sequence[contract.Change]:
        """Hearings that are to start in a span of time."""
        self._follower.check_fresh()
        return self._view.starting(from_utc_us, to_utc_us, source)

    async def _put(self, hearing: contract.Hearing, source: str) -> tuple[int, bool]:
        """The offset of the change (0: there is none), and whether the hearing is another than it was."""
        subject, known, tried = self._stream.subject(hearing.id), self._view.get(hearing.id), None
        for _ in attempts():
            offset, before = known or (0, None)
            if tried is not None and before == tried:
                return offset, True  # ours: its acknowledgement was lost
            if not may_change(source, before.source if before is not None else None):
                return 0, False
            now = with_token(hearing, before.hearing if before is not None else None)
            same = before is not None and before.hearing == now
            if same and before is not None and before.source == source:
                return 0, False
            await self._registry.name_room(hearing.room)
            rooms = sorted({hearing.room, *(before.rooms if before is not None else ())})
            tried = Planned(now, source, rooms, now_utc_us())
            try:
                return await self._jet.put(self._stream, subject, msgspec.json.encode(tried), expected=offset), not same
            except LookAgainError:
                stored = await self._jet.last(self._stream, subject)
                known = None if stored is None else (stored.seq, _planned.decode(stored.data))
        raise AssertionError  # attempts() raises

    def _apply(self, stored: Stored) -> None:
        planned = _planned.decode(stored.data)
        self._view.apply(stored.seq, planned, now_utc_us())
        self._news.tell_rooms(planned.rooms)
