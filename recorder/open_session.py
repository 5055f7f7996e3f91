"""A session that is on the disk: its committer, its checkpoints, its keys, and its seal."""

import asyncio
import errno
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
from recorder.journal_read import read_on
from recorder.journal_state import JournalState
from recorder.record import entries
from recorder.record.entries import FIRST_PREV, Level, TrackTotal
from recorder.record.journal import Head, Times
from recorder.recovery import Left, is_sealed, totals
from recorder.running import NewKey, RunningSession
from recorder.seal import SIGN_S, key_failed, not_sealed
from recorder.signing import Signer, SigningError
from recorder.storage import Forecast
from recorder.threads import apart
from recorder.tracks import Track

log = structlog.get_logger()

PROVE_S = 10.0
"""A second disk that is longer at telling what it holds does not answer."""


class Store(Protocol):
    """What a session needs of the room's disks and key: ``session_store.SessionStore``."""

    signer: Signer
    recipients: list[media_keys.RecipientKey]

    def finish(self, root: Path, head: Head) -> str | None:
        """Write the seal's files on the disk that leads; returns in words why not, or None. Blocks."""
        ...

    def stamp(self, root: Path) -> None:
        """Get a sealed record's timestamp, where an authority is configured. Blocks."""
        ...

    def follow_up(self, root: Path, head: Head, *, copied: bool) -> None:
        """Have the other disk keep the head, and seal its copy if that was ``copied``. Blocks."""
        ...

    def closed(self, root: Path) -> None:
        """Nothing writes this record any more."""
        ...


class Companion(Protocol):
    """What works beside a session for as long as it runs."""

    def close(self) -> None:
        """End; blocks for some seconds at most."""
        ...


class OpenSession:
    """One session's committer, checkpoints and keys."""

    def __init__(
        self, store: Store, record: str, clock: SessionClock, committer: Committer, genesis: entries.Genesis, began: Times, trouble: Trouble
    ) -> None:
        self.record = record
        self.clock = clock
        self.committer = committer
        self.genesis = genesis
        self.began = began
        """The clocks of its first line, or of the line by which it was taken up: whoever verifies compares UTC with these."""
        self.trouble = trouble
        """Told, from any thread, what goes wrong with it; nothing once it has ``ended``."""
        self.ended = False
        """What its disks and its key do concerns the room no more."""
        self.lacks_seal = ""
        """In words, that the record is sealed on the other disk than that which led, and why."""
        self.follow_up: asyncio.Task[None] | None = None
        """What is still done once the record is sealed."""
        self.signed_at = -1
        self.left: Left | None = None
        self.forecast = Forecast()
        self.head = Head(-1, FIRST_PREV)
        """The head that is durable."""
        self.companions: list[Companion] = []
        self.sums: Callable[[], list[TrackTotal]] = committer.totals
        """The tracks' sums for the seal; may read the journal."""
        self._store = store
        self._signing_fails = False
        self._checkpointer = Checkpointer(store.signer, self._signed, self._signing_failed)

    def session(self, send: Callable[[str, child.Message], bool], restart: Callable[[str, str, str], None]) -> RunningSession:
        """The session's state in memory, as begun or as a crash left it."""
        session = RunningSession(
            record=self.record,
            path=str(self.committer.disk.root),
            hearing=self.genesis.hearing,
            clock=self.clock,
            sink=self.committer,
            make_key=self._make_key,
            send=send,
            restart=restart,
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
                    gone=name.startswith("remote-"),  # until it opens again
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
        """Wait until all that was put is durable.

        Raises:
            OSError: the committer ended without it.
        """
        await self.is_durable()

    async def is_durable(self, timeout_s: float | None = None) -> bool:
        """Whether all that was put became durable within this time.

        Raises:
            OSError: the committer ended without it.
        """
        # By wait(), which leaves the future alone when the time is over or the caller is cancelled: the committer will set it.
        future = asyncio.wrap_future(self.committer.flush())
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if done:
            future.result()
        return bool(done)

    async def seal(self, session: RunningSession, request: control.StopRequest, duration_us: int) -> str | None:
        """Close the segments, and write the seal; returns in words what went wrong, or None.

        The record is sealed on the disk that leads then, or where that takes no seal on the other one, if it is in step. What only comes
        behind that goes on by itself (``follow_up``): nobody waits for a second disk or a timestamp authority.
        """
        try:
            return await self._seal(session, request, duration_us)
        except Exception as error:  # whatever it is: the session is over, the room is told, and the record is sealed at the next start
            log.exception("sealing failed", record=self.record)
            self._leave()
            return not_sealed(error, self.committer.disk.root)

    async def _seal(self, session: RunningSession, request: control.StopRequest, duration_us: int) -> str | None:
        self._checkpointer.close()
        await self._close_companions()
        self.committer.close_segments(self.clock.times())
        await self.committed()
        self.committer.put_entry(
            entries.Seal(
                reason=request.reason,
                actor=request.actor,
                duration_us=duration_us,
                tracks=await apart(self.sums, "count"),
                paused_us=session.paused.sums_us,
                mirror=await self._mirror_words(),
            ),
            self.clock.times(),
        )
        await self.committed()
        try:
            sign = partial(checkpoint, self._store.signer, self.record, self.head)
            async with asyncio.timeout(SIGN_S):
                last = await apart(sign, "last checkpoint")
        except Exception as error:  # noqa: BLE001 - a token's library raises anything; the session must end all the same
            log.error("the last checkpoint failed", error=repr(error))
            self._leave()
            return not_sealed(SigningError(key_failed(error)), self.committer.disk.root)
        self.committer.put_entry(last, self.clock.times())
        await self.committed()
        root, problem = await self._finish()
        session.path = str(root)
        if problem is not None:
            self._leave()
        else:
            work = partial(self._follow_up, root, self.committer.disk.root, self.head)
            self.follow_up = asyncio.create_task(apart(work, "follow-up of a seal"), name=f"follow-up of {root.name}")
        return problem

    async def _finish(self) -> tuple[Path, str | None]:
        """Write the seal on the disk that leads, or else on the one that follows, if that holds all; returns where, and why it failed."""
        root, mirror = self.committer.disk.root, self.committer.mirror
        problem = await apart(partial(self._store.finish, root, self.head), "seal")
        if problem is None or mirror is None or not (await self._mirror_words()).startswith("identical"):
            return root, problem
        copy = mirror.disk.root
        if await apart(partial(self._store.finish, copy, self.head), "seal the copy") is not None:
            return root, problem
        self.lacks_seal = f"{root}: {problem}; its copy {copy} is sealed"
        return copy, None

    async def abandon(self, *, told_to_end: bool) -> None:
        """End the committer; the record stays as it is, to be taken up at the next start, and says if the recorder was told to end."""
        self._checkpointer.close()
        await self._close_companions()
        if told_to_end:
            source, name = entries.ENDED
            self.committer.put_entry(entries.Event(source=source, name=name, track="", data={}), self.clock.times())
        await apart(self._close, "close a record")

    def _leave(self) -> None:
        """End the committer in the background, and leave the record as it is."""
        self.follow_up = asyncio.create_task(apart(self._close, "close a record"))

    def _close(self) -> None:
        self.committer.close()
        self._store.closed(self.committer.disk.root)

    def _follow_up(self, root: Path, led: Path, head: Head) -> None:
        """Runs in a thread of its own."""
        try:
            # The copy gets its seal with the timestamp in it; the disk that follows reads back meanwhile.
            self._store.stamp(root)
            self._store.follow_up(root, head, copied=self.committer.close().startswith("identical"))
            if self.lacks_seal and is_sealed(led):
                self.lacks_seal = ""
        except Exception:
            # The record is sealed; its copy is completed later, and nothing else depends on this.
            log.exception("what comes behind a seal could not be done", record=str(root))
        finally:
            self._store.closed(root)

    async def _mirror_words(self) -> str:
        try:
            async with asyncio.timeout(PROVE_S):
                return await apart(self.committer.prove, "prove the copy")
        except TimeoutError:
            return "left: it does not answer"

    async def _close_companions(self) -> None:
        while self.companions:
            await apart(self.companions.pop().close, "close a companion")

    def counted(self) -> list[TrackTotal]:
        """The tracks' sums by the journal itself: those that a snapshot told are not known to be right. Blocks.

        Raises:
            OSError: it cannot be read, or is not all there any more.
        """
        state, head, root = JournalState(), self.head, self.committer.disk.root
        read_on(root, state)
        if state.head.at < head.at:
            raise OSError(errno.ENOENT, "its journal is not all there any more", str(root))
        return totals(state)

    def tell(self, code: str, words: str) -> None:
        """Raise an alarm of this session, from any thread."""
        self.trouble(code, words, True)

    def on_report(self, report: CommitReport) -> None:
        """Note what became durable (in the event loop)."""
        self.head = report.head
        self.forecast.wrote(report.written_bytes, mono_us())

    def _signed(self, made: entries.Checkpoint) -> None:
        if self._signing_fails:
            self._signing_fails = False
            self.trouble("signing_failed", "", False)
        self.signed_at = max(self.signed_at, made.at)
        self.committer.put_entry(made, self.clock.times())

    def _signing_failed(self, detail: str) -> None:
        self._signing_fails = True
        self.trouble("signing_failed", detail, True)

    def _make_key(self, track: str, part: int, level: Level) -> NewKey | None:
        if not self._store.recipients:
            return None
        made = media_keys.new_key(self.record, track, part)
        wrapped = media_keys.wrap(made, self._store.recipients, level)
        return NewKey(child.MediaKey(key=bytes.fromhex(made.key), kid=bytes.fromhex(made.kid)), wrapped)
