"""Rooms, their tokens and certificates in NATS JetStream: ``Registry`` of ``backend.py``.

1. A token is used by a message that is stored only behind the one that made it: of two fronts one is first.
2. A revocation is one message, and denies the certificates of its name that stand before it in the stream: no front can see half of it, and
   one that is issued at the same moment stands on one side of it or on the other.
3. Each front holds in memory what is denied, and answers nothing when it has not reached the stream for ``STALE_S`` (``nats_follower.py``).
4. Heartbeats are told to all fronts as they come. Once in ``STORE_S`` each room's is stored too, in memory of the servers, for fronts that
   begin later.
"""

import secrets
import time
from collections.abc import Sequence

import msgspec
from nats.aio.msg import Msg

from agent.upstream import contract
from agent.upstream.centre.backend import ConflictError, DeniedError, Shown
from agent.upstream.centre.nats_connection import Connection
from agent.upstream.centre.nats_follower import Follower
from agent.upstream.centre.nats_jet import Jet, LookAgainError, Stored, attempts
from agent.upstream.centre.nats_names import Streams
from agent.upstream.centre.registry_view import AnyEntry, CertificateIssued, RegistryView, Revoked, RoomForgotten, RoomNamed, TokenState

STORE_S = 60.0


class _Beat(msgspec.Struct):
    room: str
    utc_us: int
    heartbeat: contract.Heartbeat


_entry = msgspec.json.Decoder(AnyEntry)
_beat = msgspec.json.Decoder(_Beat)


class NatsRegistry:
    """``Registry``; ``start`` before, ``stop`` at the end."""

    def __init__(self, connection: Connection, jet: Jet, streams: Streams) -> None:
        self._connection = connection
        self._jet = jet
        self._streams = streams
        self._stream = streams.registry
        self._view = RegistryView()
        self._follower = Follower(connection, jet, self._stream, apply=self._apply, clear=self._view.clear)
        self._heard: dict[str, contract.RoomState] = {}
        self._stored_s: dict[str, float] = {}

    async def start(self) -> None:
        """Read what is there, and follow."""
        await self._follower.start()
        await self._connection.hear(self._streams.beats, self._told)
        seq = 1
        while read := await self._jet.read(self._streams.heard, seq):
            for stored in read:
                self._take(_beat.decode(stored.data))
            seq = read[-1].seq + 1

    async def stop(self) -> None:
        """Follow no longer."""
        await self._follower.stop()

    async def knows(self, room: str) -> bool:
        """Whether a token, a certificate or a hearing named this room."""
        if room not in self._view.rooms:
            await self._follower.confirm()
        return room in self._view.rooms

    async def name_room(self, room: str) -> None:
        """A hearing names this room, or it is heard."""
        if room not in self._view.rooms:
            await self._store(RoomNamed(room=room), self._stream.subject("room", room), None)

    async def add_token(self, room: str, secret_sha256: str, until_utc_us: int) -> None:
        """A token's secret, by its hash."""
        await self._store(TokenState(room=room, until_utc_us=until_utc_us), self._stream.subject("token", secret_sha256), 0)

    async def check_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Look whether a token can be used."""
        _token(await self._jet.last(self._stream, self._stream.subject("token", secret_sha256)), room, now_utc_us, "")

    async def use_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Use a token up."""
        subject, use = self._stream.subject("token", secret_sha256), secrets.token_hex(16)
        for _ in attempts():
            stored = await self._jet.last(self._stream, subject)
            seq, state = _token(stored, room, now_utc_us, use)
            if state.use == use:  # ours: its acknowledgement was lost
                return
            used = msgspec.structs.replace(state, used_utc_us=now_utc_us, use=use)
            try:
                await self._jet.put(self._stream, subject, msgspec.json.encode(used), expected=seq)
            except LookAgainError:
                continue
            return

    async def issued(self, serial: int, name: str, until_utc_us: int, pem: str, *, renewed_from: Shown | None = None) -> None:
        """A certificate was issued."""
        entry = CertificateIssued(serial=f"{serial:x}", name=name, until_utc_us=until_utc_us, pem=pem)
        await self._store(entry, self._stream.subject("certificate", name, entry.serial), 0)
        # All that stands before the new one is in force here by now: a revocation that stands behind it denies it too.
        if renewed_from is not None and self._view.is_denied(renewed_from):
            raise DeniedError

    async def revoke(self, name: str, now_utc_us: int) -> Sequence[int]:
        """Deny all certificates that were issued to this name."""
        # Stored where nothing is in force too: of a stream that was restored from a copy what was issued since is missing.
        seq = await self._store(Revoked(name=name, utc_us=now_utc_us), self._stream.subject("revoked", name), None)
        return self._view.denied_by(seq)

    async def is_revoked(self, certificate: Shown) -> bool:
        """Whether a certificate is denied."""
        self._follower.check_fresh()
        return self._view.is_denied(certificate)

    async def revoked(self) -> Sequence[tuple[int, int]]:
        """All denied certificates."""
        await self._follower.confirm()
        return sorted((serial, denied.utc_us) for serial, denied in self._view.denied.items())

    async def heard(self, room: str, heartbeat: contract.Heartbeat, utc_us: int) -> None:
        """A room's heartbeat."""
        await self.name_room(room)
        beat = _Beat(room, utc_us, heartbeat)
        self._take(beat)
        body, now_s = msgspec.json.encode(beat), time.monotonic()
        await self._connection.tell(self._streams.beat(room), body)
        if now_s - self._stored_s.get(room, -STORE_S) >= STORE_S:
            self._stored_s[room] = now_s
            await self._connection.tell(self._streams.heard.subject(room), body)

    async def rooms(self) -> Sequence[contract.RoomState]:
        """All rooms."""
        self._follower.check_fresh()
        known = {room: contract.RoomState(room=room, heard_utc_us=None, heartbeat=None) for room in self._view.rooms}
        forgotten = self._view.forgotten_utc_us
        heard = {room: state for room, state in self._heard.items() if (state.heard_utc_us or 0) > forgotten.get(room, 0)}
        return [state for _, state in sorted((known | heard).items())]

    async def forget(self, room: str, now_utc_us: int) -> None:
        """A room is listed no longer."""
        await self._store(RoomForgotten(room=room, utc_us=now_utc_us), self._stream.subject("room", room), None)

    async def _store(self, entry: AnyEntry, subject: str, expected: int | None) -> int:
        """Store an entry that comes once, or however often it is said (``expected`` None); wait until it is in force here."""
        body, message_id = msgspec.json.encode(entry), secrets.token_hex(16)
        for _ in attempts():
            try:
                seq = await self._jet.put(self._stream, subject, body, expected=expected, message_id=message_id)
            except LookAgainError:
                stored = await self._jet.last(self._stream, subject) if expected is not None else None
                if stored is None:
                    continue
                seq = stored.seq  # it is there: ours, whose acknowledgement was lost, or the same by another front
            await self._follower.at_least(seq)
            return seq
        raise AssertionError  # attempts() raises

    def _apply(self, stored: Stored) -> None:
        self._view.apply(stored.seq, _entry.decode(stored.data), time.time_ns() // 1000)

    async def _told(self, message: Msg) -> None:
        self._take(_beat.decode(message.data))

    def _take(self, beat: _Beat) -> None:
        known = self._heard.get(beat.room)
        if known is None or (known.heard_utc_us or 0) < beat.utc_us:
            self._heard[beat.room] = contract.RoomState(room=beat.room, heard_utc_us=beat.utc_us, heartbeat=beat.heartbeat)


def _token(stored: Stored | None, room: str, now_utc_us: int, use: str) -> tuple[int, TokenState]:
    """A token that can be used, or was by ``use`` itself, and its message's number."""
    state = None if stored is None else _entry.decode(stored.data)
    if stored is None or not isinstance(state, TokenState) or state.room != room:
        raise ConflictError("This token is not good for this room.")
    if state.used_utc_us is not None and state.use != use:
        raise ConflictError("This token was used already: have a new one made.")
    if state.used_utc_us is None and now_utc_us > state.until_utc_us:
        raise ConflictError("This token is too old: have a new one made.")
    return stored.seq, state
