"""The recorder's core: one event loop between the people's requests, the children and the disk.

It holds the disk and the signing key, listens on local sockets only, and parses no media: what a child calls a fragment is hashed and
written as it came. A child that lies can spoil its own tracks, nothing else.
"""

import asyncio
from collections import deque
from pathlib import Path

import structlog

from provisioning.room import RoomConfig
from recorder import session as rules
from recorder.alarms import Alarms
from recorder.beginning import begin_parts
from recorder.centre_trust import authorities_of
from recorder.child_entries import entry_of
from recorder.child_guard import ChildGuard
from recorder.child_limits import ChildLimits
from recorder.child_process import ChildOwner, ChildProcess
from recorder.children_plan import INGEST, WATCH, expected_tracks, lacking_tracks, plans
from recorder.clock import mono_us, utc_us
from recorder.commit import CommitReport
from recorder.contract import child, control
from recorder.notary import Notary
from recorder.open_session import OpenSession
from recorder.orders_in_force import OrdersInForce, begun_with
from recorder.participants import Participants
from recorder.receipts import Receipts
from recorder.record import entries
from recorder.record.entries import Level
from recorder.requests import Requests
from recorder.room_view import RoomView
from recorder.running import RunningSession
from recorder.session_look import FINDINGS, SESSION_CODES, SessionLook
from recorder.session_store import SessionStore
from recorder.sources import sources
from recorder.status import status_of
from recorder.threads import until
from recorder.tracks import NOT_GIVEN
from recorder.watch_link import WatchLink

log = structlog.get_logger()

PARTS_CLOSED_S = 1.2
SEALED_S = 5.0
"""A recorder that is told to end waits so long for a session that is being sealed; what takes longer is sealed at the next start."""
PREROLL_S = 10
BEGUN_S = 3.0
"""A session whose first lines are on the disk by then has begun well; one that waits in memory for a disk has begun, too, and says so."""
FOLLOW_UP_S = 2.0
"""A stop is answered so long after the seal at the latest: by then the timestamp and the second copy's seal are usually there."""


class Recorder(ChildOwner):
    """The recorder of one room."""

    def __init__(self, config: RoomConfig, run_dir: Path, store: SessionStore, bus_uids: list[int]) -> None:
        self._config = config
        self._store = store
        self._alarms = Alarms()
        self._view = RoomView()
        self._next_parts: dict[str, int] = {}
        self._session: RunningSession | None = None
        self._open: OpenSession | None = None
        self._look: SessionLook | None = None
        self._starting = False
        self._closing = False
        self._ending = False
        self._sealing: asyncio.Task[control.Reply] | None = None
        self._armed_us: int | None = None
        self._participants = Participants(self._view, mono_us, store.can_be_opened)
        self._commits_us: deque[int] = deque(maxlen=240)
        self._latency_us = {device.id: device.latency_us for device in (*config.camera, *config.microphone)}
        self.children = {plan.name: ChildProcess(plan, str(run_dir), self) for plan in plans(config, bus_uids)}
        self._guard = ChildGuard(self.children)
        self._orders = OrdersInForce(run_dir)
        receipts = Receipts(config.room.id, store.room_disks, store.signer.chain, authorities_of(config))
        notary = Notary(store.room_disks, store.signer, store.left)
        self._requests = Requests(self, self._guard, self._orders, notary, receipts)
        self._watch = WatchLink(self.children.get("watch"))
        self._limits = {name: ChildLimits(process.plan, self._watch.knows) for name, process in self.children.items()}
        for process in self.children.values():
            for name, kind in expected_tracks(process.plan).items():
                self._view.add(name, kind, process.plan.name)

    # the life of the recorder

    async def start(self) -> None:
        """Take up what a crash left open, and start the children."""
        if self._store.unread_recipients:
            self.alarm("recipient_unread", "", on=True, detail="; ".join(self._store.unread_recipients))
        recovered = await self._store.recover(self._on_commit, self._on_trouble, self._orders.stop_of)
        if recovered is not None:
            self._take_up(recovered)
        for process in self.children.values():
            process.start()

    async def close(self, *, told_to_end: bool = True) -> None:
        """End the children and the committer. A running session stays unsealed; it is taken up at the next start."""
        self._ending = True
        if self._sealing is not None and not self._sealing.done():
            await asyncio.wait({self._sealing}, timeout=SEALED_S)
            self._sealing.cancel()  # its end was asked for, and is sealed at the next start
            await asyncio.wait({self._sealing})
        if self._session is not None and self._session.state == "open":
            self._session.close_parts(mono_us())
            await until(self._session.all_ended, PARTS_CLOSED_S)
        await asyncio.gather(*(process.close() for process in self.children.values()))
        if self._open is not None:
            await self._open.abandon(told_to_end=told_to_end)
        await self._store.close()

    async def run_timers(self) -> None:
        """Do what is due by the clock: watch the children, the disks and the session. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        looking, looked_s = asyncio.create_task(self._store.room_disks.look()), loop.time()
        while True:
            await asyncio.sleep(0.1)
            self._guard.look(loop.time(), muted=self.state in rules.DROPPING)
            if looking.done() and loop.time() >= looked_s + 1.0:
                looking, looked_s = asyncio.create_task(self._store.room_disks.look()), loop.time()
            if self._look is not None:
                self._look.look(mono_us(), utc_us())

    # what people ask for

    async def handle(self, request: control.AnyRequest) -> control.Reply:
        """Do what a request asks."""
        return await self._requests.handle(request)

    @property
    def state(self) -> control.State:
        """The recorder's state."""
        return "closing" if self._closing else "idle" if self._session is None else self._session.state

    @property
    def session(self) -> RunningSession | None:
        """The session that runs."""
        return self._session

    @property
    def opened(self) -> OpenSession | None:
        """The same on the disk."""
        return self._open

    def status(self) -> control.Status:
        """The recorder as it is now."""
        there = frozenset(name for name, process in self.children.items() if process.opened is not None)
        return status_of(
            self.state, self._session, self._open, self._commits_us, self._view.channels(there, self._session),
            self._store.disks(self._open), self._alarms.all(), armed=self._armed_us is not None,
        )  # fmt: skip

    async def begin(self, request: control.Start) -> control.Reply:
        """Begin a session: what is heard is recorded from now on, and answered is what the disk says of it."""
        if self._starting:
            return control.Reply(ok=False, error="cannot start a session: one is just being started")
        if not self._store.can_be_opened(request.level):
            return control.Reply(ok=False, error=f"nobody may open level '{request.level}': name a [[recipient]] for it in room.toml")
        now_us = mono_us()
        from_us = now_us if self._armed_us is None else max(self._armed_us, now_us - PREROLL_S * 1_000_000)
        self._starting = True
        try:
            opened = await self._store.begin(request, from_us, sources(self.children, self._latency_us), self._on_commit, self._on_trouble)
        except OSError as error:
            return control.Reply(ok=False, error=f"cannot write to {self._config.storage.primary}: {error.strerror}; check the disk")
        finally:
            self._starting = False
        session = self._run(opened)
        session.level = request.level
        self._armed_us = None
        self._requests.took_up(begun_with(session.record, request))
        self._view.begin()
        try:
            begin_parts(session, self.children, self._participants, from_us, now_us)
        except Exception as error:
            # The keys' library, say. Nobody may believe that this records: the session is over at once, and its record says why.
            log.exception("a session could not begin", record=session.path)
            await self.end(control.StopRequest(actor=request.actor, reason=f"{control.COULD_NOT_BEGIN}{error}"))
            words = f"the session could not begin and is over ({error}); see the recorder's log"
            return control.Reply(ok=False, error=words)  # with a record it would be a start that is obeyed
        for alarm in self._alarms.all():
            session.journal(entries.Alarm(code=alarm.code, track=alarm.track, on=True, detail=alarm.detail))
        try:
            if await opened.is_durable(BEGUN_S):
                return self.reply()
        except OSError as error:
            log.error("a session begins without a disk", error=str(error))
        words = "the session has begun and is kept in memory, but the disk takes nothing of it yet; make room or change the disk"
        return control.Reply(ok=False, error=words, record=session.path)

    async def end(self, request: control.StopRequest) -> control.Reply:
        """End the session: it is over when its record is sealed on the disk that leads, or cannot be."""
        session, opened = self._session, self._open
        if session is None or opened is None:
            return control.Reply(ok=False, error="no session is running")
        now_us = mono_us()
        session.stopping(request)
        self._requests.stops(request)
        if session.state == "open":
            session.close_parts(now_us)
            for track in session.tracks.values():
                session.journal(*track.paused(session.clock.t_us(now_us)))
        elif session.state in rules.DROPPING:
            self._guard.mute(on=False)
        session.end_pause(request.actor, now_us)
        self._closing = session.ending = True
        self._sealing = asyncio.create_task(self._seal(session, opened, request, now_us), name="end of a session")
        return await asyncio.shield(self._sealing)  # whoever asked may hang up

    async def _seal(self, session: RunningSession, opened: OpenSession, request: control.StopRequest, now_us: int) -> control.Reply:
        try:
            await until(session.all_ended, PARTS_CLOSED_S)
            session.cut_off()
            problem = await opened.seal(session, request, session.clock.t_us(now_us))
        except asyncio.CancelledError:
            await opened.abandon(told_to_end=True)
            raise
        finally:
            opened.ended = True
            self._closing = False
            self._session = self._open = self._look = None
            self._alarms.forget(SESSION_CODES)
            self._store.follow(opened)
        if problem is None:
            self._orders.clear()
        if opened.follow_up is not None:
            await asyncio.wait({opened.follow_up}, timeout=FOLLOW_UP_S)
        if problem is not None:
            self.alarm("record_unsealed", "", on=True, detail=f"{session.path}: {problem}")
        elif opened.lacks_seal:
            self.alarm("copies_not_completed", "", on=True, detail=opened.lacks_seal)
        return control.Reply(ok=problem is None, error=problem or "", record=session.path, t_us=session.clock.t_us(now_us))

    def _run(self, opened: OpenSession) -> RunningSession:
        """A session runs from now on."""
        session = opened.session(self._send, self._kill)
        session.next_parts = self._next_parts
        self._session, self._open = session, opened
        self._look = SessionLook(
            session, opened, self._watch, alarm=self.alarm, disks=self._store.disks, kill=self._kill, now_us=mono_us(),
            warn_hours=self._config.storage.warn_hours,
        )  # fmt: skip
        return session

    def _take_up(self, recovered: OpenSession) -> None:
        """Go on with a session that a crash broke off; the children record again as soon as they are there."""
        session = self._run(recovered)
        self._requests.goes_on(session, recovered.left)
        if session.state in rules.DROPPING:
            log.warning("the session goes on as it was left", state=session.state)
        if session.state != "open":
            return
        for process in self.children.values():
            session.add_tracks(process.plan.name, expected_tracks(process.plan), continuous=True)
        for track in session.tracks.values():
            session.journal(*track.missing("opening", "the recorder is back, its device is not yet", session.clock.times().t_us))

    def arm(self, *, on: bool) -> control.Reply:
        """Arm or wipe the pre-roll."""
        self._armed_us = (self._armed_us or mono_us()) if on else None
        for process in self.children.values():
            process.send(child.ArmPreroll(seconds=PREROLL_S if on else 0))
        return self.reply()

    def keyframe(self, track: str) -> control.Reply:
        """Ask an encoder for a new group of pictures."""
        device = self._view.device_of(track)
        if device is None or not self._send(device, child.RequestKeyframe(track=track)):
            return control.Reply(ok=False, error=f"no track '{track}' is there; see `courtroom recorder status`")
        return self.reply()

    def can_be_opened(self, level: Level) -> bool:
        """Whether media of this level would have a reader."""
        return self._store.can_be_opened(level)

    def reply(self) -> control.Reply:
        """It is done."""
        session = self._session
        return control.Reply(ok=True, record=session.path if session else "", t_us=session.clock.times().t_us if session else 0)

    # what children say

    def on_started(self, process: ChildProcess) -> None:
        """Tell a new child at once what it may not do: in a dropping state it is muted before its device is open."""
        if self.state in rules.DROPPING:
            process.send(child.Mute(on=True))
        if self._armed_us is not None:
            process.send(child.ArmPreroll(seconds=PREROLL_S))

    def on_message(self, process: ChildProcess, message: child.Message, body: bytes) -> None:
        """Take what a child says (``ChildOwner``)."""
        self._limits[process.plan.name].hold(message, len(body), asyncio.get_running_loop().time())
        session = self._session
        if isinstance(message, child.Fragment):
            if session is not None:
                session.take_fragment(message, body)
        elif isinstance(message, child.Levels | child.Stats):
            self._view.take(message)
        elif isinstance(message, child.Init):
            if session is not None and session.take_init(message, body):
                self._watch.part(session, message)
        elif isinstance(message, child.PartEnded):
            if session is not None:
                session.part_ended(message)
        elif isinstance(message, child.Opened):
            self._device_opened(process, message)
        elif isinstance(message, child.Muted):
            if message.on:
                self._guard.confirmed(process.plan.name)
        elif isinstance(message, child.Finding):
            self.alarm(message.code, message.track, on=message.on, detail=message.detail)
        elif isinstance(message, child.Judged):
            self._watch.judged(message)
        elif isinstance(message, child.TrackOpened):
            if not self._participants.opened(message, process.plan.name, session):
                self.alarm("too_many_tracks", "", on=True, detail=f"{message.track} is not recorded: the session has had too many tracks")
        elif isinstance(message, child.TrackClosed):
            self._participants.closed(message, session)
        else:
            if isinstance(message, child.DriftMeasured):
                self._view.take(message)
            elif isinstance(message, child.Refused):
                log.warning("refused at ingest", what=message.what, detail=message.detail)
            entry = None if session is None else entry_of(message, session.clock)
            if session is not None and entry is not None:
                session.journal(entry)

    def on_ended(self, process: ChildProcess, cause: str, detail: str) -> None:
        """Note a dead child: a gap and an alarm for each of its tracks, while all others go on."""
        self._guard.confirmed(process.plan.name)
        if self._ending:
            return
        log.warning("child ended", child=process.plan.name, cause=cause, detail=detail)
        if self._session is not None:
            self._session.device_lost(process.plan.name, cause, detail)
        if process.plan.module == INGEST:
            self._participants.gone(self._session)
        if process.plan.module == WATCH:  # its successor begins anew: it tells again what it finds, but not the end of what it never told
            for alarm in self._alarms.all():
                if alarm.code in FINDINGS:
                    self.alarm(alarm.code, alarm.track, on=False, detail="")
        tracks = self._view.of_device(process.plan.name)
        for track in tracks or [process.plan.name]:
            self.alarm("source_lost", track, on=True, detail=f"{cause}: {detail}")

    def _device_opened(self, process: ChildProcess, message: child.Opened) -> None:
        name = process.plan.name
        for track, kind in message.tracks.items():
            self._view.add(track, kind, name)
            self.alarm("source_lost", track, on=False, detail="")
        self.alarm("source_lost", name, on=False, detail="")
        lacking = lacking_tracks(process.plan, message.tracks)
        for track in lacking:
            self.alarm("source_lost", track, on=True, detail=NOT_GIVEN)
        log.info("device open", device=name, driver=message.driver, address=message.address, detail=message.detail)
        session = self._session
        if session is None or process.plan.module == INGEST:
            return
        known = name in session.devices()
        session.add_tracks(name, message.tracks, continuous=message.continuous)
        session.lacks(name, lacking)
        if known:
            for track in message.tracks:
                session.journal(entries.SourceChange(track=track, detail=f"opened again: {message.detail or message.driver}"))
        if session.state == "open":
            session.start_or_retry(name, mono_us())

    # what the disk says (from the committer's thread by way of the loop)

    def _on_commit(self, report: CommitReport) -> None:
        self._commits_us.append(report.duration_us)
        if self._look is not None:
            self._look.durable_us = mono_us()
        for done in report.committed:
            self._view.written(done.track, done.len, done.dur_us)
        if self._open is not None and self._session is not None:
            self._watch.committed(self._open.committer.disk.root, report.committed)
            self._session.path = str(self._open.committer.disk.root)  # the other disk may lead by now

    def _on_trouble(self, code: str, detail: str, on: bool) -> None:
        self.alarm(code, "", on=on, detail=detail)

    def alarm(self, code: str, track: str, *, on: bool, detail: str) -> None:
        """Raise or end an alarm; it is journaled before anything else is done with it."""
        entry = self._alarms.set(code, track, on=on, detail=detail, now_us=mono_us())
        if entry is None:
            return
        if self._session is not None:
            self._session.journal(entry)
        log.warning("alarm", code=code, track=track, on=on, detail=detail)

    def _kill(self, device: str, cause: str, detail: str) -> None:
        if device in self.children:  # a track that was taken up has no device yet
            self.children[device].kill(cause, detail)

    def _send(self, device: str, message: child.Message) -> bool:
        process = self.children.get(device)
        return process is not None and process.send(message)
