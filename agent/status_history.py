"""The recorder's states of the last minute together: rates, and for how long something has been wrong. Pure; the clock is passed in."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from recorder.contract.control import ChannelStatus, Status

WINDOW_S = 60.0
LEAST_S = 2.0
"""No rate is told of a shorter time."""
_STEP_S = 0.45
"""States come five times a second; every second one is kept."""
_MOVES_WITHIN_S = 3.0
"""Media is written each 250 ms, and a fragment has half a second; what has not moved for so long does not move."""
STATES = ("idle", "open", "off_record", "privileged", "deliberation", "closing")
_PLAYED = "room-out"
_LASTING = {
    "silent": "silence_s", "room_silent": "silence_s", "frozen": "picture_still_s", "black": "picture_still_s",
    "source_lost": "source_loss_s",
}  # fmt: skip


@dataclass(slots=True)
class StatusHistory:
    """Fed with each state of the recorder; forgets what is older than a minute."""

    _states: deque[tuple[float, Status]] = field(default_factory=deque)
    _alarms: dict[tuple[str, str], float] = field(default_factory=dict)
    _gaps: dict[str, float] = field(default_factory=dict)
    _moved: dict[str, tuple[int, float]] = field(default_factory=dict)
    _longest_gap_s: float = 0.0
    _looks: deque[tuple[float, frozenset[str], frozenset[str]]] = field(default_factory=deque)
    _record: str = ""

    def feed(self, status: Status, now_s: float) -> None:
        """The recorder told its state."""
        if status.record != self._record:
            self._record, self._longest_gap_s = status.record, 0.0
            self._states.clear()
            self._gaps.clear()
            self._moved.clear()
        on = {(alarm.code, alarm.track) for alarm in status.alarms}
        self._alarms = {key: self._alarms.get(key, now_s) for key in on}
        in_gap = {channel.track for channel in status.channels if channel.gap}
        self._gaps = {track: self._gaps.get(track, now_s) for track in in_gap}
        if self._gaps:
            self._longest_gap_s = max(self._longest_gap_s, now_s - min(self._gaps.values()))
        for channel in status.channels:
            if self._moved.get(channel.track, (-1, 0.0))[0] != channel.written_us:
                self._moved[channel.track] = (channel.written_us, now_s)
        if not self._states or now_s - self._states[-1][0] >= _STEP_S:
            self._states.append((now_s, status))
        heard = [channel for channel in status.channels if channel.rms_dbfs is not None]
        clipped = frozenset(channel.track for channel in heard if channel.clipped)
        self._looks.append((now_s, frozenset(channel.track for channel in heard), clipped))
        while self._states and now_s - self._states[0][0] > WINDOW_S:
            self._states.popleft()
        while self._looks and now_s - self._looks[0][0] > WINDOW_S:
            self._looks.popleft()

    def away(self) -> None:
        """The recorder is away: what comes after says nothing of before."""
        self._states.clear()
        self._looks.clear()
        self._alarms.clear()
        self._gaps.clear()

    def written_tracks(self, now_s: float) -> frozenset[str]:
        """The tracks whose media came to the disk in the last three seconds."""
        return frozenset(track for track, (written_us, at_s) in self._moved.items() if written_us and now_s - at_s <= _MOVES_WITHIN_S)

    def values(self, now_s: float) -> dict[str, float]:
        """The indicators that follow, those of a track with its name behind a dot. Nothing is told that is not known."""
        values: dict[str, float] = {}
        if not self._states:
            return values
        last = self._states[-1][1]
        values["recording_state"] = float(STATES.index(last.state))
        values["hash_mismatches"] = float(sum(alarm.code == "record_damaged" for alarm in last.alarms))
        hours = [disk.hours_left for disk in last.disks if disk.hours_left is not None]
        if hours:
            values["disk_hours_left"] = min(hours)
        values |= _av_skew(last.channels)
        if last.state != "idle":
            values["session_duration_s"] = last.t_us / 1e6
            values["write_p99_ms"] = last.commit_p99_us / 1000
            values["longest_gap_ms"] = self._longest_gap_s * 1000
        for (code, track), since_s in self._alarms.items():
            name = _LASTING.get(code)
            if name is not None:
                key = f"{name}.{track or 'room'}"
                values[key] = max(values.get(key, 0.0), now_s - since_s)
        for channel in last.channels:
            values |= self._channel(channel)
        return values

    def _channel(self, channel: ChannelStatus) -> dict[str, float]:
        values: dict[str, float] = {}
        if channel.rms_dbfs is not None:
            values[f"rms_dbfs.{channel.track}"] = channel.rms_dbfs
        looks = [clipped for _, heard, clipped in self._looks if channel.track in heard]
        if looks:
            values[f"clipping_percent.{channel.track}"] = 100 * sum(channel.track in clipped for clipped in looks) / len(looks)
        at_s, before = self._since(channel)
        since_s = self._states[-1][0] - at_s
        if since_s < LEAST_S:
            return values
        values[f"dropped_per_min.{channel.track}"] = (channel.dropped - before.dropped) * 60 / since_s
        if channel.kind == "video":
            values[f"frames_per_s.{channel.track}"] = (channel.units - before.units) / since_s
        if self._states[-1][1].state != "idle":
            values[f"track_bytes_per_s.{channel.track}"] = (channel.bytes_written - before.bytes_written) / since_s
        return values

    def _since(self, last: ChannelStatus) -> tuple[float, ChannelStatus]:
        """The oldest state of a track since which its counts only grew: a child that was started anew counts from nothing again."""
        at_s, oldest = self._states[-1][0], last
        for before_s, state in reversed(self._states):
            found = next((one for one in state.channels if one.track == last.track), None)
            if found is None or found.units > oldest.units or found.dropped > oldest.dropped or found.bytes_written > oldest.bytes_written:
                break
            at_s, oldest = before_s, found
        return at_s, oldest


def _av_skew(channels: Iterable[ChannelStatus]) -> dict[str, float]:
    """How far clocks set sound and picture apart; nothing where of one of them none was measured. What is played is no microphone's."""
    worst_us: dict[str, int] = {}
    for channel in channels:
        if channel.live and channel.misplaced_us is not None and channel.track != _PLAYED:
            worst_us[channel.kind] = max(worst_us.get(channel.kind, 0), channel.misplaced_us)
    return {"av_skew_ms": sum(worst_us.values()) / 1000} if len(worst_us) > 1 else {}
