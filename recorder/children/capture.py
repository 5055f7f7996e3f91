"""The capture child: one device, from its driver to finished fragments.

``python -m recorder.children.capture``, started by the core with the link as descriptor 3. It reads the device in its main thread and never
outlives the device: when the driver says that it is lost, or hangs, the process ends or is killed, and a new one opens the device again.
"""

import os
import sys
from typing import Any

from drivers.capabilities import AudioFormat, Captured, Encoded, Picture, Sound, Source, SourceLostError, VideoFormat
from drivers.registry import open_source
from recorder.children.audio_track import AudioTrack
from recorder.children.bus_server import BusServer
from recorder.children.drift import DriftFit
from recorder.children.link import Link, now_us
from recorder.children.sound_packets import SoundPacketTrack
from recorder.children.video_track import VideoTrack
from recorder.contract import child

METER_EVERY_US = 150_000
STATS_EVERY_US = 200_000
DRIFT_EVERY_US = 10_000_000

Track = AudioTrack | VideoTrack | SoundPacketTrack


class Capture:
    """The child's state."""

    def __init__(self, link: Link, configure: child.Configure, source: Source) -> None:
        self._link = link
        self._source = source
        self._bus = BusServer(configure.run_dir, configure.options.get("bus_uids", []))
        self._fits: dict[str, DriftFit] = {stream: DriftFit() for stream in source.formats}
        self._positions: dict[str, int] = {}
        self._by_stream: dict[str, list[tuple[int, Track]]] = {}
        self._meter_us = self._stats_us = 0
        self._drift_us = now_us() + DRIFT_EVERY_US
        self._muted = False
        device = configure.device
        for stream, form in source.formats.items():
            self._by_stream[stream] = self._tracks(device, form, configure)
        tracks = self._tracks_all()
        link.send(
            child.Opened(
                driver=device["driver"],
                address=source.address,
                serial=source.serial or device.get("serial", ""),
                tracks={track.name: "video" if isinstance(track, VideoTrack) else "audio" for track in tracks},
                detail="; ".join(track.detail for track in tracks if isinstance(track, VideoTrack)),
            )
        )

    def run(self) -> None:
        """Read the device until it is lost.

        Raises:
            SourceLostError: it is.
        """
        while True:
            item = self._source.read()
            self._obey()
            muted = self._link.muted.is_set()
            if muted and not self._muted:
                self._wipe()
            self._muted = muted
            mono_us = self._mono_us(item)
            if muted:
                for track in self._tracks_all():
                    track.expire(mono_us)
            else:
                self._take(item, mono_us)
            self._report()

    def _tracks(self, device: dict[str, Any], form: VideoFormat | AudioFormat, configure: child.Configure) -> list[tuple[int, Track]]:
        segment_us, fragment_us = configure.segment_s * 1_000_000, configure.fragment_us
        if isinstance(form, VideoFormat):
            encoding = configure.options.get("encoding", {})
            name, label = device["id"], device.get("label", "")
            return [(0, VideoTrack(name, label, form, encoding, self._bus, self._link.send, segment_us, fragment_us))]
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
                    channel["id"], channel.get("label", ""), form.rate_hz, form.bits, self._bus, self._link.send, segment_us, fragment_us
                )
            else:
                track = SoundPacketTrack(channel["id"], channel.get("label", ""), form, self._bus, self._link.send, segment_us, fragment_us)
            made.append((channel["number"] - 1, track))
        return made

    def _tracks_all(self) -> list[Track]:
        return [track for tracks in self._by_stream.values() for _, track in tracks]

    def _obey(self) -> None:
        for message in self._link.take():
            match message:
                case child.StartPart():
                    for track in self._tracks_all():
                        track.start(message)
                case child.StopPart():
                    for track in self._tracks_all():
                        track.schedule.stop(message.at_mono_us)
                case child.Mute(on=True):
                    self._wipe()
                case child.ArmPreroll():
                    for track in self._tracks_all():
                        track.preroll.arm(message.seconds)
                case child.RequestKeyframe():
                    for track in self._tracks_all():
                        if isinstance(track, VideoTrack) and track.name == message.track:
                            track.request_key()
                case _:
                    pass  # the rest is other children's matter

    def _wipe(self) -> None:
        """Nothing that was heard or seen stays behind, in memory or on its way to a reader."""
        self._bus.wipe()
        self._positions.clear()
        for track in self._tracks_all():
            track.wipe()

    def _mono_us(self, item: Captured) -> int:
        """When the item's first sample or its picture was captured, on CLOCK_MONOTONIC."""
        if isinstance(item, Sound):
            rate_hz = self._rate_hz(item.stream)
            begin_us = item.position * 1_000_000 // rate_hz
            end_us = (item.position + len(item.samples)) * 1_000_000 // rate_hz
        else:
            begin_us = end_us = item.device_us
        if self._source.exact_clock:
            return begin_us
        fitting = self._fits[item.stream]
        fitting.add(end_us, item.arrival_us)
        fit = fitting.fit()
        return begin_us if fit is None else fit.mono_us(begin_us)

    def _rate_hz(self, stream: str) -> int:
        form = self._source.formats[stream]
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
                        child.TrackStats(track=track.name, units=track.units, dropped=track.dropped, last_mono_us=track.last_us)
                        for track in self._tracks_all()
                    ]
                )
            )
        if now >= self._drift_us:
            self._drift_us = now + DRIFT_EVERY_US
            self._report_drift()

    def _report_drift(self) -> None:
        for stream, fitting in self._fits.items():
            fit = fitting.fit()
            if fit is None:
                continue
            for _, track in self._by_stream[stream][:1]:
                self._link.send(
                    child.DriftMeasured(
                        track=track.name,
                        media_us=fit.at_us,
                        mono_us=fit.mono_us(fit.at_us),
                        drift_ppb=fit.drift_ppb(),
                        error_us=fit.error_us,
                    )
                )


def main() -> int:
    """Run the child."""
    link = Link()
    configure = link.wait()
    if not isinstance(configure, child.Configure):
        return 2
    try:
        source = open_source(configure.device)
        try:
            Capture(link, configure, source).run()
        finally:
            source.close()
    except SourceLostError as error:
        link.send(child.SourceLost(cause=error.cause, detail=error.detail))
        return 0
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a driver's own threads may hang; nothing is left to be done
