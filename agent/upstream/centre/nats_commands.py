"""Commands for rooms in NATS JetStream: ``Commands`` of ``backend.py``. A command's number is its message's in the stream."""

import secrets
from collections.abc import Sequence

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import UnknownRoomError
from agent.upstream.centre.nats_connection import Connection
from agent.upstream.centre.nats_follower import Follower
from agent.upstream.centre.nats_jet import Jet, LookAgainError, Stored, attempts
from agent.upstream.centre.nats_names import Stream
from agent.upstream.centre.nats_registry import NatsRegistry
from agent.upstream.centre.news import LocalNews

_MOST = 100


class _Message(msgspec.Struct):
    room: str
    command: contract.AnyCommand


_message = msgspec.json.Decoder(_Message)


class NatsCommands:
    """``Commands``; ``start`` before, ``stop`` at the end. Of each room that asked the number of its last command is held."""

    def __init__(self, connection: Connection, jet: Jet, stream: Stream, registry: NatsRegistry, news: LocalNews) -> None:
        self._jet = jet
        self._stream = stream
        self._registry = registry
        self._news = news
        self._last: dict[str, int] = {}
        self._follower = Follower(connection, jet, stream, apply=self._apply, clear=self._last.clear, from_end=True)

    async def start(self) -> None:
        """Follow the stream."""
        await self._follower.start()

    async def stop(self) -> None:
        """Follow no longer."""
        await self._follower.stop()

    async def give(self, room: str, command: contract.AnyCommand) -> int:
        """Keep a command for a room."""
        if not await self._registry.knows(room):
            raise UnknownRoomError(room)
        body, message_id = msgspec.json.encode(_Message(room, command)), secrets.token_hex(16)
        for _ in attempts():
            try:
                number = await self._jet.put(self._stream, self._stream.subject(room), body, message_id=message_id)
            except LookAgainError:
                continue
            await self._follower.at_least(number)
            return number
        raise AssertionError  # attempts() raises

    async def after(self, room: str, number: int) -> Sequence[contract.AnyCommand]:
        """A room's commands behind a number."""
        self._follower.check_fresh()
        if room not in self._last:
            stored = await self._jet.last(self._stream, self._stream.subject(room))
            self._last[room] = max(self._last.get(room, 0), 0 if stored is None else stored.seq)
        last = self._last[room]
        if number >= last:
            return []
        read = await self._jet.read_to(self._stream, number + 1, last, only=self._stream.subject(room), most=_MOST)
        return [msgspec.structs.replace(_message.decode(stored.data).command, number=stored.seq) for stored in read]

    def _apply(self, stored: Stored) -> None:
        room = _message.decode(stored.data).room
        if room in self._last:
            self._last[room] = max(self._last[room], stored.seq)
        self._news.tell_rooms({room})
