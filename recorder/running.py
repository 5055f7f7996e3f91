"""One running session: its tracks, parts, keys, pauses and level, and what of it goes to the committer.

No I/O but through the committer it is given and ``send``, the way to the children; the clock is passed in. The core owns one while a
session runs, hands it what the children say and what people ask for, and seals it at the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from recorder.clock import SessionClock
from recorder.contract import child, control
from recorder.contract.control import State
from recorder.record import entries, layout
from recorder.record.entries import Entry, Level, PausedState
from recorder.record.journal import Times
from recorder.record.levels import rank
from recorder.tracks import NOT_GIVEN, PausedTime, Track

log = structlog.get_logger()

CLOSED_TOLERANCE_US = 100_000
"""How far behind a pause a fragment may begin and still be taken: its last frame began before. What begins later is refused."""


class Sink(Protocol):
    """Where the session's bytes and entries go: ``commit.Committer``."""

    def put_entry(self, entry: Entry, times: Times, *, urgent: bool = False) -> None:
        """Journal an entry."""
        ...

    def put_key(self, track: str, part: int, data: bytes, times: Times) -> None:
        """Store a wrapped media key."""
        ...

    def put_init(self, init: entries.Init, data: bytes, times: Times) -> None:
        """Store a part's header (``len`` and ``sha256`` of the entry are filled in from the bytes)."""
        ...

    def put_fragment(self, message: child.Fragment, data: bytes, times: Times, *, urgent: bool = False) -> None:
        """Store a fragment."""
        ...


@dataclass(frozen=True, slots=True)
class NewKey:
    """A part's content key and what is stored of it."""

    key: child.MediaKey
    wrapped: bytes


KeyMaker = Callable[[str, int, Level], NewKey | None]
"""Makes and wraps the key of (track, part, level); None where the room has no recipients."""


@dataclass(slots=True)
class Part:
    """A part that a child was told to record."""

    track: str
    number: int
    level: Level
    key_file: str | None = None
    key: bytes | None = field(default=None, repr=False)
    timescale: int = 0
    has_header: bool = False
    stop_us: int | None = None
    has_media: bool = False
    """The first fragment is committed at once: the sooner something is on the disk, the sooner is it known that recording works."""
    ended: bool = False


@dataclass(slots=True)
class RunningSession:
    """The session. ``state`` is the recorder's state while it runs."""

    record: str
    path: str
    hearing: str
    clock: SessionClock
    sink: Sink
    make_key: KeyMaker
    send: Callable[[str, child.Message], bool]
    """Sends a message to the child of a device; False where it is not there."""
    restart: Callable[[str, str, str], None] = lambda *_: None
    """Starts the child of a device again, with cause and detail: its tracks are begun anew when it is back."""
    level: Level = "open"
    state: State = "open"
    ending: bool = False
    """Its end has come, and it waits for the last media: no part begins any more, which nobody would close before the seal."""
    paused_from_us: int = 0
    tracks: dict[str, Track] = field(default_factory=dict)
    parts: dict[tuple[str, int], Part] = field(default_factory=dict)
    paused: PausedTime = field(default_factory=PausedTime)
    kinds: dict[str, child.Init] = field(default_factory=dict)
    next_parts: dict[str, int] = field(default_factory=dict)
    """Of each track, the first number that this recorder never gave: what a child sends late is not taken for another session's."""

    def journal(self, *new: Entry, urgent: bool = False) -> None:
        """Write entries of this moment."""
        times = self.clock.times()
        for entry in new:
            self.sink.put_entry(entry, times, urgent=urgent)

    def add_tracks(self, device: str, kinds: Mapping[str, Literal["video", "audio"]], *, continuous: bool, least: Level = "open") -> None:
        """A device is there with these tracks; those that the session knows keep their part numbers, and their level at least."""
        for name, kind in kinds.items():
            if name not in self.tracks:
                first = self.next_parts.get(name, 0)
                self.tracks[name] = Track(name=name, kind=kind, device=device, continuous=continuous, next_part=first, first_part=first)
            track = self.tracks[name]
            track.device, track.gone, track.least = device, False, max(track.least, least, key=rank)
            track.lacking = False

    def lacks(self, device: str, kinds: Mapping[str, Literal["video", "audio"]]) -> None:
        """A device is open and does not give these tracks, though it is to."""
        self.add_tracks(device, kinds, continuous=True)
        for name in kinds:
            self.tracks[name].lacking = True

    def start_device(self, device: str, from_mono_us: int, only: str | None = None) -> None:
        """Let a device record its tracks (or one of them) from this moment on; keys are stored before their first fragment."""
        numbers: dict[str, int] = {}
        keys: dict[str, child.MediaKey] = {}
        wrapped: list[tuple[str, int, bytes]] = []
        for track in self.tracks.values():
            if track.device != device or track.gone or (only is not None and track.name != only):
                continue
            if track.lacking:
                self.journal(*track.missing("missing", NOT_GIVEN, self.clock.t_us(from_mono_us)))
                continue
            number = track.start(self.clock.t_us(from_mono_us))
            numbers[track.name], self.next_parts[track.name] = number, number + 1
            level = max(self.level, track.least, key=rank)
            made = self.make_key(track.name, number, level)
            key_file = None if made is None else layout.key_file(track.name, number)
            self.parts[track.name, number] = Part(
                track=track.name,
                number=number,
                level=level,
                key_file=key_file,
                key=None if made is None else made.key.key,
            )
            if made is not None:
                keys[track.name] = made.key
                wrapped.append((track.name, number, made.wrapped))
        if not numbers:
            return
        if not self.send(
            device, child.StartPart(from_mono_us=from_mono_us, origin_mono_us=self.clock.origin_mono_us, tracks=numbers, keys=keys)
        ):
            self._away(numbers, self.clock.t_us(from_mono_us))
        times = self.clock.times()
        for name, number, data in wrapped:
            self.sink.put_key(name, number, data, times)

    def start_or_retry(self, device: str, from_mono_us: int, only: str | None = None) -> None:
        """As ``start_device``; where that fails the device's tracks have a gap and its child is started again, while all others go on."""
        if self.ending:
            return
        try:
            self.start_device(device, from_mono_us, only)
        except Exception as error:  # the keys' library, say, which raises anything
            log.exception("a device's recording could not begin", device=device)
            self._not_begun(device, f"its recording could not begin: {error!r}; it is tried again", self.clock.t_us(from_mono_us))

    def _not_begun(self, device: str, detail: str, from_us: int) -> None:
        for track in self.tracks.values():
            if track.device != device or track.gone:
                continue
            cause = "not_started"
            self.journal(*(track.lost(cause, detail, from_us) if track.running else track.missing(cause, detail, from_us)))
        for part in self.parts.values():  # also one that runs: what follows is of another level, or under a key that is not stored
            if self.tracks[part.track].device == device:
                part.ended = True
        self.restart(device, "not_started", detail)

    def _away(self, numbers: Mapping[str, int], from_us: int) -> None:
        """A device that is to record is not there: its parts end before they began, and its tracks are missing until it is back."""
        for name, number in numbers.items():
            self.parts[name, number].ended = True
            self.journal(*self.tracks[name].missing("missing", "the device is not there", from_us))

    def stop_device(self, device: str, at_mono_us: int) -> None:
        """Let a device close its parts at this moment."""
        self.send(device, child.StopPart(at_mono_us=at_mono_us))

    def devices(self) -> set[str]:
        """The devices whose tracks the session knows."""
        return {track.device for track in self.tracks.values()}

    def take_init(self, message: child.Init, data: bytes) -> bool:
        """Store a part's header; False where it was never asked for, or is a second one: what is on the disk is not written again."""
        part = self.parts.get((message.track, message.part))
        if part is None or part.ended or part.has_header:
            log.warning("header of an unknown part, or a second one, refused", track=message.track, part=message.part)
            return False
        part.has_header = True
        part.timescale = message.timescale
        self.kinds[message.track] = message
        entry = entries.Init(
            track=message.track,
            part=message.part,
            file=layout.init_file(message.track, message.part),
            len=len(data),
            sha256="",
            kind=message.kind,
            codec=message.codec,
            timescale=message.timescale,
            width=message.width,
            height=message.height,
            rate_hz=message.rate_hz,
            channels=message.channels,
            key=part.key_file,
            level=part.level,
            label=message.label,
        )
        self.sink.put_init(entry, data, self.clock.times())
        return True

    def take_fragment(self, message: child.Fragment, data: bytes) -> bool:
        """Store a fragment and the gap entries around it; False where it belongs to no running part and was refused."""
        part = self.parts.get((message.track, message.part))
        track = self.tracks.get(message.track)
        if part is None or track is None or part.ended or part.timescale != message.timescale:
            log.warning("fragment of no running part refused", track=message.track, part=message.part)
            return False
        start_us = message.t0 * 1_000_000 // message.timescale
        end_us = (message.t0 + message.dur) * 1_000_000 // message.timescale
        if part.stop_us is not None and start_us > part.stop_us + CLOSED_TOLERANCE_US:
            log.error("fragment of a closed interval refused", track=message.track, t0_us=start_us, closed_us=part.stop_us)
            return False
        times = self.clock.times()
        for entry in track.fragment(part.number, start_us, end_us, len(data)):
            self.sink.put_entry(entry, times)
        self.sink.put_fragment(message, data, times, urgent=not part.has_media)
        part.has_media = True
        return True

    def part_ended(self, message: child.PartEnded) -> None:
        """A child has sent all of a part."""
        part = self.parts.get((message.track, message.part))
        if part is not None:
            part.ended = True

    def all_ended(self) -> bool:
        """Whether every part that was told to stop has ended."""
        return all(part.ended for part in self.parts.values() if part.stop_us is not None)

    def cut_off(self) -> None:
        """What has not been handed over by now is not waited for: the parts are ended, and who is late has a gap to the session's end."""
        for part in self.parts.values():
            if part.ended:
                continue
            part.ended = True
            track, stop_us = self.tracks[part.track], part.stop_us
            if stop_us is not None and track.part == part.number:
                log.error("not everything was handed over in time", track=part.track)
                self.journal(*track.late(stop_us))

    def stalled(self, now_mono_us: int) -> list[Track]:
        """The tracks whose device is there and gives no media although it is due; each is told once, for its device is started again."""
        if self.state != "open":
            return []
        now_us = self.clock.t_us(now_mono_us)
        return [track for track in self.tracks.values() if track.is_stalled(now_us)]

    def device_lost(self, device: str, cause: str, detail: str) -> list[str]:
        """A device is gone; its tracks have a gap from where their media ended. Returns the continuous tracks concerned."""
        now_us = self.clock.times().t_us
        concerned = []
        for track in self.tracks.values():
            if track.device != device:
                continue
            part = self.parts.get((track.name, track.part))
            stop_us = None if part is None or part.ended else part.stop_us
            if part is not None:
                part.ended = True
            if stop_us is not None:  # it was still to hand over what it had recorded before
                self.journal(*track.late(stop_us, cause, detail))
            elif self.state == "open":
                self.journal(*track.lost(cause, detail, now_us))
            if track.continuous:
                concerned.append(track.name)
        return concerned

    def close_parts(self, at_mono_us: int) -> None:
        """Tell every device to close its parts at this moment."""
        at_us = self.clock.t_us(at_mono_us)
        for part in self.parts.values():
            if not part.ended and part.stop_us is None:
                part.stop_us = at_us
        for device in self.devices():
            self.stop_device(device, at_mono_us)

    def pause(self, request: control.PauseRequest, at_mono_us: int) -> None:
        """Leave the open state, or go from one paused state into another, at this moment."""
        at_us = self.clock.t_us(at_mono_us)
        if self.state == "open":
            self.close_parts(at_mono_us)
            for track in self.tracks.values():
                self.journal(*track.paused(at_us))
        else:
            self._end_pause(request.actor, at_us)
        self.state, self.paused_from_us = request.state, at_us
        self.journal(
            entries.Pause(state=request.state, actor=request.actor, reason=request.reason, order=request.order, from_us=at_us), urgent=True
        )

    def resume(self, actor: str, at_mono_us: int) -> None:
        """Record again from this moment on."""
        self._end_pause(actor, self.clock.t_us(at_mono_us))
        self.state = "open"
        for device in sorted(self.devices()):
            self.start_or_retry(device, at_mono_us)

    def set_level(self, request: control.SetLevel, at_mono_us: int) -> None:
        """What follows is of another level: new parts with new keys begin."""
        self.level = request.level
        self.journal(
            entries.LevelChange(level=request.level, actor=request.actor, order=request.order, from_us=self.clock.t_us(at_mono_us)),
            urgent=True,
        )
        if self.state == "open":
            for device in sorted(self.devices()):
                self.start_or_retry(device, at_mono_us)

    def alive(self) -> None:
        """Write that the recorder is there while nothing is recorded."""
        state = self.paused_state()
        if state is not None:
            self.journal(entries.Alive(state=state))

    def paused_state(self) -> PausedState | None:
        """The paused state that the session is in, or None."""
        return self.state if self.state not in {"idle", "open", "closing"} else None  # type: ignore[return-value]

    def stopping(self, request: control.StopRequest) -> None:
        """Its end was asked for: from the moment at which this is on a disk no crash brings the session back."""
        source, name = entries.STOPPING
        data: dict[str, str | int] = {"by": request.actor, "reason": request.reason}
        self.journal(entries.Event(source=source, name=name, track="", data=data), urgent=True)

    def end_pause(self, actor: str, at_mono_us: int) -> None:
        """The session ends in a paused state: that interval ends with it."""
        self._end_pause(actor, self.clock.t_us(at_mono_us))

    def forget_track(self, track: str) -> None:
        """A participant's track is over; its numbers stay, for it may come back."""
        if track in self.tracks:
            self.tracks[track].running, self.tracks[track].gone = False, True

    def _end_pause(self, actor: str, to_us: int) -> None:
        state = self.paused_state()
        if state is not None:
            self.paused.add(state, self.paused_from_us, to_us)
            self.journal(entries.Resume(state=state, actor=actor, from_us=self.paused_from_us, to_us=to_us), urgent=True)
