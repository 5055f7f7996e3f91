"""Commands for rooms in NATS JetStream: ``Commands`` of ``backend.py``.

A command stands in its message with its number, and is stored only behind the one that its number was made from: of each room they rise.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import UnknownRoomError, now_utc_us
from agent.upstream.centre.decisions import next_command
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


class _Last(NamedTuple):
    """A room's last command: its message's number in the stream, and its own."""

    seq: int = 0
    number: int = 0


_message = msgspec.json.Decoder(_Message)


class NatsCommands:
    """``Commands``; ``start`` before, ``stop`` at the end. Of each room that asked, or was given one, its last command's number is held."""

    def __init__(self, connection: Connection, jet: Jet, stream: Stream, registry: NatsRegistry, news: LocalNews) -> None:
        self._jet = jet
        self._stream = stream
        self._registry = registry
        self._news = news
        self._last: dict[str, _Last] = {}
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
        subject, message_id = self._stream.subject(room), secrets.token_hex(16)
        for attempt in attempts():
            stored = await self._jet.last(self._stream, subject)
            last = _Last() if stored is None else _place(stored)
            numbered = msgspec.structs.replace(command, number=next_command(last.number, now_utc_us()))
            body = msgspec.json.encode(_Message(room, numbered))
            try:
                seq = await self._jet.put(self._stream, subject, body, expected=last.seq, message_id=message_id)
            except LookAgainError:
                continue
            await self._follower.at_least(seq)
            if attempt:  # it may have been stored by a try before, under the number of then
                return _place((await self._jet.read_to(self._stream, seq, seq, only=subject, most=1))[0]).number
            return numbered.number
        raise AssertionError  # attempts() raises

    async def after(self, room: str, number: int) -> Sequence[contract.AnyCommand]:
        """A room's commands behind a number."""
        self._follower.check_fresh()
        last, subject = await self._last_of(room), self._stream.subject(room)
        found, seq = list[contract.AnyCommand](), 1
        while number < last.number and seq <= last.seq and len(found) < _MOST:
            read = await self._jet.read_to(self._stream, seq, last.seq, only=subject)
            found += [command for command in map(_command, read) if command.number > number]
            seq = read[-1].seq + 1
        return found[:_MOST]

    async def _last_of(self, room: str) -> _Last:
        while room not in self._last:
            restored = self._follower.restored
            stored = await self._jet.last(self._stream, self._stream.subject(room))
            if restored == self._follower.restored:
                # What was told meanwhile is newer than the answer that was on its way.
                self._note(room, _Last() if stored is None else _place(stored))
        return self._last[room]

    def _apply(self, stored: Stored) -> None:
        room = _message.decode(stored.data).room
        self._note(room, _place(stored))
        self._news.tell_rooms({room})

    def _note(self, room: str, last: _Last) -> None:
        self._last[room] = max(self._last.get(room, _Last()), last)


def _command(stored: Stored) -> contract.AnyCommand:
    return _message.decode(stored.data).command


def _place(stored: Stored) -> _Last:
    return _Last(stored.seq, _command(stored).number)
