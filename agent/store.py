"""The agent's memory: one SQLite file with the schedule, the facts of hearings and sessions, the centre's commands, and the outbox.

Use, in an asynchronous program, through ``StoreThread`` (``store_thread.py``), which has one thread for it::

    outcome = await store.apply(lambda facts, schedule: decide(facts, schedule, …), stamp)   # facts and events in one transaction
    await store.do(lambda file: file.take_feed(feed, stamp))                                 # durable when it returns

Rules. WAL and ``synchronous=FULL``: what returned is on the disk. A state change and its events share a transaction. Nothing that befalls
the file stops the agent: a damaged one is set aside and a new one begun, with a new epoch, from what memory holds; where nothing can be
written, memory goes on alone, and all is written once that works again. ``trouble`` says so, for the alarm.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import structlog

from agent import schedule as rules
from agent.hearing import Asked, Facts, HearingFacts, Session, forget
from agent.outbox import Outbox, Stamp, class_of
from agent.schedule import Schedule
from agent.store_file import DamagedError, Reserve, connect, connect_to_read, is_full, prepare, set_aside, shorten_log, transaction
from agent.turn import Outcome
from agent.upstream import contract

log = structlog.get_logger()

Answer = TypeVar("Answer")
_commands = msgspec.json.Decoder(contract.AnyCommand)
_NO_FILE = "not carried out: the agent's file cannot be opened; it may be carried out once the agent is started with one that can"


class Store:
    """The file; to be made and used in one thread.

    Args:
        path: the file; its directory exists.
        room: the room's id, for the events.
        stamp: the time of the opening.
        reserve: what holds room for class A; by default 8 MiB beside the file.

    Raises:
        StoreError: another agent holds the file.
    """

    def __init__(self, path: Path, room: str, stamp: Stamp, reserve: Reserve | None = None) -> None:
        self._path = path
        self._room = room
        self._reserve = reserve or Reserve(path)
        self._unwritten: list[tuple[contract.AnyData, Stamp, contract.EventClass | None]] = []
        self._alone = False
        self.facts = self._stored_facts = Facts()
        self.schedule = self._stored_schedule = Schedule()
        self.trouble = ""
        """Why the file is not written, or empty."""
        self.refused = ""
        """Why the schedule that the centre tells is not taken, or empty."""
        self.place = (0, 0)
        self._begin(stamp)
        self.end_broken_off("the agent was started anew while it was carried out", stamp)
        self.place = (self.schedule.applied_offset, self.last_command())
        """The schedule's offset and the last command that are here: what ``Follower`` asks for."""
        self.write(stamp)

    # the room's facts

    def keep(self, outcome: Outcome, stamp: Stamp) -> None:
        """Make an outcome's facts and events durable, together."""
        self.facts = outcome.facts
        self._unwritten += [(data, stamp, None) for data in outcome.events]
        self.write(stamp)

    def tell(self, data: contract.AnyData, stamp: Stamp, eventclass: contract.EventClass | None = None) -> None:
        """Add an event that changes no facts."""
        self._unwritten.append((data, stamp, eventclass))
        self.write(stamp)

    def tidy(self, stamp: Stamp, *, is_time_known: bool = True) -> None:
        """Once an hour: let go of what is old, where it is known what time it is, and hold room again where there is some."""
        if is_time_known:
            self.schedule = rules.forget(self.schedule, stamp.utc_us)
            self.facts = forget(self.facts, stamp.utc_us)

        def tidy() -> None:
            if is_time_known:
                self.outbox.forget(stamp.utc_us)
            self._db.execute("DELETE FROM commands WHERE state = 'done' AND number < (SELECT max(number) FROM commands)")

        self._change(tidy, stamp)
        self._reserve.take()

    # what the centre says

    def take_feed(self, feed: contract.Feed, stamp: Stamp) -> None:
        """Merge what a long poll brought, and note its commands, each once.

        Where the centre was restored from a copy it is told again what it may have lost; what it still has, it passes over.
        A schedule that is too long is not taken, and asked for again.
        """
        refused = rules.is_too_much(self.schedule, feed, self.facts.hearings)
        if refused and not self.refused:
            log.error("the centre tells of more hearings than a courtroom can have; the room keeps its schedule", most=rules.MOST_HEARINGS)
        self.refused = f"the centre's schedule has over {rules.MOST_HEARINGS} hearings: it is not taken; ask the centre" if refused else ""
        restored = not refused and rules.went_back(self.schedule, feed)
        if restored:
            log.error(
                "the centre was restored from a copy; it is told all of 30 days again", has=feed.as_of, had=self.schedule.applied_offset
            )
        self.schedule = self.schedule if refused else rules.merge_feed(self.schedule, feed)
        last = self.last_command()
        new = [(command.number, msgspec.json.encode(command)) for command in feed.commands if command.number > last]

        def note() -> None:
            self._db.executemany("INSERT OR IGNORE INTO commands VALUES (?, ?, 'new')", new)
            if restored:
                self.outbox.send_again()

        self._change(note, stamp)
        self.place = (self.schedule.applied_offset, self.last_command())

    def last_command(self) -> int:
        """The number of the last command that is durable here; the one known last where the file cannot be read."""
        rows = self._read("SELECT coalesce(max(number), 0) FROM commands")
        return int(rows[0][0]) if rows else self.place[1]

    def begin_command(self, stamp: Stamp) -> contract.AnyCommand | None:
        """The next command to carry out, noted as begun before it is; None where there is none, and where that cannot be noted."""
        rows = self._read("SELECT command FROM commands WHERE state = 'new' ORDER BY number LIMIT 1")
        if not rows or self._alone:
            return None
        command = _commands.decode(rows[0][0])
        self._change(lambda: self._db.execute("UPDATE commands SET state = 'begun' WHERE number = ?", (command.number,)), stamp)
        return None if self.trouble else command

    def refuse_commands(self, stamp: Stamp) -> bool:
        """Without a file, what was begun would not be known after the next start: nothing is. Returns whether any was refused now."""
        return self._alone and self._end_all("new", _NO_FILE, stamp)

    def end_command(self, done: contract.CommandDone, stamp: Stamp) -> None:
        """A command was carried out, or not: the centre is told once, and where that cannot be written now, once it can."""

        def end() -> bool:
            ended = self._db.execute("UPDATE commands SET state = 'done' WHERE number = ? AND state <> 'done'", (done.number,))
            if ended.rowcount:
                self.outbox.append(done, stamp)
            return True

        if self._change(end, stamp) is None:
            self._unwritten.append((done, stamp, None))

    def end_broken_off(self, why: str, stamp: Stamp) -> bool:
        """Commands that were begun by somebody who is gone: none is carried out twice. Returns whether there were any.

        To be called where nobody carries one out.
        """
        return self._end_all("begun", why, stamp)

    def _end_all(self, state: str, why: str, stamp: Stamp) -> bool:
        answered = {data.number for data, *_ in self._unwritten if isinstance(data, contract.CommandDone)}
        rows = self._read("SELECT number, state FROM commands ORDER BY number")
        numbers = [number for number, its_state in rows if its_state == state and number not in answered]
        for number in numbers:
            self.end_command(contract.CommandDone(number=number, ok=False, detail=why), stamp)
        return bool(numbers)

    # for the sender

    def change(self, work: Callable[[Outbox], Answer], stamp: Stamp) -> Answer | None:
        """Change or read the outbox in a transaction of its own; None where the file cannot be written."""
        return self._change(lambda: work(self.outbox), stamp)

    def begin_epoch(self, stamp: Stamp, taken_to: int = 0, why: str = "") -> bool:
        """The centre knows more of this epoch than this file: it is an old copy, whose numbers were given before.

        The centre has all up to ``taken_to``; what else waits is sent under the new epoch. Returns whether the file took that.
        """

        def begin() -> bool:
            self.outbox.acknowledge(taken_to, stamp.utc_us)
            self._new_epoch()
            self.outbox.number_anew()
            return True

        begun = self._change(begin, stamp) is not None
        if begun:
            log.error("the centre has other events of this epoch: the file is old; a new epoch begins", file=str(self._path), detail=why)
        return begun

    # the file

    def write(self, stamp: Stamp) -> None:
        """Write what memory holds and the file does not; ``trouble`` says where that failed."""
        if self.facts is not self._stored_facts or self.schedule is not self._stored_schedule or self._unwritten:
            self._change(lambda: None, stamp)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _change(self, work: Callable[[], Answer], stamp: Stamp) -> Answer | None:
        """One transaction: ``work``, and all that is not written yet. A full disk gives up what may go; a damaged file is set aside.

        All that the disk may answer ends here, in ``trouble``.
        """
        try:
            try:
                return self._commit_in_little_room(work)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._db.close()
                self._begin_anew(str(error), stamp)
                return self._commit(work)
        except (sqlite3.OperationalError, OSError) as error:
            self._note_trouble("written", error)
            return None

    def _commit_in_little_room(self, work: Callable[[], Answer]) -> Answer:
        try:
            return self._commit(work)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self._make_room()
            return self._commit(work)

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query; none where the file cannot be read, which ``trouble`` then says."""
        try:
            return self._db.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            self._note_trouble("read", error)
            return []

    def _note_trouble(self, what: str, error: Exception) -> None:
        if not self.trouble:
            log.error("the agent's file cannot be used; memory goes on alone", file=str(self._path), what=what, error=str(error))
        if not self._alone:
            self.trouble = f"the agent's file {self._path} cannot be {what} ({error}); check its disk"

    def _commit(self, work: Callable[[], Answer]) -> Answer:
        epoch, changes_before = self.outbox.epoch, self._db.total_changes
        try:
            with transaction(self._db):
                answer = work()
                self._write_schedule()
                self._write_facts()
                for data, stamp, eventclass in self._unwritten:
                    if isinstance(data, contract.CommandDone):
                        self._db.execute("UPDATE commands SET state = 'done' WHERE number = ?", (data.number,))
                    if (eventclass or class_of(data)) == "A" or self._reserve.held:
                        self.outbox.append(data, stamp, eventclass)
        except BaseException:
            self.outbox.epoch = epoch  # one that the file does not have did not begin
            raise
        self._stored_facts, self._stored_schedule, self._unwritten = self.facts, self.schedule, []
        if self.trouble and not self._alone and self._db.total_changes > changes_before:  # a full disk refuses nothing but a change
            log.info("the agent's file is written again", file=str(self._path))
            self.trouble = ""
        return answer

    def _write_schedule(self) -> None:
        old, new = self._stored_schedule, self.schedule
        self._write_rows("changes", old.changes, new.changes)
        if (old.floor, old.applied_offset) != (new.floor, new.applied_offset):
            self._set("floor", str(new.floor))
            self._set("applied_offset", str(new.applied_offset))

    def _write_facts(self) -> None:
        old, new = self._stored_facts, self.facts
        self._write_rows("hearings", old.hearings, new.hearings)
        self._write_rows("sessions", old.sessions, new.sessions)
        if (old.asked, old.known_from_utc_us) != (new.asked, new.known_from_utc_us):
            self._set("asked", msgspec.json.encode(new.asked).decode())
            self._set("known_from", msgspec.json.encode(new.known_from_utc_us).decode())

    def _write_rows(self, table: str, old: Mapping[str, msgspec.Struct], new: Mapping[str, msgspec.Struct]) -> None:
        gone = [(id_,) for id_ in old.keys() - new.keys()]
        changed = [(id_, msgspec.json.encode(fact)) for id_, fact in new.items() if old.get(id_) != fact]
        self._db.executemany(f"DELETE FROM {table} WHERE id = ?", gone)  # noqa: S608 - names of our own
        self._db.executemany(f"INSERT OR REPLACE INTO {table} (id, value) VALUES (?, ?)", changed)  # noqa: S608 - likewise

    def _begin(self, stamp: Stamp) -> None:
        try:
            self._open(stamp)
        except DamagedError as error:
            self._begin_anew(str(error), stamp)
            return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # not its disk: its tables are not those of a file of ours
                self._db.close()
                self._begin_anew(str(error), stamp)
            else:
                self._remember_only(error, self._read_what_can_be_read())
            return
        except OSError as error:
            self._remember_only(error, self._read_what_can_be_read())
            return
        try:
            self._load()
        except (sqlite3.DatabaseError, msgspec.DecodeError, ValueError) as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
                self._remember_only(error, self._read_what_can_be_read())  # its disk: the file may be whole
            else:
                self._begin_anew(str(error), stamp)

    def _open(self, stamp: Stamp) -> None:
        self._db = connect(self._path)
        self._reserve.take()
        self.outbox = Outbox(self._db, self._room, self._get("epoch"))
        if self._get("file") != self._inode():
            if self.outbox.epoch:
                log.error("the agent's file is a copy of another; a new epoch begins", file=str(self._path))
            with transaction(self._db):
                self._new_epoch()
        log.info("the agent's file is open", file=str(self._path), epoch=self.outbox.epoch, at_utc_us=stamp.utc_us)

    def _load(self) -> None:
        changes = {id_: msgspec.json.decode(value, type=contract.Change) for id_, value in self._rows("changes")}
        self.schedule = Schedule(floor=int(self._get("floor") or 0), applied_offset=int(self._get("applied_offset") or 0), changes=changes)
        self.facts = Facts(
            hearings={id_: msgspec.json.decode(value, type=HearingFacts) for id_, value in self._rows("hearings")},
            sessions={id_: msgspec.json.decode(value, type=Session) for id_, value in self._rows("sessions")},
            asked=msgspec.json.decode(self._get("asked") or "null", type=Asked | None),
            known_from_utc_us=msgspec.json.decode(self._get("known_from") or "null", type=int | None),
        )
        self._stored_facts, self._stored_schedule = self.facts, self.schedule

    def _begin_anew(self, why: str, stamp: Stamp) -> None:
        """Set the file aside and write what memory holds into a new one."""
        self._stored_facts, self._stored_schedule = Facts(), Schedule()
        try:
            name = set_aside(self._path, stamp.utc_us)
        except OSError as error:
            self._remember_only(error)
            return
        log.error("the agent's file is damaged; it is kept, and a new one begins", file=str(self._path), kept_as=name, error=why)
        detail = f"the agent's file was damaged ({why}) and is kept as {name}; what it had not sent was not sent"
        self._unwritten.insert(0, (contract.DeviceFault(code="agent_file_damaged", track="", on=True, detail=detail[:2_000]), stamp, "A"))
        try:
            self._open(stamp)
            self.outbox = Outbox(self._db, self._room, self.outbox.epoch, follows=True)
        except (sqlite3.DatabaseError, DamagedError, OSError) as error:
            self._remember_only(error)

    def _read_what_can_be_read(self) -> list[tuple[Any, ...]]:
        """Facts and schedule of a file that cannot be written, for memory to begin with; returns its commands."""
        try:
            with contextlib.closing(connect_to_read(self._path)) as self._db:
                commands = self._db.execute("SELECT number, command, state FROM commands").fetchall()
                self._load()
        except (sqlite3.DatabaseError, msgspec.DecodeError, ValueError) as error:
            log.error("nor can the agent's file be read", file=str(self._path), error=str(error))
            self.facts, self.schedule, commands = Facts(), Schedule(), []
        self._stored_facts, self._stored_schedule = Facts(), Schedule()
        return commands

    def _remember_only(self, error: Exception, commands: Sequence[tuple[Any, ...]] = ()) -> None:
        """No file that can be written: the agent works, and forgets when it ends."""
        log.error("the agent's file cannot be opened; memory goes on alone until the next start", file=str(self._path), error=str(error))
        self.trouble = f"the agent's file {self._path} cannot be opened ({error}); check its disk, then start the agent anew"
        self._alone = True
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self._db)
        self._db.executemany("INSERT INTO commands VALUES (?, ?, ?)", commands)
        self.outbox = Outbox(self._db, self._room, str(uuid4()), follows=True)

    def _make_room(self) -> None:
        if self._reserve.held:
            log.error("the disk of the agent's file is full; measurements go, so that events stay", file=str(self._path))
        self._reserve.give_up()
        shorten_log(self._db)
        with transaction(self._db):
            self.outbox.drop_for_a()
        shorten_log(self._db)

    def _new_epoch(self) -> None:
        self.outbox.begin_epoch(str(uuid4()))
        self._set("epoch", self.outbox.epoch)
        self._set("file", self._inode())

    def _inode(self) -> str:
        return str(self._path.stat().st_ino)

    def _rows(self, table: str) -> list[tuple[str, bytes]]:
        return self._db.execute(f"SELECT id, value FROM {table}").fetchall()  # noqa: S608 - names of our own

    def _get(self, key: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row is not None else ""

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
