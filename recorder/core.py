"""The recorder's core: one event loop between the people's requests, the children and the disk.

It holds the disk and the signing key, listens on local sockets only, and parses no media: what a child calls a fragment is hashed and
written as it came. A child that lies can spoil its own tracks, nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from provisioning.room import RoomConfig
from recorder import session as rules
from recorder.alarms import Alarms
from recorder.child_entries import entry_of
from recorder.child_guard import ChildGuard
from recorder.child_limits import ChildLimits
from recorder.child_process import ChildOwner, ChildProcess
from recorder.children_plan import INGEST, WATCH, WITHOUT_DEVICE, expected_tracks, plans
from recorder.clock import StepDetector, clock_state, mono_us, utc_us
from recorder.commit import CommitReport
from recorder.contract import child, control
from recorder.notary import Notary
from recorder.open_session import OpenSession
from recorder.participants import Participants
from recorder.record import entries
from recorder.record.canonical import NotCanonicalError
from recorder.room_view import RoomView
from recorder.running import RunningSession
from recorder.session_store import SessionStore
from recorder.watch_link import BEHIND_US, WatchLink

log = structlog.get_logger()

PARTS_CLOSED_S = 1.2
PREROLL_S = 10
FINDINGS = frozenset({"silent", "clipped", "frozen", "black", "unreadable", "late", "room_silent"})
"""Alarms that the watch raises and ends."""
WATCH_CODES = FINDINGS | {"watch_behind", "too_many_tracks", "record_damaged"}
"""Alarms of what is in the record: they end with the session."""
STANDS_STILL_US = 5_000_000
"""An open session of which nothing became durable for so long is not being recorded, whatever the lamp says."""
_CHECKPOINT_S = 1.0
_ALIVE_S = 9.0
_CLOCK_S = 60.0


class Recorder(ChildOwner):
    """The recorder of one room."""

    def __init__(self, config: RoomConfig, run_dir: Path, store: SessionStore, bus_uids: list[int]) -> None:
        self._config = config
        self._store = store
        self._notary = Notary(store.room_disks, store.signer)
        self._alarms = Alarms()
        self._view = RoomView()
        self._session: RunningSession | None = None
        self._open: OpenSession | None = None
        self._closing = False
        self._ending = False
        self._preroll = False
        self._participants = Participants(self._view, mono_us)
        self._steps = StepDetector()
        self._commits_us: deque[int] = deque(maxlen=240)
        self._lock = asyncio.Lock()
        self._durable_us = mono_us()
        self._latency_us = {device.id: device.latency_us for device in (*config.camera, *config.microphone)}
        self.children = {plan.name: ChildProcess(plan, str(run_dir), self) for plan in plans(config, bus_uids)}
        self._guard = ChildGuard(self.children)
        self._watch = WatchLink(self.children.get("watch"))
        self._limits = {name: ChildLimits(process.plan, self._watch.knows) for name, process in self.children.items()}
        for process in self.children.values():
            for name, kind in expected_tracks(process.plan).items():
                self._view.add(name, kind, process.plan.name)

    # the life of the recorder

    async def start(self) -> None:
        """Take up what a crash left open, and start the children."""
        recovered = await self._store.recover(self._on_commit, self._on_trouble)
        if recovered is not None:
            self._take_up(recovered)
        for process in self.children.values():
            process.start()

    async def close(self) -> None:
        """End the children and the committer. A running session stays unsealed; it is taken up at the next start."""
        self._ending = True
        if self._session is not None and self._session.state == "open":
            self._session.close_parts(mono_us())
            await self._until(self._session.all_ended, PARTS_CLOSED_S)
        await asyncio.gather(*(process.close() for process in self.children.values()))
        if self._open is not None:
            await self._open.abandon()
        await self._store.close()

    async def run_timers(self) -> None:
        """Do what is due by the clock: watch the children, sign heads, say alive, look at the clock. Runs until cancelled."""
        due_s = {"checkpoint": 0.0, "alive": 0.0, "clock": 0.0, "disk": 0.0, "look": 0.0}
        loop = asyncio.get_running_loop()
        looking = asyncio.create_task(self._store.room_disks.look())

        def is_due(name: str, period_s: float) -> bool:
            now_s = loop.time()
            if now_s < due_s[name]:
                return False
            due_s[name] = now_s + period_s
            return True

        while True:
            await asyncio.sleep(0.1)
            self._guard.look(loop.time(), muted=self.state in rules.DROPPING)
            if is_due("look", 1.0) and looking.done():
                looking = asyncio.create_task(self._store.room_disks.look())
            if self._open is None or self._session is None:
                continue
            if is_due("checkpoint", _CHECKPOINT_S):
                self._open.checkpoint()
                self._alarm("signing_stalled", "", on=self._open.signing_us() > 3_000_000, detail="the key does not sign; checkpoints wait")
            if is_due("alive", _ALIVE_S):
                self._session.alive()
            if is_due("clock", _CLOCK_S):
                self._session.journal(entries.Clock(clock=clock_state()))
            step_us = self._steps.step_us(mono_us(), utc_us())
            if step_us is not None:
                self._session.journal(entries.ClockStep(delta_us=step_us), urgent=True)
            if is_due("disk", 1.0):
                self._watch_disk()
                self._watch_media()

    # what people ask for

    async def handle(self, request: control.AnyRequest) -> control.Reply:
        """Do what a request asks; one at a time."""
        async with self._lock:
            try:
                return await self._do(request)
            except NotCanonicalError as error:
                return control.Reply(ok=False, error=f"this cannot stand in a record: {error}")

    async def _do(self, request: control.AnyRequest) -> control.Reply:
        refused = rules.refusal(self.state, request)
        if refused is not None:
            return control.Reply(ok=False, error=refused)
        if isinstance(request, control.Start):
            return await self._start(request)
        if isinstance(request, control.StopRequest):
            return await self._stop(request)
        if isinstance(request, control.ArmRequest):
            return self._arm(on=request.on)
        if isinstance(request, control.AddReceipt):
            return await self._receipt(request)
        if isinstance(request, control.BindSealed | control.CertifyFault | control.CertifyHandover | control.FindRecord):
            return await self._notary.do(request)
        session = self._session
        if session is None:
            return control.Reply(ok=False, error="no session is running")
        level = request.level if isinstance(request, control.SetLevel) else session.level
        if isinstance(request, control.SetLevel | control.ResumeRequest) and not self._store.can_be_opened(level):
            return control.Reply(ok=False, error=f"nobody may open level '{level}': name a [[recipient]] for it in room.toml")
        now_us = mono_us()
        if isinstance(request, control.PauseRequest):
            was_dropping = session.state in rules.DROPPING
            session.pause(request, now_us)
            if was_dropping or request.state in rules.DROPPING:
                self._guard.mute(on=request.state in rules.DROPPING)
        elif isinstance(request, control.ResumeRequest):
            self._guard.mute(on=False)
            session.resume(request.actor, now_us)
        elif isinstance(request, control.AddNote):
            at_us = session.clock.t_us(now_us) if request.at_us is None else request.at_us
            if at_us > session.clock.t_us(now_us):
                return control.Reply(ok=False, error="cannot take a note: its at_us lies behind the session's present time")
            session.journal(entries.Note(author=request.author, text=request.text, at_us=at_us))
        elif isinstance(request, control.SetLevel):
            session.set_level(request, now_us)
        elif isinstance(request, control.BindRequest):
            session.hearing = request.hearing
            session.journal(entries.Bind(hearing=request.hearing, case=request.case, actor=request.actor, reason=request.reason))
        elif isinstance(request, control.KeyframeRequest):
            return self._keyframe(request.track)
        return self._reply()

    @property
    def state(self) -> control.State:
        """The recorder's state."""
        if self._closing:
            return "closing"
        return "idle" if self._session is None else self._session.state

    def status(self) -> control.Status:
        """The recorder as it is now."""
        session, opened = self._session, self._open
        commits = sorted(self._commits_us)
        return control.Status(
            state=self.state,
            record=session.path if session else "",
            hearing=session.hearing if session else "",
            t_us=session.clock.times().t_us if session else 0,
            entries=opened.head.at + 1 if opened else 0,
            head=opened.head.sha256 if opened else "",
            head_at=opened.head.at if opened else -1,
            signed_at=opened.signed_at if opened else -1,
            commit_p99_us=commits[len(commits) * 99 // 100] if commits else 0,
            preroll_armed=self._preroll,
            channels=self._view.channels(
                frozenset(name for name, process in self.children.items() if process.opened is not None), session.tracks if session else {}
            ),
            disks=self._store.disks(opened),
            alarms=self._alarms.all(),
        )

    async def _start(self, request: control.Start) -> control.Reply:
        if not self._store.can_be_opened(request.level):
            return control.Reply(ok=False, error=f"nobody may open level '{request.level}': name a [[recipient]] for it in room.toml")
        now_us = mono_us()
        from_us = now_us - PREROLL_S * 1_000_000 if self._preroll else now_us
        try:
            opened = await self._store.begin(request, from_us, self._sources(), self._on_commit, self._on_trouble)
        except OSError as error:
            return control.Reply(ok=False, error=f"cannot write to {self._config.storage.primary}: {error.strerror}; check the disk")
        session = opened.session(self._send)
        session.level = request.level
        self._session, self._open, self._preroll = session, opened, False
        self._view.begin()
        for process in self.children.values():
            if process.opened is not None and process.plan.module != INGEST:
                session.add_tracks(process.plan.name, process.opened.tracks, continuous=process.opened.continuous)
                session.start_device(process.plan.name, from_us)
            elif process.opened is not None:
                self._participants.begin(session, process.plan.name)
            else:
                missing = expected_tracks(process.plan)
                session.add_tracks(process.plan.name, missing, continuous=True)
                for name in missing:
                    session.journal(*session.tracks[name].missing("missing", "the device is not open", session.clock.t_us(from_us)))
        for alarm in self._alarms.all():
            session.journal(entries.Alarm(code=alarm.code, track=alarm.track, on=True, detail=alarm.detail))
        await opened.committed()
        return self._reply()

    async def _stop(self, request: control.StopRequest) -> control.Reply:
        session, opened = self._session, self._open
        if session is None or opened is None:
            return control.Reply(ok=False, error="no session is running")
        now_us = mono_us()
        if session.state == "open":
            session.close_parts(now_us)
            for track in session.tracks.values():
                session.journal(*track.paused(session.clock.t_us(now_us)))
        elif session.state in rules.DROPPING:
            self._guard.mute(on=False)
        session.end_pause(request.actor, now_us)
        self._closing = True
        try:
            await self._until(session.all_ended, PARTS_CLOSED_S)
            session.cut_off()
            problem = await opened.seal(session, request, session.clock.t_us(now_us))
        finally:
            self._closing = False
            self._session = self._open = None
            self._alarms.forget(WATCH_CODES)
        return control.Reply(ok=problem is None, error=problem or "", record=session.path, t_us=session.clock.t_us(now_us))

    def _take_up(self, recovered: OpenSession) -> None:
        """Go on with a session that a crash broke off; the children record again as soon as they are there."""
        self._open = recovered
        session = self._session = recovered.session(self._send)
        if session.state in rules.DROPPING:
            log.warning("the session goes on as it was left", state=session.state)
        if session.state != "open":
            return
        for process in self.children.values():
            session.add_tracks(process.plan.name, expected_tracks(process.plan), continuous=True)
        for track in session.tracks.values():
            session.journal(*track.missing("opening", "the recorder is back, its device is not yet", session.clock.times().t_us))

    def _arm(self, *, on: bool) -> control.Reply:
        self._preroll = on
        for process in self.children.values():
            process.send(child.ArmPreroll(seconds=PREROLL_S if on else 0))
        return self._reply()

    async def _receipt(self, request: control.AddReceipt) -> control.Reply:
        problem = await self._store.add_receipt(request.receipt, self._open)
        return control.Reply(ok=problem is None, error=problem or "")

    def _keyframe(self, track: str) -> control.Reply:
        device = self._view.device_of(track)
        if device is None or not self._send(device, child.RequestKeyframe(track=track)):
            return control.Reply(ok=False, error=f"no track '{track}' is there; see `courtroom recorder status`")
        return self._reply()

    def _reply(self) -> control.Reply:
        session = self._session
        return control.Reply(ok=True, record=session.path if session else "", t_us=session.clock.times().t_us if session else 0)

    # what children say

    def on_started(self, process: ChildProcess) -> None:
        """Tell a new child at once what it may not do: in a dropping state it is muted before its device is open."""
        if self.state in rules.DROPPING:
            process.send(child.Mute(on=True))
        if self._preroll:
            process.send(child.ArmPreroll(seconds=PREROLL_S))

    def on_message(self, process: ChildProcess, message: child.Message, body: bytes) -> None:
        """Take what a child says.

        Raises:
            LimitError: it may not say that; the child is killed.
        """
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
            self._alarm(message.code, message.track, on=message.on, detail=message.detail)
        elif isinstance(message, child.Judged):
            self._watch.judged(message)
        elif isinstance(message, child.TrackOpened):
            if not self._participants.opened(message, process.plan.name, session):
                self._alarm("too_many_tracks", "", on=True, detail=f"{message.track} is not recorded: the session has had too many tracks")
        elif isinstance(message, child.TrackClosed):
            self._participants.closed(message, session)
        else:
            if isinstance(message, child.DriftMeasured):
                self._view.take(message)
            elif isinstance(message, child.Refused):
                log.warning("refused at ingest", what=message.what, detail=message.detail)
            self._journal_of(message)

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
                    self._alarm(alarm.code, alarm.track, on=False, detail="")
        tracks = self._view.of_device(process.plan.name)
        for track in tracks or [process.plan.name]:
            self._alarm("source_lost", track, on=True, detail=f"{cause}: {detail}")

    def _device_opened(self, process: ChildProcess, message: child.Opened) -> None:
        name = process.plan.name
        for track, kind in message.tracks.items():
            self._view.add(track, kind, name)
            self._alarm("source_lost", track, on=False, detail="")
        self._alarm("source_lost", name, on=False, detail="")
        log.info("device open", device=name, driver=message.driver, address=message.address, detail=message.detail)
        session = self._session
        if session is None or process.plan.module == INGEST:
            return
        known = name in session.devices()
        session.add_tracks(name, message.tracks, continuous=message.continuous)
        if known:
            for track in message.tracks:
                session.journal(entries.SourceChange(track=track, detail=f"opened again: {message.detail or message.driver}"))
        if session.state == "open":
            session.start_device(name, mono_us())

    def _journal_of(self, message: child.Message) -> None:
        if self._session is not None:
            entry = entry_of(message, self._session.clock)
            if entry is not None:
                self._session.journal(entry)

    # what the clock asks for

    def _watch_disk(self) -> None:
        if self._open is None:
            return
        for disk in self._store.disks(self._open):
            short = disk.hours_left is not None and disk.hours_left < self._config.storage.warn_hours
            detail = "" if disk.hours_left is None else f"{disk.path} is full in {disk.hours_left:.1f} h at the present rate; make room"
            self._alarm(f"disk_short_{disk.disk}", "", on=short, detail=detail)

    def _watch_media(self) -> None:
        """Nothing may seem to be recorded that is not: media must come from every device, and must become durable."""
        session = self._session
        if session is None:
            return
        for track in session.stalled(mono_us()):
            detail = "its child lives and hands nothing over"
            self._alarm("source_lost", track.name, on=True, detail=detail)
            self.children[track.device].kill("stalled", detail)
        behind_us = self._watch.behind_us()
        self._alarm("watch_behind", "", on=behind_us > BEHIND_US, detail=f"what was recorded for {behind_us / 1e6:.0f} s is not judged yet")
        quiet_us = mono_us() - self._durable_us
        stands_still = session.state == "open" and quiet_us > STANDS_STILL_US
        self._alarm("storage_stalled", "", on=stands_still, detail=f"nothing became durable for {quiet_us / 1e6:.0f} s; the disk hangs")

    # what the disk says (from the committer's thread by way of the loop)

    def _on_commit(self, report: CommitReport) -> None:
        self._commits_us.append(report.duration_us)
        self._durable_us = mono_us()
        for done in report.committed:
            self._view.written(done.track, done.len, done.dur_us)
        if self._open is not None and self._session is not None:
            self._watch.committed(self._open.committer.disk.root, report.committed)
            self._session.path = str(self._open.committer.disk.root)  # the other disk may lead by now

    def _on_trouble(self, code: str, detail: str, on: bool) -> None:
        self._alarm(code, "", on=on, detail=detail)

    # small things

    def _alarm(self, code: str, track: str, *, on: bool, detail: str) -> None:
        entry = self._alarms.set(code, track, on=on, detail=detail, now_us=mono_us())
        if entry is None:
            return
        log.warning("alarm", code=code, track=track, on=on, detail=detail)
        if self._session is not None:
            self._session.journal(entry)

    def _sources(self) -> list[entries.Source]:
        return [
            entries.Source(
                id=name,
                driver=process.opened.driver,
                address=process.opened.address,
                serial=process.opened.serial,
                latency_us=self._latency_us.get(name, 0),
            )
            for name, process in self.children.items()
            if process.opened is not None and process.plan.module not in WITHOUT_DEVICE
        ]

    def _send(self, device: str, message: child.Message) -> bool:
        process = self.children.get(device)
        return process is not None and process.send(message)

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until a condition holds that the loop itself brings about, at most so long."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while not condition() and loop.time() < deadline_s:  # noqa: ASYNC110 - the condition is plain state, brought about by messages
            await asyncio.sleep(0.01)
