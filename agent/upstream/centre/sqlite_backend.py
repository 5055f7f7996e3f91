"""The centre's keeper on one SQLite file, for a demonstration, tests, a pilot or a small court: see ``backend.py``."""

import base64
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from agent.upstream import contract, transfer
from agent.upstream.centre.backend import (
    API,
    NOTABLE,
    SNAPSHOT_BACK_US,
    Backend,
    Contradiction,
    ContradictionError,
    UnknownRoomError,
    now_utc_us,
    with_token,
)
from agent.upstream.centre.database import Database
from agent.upstream.centre.decisions import (
    Kept,
    NamedEvent,
    Run,
    has_lost,
    may_change,
    new_events,
    new_run,
    next_command,
    page,
    verdict,
    wants_snapshot,
)
from agent.upstream.centre.newest import Newest
from agent.upstream.centre.news import LocalNews
from agent.upstream.centre.sqlite_registry import SqliteRegistry
from recorder.record.checkpoint import Receipt, receipt_text

log = structlog.get_logger()

Sign = Callable[[bytes], bytes]
"""Signs a receipt's text: ECDSA P-256 with SHA-256, DER."""

_hearing = msgspec.json.Decoder(contract.Hearing)
_event = msgspec.json.Decoder(contract.Event)
_named = msgspec.json.Decoder(NamedEvent)
_command = msgspec.json.Decoder(contract.AnyCommand)
_receipt = msgspec.json.Decoder(Receipt)
_CONTRADICTIONS = "SELECT record, room, kept_at, kept_head, said_at, said_head, first_utc_us, last_utc_us, times FROM contradiction"


def sqlite_backend(path: Path, sign: Sign, certificate_der: bytes) -> tuple[Backend, Database]:
    """The backend on this file, and what must be closed at the end; receipts are signed by ``sign``, whose certificate is given.

    Raises:
        DatabaseError: the file is of a newer program.
        sqlite3.Error: the file cannot be used.
    """
    database, news = Database(path), LocalNews()
    try:
        run = _begin_run(database)
    except sqlite3.Error:
        database.close()
        raise
    backend = Backend(
        events=SqliteEvents(database, news),
        plan=SqlitePlan(database, news, run),
        ledger=SqliteLedger(database, sign, base64.b64encode(certificate_der).decode()),
        commands=SqliteCommands(database, news),
        registry=SqliteRegistry(database),
        news=news,
    )
    return backend, database


class SqliteEvents:
    """``EventLog``."""

    restored = 0
    """A file is put in another's place while no centre runs."""

    def __init__(self, database: Database, news: LocalNews) -> None:
        self._database = database
        self._news = news

    async def put(self, room: str, batch: contract.EventBatch) -> contract.EventsTaken:
        """Keep what is new of a batch."""
        now_us = now_utc_us()

        def work(connection: sqlite3.Connection) -> contract.EventsTaken:
            of_epoch = (room, batch.epoch)
            if batch.after is not None and has_lost(batch, had := _highest(connection, room, batch.after.epoch)):
                return contract.EventsTaken(epoch=batch.after.epoch, to=had)
            highest = _highest(connection, room, batch.epoch)
            kept = connection.execute(
                "SELECT seq, body FROM event WHERE room = ? AND epoch = ? AND seq BETWEEN ? AND ?",
                (*of_epoch, batch.events[0].seq, batch.events[-1].seq),
            )
            new = new_events(batch, highest, {seq: _named.decode(body).id for seq, body in kept})
            connection.executemany(
                "INSERT INTO event (room, epoch, seq, utc_us, body, notable) VALUES (?, ?, ?, ?, ?, ?)",
                [(*of_epoch, event.seq, now_us, msgspec.json.encode(event), isinstance(event.data, NOTABLE)) for event in new],
            )
            # The epoch's highest, not the batch's: a room whose file is an old copy learns from it that its numbers were given before.
            return contract.EventsTaken(epoch=batch.epoch, to=max(highest, batch.events[-1].seq))

        taken = await self._database.do(work)
        self._news.tell_events()
        return taken

    async def after(self, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Events behind this number."""
        rows = await self._database.do(
            lambda connection: _page(
                connection, "SELECT number, utc_us, body FROM event WHERE number > ? ORDER BY number LIMIT ?", (number, most)
            )
        )
        return _taken(rows)

    async def notable(self, since_utc_us: int, number: int, most: int) -> Sequence[contract.TakenEvent]:
        """Of the events behind this number, those that flags are computed from."""
        rows = await self._database.do(
            lambda connection: _page(
                connection,
                "SELECT number, utc_us, body FROM event WHERE notable = 1 AND utc_us >= ? AND number > ? ORDER BY number LIMIT ?",
                (since_utc_us, number, most),
            )
        )
        return _taken(rows)


class SqlitePlan:
    """``Plan``."""

    def __init__(self, database: Database, news: LocalNews, run: Run) -> None:
        self._run = run
        self._database = database
        self._news = news
        self._newest = Newest()
        self._as_of = 0
        """An offset that is durable: what every room was told of, or can be."""

    async def put(self, hearings: Sequence[contract.Hearing], source: str = API) -> transfer.Offset:
        """Take hearings as they are now."""
        touched: set[str] = set()

        def work(connection: sqlite3.Connection) -> transfer.Offset:
            changed = 0
            for hearing in hearings:
                known = connection.execute("SELECT body, source FROM hearing WHERE id = ?", (hearing.id,)).fetchone()
                if not may_change(source, None if known is None else known[1]):
                    continue
                before = None if known is None else _hearing.decode(known[0])
                now = with_token(hearing, before)
                if now == before:
                    connection.execute("UPDATE hearing SET source = ? WHERE id = ?", (source, hearing.id))
                    continue
                offset, rooms = _change(connection, now, source, self._run)
                for room in rooms:
                    self._newest.note(room, offset)
                touched.update(rooms)
                changed += 1
            return transfer.Offset(offset=_value(connection, "offset"), changed=changed)

        answer = await self._database.do(work)
        self._as_of = max(self._as_of, answer.offset)
        self._news.tell_rooms(touched)
        return answer

    async def feed(self, room: str, after: int) -> contract.Feed:
        """What a room must know."""
        is_lost = self._run.is_of_a_lost_one(after)
        if self._newest.has_all(room, after) and not is_lost and not wants_snapshot(after, self._as_of):
            return contract.Feed(as_of=self._as_of)
        since_us = now_utc_us() - SNAPSHOT_BACK_US

        def work(connection: sqlite3.Connection) -> contract.Feed:
            if not self._newest.is_known:
                self._newest.read(connection.execute("SELECT room, max(change_offset) FROM hearing_room GROUP BY room"))
            # Told less than it knows, a room begins anew, and tells again what may be lost (``agent/schedule.py``).
            as_of = self._run.found if is_lost else _value(connection, "offset")
            of_room = (
                "SELECT hearing.change_offset, body FROM hearing_room JOIN hearing ON hearing.id = hearing_room.hearing WHERE room = ? "
            )
            if is_lost or wants_snapshot(after, as_of):
                rows = connection.execute(of_room + "AND ends_utc_us >= ?", (room, since_us))
                snapshot = contract.Snapshot(as_of=as_of, hearings=[_hearing.decode(body) for _, body in rows])
                return contract.Feed(as_of=as_of, snapshot=snapshot)
            rows = connection.execute(of_room + "AND hearing_room.change_offset > ? ORDER BY hearing_room.change_offset", (room, after))
            return contract.Feed(as_of=as_of, changes=_changes(rows.fetchall()))

        feed = await self._database.do(work)
        self._as_of = max(self._as_of, feed.as_of)
        return feed

    async def count_on(self) -> None:
        """Go on with the count where nothing changes: by it rooms notice a copy that is older than what they were told."""
        as_of = await self._database.do(lambda connection: _count_on(connection, now_utc_us() // 1000))
        self._as_of = max(self._as_of, as_of)

    async def after(self, offset: int, most: int) -> Sequence[contract.Change]:
        """Hearings that changed behind an offset."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT change_offset, body FROM hearing WHERE change_offset > ? ORDER BY change_offset LIMIT ?", (offset, most)
            ).fetchall()
        )
        return _changes(rows)

    async def starting(self, from_utc_us: int, to_utc_us: int, source: str | None = None) -> Sequence[contract.Change]:
        """Hearings that are to start in a span of time."""
        rows = await self._database.do(
            lambda connection: connection.execute(
                "SELECT change_offset, body FROM hearing WHERE starts_utc_us >= ?1 AND starts_utc_us < ?2 AND (?3 IS NULL OR source = ?3)",
                (from_utc_us, to_utc_us, source),
            ).fetchall()
        )
        return _changes(rows)


class SqliteLedger:
    """``Ledger``."""

    def __init__(self, database: Database, sign: Sign, certificate: str) -> None:
        self._database = database
        self._sign = sign
        self._certificate = certificate

    async def countersign(self, room: str, head: contract.Head) -> Receipt:
        """The receipt for a head."""

        def work(connection: sqlite3.Connection) -> Receipt | Contradiction:
            now_us = now_utc_us()
            last = connection.execute(
                "SELECT at, head, room, body FROM receipt WHERE record = ? ORDER BY at DESC LIMIT 1", (head.record,)
            ).fetchone()
            if last is not None:
                kept = Kept(*last[:3])
                found = verdict(kept, room, head)
                if found == "contradicts":
                    return _contradicted(connection, room, head, kept.at, kept.head, now_us)
                if found == "same":
                    return _receipt.decode(last[3])
            receipt = Receipt(
                record=head.record, room=room, at=head.at, head=head.sha256, counter=_next(connection, "receipt"), utc_us=now_us,
                sig="", certificate=self._certificate,
            )  # fmt: skip
            receipt = msgspec.structs.replace(receipt, sig=base64.b64encode(self._sign(receipt_text(receipt))).decode())
            connection.execute(
                "INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?)",
                (receipt.counter, receipt.record, receipt.at, receipt.head, room, msgspec.json.encode(receipt, order="sorted")),
            )
            return receipt

        answer = await self._database.do(work)
        if isinstance(answer, Contradiction):
            raise ContradictionError(answer)
        return answer

    async def after(self, counter: int, most: int) -> Sequence[Receipt]:
        """Receipts behind a counter."""
        rows = await self._database.do(
            lambda connection: _page(connection, "SELECT body FROM receipt WHERE counter > ? ORDER BY counter LIMIT ?", (counter, most))
        )
        return [_receipt.decode(body) for (body,) in rows]

    async def of_record(self, record: str) -> Sequence[Receipt]:
        """All receipts of a record."""
        rows = await self._database.do(
            lambda connection: connection.execute("SELECT body FROM receipt WHERE record = ? ORDER BY at", (record,)).fetchall()
        )
        return [_receipt.decode(body) for (body,) in rows]

    async def contradictions(self, since_utc_us: int) -> Sequence[Contradiction]:
        """Contradictions that were last seen since then."""
        rows = await self._database.do(
            lambda connection: connection.execute(f"{_CONTRADICTIONS} WHERE last_utc_us >= ?", (since_utc_us,)).fetchall()
        )
        return [Contradiction(*row) for row in rows]


class SqliteCommands:
    """``Commands``."""

    def __init__(self, database: Database, news: LocalNews) -> None:
        self._database = database
        self._news = news
        self._newest = Newest()

    async def give(self, room: str, command: contract.AnyCommand) -> int:
        """Keep a command for a room."""

        def work(connection: sqlite3.Connection) -> int:
            if connection.execute("SELECT 1 FROM room WHERE id = ?", (room,)).fetchone() is None:
                raise UnknownRoomError(room)
            number = next_command(_value(connection, "command"), now_utc_us())
            connection.execute("UPDATE counter SET value = ? WHERE name = 'command'", (number,))
            body = msgspec.json.encode(msgspec.structs.replace(command, number=number))
            connection.execute("INSERT INTO command VALUES (?, ?, ?)", (room, number, body))
            self._newest.note(room, number)
            return number

        number = await self._database.do(work)
        self._news.tell_rooms({room})
        return number

    async def after(self, room: str, number: int) -> Sequence[contract.AnyCommand]:
        """A room's commands behind a number."""
        if self._newest.has_all(room, number):
            return []

        def work(connection: sqlite3.Connection) -> list[tuple[bytes]]:
            if not self._newest.is_known:
                self._newest.read(connection.execute("SELECT room, max(number) FROM command GROUP BY room"))
            return connection.execute(
                "SELECT body FROM command WHERE room = ? AND number > ? ORDER BY number LIMIT 100", (room, number)
            ).fetchall()

        rows = await self._database.do(work)
        return [_command.decode(body) for (body,) in rows]


def _highest(connection: sqlite3.Connection, room: str, epoch: str) -> int:
    row = connection.execute("SELECT coalesce(max(seq), 0) FROM event WHERE room = ? AND epoch = ?", (room, epoch)).fetchone()
    return int(row[0])


def _page(connection: sqlite3.Connection, query: str, values: tuple[int, ...]) -> list[Any]:
    """Rows whose last column is long and whose last value is how many are wanted."""
    with contextlib.closing(connection.execute(query, values)) as rows:
        return page(((row, len(row[-1])) for row in rows), values[-1])


def _taken(rows: Sequence[tuple[int, int, bytes]]) -> list[contract.TakenEvent]:
    return [contract.TakenEvent(number=number, utc_us=utc_us, event=_event.decode(body)) for number, utc_us, body in rows]


def _changes(rows: Sequence[tuple[int, bytes]]) -> list[contract.Change]:
    return [contract.Change(offset=offset, hearing=_hearing.decode(body)) for offset, body in rows]


def _begin_run(database: Database) -> Run:
    found = database.do_now(lambda connection: _value(connection, "offset"))
    run = new_run(found, now_utc_us())
    try:
        database.do_now(lambda connection: _count_on(connection, run.begins))
    except sqlite3.Error as error:  # a full disk: participants are relayed without it, and rooms are told what there is
        log.error("the schedule's count cannot be stored", error=str(error))
        return Run(found, found + 1)
    return run


def _count_on(connection: sqlite3.Connection, to: int) -> int:
    """Raise the count of changes; where there was none yet, nobody was told anything."""
    connection.execute("UPDATE counter SET value = ?1 WHERE name = 'offset' AND value BETWEEN 1 AND ?1", (to,))
    return _value(connection, "offset")


def _change(connection: sqlite3.Connection, hearing: contract.Hearing, source: str, run: Run) -> tuple[int, set[str]]:
    """Keep a hearing under the next offset; returns that, and the rooms that it is or was in."""
    offset = run.next_offset(_value(connection, "offset"), now_utc_us())
    connection.execute("UPDATE counter SET value = ? WHERE name = 'offset'", (offset,))
    connection.execute(
        "INSERT INTO hearing (id, change_offset, body, source, starts_utc_us, ends_utc_us) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET change_offset = excluded.change_offset, body = excluded.body, source = excluded.source, "
        "starts_utc_us = excluded.starts_utc_us, ends_utc_us = excluded.ends_utc_us",
        (hearing.id, offset, msgspec.json.encode(hearing), source, hearing.starts_utc_us, hearing.ends_utc_us),
    )
    connection.execute("INSERT INTO hearing_room (room, hearing) VALUES (?, ?) ON CONFLICT DO NOTHING", (hearing.room, hearing.id))
    connection.execute("INSERT INTO room (id) VALUES (?) ON CONFLICT DO NOTHING", (hearing.room,))
    rows = connection.execute("UPDATE hearing_room SET change_offset = ? WHERE hearing = ? RETURNING room", (offset, hearing.id))
    return offset, {room for (room,) in rows.fetchall()}


def _contradicted(connection: sqlite3.Connection, room: str, head: contract.Head, at: int, sha256: str, now_us: int) -> Contradiction:
    connection.execute(
        "INSERT INTO contradiction VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) "
        "ON CONFLICT (record, room) DO UPDATE SET last_utc_us = excluded.last_utc_us, times = times + 1",
        (head.record, room, at, sha256, head.at, head.sha256, now_us, now_us),
    )
    row = connection.execute(f"{_CONTRADICTIONS} WHERE record = ? AND room = ?", (head.record, room)).fetchone()
    return Contradiction(*row)


def _next(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("UPDATE counter SET value = value + 1 WHERE name = ? RETURNING value", (name,)).fetchone()
    return int(row[0])


def _value(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()[0])
