"""A session that is on the disk: its committer, its checkpoints, its keys, and its seal."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from recorder import media_keys
from recorder.checkpointer import Checkpointer, checkpoint
from recorder.clock import SessionClock, mono_us
from recorder.commit import CommitReport, Committer
from recorder.contract import child, control
from recorder.disk_pair import Trouble
from recorder.record import entries
from recorder.record.entries import FIRST_PREV, Level, TrackTotal
from recorder.record.journal import Head
from recorder.recovery import Left
from recorder.running import NewKey, RunningSession
from recorder.signing import Signer
from recorder.storage import Forecast
from recorder.tracks import Track

log = structlog.get_logger()


class Store(Protocol):
    """What a session needs of the room's disks and key: ``session_store.SessionStore``."""

    signer: Signer
    recipients: list[media_keys.RecipientKey]
    trouble: Trouble

    def finish(self, root: Path, head: Head, *, copied: bool) -> str | None:
        """Write the seal's files, also beside the other disk's copy if that was ``copied``; returns in words why not, or None."""
        ...


class Companion(Protocol):
    """What works beside a session for as long as it runs."""

    def close(self) -> None:
        """End; blocks for some seconds at most."""
        ...


class OpenSession:
    """One session's committer, checkpoints and keys."""

    def __init__(self, store: Store, record: str, clock: SessionClock, committer: Committer, genesis: entries.Genesis) -> None:
        self.record = record
        self.clock = clock
        self.committer = committer
        self.genesis = genesis
        self.signed_at = -1
        self.left: Left | None = None
        self.forecast = Forecast()
        self.head = Head(-1, FIRST_PREV)
        """The head that is durable."""
        self.companions: list[Companion] = []
        self.sums: Callable[[], list[TrackTotal]] = committer.totals
        """The tracks' sums for the seal; may read the journal."""
        self._store = store
        self._checkpointer = Checkpointer(store.signer, self._signed, self._signing_failed)

    def session(self, send: Callable[[str, child.Message], bool]) -> RunningSession:
        """The session's state in memory, as begun or as a crash left it."""
        session = RunningSession(
            record=self.record,
            path=str(self.committer.disk.root),
            hearing=self.genesis.hearing,
            clock=self.clock,
            sink=self.committer,
            make_key=self._make_key,
            send=send,
        )
        left = self.left
        if left is not None:
            journal = left.journal
            session.hearing, session.level, session.state = journal.hearing, journal.level, journal.state
            session.paused_from_us, session.paused.sums_us = journal.paused_from_us, dict(journal.paused_us)
            for name, track in left.tracks.items():
                session.tracks[name] = Track(
                    name=name,
                    kind=track.kind,
                    device="",
                    continuous=not name.startswith("remote-") and name != "room-out",
                    next_part=track.next_part,
                    end_us=track.end_us or None,
                    gap_from_us=track.gap_from_us,
                    gap_cause=track.gap_cause,
                )
        return session

    def checkpoint(self) -> None:
        """Have the durable head signed, if it moved since the last signature."""
        if self.head.at > self.signed_at:
            self._checkpointer.offer(self.record, self.head)

    def signing_us(self) -> int:
        """For how long the key has been at one signature."""
        return self._checkpointer.busy_us(mono_us())

    async def committed(self) -> None:
        """Wait until all that was put is durable."""
        await asyncio.wrap_future(self.committer.flush())

    async def seal(self, session: RunningSession, request: control.StopRequest, duration_us: int) -> str | None:
        """Close the segments, write the seal and what stands beside it; returns in words what went wrong, or None."""
        self._checkpointer.close()
        await self._close_companions()
        self.committer.close_segments(self.clock.times())
        await self.committed()
        mirror = await asyncio.to_thread(self.committer.prove)
        self.committer.put_entry(
            entries.Seal(
                reason=request.reason,
                actor=request.actor,
                duration_us=duration_us,
                tracks=await asyncio.to_thread(self.sums),
                paused_us=session.paused.sums_us,
                mirror=mirror,
            ),
            self.clock.times(),
        )
        await self.committed()
        try:
            last = await asyncio.to_thread(checkpoint, self._store.signer, self.record, self.head)
        except Exception as error:  # noqa: BLE001 - a token's library raises anything; the session must end all the same
            log.error("the last checkpoint failed", error=str(error))
            await self.abandon()
            return f"the record is complete but not sealed: the signing key failed ({error}); repair it and start the recorder again"
        self.committer.put_entry(last, self.clock.times())
        await self.committed()
        words = await asyncio.to_thread(self.committer.close)
        finish = partial(self._store.finish, self.committer.disk.root, self.head, copied=words.startswith("identical"))
        return await asyncio.to_thread(finish)

    async def abandon(self) -> None:
        """End the committer; the record stays as it is, to be taken up at the next start."""
        self._checkpointer.close()
        await self._close_companions()
        await asyncio.to_thread(self.committer.close)

    async def _close_companions(self) -> None:
        while self.companions:
            await asyncio.to_thread(self.companions.pop().close)

    def on_report(self, report: CommitReport) -> None:
        """Note what became durable (in the event loop)."""
        self.head = report.head
        self.forecast.wrote(report.written_bytes, mono_us())

    def _signed(self, made: entries.Checkpoint) -> None:
        self.signed_at = max(self.signed_at, made.at)
        self.committer.put_entry(made, self.clock.times())

    def _signing_failed(self, detail: str) -> None:
        self._store.trouble("signing_failed", detail, True)

    def _make_key(self, track: str, part: int, level: Level) -> NewKey | None:
        if not self._store.recipients:
            return None
        made = media_keys.new_key(self.record, track, part)
        wrapped = media_keys.wrap(made, self._store.recipients, level)
        return NewKey(child.MediaKey(key=bytes.fromhex(made.key), kid=bytes.fromhex(made.kid)), wrapped)
