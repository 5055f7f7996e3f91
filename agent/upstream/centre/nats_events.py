"""The rooms' events in NATS JetStream: ``EventLog`` of ``backend.py``.

1. A message is a batch, for each message costs a sync of the disk on most of the servers. Its subject names the room and the epoch, and
   whether flags are computed from an event in it (``n``) or not (``p``), so that those are found among all others.
2. A message is stored only where the last one of its room and epoch is the one that the front knows; the front cuts off what was taken
   already, and refuses a batch of which that was something else under the same numbers. So an event is there once however late it comes
   again, through whichever front, and in whichever batch. JetStream's own recognition by ``Nats-Msg-Id`` spares a second look within its
   two minutes; nothing depends on it.
3. An event's number is its message's times ``PER_MESSAGE``, and its place in it: the same at all fronts, for ever.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import NOTABLE, ConflictError, now_utc_us
from agent.upstream.centre.decisions import PAGE_BYTES, NamedEvent, has_lost, new_events, page
from agent.upstream.centre.nats_connection import PAYLOAD_BYTES
from agent.upstream.centre.nats_follower import Follower
from agent.upstream.centre.nats_jet import BATCH, Jet, LookAgainError, Stored, attempts
from agent.upstream.centre.nats_names import Stream, token

PER_MESSAGE = 1000
"""A batch has at most 500 events. A number stays a whole one of JSON (2^53) for 9 * 10^12 messages."""
MESSAGE_BYTES = 512 * 1024
"""Events of one message, unless a single one is longer."""
_LONGEST_BYTES = PAYLOAD_BYTES - 8 * 1024
_HELD = 50_000
"""Epochs whose last message is remembered: a room has one at a time."""
_MESSAGES_AT_ONCE = 8
_SLACK_US = 60 * 1_000_000


class _Message(msgspec.Struct):
    room: str
    epoch: str
    to: int
    """The highest number of the epoch."""
    utc_us: int
    events: list[msgspec.Raw]


class _Last(NamedTuple):
    seq: int
    to: int


class _Head(msgspec.Struct):
    to: int


_message = msgspec.json.Decoder(_Message)
_head = msgspec.json.Decoder(_Head)
_event = msgspec.json.Decoder(contract.Event)
_named = msgspec.json.Decoder(NamedEvent)


class NatsEvents:
    """``EventLog``."""

    def __init__(self, jet: Jet, stream: Stream, follower: Follower) -> None:
        self._jet = jet
        self._stream = stream
        self._follower = follower
        self._last: OrderedDict[tuple[str, str], _Last] = OrderedDict()

    @property
    def restored(self) -> int:
        """How often the stream was found to be a copy of before."""
        return self._follower.restored

    async def put(self, room: str, batch: contract.EventBatch) -> contract.EventsTaken:
        """Keep what is new of a batch."""
        if batch.after is not None and batch.after.epoch != batch.epoch:  # once an epoch
            before = await self._look(room, batch.after.epoch)
            if has_lost(batch, before.to):
                return contract.EventsTaken(epoch=batch.after.epoch, to=before.to)
        last, looked = self._last.get((room, batch.epoch)), False
        for _ in attempts():
            if last is None:
                last, looked = await self._look(room, batch.epoch), True
            if batch.events[0].seq <= last.to and not looked:
                # What this front remembers may be old: the epoch's highest is the answer by which a restored room knows that it is one.
                last = None
                continue
            if batch.after is not None and batch.after.epoch == batch.epoch and has_lost(batch, last.to):
                if looked:
                    return contract.EventsTaken(epoch=batch.epoch, to=last.to)
                last = None
                continue
            new = new_events(batch, last.to, await self._kept(room, batch, last))
            if not new:
                return contract.EventsTaken(epoch=batch.epoch, to=last.to)
            try:
                for piece in _pieces(new):
                    last = await self._put(room, batch.epoch, piece, last)
            except LookAgainError:
                last = None
                continue
            return contract.EventsTaken(epoch=batch.epoch, to=last.to)
        raise AssertionError  # attempts() raises

    async def after(self, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Events behind this number."""
        await self._follower.confirm()
        return await self._behind(number, most, until=self._follower.seen)

    async def notable(self, since_utc_us: int, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Of the events behind this number, those that flags are computed from."""
        found, size_bytes = list[tuple[contract.TakenEvent, int]](), 0
        seq, only = number // PER_MESSAGE, f"{self._stream.root}.n.>"
        since = since_utc_us - _SLACK_US if number == 0 else None
        while read := await self._jet.read(self._stream, seq, only=only, since_utc_us=since):
            new = [
                each
                for stored in read
                for each in _events(stored)
                if each[0].number > number and each[0].utc_us >= since_utc_us and isinstance(each[0].event.data, NOTABLE)
            ]
            found += new
            size_bytes += sum(length for _, length in new)
            if len(found) >= most or size_bytes >= PAGE_BYTES:
                break
            seq, since = read[-1].seq + 1, None
        return page(found, most)

    async def _behind(self, number: int, most: int, until: int) -> list[contract.TakenEvent]:
        found, size_bytes = list[tuple[contract.TakenEvent, int]](), 0
        seq = number // PER_MESSAGE
        while len(found) < most and size_bytes < PAGE_BYTES and seq <= until:
            read = await self._jet.read_to(self._stream, seq, until, most=min(BATCH, most))
            if not read:
                break
            new = [each for stored in read for each in _events(stored) if each[0].number > number]
            found += new
            size_bytes += sum(length for _, length in new)
            seq = read[-1].seq + 1
        return page(found, most)

    async def _kept(self, room: str, batch: contract.EventBatch, last: _Last) -> dict[int, str]:
        """The ids that are kept under the batch's numbers up to ``last``."""
        first, to, kept = batch.events[0].seq, min(batch.events[-1].seq, last.to), dict[int, str]()
        if first > last.to:
            return kept
        only, seq = self._scope(room, batch.epoch), last.seq
        below, read = 0, await self._jet.read_to(self._stream, seq, last.seq, only=only, most=1)
        if _ids(read[0])[0].seq > first:
            # The first message that reaches the batch: they stand in the order of their numbers.
            while below + 1 < seq:
                middle = (below + seq) // 2
                (found,) = await self._jet.read_to(self._stream, middle, last.seq, only=only, most=1)
                if found.seq >= seq or _head.decode(found.data).to >= first:
                    seq = middle
                else:
                    below = found.seq
        while seq <= last.seq and max(kept, default=0) < to:
            read = await self._jet.read_to(self._stream, seq, last.seq, only=only, most=_MESSAGES_AT_ONCE)
            for stored in read:
                kept |= {event.seq: event.id for event in _ids(stored)}
            seq = read[-1].seq + 1
        return kept

    async def _look(self, room: str, epoch: str) -> _Last:
        """The last message, as the stream's leader has it. One that is new, or was deposed and does not know, may have less for a moment.

        Nothing is stored on such a look, for its number is then not the last; an answer that names it asks for what is cut off here again.
        """
        stored = await self._jet.last(self._stream, self._scope(room, epoch))
        last = _Last(0, 0) if stored is None else _Last(stored.seq, _head.decode(stored.data).to)
        self._remember(room, epoch, last)
        return last

    async def _put(self, room: str, epoch: str, events: Sequence[tuple[contract.Event, bytes]], before: _Last) -> _Last:
        to = events[-1][0].seq
        notable = any(isinstance(event.data, NOTABLE) for event, _ in events)
        body = _Message(room, epoch, to, now_utc_us(), [msgspec.Raw(encoded) for _, encoded in events])
        # By its events' ids: a room whose file went back may give the same numbers to others within the two minutes.
        ids = hashlib.sha256(" ".join(event.id for event, _ in events).encode()).hexdigest()
        seq = await self._jet.put(
            self._stream, f"{self._stream.root}.{'n' if notable else 'p'}.{token(room)}.{token(epoch)}", msgspec.json.encode(body),
            expected=before.seq, scope=self._scope(room, epoch), message_id=f"{token(room)}/{token(epoch)}/{to}-{ids}",
        )  # fmt: skip
        last = _Last(seq, to)
        self._remember(room, epoch, last)
        return last

    def _scope(self, room: str, epoch: str) -> str:
        return f"{self._stream.root}.*.{token(room)}.{token(epoch)}"

    def _remember(self, room: str, epoch: str, last: _Last) -> None:
        known = self._last.get((room, epoch))
        if known is None or known.seq <= last.seq:
            self._last[room, epoch] = last
        self._last.move_to_end((room, epoch))
        if len(self._last) > _HELD:
            self._last.popitem(last=False)


def _pieces(events: Sequence[contract.Event]) -> Iterator[Sequence[tuple[contract.Event, bytes]]]:
    """The events in messages that NATS takes.

    Raises:
        ConflictError: a single one is longer.
    """
    piece: list[tuple[contract.Event, bytes]] = []
    length = 0
    for event in events:
        encoded = msgspec.json.encode(event)
        if len(encoded) > _LONGEST_BYTES:
            raise ConflictError(f"event {event.seq} has {len(encoded)} bytes; the most is {_LONGEST_BYTES}")
        if piece and length + len(encoded) > MESSAGE_BYTES:
            yield piece
            piece, length = [], 0
        piece.append((event, encoded))
        length += len(encoded)
    yield piece


def _ids(stored: Stored) -> list[NamedEvent]:
    return [_named.decode(raw) for raw in _message.decode(stored.data).events]


def _events(stored: Stored) -> list[tuple[contract.TakenEvent, int]]:
    """The events of a message, each with its length."""
    message = _message.decode(stored.data)
    return [
        (contract.TakenEvent(number=stored.seq * PER_MESSAGE + place, utc_us=message.utc_us, event=_event.decode(raw)), len(raw))
        for place, raw in enumerate(message.events)
    ]
