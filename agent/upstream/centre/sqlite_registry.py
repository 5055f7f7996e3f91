"""Rooms, their tokens and certificates in SQLite: ``Registry`` of ``backend.py``."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import ConflictError, DeniedError, Shown
from agent.upstream.centre.database import Database

_heartbeat = msgspec.json.Decoder(contract.Heartbeat)


class SqliteRegistry:
    """``Registry``; heartbeats and the deny list are held in memory too, for each request asks for the one and brings the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heard: dict[str, contract.RoomState] = {}
        self._denied: _Denied | None = None
        self._forgotten: set[str] = set()
        """Rooms that are to be named again when they are heard."""

    async def add_token(self, room: str, secret_sha256: str, until_utc_us: int) -> None:
        """A token's secret, by its hash."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO room (id) VALUES (?) ON CONFLICT DO NOTHING", (room,))
            connection.execute("INSERT INTO token VALUES (?, ?, ?, NULL)", (secret_sha256, room, until_utc_us))

        await self._database.do(work)

    async def check_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Look whether a token can be used."""
        await self._database.do(lambda connection: _check_token(connection, room, secret_sha256, now_utc_us))

    async def use_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Use a token up."""

        def work(connection: sqlite3.Connection) -> None:
            _check_token(connection, room, secret_sha256, now_utc_us)
            connection.execute("UPDATE token SET used_utc_us = ? WHERE secret_sha256 = ?", (now_utc_us, secret_sha256))

        await self._database.do(work)

    async def issued(self, serial: int, name: str, until_utc_us: int, pem: str, *, renewed_from: Shown | None = None) -> None:
        """A certificate was issued."""

        def work(connection: sqlite3.Connection) -> None:
            if renewed_from is not None and _is_denied(connection, renewed_from):
                raise DeniedError
            connection.execute("INSERT INTO certificate VALUES (?, ?, ?, ?, NULL)", (f"{serial:x}", name, until_utc_us, pem))

        await self._database.do(work)

    async def revoke(self, name: str, now_utc_us: int) -> Sequence[int]:
        """Deny all certificates that were issued to this name."""

        def work(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute("SELECT serial FROM certificate WHERE name = ? AND revoked_utc_us IS NULL", (name,)).fetchall()
            connection.execute("UPDATE certificate SET revoked_utc_us = ? WHERE name = ? AND revoked_utc_us IS NULL", (now_utc_us, name))
            connection.execute(
                "INSERT INTO revocation VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET utc_us = max(utc_us, excluded.utc_us)",
                (name, now_utc_us),
            )
            return [int(serial, 16) for (serial,) in rows]

        serials = await self._database.do(work)
        self._denied = None
        return serials

    async def is_revoked(self, certificate: Shown) -> bool:
        """Whether a certificate is denied."""
        denied = self._denied
        if denied is None:
            denied = self._denied = await self._database.do(_all_denied)
        if certificate.serial in denied.serials:
            return True
        if certificate.issued_utc_us > denied.names.get(certificate.name, -1):
            return False
        return await self._database.do(lambda connection: _is_denied(connection, certificate))

    async def revoked(self) -> Sequence[tuple[int, int]]:
        """All denied certificates."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT serial, revoked_utc_us FROM certificate WHERE revoked_utc_us IS NOT NULL ORDER BY serial"
            ).fetchall()
        )
        return [(int(serial, 16), utc_us) for serial, utc_us in rows]

    async def heard(self, room: str, heartbeat: contract.Heartbeat, utc_us: int) -> None:
        """A room's heartbeat: in memory at once, on the disk with the next ``store_heard``."""
        self._heard[room] = contract.RoomState(room=room, heard_utc_us=utc_us, heartbeat=heartbeat)
        if room in self._forgotten:
            await self._database.do(
                lambda connection: connection.execute("INSERT INTO room (id) VALUES (?) ON CONFLICT DO NOTHING", (room,))
            )
            self._forgotten.discard(room)

    async def store_heard(self) -> None:
        """Keep the last heartbeats, so that a centre that is started again does not call every room silent."""
        rows = [(room, state.heard_utc_us, msgspec.json.encode(state.heartbeat)) for room, state in self._heard.items()]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO room VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET heard_utc_us = excluded.heard_utc_us, "
                "heartbeat = excluded.heartbeat",
                rows,
            )

        await self._database.do(work)

    async def rooms(self) -> Sequence[contract.RoomState]:
        """All rooms."""
        rows = await self._database.do(
            lambda connection: connection.execute("SELECT id, heard_utc_us, heartbeat FROM room ORDER BY id").fetchall()
        )
        stored = {
            room: contract.RoomState(room=room, heard_utc_us=utc_us, heartbeat=None if body is None else _heartbeat.decode(body))
            for room, utc_us, body in rows
        }
        return [state for _, state in sorted((stored | self._heard).items())]

    async def forget(self, room: str, now_utc_us: int) -> None:
        """A room is listed no longer."""
        known = self._heard.get(room)
        if known is not None and (known.heard_utc_us or 0) <= now_utc_us:
            del self._heard[room]
        await self._database.do(lambda connection: connection.execute("DELETE FROM room WHERE id = ?", (room,)))
        self._forgotten.add(room)


class _Denied(NamedTuple):
    serials: frozenset[int]
    names: dict[str, int]
    """When a name was revoked last."""


def _all_denied(connection: sqlite3.Connection) -> _Denied:
    serials = connection.execute("SELECT serial FROM certificate WHERE revoked_utc_us IS NOT NULL").fetchall()
    names = connection.execute("SELECT name, utc_us FROM revocation").fetchall()
    return _Denied(frozenset(int(serial, 16) for (serial,) in serials), dict(names))


def _is_denied(connection: sqlite3.Connection, certificate: Shown) -> bool:
    """What is known of a certificate itself counts; of one that is not known, what its name says."""
    known = connection.execute("SELECT revoked_utc_us FROM certificate WHERE serial = ?", (f"{certificate.serial:x}",)).fetchone()
    if known is not None:
        return known[0] is not None
    name = connection.execute("SELECT utc_us FROM revocation WHERE name = ?", (certificate.name,)).fetchone()
    return name is not None and certificate.issued_utc_us <= name[0]


def _check_token(connection: sqlite3.Connection, room: str, secret_sha256: str, now_utc_us: int) -> None:
    found = connection.execute("SELECT room, until_utc_us, used_utc_us FROM token WHERE secret_sha256 = ?", (secret_sha256,)).fetchone()
    if found is None or found[0] != room:
        raise ConflictError("This token is not good for this room.")
    if found[2] is not None:
        raise ConflictError("This token was used already: have a new one made.")
    if now_utc_us > found[1]:
        raise ConflictError("This token is too old: have a new one made.")
