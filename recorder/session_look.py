"""What the clock asks of a session that runs: heads to be signed, signs of life, steps of UTC, and whether it is being recorded at all."""

from collections.abc import Callable
from typing import Protocol

from recorder.clock import StepDetector, clock_state
from recorder.contract import control
from recorder.open_session import OpenSession
from recorder.orders_in_force import KEPT
from recorder.record import entries
from recorder.running import RunningSession
from recorder.watch_link import BEHIND_US, WatchLink

STANDS_STILL_US = 5_000_000
"""An open session of which nothing became durable for so long is not being recorded, whatever the lamp says."""
SIGNING_STALLED_US = 3_000_000
_PERIOD_US = {"checkpoint": 1_000_000, "alive": 9_000_000, "clock": 60_000_000, "disk": 1_000_000}

FINDINGS = frozenset({"silent", "clipped", "frozen", "black", "unreadable", "late", "room_silent"})
"""Alarms that the watch raises and ends."""
SESSION_CODES = FINDINGS | {
    KEPT, "watch_behind", "too_many_tracks", "record_damaged", "recheck_failed", "disk_full", "disk_error", "disk_short_primary",
    "disk_short_mirror", "storage_failed", "storage_stalled", "signing_stalled", "signing_failed", "primary_disk_failed", "mirror_left",
}  # fmt: skip
"""Alarms that are judged by a session's orders, media, disks and signatures: they end with it, for nobody looks any more. The next one
raises them anew."""


class SetAlarm(Protocol):
    """Raises or ends an alarm."""

    def __call__(self, code: str, track: str, *, on: bool, detail: str) -> None:
        """By code and track (empty: the room's)."""
        ...


class SessionLook:
    """Looks at one session. Call ``look`` some times a second from the event loop.

    Args:
        session: what runs.
        opened: the same on the disk.
        watch: the way to what judges it.
        alarm: sets an alarm.
        disks: tells the disks as they are now.
        kill: ends a device's child, with cause and detail.
        warn_hours: a disk that is full sooner is an alarm.
        now_us: CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        session: RunningSession,
        opened: OpenSession,
        watch: WatchLink,
        *,
        alarm: SetAlarm,
        disks: Callable[[OpenSession], list[control.DiskStatus]],
        kill: Callable[[str, str, str], None],
        warn_hours: float,
        now_us: int,
    ) -> None:
        self.durable_us = now_us
        """When something became durable last."""
        self._session = session
        self._opened = opened
        self._watch = watch
        self._alarm = alarm
        self._disks = disks
        self._kill = kill
        self._warn_hours = warn_hours
        self._due_us = dict.fromkeys(_PERIOD_US, 0)
        self._steps = StepDetector()
        # From the line that whoever verifies begins to compare with: a step before it is none of this session.
        self._steps.step_us(opened.began.mono_us, opened.began.utc_us)

    def look(self, now_us: int, now_utc_us: int) -> None:
        """Do what is due."""
        if self._is_due("checkpoint", now_us):
            self._opened.checkpoint()
            stalled = self._opened.signing_us() > SIGNING_STALLED_US
            self._alarm("signing_stalled", "", on=stalled, detail="the key does not sign; checkpoints wait")
        if self._is_due("alive", now_us):
            self._session.alive()
        if self._is_due("clock", now_us):
            self._session.journal(entries.Clock(clock=clock_state()))
        step_us = self._steps.step_us(now_us, now_utc_us)
        if step_us is not None:
            self._session.journal(entries.ClockStep(delta_us=step_us), urgent=True)
        if self._is_due("disk", now_us):
            self._look_at_disks()
            self._look_at_media(now_us)

    def _is_due(self, name: str, now_us: int) -> bool:
        if now_us < self._due_us[name]:
            return False
        self._due_us[name] = now_us + _PERIOD_US[name]
        return True

    def _look_at_disks(self) -> None:
        for disk in self._disks(self._opened):
            short = disk.hours_left is not None and disk.hours_left < self._warn_hours
            detail = "" if disk.hours_left is None else f"{disk.path} is full in {disk.hours_left:.1f} h at the present rate; make room"
            self._alarm(f"disk_short_{disk.disk}", "", on=short, detail=detail)

    def _look_at_media(self, now_us: int) -> None:
        """Nothing may seem to be recorded that is not: media must come from every device, and must become durable."""
        for track in self._session.stalled(now_us):
            detail = track.stall_words()
            self._alarm("source_lost", track.name, on=True, detail=detail)
            self._kill(track.device, "stalled", detail)
        behind_us = self._watch.behind_us()
        self._alarm("watch_behind", "", on=behind_us > BEHIND_US, detail=f"what was recorded for {behind_us / 1e6:.0f} s is not judged yet")
        quiet_us = now_us - self.durable_us
        stands_still = self._session.state == "open" and quiet_us > STANDS_STILL_US
        self._alarm("storage_stalled", "", on=stands_still, detail=f"nothing became durable for {quiet_us / 1e6:.0f} s; the disk hangs")
