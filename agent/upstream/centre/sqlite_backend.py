"""The centre's keeper on one SQLite file, for a demonstration, tests, a pilot or a small court: see ``backend.py``."""

import base64
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.upstream import contract, transfer
from agent.upstream.centre.backend import Backend, ConflictError
from agent.upstream.centre.database import Database
from agent.upstream.centre.news import LocalNews
from recorder.record.checkpoint import Receipt, receipt_text

Sign = Callable[[bytes], bytes]
"""Signs a receipt's text: ECDSA P-256 with SHA-256, DER."""

_hearing = msgspec.json.Decoder(contract.Hearing)
_event = msgspec.json.Decoder(contract.Event)
_command = msgspec.json.Decoder(contract.AnyCommand)
_heartbeat = msgspec.json.Decoder(contract.Heartbeat)
_receipt = msgspec.json.Decoder(Receipt)


def now_utc_us() -> int:
    """The centre's clock."""
    return time.time_ns() // 1000


def sqlite_backend(path: Path, sign: Sign, certificate_der: bytes) -> tuple[Backend, Database]:
    """The backend on this file, and what must be closed at the end; receipts are signed by ``sign``, whose certificate is given.

    Raises:
        DatabaseError: the file is of a newer program.
        sqlite3.Error: the file cannot be used.
    """
    database, news = Database(path), LocalNews()
    backend = Backend(
        events=SqliteEvents(database, news),
        plan=SqlitePlan(database, news),
        ledger=SqliteLedger(database, sign, base64.b64encode(certificate_der).decode()),
        commands=SqliteCommands(database, news),
        registry=SqliteRegistry(database),
        news=news,
    )
    return backend, database


class SqliteEvents:
    """``EventLog``."""

    def __init__(self, database: Database, news: LocalNews) -> None:
        self._database = database
        self._news = news

    async def put(self, room: str, batch: contract.EventBatch) -> contract.EventsTaken:
        """Keep what is new of a batch."""
        rows = [(room, batch.epoch, event.seq, now_utc_us(), msgspec.json.encode(event)) for event in batch.events]

        def work(connection: sqlite3.Connection) -> int:
            connection.executemany(
                "INSERT INTO event (room, epoch, seq, utc_us, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (room, epoch, seq) DO NOTHING", rows
            )
            highest = connection.execute("SELECT max(seq) FROM event WHERE room = ? AND epoch = ?", (room, batch.epoch)).fetchone()
            return int(highest[0])

        # The epoch's highest, not the batch's: a room whose file is an old copy learns from it that its numbers were given before.
        to = await self._database.do(work)
        self._news.tell_events()
        return contract.EventsTaken(epoch=batch.epoch, to=to)

    async def after(self, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Events behind this number."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT number, utc_us, body FROM event WHERE number > ? ORDER BY number LIMIT ?", (number, most)
            ).fetchall()
        )
        return [contract.TakenEvent(number=taken, utc_us=utc_us, event=_event.decode(body)) for taken, utc_us, body in rows]


class SqlitePlan:
    """``Plan``."""

    def __init__(self, database: Database, news: LocalNews) -> None:
        self._database = database
        self._news = news

    async def put(self, hearings: Sequence[contract.Hearing]) -> transfer.Offset:
        """Take hearings as they are now."""
        touched: set[str] = set()

        def work(connection: sqlite3.Connection) -> transfer.Offset:
            changed = 0
            for hearing in hearings:
                body = msgspec.json.encode(hearing)
                known = connection.execute("SELECT body FROM hearing WHERE id = ?", (hearing.id,)).fetchone()
                if known is not None and known[0] == body:
                    continue
                offset = _next(connection, "offset")
                connection.execute(
                    "INSERT INTO hearing VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET change_offset = excluded.change_offset, "
                    "body = excluded.body",
                    (hearing.id, offset, body),
                )
                connection.execute("INSERT INTO hearing_room VALUES (?, ?) ON CONFLICT DO NOTHING", (hearing.room, hearing.id))
                connection.execute("INSERT INTO room (id) VALUES (?) ON CONFLICT DO NOTHING", (hearing.room,))
                touched.update(row[0] for row in connection.execute("SELECT room FROM hearing_room WHERE hearing = ?", (hearing.id,)))
                changed += 1
            return transfer.Offset(offset=_value(connection, "offset"), changed=changed)

        answer = await self._database.do(work)
        self._news.tell_rooms(touched)
        return answer

    async def feed(self, room: str, after: int) -> contract.Feed:
        """What a room must know."""

        def work(connection: sqlite3.Connection) -> contract.Feed:
            as_of = _value(connection, "offset")
            rows = connection.execute(
                "SELECT change_offset, body FROM hearing_room JOIN hearing ON hearing.id = hearing_room.hearing "
                "WHERE hearing_room.room = ? AND change_offset > ? ORDER BY change_offset",
                (room, after if after <= as_of else 0),
            ).fetchall()
            changes = [contract.Change(offset=offset, hearing=_hearing.decode(body)) for offset, body in rows]
            # It knows nothing yet, or was told by a centre that this one was before it was restored.
            if after > as_of or (after == 0 and as_of > 0):
                return contract.Feed(as_of=as_of, snapshot=contract.Snapshot(as_of=as_of, hearings=[change.hearing for change in changes]))
            return contract.Feed(as_of=as_of, changes=changes)

        return await self._database.do(work)

    async def after(self, offset: int) -> Sequence[contract.Change]:
        """All hearings that changed behind an offset."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT change_offset, body FROM hearing WHERE change_offset > ? ORDER BY change_offset", (offset,)
            ).fetchall()
        )
        return [contract.Change(offset=changed, hearing=_hearing.decode(body)) for changed, body in rows]


class SqliteLedger:
    """``Ledger``."""

    def __init__(self, database: Database, sign: Sign, certificate: str) -> None:
        self._database = database
        self._sign = sign
        self._certificate = certificate

    async def countersign(self, room: str, head: contract.Head) -> Receipt:
        """The receipt for a head."""

        def work(connection: sqlite3.Connection) -> Receipt:
            last = connection.execute(
                "SELECT at, head, room, body FROM receipt WHERE record = ? ORDER BY at DESC LIMIT 1", (head.record,)
            ).fetchone()
            if last is not None:
                at, sha256, by, body = last
                if by != room:
                    raise ConflictError(f"record {head.record} is room {by}'s")
                if head.at < at or (head.at == at and head.sha256 != sha256):
                    raise ConflictError(
                        f"record {head.record} had entry {at} with head {sha256}; now entry {head.at} with head {head.sha256} is its last"
                    )
                if head.at == at:
                    return _receipt.decode(body)
            receipt = Receipt(
                record=head.record, room=room, at=head.at, head=head.sha256, counter=_next(connection, "receipt"), utc_us=now_utc_us(),
                sig="", certificate=self._certificate,
            )  # fmt: skip
            receipt = msgspec.structs.replace(receipt, sig=base64.b64encode(self._sign(receipt_text(receipt))).decode())
            connection.execute(
                "INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?)",
                (receipt.counter, receipt.record, receipt.at, receipt.head, room, msgspec.json.encode(receipt, order="sorted")),
            )
            return receipt

        return await self._database.do(work)

    async def after(self, counter: int, most: int) -> Sequence[Receipt]:
        """Receipts behind a counter."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT body FROM receipt WHERE counter > ? ORDER BY counter LIMIT ?", (counter, most)
            ).fetchall()
        )
        return [_receipt.decode(body) for (body,) in rows]

    async def of_record(self, record: str) -> Sequence[Receipt]:
        """All receipts of a record."""
        rows = await self._database.do(
            lambda connection: connection.execute("SELECT body FROM receipt WHERE record = ? ORDER BY at", (record,)).fetchall()
        )
        return [_receipt.decode(body) for (body,) in rows]


class SqliteCommands:
    """``Commands``."""

    def __init__(self, database: Database, news: LocalNews) -> None:
        self._database = database
        self._news = news

    async def give(self, room: str, command: contract.AnyCommand) -> int:
        """Keep a command for a room."""

        def work(connection: sqlite3.Connection) -> int:
            number = _next(connection, "command")
            body = msgspec.json.encode(msgspec.structs.replace(command, number=number))
            connection.execute("INSERT INTO command VALUES (?, ?, ?)", (room, number, body))
            return number

        number = await self._database.do(work)
        self._news.tell_rooms({room})
        return number

    async def after(self, room: str, number: int) -> Sequence[contract.AnyCommand]:
        """A room's commands behind a number."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT body FROM command WHERE room = ? AND number > ? ORDER BY number LIMIT 100", (room, number)
            ).fetchall()
        )
        return [_command.decode(body) for (body,) in rows]


class SqliteRegistry:
    """``Registry``; heartbeats and the deny list are held in memory too, for each request asks for the one and brings the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heard: dict[str, contract.RoomState] = {}
        self._denied: set[int] | None = None

    async def add_token(self, room: str, secret_sha256: str, until_utc_us: int) -> None:
        """A token's secret, by its hash."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO room (id) VALUES (?) ON CONFLICT DO NOTHING", (room,))
            connection.execute("INSERT INTO token VALUES (?, ?, ?, NULL)", (secret_sha256, room, until_utc_us))

        await self._database.do(work)

    async def use_token(self, room: str, secret_sha256: str, now_utc_us: int) -> None:
        """Use a token up."""

        def work(connection: sqlite3.Connection) -> None:
            found = connection.execute(
                "SELECT room, until_utc_us, used_utc_us FROM token WHERE secret_sha256 = ?", (secret_sha256,)
            ).fetchone()
            if found is None or found[0] != room:
                raise ConflictError("This token is not good for this room.")
            if found[2] is not None:
                raise ConflictError("This token was used already: have a new one made.")
            if now_utc_us > found[1]:
                raise ConflictError("This token is too old: have a new one made.")
            connection.execute("UPDATE token SET used_utc_us = ? WHERE secret_sha256 = ?", (now_utc_us, secret_sha256))

        await self._database.do(work)

    async def issued(self, serial: int, name: str, until_utc_us: int, pem: str) -> None:
        """A certificate was issued."""
        await self._database.do(
            lambda connection: (
                connection.execute("INSERT INTO certificate VALUES (?, ?, ?, ?, NULL)", (f"{serial:x}", name, until_utc_us, pem)).rowcount
            )
        )

    async def revoke(self, name: str, now_utc_us: int) -> Sequence[int]:
        """Deny all certificates that were issued to this name."""

        def work(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute("SELECT serial FROM certificate WHERE name = ? AND revoked_utc_us IS NULL", (name,)).fetchall()
            connection.execute("UPDATE certificate SET revoked_utc_us = ? WHERE name = ? AND revoked_utc_us IS NULL", (now_utc_us, name))
            return [int(serial, 16) for (serial,) in rows]

        serials = await self._database.do(work)
        self._denied = None
        return serials

    async def is_revoked(self, serial: int) -> bool:
        """Whether a certificate is denied."""
        if self._denied is None:
            self._denied = {denied for denied, _ in await self.revoked()}
        return serial in self._denied

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


def _next(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("UPDATE counter SET value = value + 1 WHERE name = ? RETURNING value", (name,)).fetchone()
    return int(row[0])


def _value(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()[0])
