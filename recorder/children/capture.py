"""The capture child: one device, from its driver to finished fragments.

``python -m recorder.children.capture``, started by the core with the link as descriptor 3. Its main thread reads the device and never
outlives it: when the driver says that the device is lost, or hangs, the process ends or is killed, and a new one opens the device again.
A second thread obeys the core, also while the device is being opened or gives nothing. What a thread does to tracks it does under one
lock (the gate), so that ``Muted`` is said only when nothing of before is on its way any more. Only when a part is to end does not wait at
the gate: the picture that is being encoded there may be one from behind that end.
"""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import av

from drivers.capabilities import AudioFormat, Captured, Encoded, Picture, Sound, Source, SourceLostError, VideoFormat
from drivers.registry import open_source
from recorder.children.audio_track import HELD_US, AudioTrack
from recorder.children.bus_server import BusServer
from recorder.children.clock_leaps import ClockLeaps
from recorder.children.drift import REPORT_EVERY_US, DriftFit
from recorder.children.link import Link, now_us
from recorder.children.local_socket import SocketError
from recorder.children.sound_packets import SoundPacketTrack
from recorder.children.sub_stream import SubStream
from recorder.children.video_track import VideoTrack
from recorder.contract import child

METER_EVERY_US = 150_000
STATS_EVERY_US = 200_000
INSIDE_US = 400_000
"""How long what was captured before a part's end may stay inside the device; the part is closed without it then."""
LEAP_TOLD_EVERY_US = 60_000_000
ONE_CLOCK_US = 200_000
"""Two streams of a device whose clocks seem to be no further apart have one: the difference is their ways' delay."""
_LOOK_S = 0.1

Track = AudioTrack | VideoTrack | SoundPacketTrack


class Capture:
    """The child's state. ``obey`` may be called from its making on, ``open`` once, then ``run``."""

    def __init__(self, link: Link, configure: child.Configure) -> None:
        self._link = link
        self._configure = configure
        self._gate = threading.RLock()
        self._muted = False
        self._early: list[child.ToChild] = []
        self._opened = False
        self._bus = BusServer(configure.run_dir, configure.options.get("bus_uids", []))
        self._formats: dict[str, VideoFormat | AudioFormat] = {}
        self._exact_clock = False
        self._fits: dict[str, DriftFit] = {}
        self._leaps: dict[str, ClockLeaps] = {}
        self._leap_told_us = -LEAP_TOLD_EVERY_US
        self._positions: dict[str, int] = {}
        self._by_stream: dict[str, list[tuple[int, Track]]] = {}
        self._bytes: dict[str, int] = {}
        self._meter_us = self._stats_us = 0
        self._drift_us = now_us() + REPORT_EVERY_US

    def open(self) -> Source:
        """Open the device, and make its tracks.

        Raises:
            SourceLostError: it is not there, or not as configured.
        """
        configure, device = self._configure, self._configure.device
        source = open_source(device)
        with self._gate:
            self._formats, self._exact_clock = source.formats, source.exact_clock
            self._fits = {stream: DriftFit() for stream in source.formats}
            self._leaps = {stream: ClockLeaps(_ticks_hz(form)) for stream, form in source.formats.items()}
            for stream, form in source.formats.items():
                self._by_stream[stream] = self._tracks(device, form, configure)
            if device.get("sub_url") and device.get("low_rung", True):
                SubStream(device, self._bus, self._guarded)
            tracks = self._tracks_all()
            self._link.send(
                child.Opened(
                    driver=device["driver"],
                    address=source.address,
                    serial=source.serial or device.get("serial", ""),
                    tracks={track.name: "video" if isinstance(track, VideoTrack) else "audio" for track in tracks},
                    detail="; ".join(track.detail for track in tracks if isinstance(track, VideoTrack)),
                )
            )
            for message in self._early:
                self._do(message)
            self._early.clear()
            self._opened = True
        return source

    def run(self, source: Source) -> None:
        """Read the device until it is lost.

        Raises:
            SourceLostError: it is.
        """
        while True:
            item = source.read()
            with self._gate:
                if not self._muted:
                    item = self._steady(item)
                    self._take(item, self._mono_us(item))
                self._report()

    def obey(self, message: child.ToChild) -> None:
        """Do what the core says."""
        if isinstance(message, child.StopPart) and self._opened:
            self._do(message)
            return
        with self._gate:
            if isinstance(message, child.Mute):
                self._mute(on=message.on)
            elif self._opened:
                self._do(message)
            else:
                self._early.append(message)

    def _do(self, message: child.ToChild) -> None:
        match message:
            case child.StartPart():
                for track in self._tracks_all():
                    track.start(message)
            case child.StopPart():
                for track in self._tracks_all():
                    track.schedule.stop(message.at_mono_us)
            case child.ArmPreroll():
                for track in self._tracks_all():
                    track.preroll.arm(message.seconds)
            case child.RequestKeyframe():
                for track in self._tracks_all():
                    if isinstance(track, VideoTrack) and track.name == message.track:
                        track.request_key()
            case _:
                pass  # the rest is other children's matter

    def look(self, now: int) -> None:
        """Write what waits, and close parts whose end has passed, although the device gave nothing that shows it."""
        with self._gate:
            for track in self._tracks_all():
                if track.schedule.running is not None:  # else what waits may belong to a part whose order is on its way
                    track.release(now - HELD_US)
                track.expire(now - INSIDE_US)

    def finish(self) -> None:
        """The device is lost: what it gave until now is written."""
        with self._gate:
            for track in self._tracks_all():
                track.finish()

    def _mute(self, *, on: bool) -> None:
        """Drop, or take again. Nothing that was heard or seen stays behind, in memory or on its way to a reader."""
        if on:
            for track in self._tracks_all():
                track.wipe()
            self._bus.wipe()
        if on != self._muted:
            # Samples dropped on purpose are not lost ones.
            self._positions.clear()
        self._muted = on
        self._link.send(child.Muted(on=on, at_mono_us=now_us()))

    def _guarded(self, act: Callable[[], None]) -> bool:
        with self._gate:
            if self._muted:
                return False
            act()
            return True

    def _emit(self, message: child.Message, body: bytes) -> None:
        if isinstance(message, child.Fragment):
            self._bytes[message.track] = self._bytes.get(message.track, 0) + len(body)
        self._link.send(message, body)

    def _tracks(self, device: dict[str, Any], form: VideoFormat | AudioFormat, configure: child.Configure) -> list[tuple[int, Track]]:
        segment_us, fragment_us = configure.segment_s * 1_000_000, configure.fragment_us
        if isinstance(form, VideoFormat):
            encoding = configure.options.get("encoding", {})
            name, label = device["id"], device.get("label", "")
            low_rung = bool(device.get("low_rung", True))
            track_of = VideoTrack(name, label, form, encoding, self._bus, self._emit, segment_us, fragment_us, low_rung=low_rung)
            return [(0, track_of)]
        channels = device.get("channels") or [{"id": f"{device['id']}-sound", "label": device.get("label", ""), "number": 1}]
        made: list[tuple[int, Track]] = []
        for channel in channels:
            if channel["number"] > form.channels:
                raise SourceLostError(
                    "format",
                    f"channel '{channel['id']}' is number {channel['number']}, but the device has {form.channels}; correct room.toml",
                )
            if form.codec == "pcm":
                track: Track = AudioTrack(
                    channel["id"], channel.get("label", ""), form.rate_hz, form.bits, self._bus, self._emit, segment_us, fragment_us
                )
            else:
                track = SoundPacketTrack(channel["id"], channel.get("label", ""), form, self._bus, self._emit, segment_us, fragment_us)
            made.append((channel["number"] - 1, track))
        return made

    def _tracks_all(self) -> list[Track]:
        return [track for tracks in self._by_stream.values() for _, track in tracks]

    def _steady(self, item: Captured) -> Captured:
        """The item, dated as if the device's clock had never leapt."""
        if self._exact_clock or isinstance(item, Picture):
            return item
        leaps, fit = self._leaps[item.stream], self._fits[item.stream].fit()
        item = _shifted(item, leaps.shift, leaps.hz)
        at, span = _decode_ticks(item)
        end_us = self._span_us(item)[1]
        leap = leaps.look(at, span, item.arrival_us, 0 if fit is None else fit.mono_us(end_us) - item.arrival_us)
        if leap and now_us() - self._leap_told_us > LEAP_TOLD_EVERY_US:
            self._leap_told_us = now_us()
            print(  # noqa: T201 - the journal of the service
                f"{self._configure.device['id']}: the device's clock leapt by {leap / leaps.hz:+.3f} s; its {item.stream} is dated on",
                file=sys.stderr,
                flush=True,
            )
        return _shifted(item, -leap, leaps.hz)

    def _span_us(self, item: Sound | Encoded | Picture) -> tuple[int, int]:
        """From when to when the item lasts, by the device's clock."""
        if isinstance(item, Sound):
            rate_hz = self._rate_hz(item.stream)
            return item.position * 1_000_000 // rate_hz, (item.position + len(item.samples)) * 1_000_000 // rate_hz
        end_us = item.device_us
        if isinstance(item, Encoded) and isinstance(self._formats[item.stream], AudioFormat):
            end_us += round((item.packet.duration or 0) * (item.packet.time_base or 0) * 1_000_000)
        return item.device_us, end_us

    def _mono_us(self, item: Captured) -> int:
        """When the item's first sample or its picture was captured, on CLOCK_MONOTONIC."""
        begin_us, end_us = self._span_us(item)
        if self._exact_clock:
            return begin_us
        self._fits[item.stream].add(end_us, item.arrival_us)
        return self._fitted_us(item.stream, begin_us)

    def _fitted_us(self, stream: str, device_us: int) -> int:
        """CLOCK_MONOTONIC at a device time, by the stream that arrives soonest of those that share the stream's clock.

        A camera's picture comes later than its sound, by what encoder and parser hold back: laid down by its own arrival it would lie that
        much behind the sound, although both were dated by one clock.
        """
        fits = {name: fit for name, fitting in self._fits.items() if (fit := fitting.fit()) is not None}
        own_us = fits[stream].mono_us(device_us)
        return min(us for fit in fits.values() if abs((us := fit.mono_us(device_us)) - own_us) <= ONE_CLOCK_US)

    def _rate_hz(self, stream: str) -> int:
        form = self._formats[stream]
        return form.rate_hz if isinstance(form, AudioFormat) else 1_000_000

    def _take(self, item: Captured, mono_us: int) -> None:
        if isinstance(item, Sound):
            expected = self._positions.get(item.stream, item.position)
            lost = max(0, item.position - expected)
            self._positions[item.stream] = item.position + len(item.samples)
            for index, track in self._by_stream[item.stream]:
                if isinstance(track, AudioTrack):
                    track.add(item.samples[:, index], mono_us, lost)
        elif isinstance(item, Picture):
            for _, track in self._by_stream[item.stream]:
                if isinstance(track, VideoTrack):
                    track.add_picture(item, mono_us)
        else:
            self._take_encoded(item, mono_us)

    def _take_encoded(self, item: Encoded, mono_us: int) -> None:
        for _, track in self._by_stream[item.stream]:
            if isinstance(track, VideoTrack | SoundPacketTrack):
                track.add_encoded(item, mono_us)
                if item.ntp_us is not None:
                    self._link.send(child.SenderReportSeen(track=track.name, mono_us=mono_us, ntp_us=item.ntp_us))

    def _report(self) -> None:
        now = now_us()
        if now - self._meter_us >= METER_EVERY_US and not self._muted:
            self._meter_us = now
            levels = [track.meter.read(track.name) for track in self._tracks_all() if isinstance(track, AudioTrack)]
            if levels:
                self._link.send(child.Levels(channels=levels))
        if now - self._stats_us >= STATS_EVERY_US:
            self._stats_us = now
            self._link.send(
                child.Stats(
                    tracks=[
                        child.TrackStats(
                            track=track.name,
                            units=track.units,
                            dropped=track.dropped,
                            last_mono_us=track.last_us,
                            bytes=self._bytes.get(track.name, 0),
                            detail=track.detail if isinstance(track, VideoTrack) else "",
                        )
                        for track in self._tracks_all()
                    ]
                )
            )
        if now >= self._drift_us:
            self._drift_us = now + REPORT_EVERY_US
            self._report_drift()

    def _report_drift(self) -> None:
        for stream, fitting in self._fits.items():
            fit = fitting.fit()
            if fit is not None:
                for _, track in self._by_stream[stream][:1]:
                    self._link.send(fit.measured(track.name))


def _ticks_hz(form: VideoFormat | AudioFormat) -> int:
    return form.rate_hz if isinstance(form, AudioFormat) and form.codec == "pcm" else 1_000_000


def _decode_ticks(item: Sound | Encoded) -> tuple[int, int]:
    """When the item is decoded, and how long it lasts (0: nobody says), in ticks."""
    if isinstance(item, Sound):
        return item.position, len(item.samples)
    packet = item.packet
    tick_us = packet.time_base * 1_000_000
    return item.device_us if packet.dts is None else round(packet.dts * tick_us), round((packet.duration or 0) * tick_us)


def _shifted(item: Sound | Encoded, ticks: int, hz: int) -> Sound | Encoded:
    """The item, dated later by so many ticks."""
    if ticks == 0:
        return item
    if isinstance(item, Sound):
        return replace(item, position=item.position + ticks)
    packet = item.packet
    by = round(ticks / hz / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts + by
    packet.dts = None if packet.dts is None else packet.dts + by
    return replace(item, device_us=item.device_us + ticks)


def obey_all(link: Link, capture: Capture) -> None:
    """The second thread: take the core's messages, and look after what is overdue."""
    while True:
        message = link.wait(_LOOK_S)
        if message is not None:
            capture.obey(message)
        capture.look(now_us())


def main() -> int:
    """Run the child."""
    link = Link()
    configure = link.wait()
    if not isinstance(configure, child.Configure):
        return 2
    capture = Capture(link, configure)
    threading.Thread(target=obey_all, args=(link, capture), name="commands", daemon=True).start()
    try:
        source = capture.open()
        try:
            capture.run(source)
        finally:
            # The source is not closed: saying goodbye to a device that has gone waits for its answer. The process' end lets go of it.
            capture.finish()
    except SourceLostError as error:
        link.send(child.SourceLost(cause=error.cause, detail=error.detail))
    except (av.FFmpegError, SocketError) as error:
        link.send(child.SourceLost(cause="error", detail=f"{configure.device.get('id', '')}: {error.strerror}"))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a driver's own threads may hang; nothing is left to be done
