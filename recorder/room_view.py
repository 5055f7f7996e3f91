"""What the room sees of its tracks, with or without a session: levels, counters, what is on the disk. Pure."""

from dataclasses import dataclass
from typing import Literal

from recorder.contract import child
from recorder.contract.control import ChannelStatus
from recorder.running import RunningSession
from recorder.session import DROPPING
from recorder.tracks import Track

Kind = Literal["video", "audio"]


@dataclass(slots=True)
class TrackView:
    """One track as it was last heard of."""

    kind: Kind
    device: str
    units: int = 0
    dropped: int = 0
    level: child.Level | None = None
    drift_ppb: int | None = None
    misplaced_us: int | None = None
    written_bytes: int = 0
    written_us: int = 0


class RoomView:
    """All tracks of the room by name."""

    def __init__(self) -> None:
        self._tracks: dict[str, TrackView] = {}

    def add(self, name: str, kind: Kind, device: str) -> None:
        """A device has this track; what is known of it stays."""
        self._tracks.setdefault(name, TrackView(kind, device))

    def forget(self, name: str) -> None:
        """A participant's track is over."""
        self._tracks.pop(name, None)

    def of_device(self, device: str) -> list[str]:
        """The tracks that a device gives."""
        return [name for name, view in self._tracks.items() if view.device == device]

    def device_of(self, name: str) -> str | None:
        """Which device gives this track."""
        view = self._tracks.get(name)
        return None if view is None else view.device

    def take(self, message: child.Levels | child.Stats | child.DriftMeasured) -> None:
        """Note what a child measured; of tracks that nobody has announced nothing is kept."""
        if isinstance(message, child.Levels):
            for level in message.channels:
                if level.track in self._tracks:
                    self._tracks[level.track].level = level
        elif isinstance(message, child.Stats):
            for stats in message.tracks:
                if stats.track in self._tracks:
                    self._tracks[stats.track].units, self._tracks[stats.track].dropped = stats.units, stats.dropped
        elif message.track in self._tracks:
            view = self._tracks[message.track]
            view.drift_ppb = message.drift_ppb
            # A segment is placed anew by the fit, and drifts from there to its end.
            view.misplaced_us = message.error_us + abs(message.drift_ppb) * child.SEGMENT_S // 1000

    def written(self, name: str, size_bytes: int, dur_us: int) -> None:
        """So much more of a track is on the disk."""
        if name in self._tracks:
            self._tracks[name].written_bytes += size_bytes
            self._tracks[name].written_us += dur_us

    def begin(self) -> None:
        """A session begins: nothing of it is on the disk yet."""
        for view in self._tracks.values():
            view.written_bytes = view.written_us = 0

    def channels(self, live: frozenset[str], session: RunningSession | None) -> list[ChannelStatus]:
        """The status of every track; ``live`` are the devices that are open. While samples are dropped at the device there is no level."""
        tracks = {} if session is None else session.tracks
        muted = session is not None and session.state in DROPPING
        return [self._channel(name, view, live, tracks.get(name), muted=muted) for name, view in sorted(self._tracks.items())]

    def _channel(self, name: str, view: TrackView, live: frozenset[str], track: Track | None, *, muted: bool) -> ChannelStatus:
        level = None if muted else view.level
        return ChannelStatus(
            track=name,
            kind=view.kind,
            device=view.device,
            live=view.device in live,
            units=view.units,
            dropped=view.dropped,
            rms_dbfs=level.rms_dbfs if level else None,
            peak_dbfs=level.peak_dbfs if level else None,
            clipped=level.clipped if level else 0,
            drift_ppb=view.drift_ppb,
            misplaced_us=view.misplaced_us,
            bytes_written=view.written_bytes,
            written_us=view.written_us,
            gap=track.gap_cause if track is not None and track.gap_from_us is not None else "",
        )
