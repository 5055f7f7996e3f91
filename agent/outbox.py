"""The events that wait for the centre: a table of the agent's file. Synchronous; ``Store`` calls it inside its transactions.

1. An event and the state change that it tells of share a transaction. ``seq`` is given once and rises.
2. The centre knows an event by ``(room, epoch, seq)``; the epoch is a UUID of the file, so that a new disk may begin at 1 again.
3. Class A is never dropped, and stays for 30 days after the centre took it. Of class B only the latest of its type waits. Class C is
   rolled up while it waits: from one minute to five, and to sixty. So ``seq`` has holes.
4. When the disk is full B and C go first (``drop_for_a``).

Use: ``append`` in a transaction; ``batch``, ``acknowledge`` and ``quarantine`` are the sender's.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import structlog

from agent.upstream import contract

log = structlog.get_logger()

KEPT_DAYS = 30
MOST_C = 20_000
"""So many rolled-up measurements wait at most (they are rolled up to 720 in 30 days); the oldest go."""
ROLL_UP: tuple[tuple[int, int], ...] = ((86_400, 3_600), (3_600, 300))
"""(what waits longer than this, becomes spans of so many seconds)"""
HIGHEST_SEQ = 2**63 - 1
_ENVELOPE_BYTES = 200
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_data = msgspec.json.Decoder(contract.AnyData)
_clock = msgspec.json.Decoder(contract.ClockQuality)
_Row = tuple[int, str, str, str, int, int, str, bytes, bytes, str | None]
_COLUMNS = "seq, id, class, type, utc_us, mono_us, boot, clock, data, epoch"


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """When something happened, by all that the PC knows: wall clock, CLOCK_MONOTONIC of this boot, and how good the former is."""

    utc_us: int
    mono_us: int
    boot: str
    clock: contract.ClockQuality


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """What waits: how many events, the oldest one's wall time, and how many the centre refused for good."""

    waiting: int
    oldest_utc_us: int | None
    quarantined: int


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is not sent any more, and why: the centre's words, or this program's where it cannot read it."""

    seq: int
    type: str
    utc_us: int
    reason: str


class Outbox:
    """The table ``outbox`` of a connection; ``epoch`` is the file's.

    ``follows`` another one, of a file that was damaged: an answer that is still awaited speaks of that one's events.
    """

    def __init__(self, db: sqlite3.Connection, room: str, epoch: str, *, follows: bool = False) -> None:
        self._db = db
        self._room = room
        self.epoch = epoch
        self._is_overtaken = follows
        """Since the last batch was made other events have come to wait: its answer speaks of what is not there, or was lost since."""

    def append(self, data: contract.AnyData, stamp: Stamp, eventclass: contract.EventClass | None = None) -> int:
        """Add an event; returns its ``seq``. Without a class, measurements are C and all else is A."""
        type_, eventclass = _type(data), eventclass or class_of(data)
        if eventclass == "B":
            self._db.execute("DELETE FROM outbox WHERE class = 'B' AND type = ? AND state = 'waiting'", (type_,))
        return self._insert(type_, eventclass, stamp, data)

    def _insert(self, type_: str, eventclass: str, stamp: Stamp, data: contract.AnyData) -> int:
        values = (
            str(uuid4()), eventclass, type_, stamp.utc_us, stamp.mono_us, stamp.boot, msgspec.json.encode(stamp.clock),
            msgspec.json.encode(data),
        )  # fmt: skip
        statement = "INSERT INTO outbox (id, class, type, utc_us, mono_us, boot, clock, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq"
        (seq,) = self._db.execute(statement, values).fetchone()
        return int(seq)

    def batch(self, most_events: int = contract.BATCH_EVENTS, most_bytes: int = contract.BATCH_BYTES) -> contract.EventBatch | None:
        """The oldest events that wait, in their order, as many of one epoch as a batch may hold (one at least); None: none wait."""
        events: list[contract.Event] = []
        size = _ENVELOPE_BYTES
        rows: Iterable[_Row] = self._db.execute(
            f"SELECT {_COLUMNS} FROM outbox WHERE state = 'waiting' ORDER BY seq",  # noqa: S608 - columns of our own
        )
        for row in rows:
            event = self._event(row)
            if event is None:
                continue
            size += len(msgspec.json.encode(event)) + 1
            if events and (size > most_bytes or event.epoch != events[0].epoch):
                break
            events.append(event)
            if len(events) == most_events:
                break
        self._is_overtaken = False
        return contract.EventBatch(epoch=events[0].epoch, events=events, after=self._last_taken(events[0].seq)) if events else None

    def _last_taken(self, before_seq: int) -> contract.Place | None:
        statement = "SELECT seq, epoch FROM outbox WHERE seq < ? AND state = 'taken' ORDER BY seq DESC LIMIT 1"
        row = self._db.execute(statement, (before_seq,)).fetchone()
        return contract.Place(epoch=row[1] or self.epoch, seq=row[0]) if row is not None else None

    def acknowledge(self, to: int, utc_us: int) -> None:
        """The centre has all up to ``to`` of the last batch, which was the oldest that waited.

        Where older events have come to wait since (``send_again``) nothing is marked: they were not in the batch. What was in it is sent
        again behind them, and the centre passes over what it has.
        """
        if self._is_overtaken:
            return
        self._db.execute("DELETE FROM outbox WHERE seq <= ? AND state = 'waiting' AND class <> 'A'", (to,))
        self._db.execute(
            "UPDATE outbox SET state = 'taken', taken_utc_us = ?, epoch = coalesce(epoch, ?) WHERE seq <= ? AND state = 'waiting'",
            (utc_us, self.epoch, to),
        )

    def quarantine(self, seq: int, detail: str, stamp: Stamp) -> None:
        """The centre will never take this event: it stays here, is not sent again, and another event tells of it.

        An event that tells of a quarantine and is itself refused is set aside in silence: it would go on without end.
        """
        row = self._db.execute("SELECT type FROM outbox WHERE seq = ? AND state = 'waiting'", (seq,)).fetchone()
        if row is None or self._is_overtaken:
            return
        self._set_aside(seq, detail)
        type_ = str(row[0])
        if type_ != f"{contract.TYPE_PREFIX}outbox.quarantined":
            self.append(contract.Quarantined(seq=seq, type=type_, detail=detail[:2_000]), stamp)

    def _set_aside(self, seq: int, reason: str) -> None:
        self._db.execute("UPDATE outbox SET state = 'quarantined', reason = ? WHERE seq = ?", (reason[:2_000], seq))

    def set_aside(self, most: int) -> list[SetAside]:
        """What is quarantined, the oldest first."""
        rows = self._db.execute(
            "SELECT seq, type, utc_us, reason FROM outbox WHERE state = 'quarantined' ORDER BY seq LIMIT ?", (most,)
        ).fetchall()
        return [SetAside(seq=seq, type=type_, utc_us=utc_us, reason=reason) for seq, type_, utc_us, reason in rows]

    def requeue(self) -> int:
        """Send what was set aside once more, behind all else, under new numbers: the centre was mended. Returns how many those are."""
        columns = "id, class, type, utc_us, mono_us, boot, clock, data"
        rows = self._db.execute(f"SELECT seq, {columns} FROM outbox WHERE state = 'quarantined' ORDER BY seq").fetchall()  # noqa: S608
        for seq, *values in rows:
            self._db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
            self._db.execute(f"INSERT INTO outbox ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        return len(rows)

    def begin_epoch(self, epoch: str) -> None:
        """Number what comes from now on under this epoch.

        What was numbered before stays known under the one of then, also what waits: the centre may have it, and its answer was lost.
        """
        self._db.execute("UPDATE outbox SET epoch = ? WHERE epoch IS NULL", (self.epoch,))
        self.epoch = epoch

    def number_anew(self) -> None:
        """What waits is sent under the epoch of now: under the one of before the centre has other events by these numbers."""
        self._db.execute("UPDATE outbox SET epoch = NULL WHERE state = 'waiting'")

    def send_again(self, behind: int = 0) -> None:
        """Let all of class A behind a number that the centre took in the last 30 days wait once more, under its old number and epoch."""
        self._is_overtaken = True
        self._db.execute("UPDATE outbox SET state = 'waiting', taken_utc_us = NULL WHERE state = 'taken' AND seq > ?", (behind,))

    def depth(self) -> Depth:
        """What waits."""
        waiting, oldest = self._db.execute("SELECT count(*), min(utc_us) FROM outbox WHERE state = 'waiting'").fetchone()
        (quarantined,) = self._db.execute("SELECT count(*) FROM outbox WHERE state = 'quarantined'").fetchone()
        return Depth(waiting=waiting, oldest_utc_us=oldest, quarantined=quarantined)

    def last_seq(self, epoch: str = "") -> int:
        """The highest ``seq`` that was ever given; of an epoch of before nobody knows it.

        Where the file cannot be read it is the highest that can be: nothing that the centre says then shows that the file is an old copy.
        """
        if epoch not in {"", self.epoch}:
            return HIGHEST_SEQ
        try:
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        except sqlite3.DatabaseError as error:
            log.error("the outbox cannot be read", error=str(error))
            return HIGHEST_SEQ
        return int(row[0]) if row is not None else 0

    def forget(self, now_utc_us: int) -> None:
        """Delete class A that the centre took more than 30 days ago."""
        before_us = now_utc_us - KEPT_DAYS * 86_400_000_000
        self._db.execute("DELETE FROM outbox WHERE state = 'taken' AND taken_utc_us < ?", (before_us,))

    def drop_for_a(self) -> None:
        """Make room for class A."""
        self._db.execute("DELETE FROM outbox WHERE class <> 'A'")

    def roll_up(self, now_utc_us: int) -> None:
        """Make longer spans of measurements that have waited for long. Not while a batch is under way, which may hold them."""
        for older_than_s, span_s in ROLL_UP:
            groups: dict[int, list[tuple[int, contract.Measured, Stamp]]] = defaultdict(list)
            rows: Iterable[_Row] = self._db.execute(
                f"SELECT {_COLUMNS} FROM outbox WHERE class = 'C' AND state = 'waiting' AND utc_us < ? ORDER BY seq",  # noqa: S608
                (now_utc_us - older_than_s * 1_000_000,),
            ).fetchall()
            for row in rows:
                event = self._event(row)
                if event is not None and isinstance(event.data, contract.Measured):
                    stamp = Stamp(utc_us=row[4], mono_us=event.monous, boot=event.bootid, clock=event.clock)
                    groups[event.data.from_utc_us // (span_s * 1_000_000)].append((event.seq, event.data, stamp))
            for members in groups.values():
                if len(members) > 1:
                    data, stamp = rolled_up([measured for _, measured, _ in members]), members[-1][2]
                    self._db.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq, _, _ in members])
                    self._insert(_type(data), "C", stamp, data)
        self._db.execute(
            "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE class = 'C' ORDER BY utc_us DESC LIMIT -1 OFFSET ?)",
            (MOST_C,),
        )

    def _event(self, row: _Row) -> contract.Event | None:
        """A row as the centre gets it; one that another version of the agent wrote and this one cannot read is quarantined."""
        seq, id_, eventclass, type_, utc_us, mono_us, boot, clock, data, epoch = row
        try:
            read, quality = _data.decode(data), _clock.decode(clock)
        except msgspec.DecodeError as error:
            log.error("an event of the outbox cannot be read; it is kept and not sent", seq=seq, type=type_, error=str(error))
            self._set_aside(seq, f"this version of the agent cannot read it: {error}")
            return None
        return contract.Event(
            specversion="1.0", id=id_, source=f"{contract.ROOM_SOURCE}{self._room}", type=type_, time=rfc3339(utc_us),
            datacontenttype="application/json", room=self._room, epoch=epoch or self.epoch, seq=seq,
            eventclass=msgspec.convert(eventclass, contract.EventClass), monous=mono_us, bootid=boot, clock=quality, data=read,
        )  # fmt: skip


def class_of(data: contract.AnyData) -> contract.EventClass:
    """The class of an event by what it tells."""
    return "C" if isinstance(data, contract.Measured) else "A"


def rolled_up(spans: list[contract.Measured]) -> contract.Measured:
    """One measurement in place of several: means weighted by length; what ends in ``_max`` or ``_min`` is the worst."""
    values: dict[str, float] = {}
    for name in {name for span in spans for name in span.values}:
        having = [span for span in spans if name in span.values]
        numbers = [span.values[name] for span in having]
        if name.endswith(("_max", "_min")):
            values[name] = max(numbers) if name.endswith("_max") else min(numbers)
            continue
        lengths = [max(1, span.to_utc_us - span.from_utc_us) for span in having]
        values[name] = sum(number * length for number, length in zip(numbers, lengths, strict=True)) / sum(lengths)
    return contract.Measured(
        from_utc_us=min(span.from_utc_us for span in spans), to_utc_us=max(span.to_utc_us for span in spans), values=values
    )


def rfc3339(utc_us: int) -> str:
    """A CloudEvent's ``time``: RFC 3339, microseconds, Z."""
    return (_EPOCH_START + timedelta(microseconds=utc_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _type(data: contract.AnyData) -> str:
    return f"{contract.TYPE_PREFIX}{data.__struct_config__.tag}"
