"""Pictures on their way from one source to many viewers: split into payloads once, kept back nowhere.

Pure but for the viewers' own writing. A *feed* is one encoded stream: a rung of a camera, a participant's camera, a shared screen. A *slot*
is one picture on one viewer's page; it shows one feed at a time. A slot begins with a keyframe: with the group of pictures under way where
that is short enough to be sent at once, else with the next one, which is asked for. A viewer who is too slow misses pictures until the next
keyframe, and nobody waits for him.
"""

from collections.abc import Callable
from typing import Protocol

from vks import h264_payloads

MOST_GOP_BYTES = 24 * 1024
"""A longer group of pictures is not sent to joiners: a new keyframe is there sooner. A link of 450 kbit/s takes half a second for as much,
and a cheap router holds hardly more."""
KEYFRAME_AGAIN_US = 500_000
"""Wishes for a keyframe are gathered for so long."""


class Viewer(Protocol):
    """Where pictures are written: ``Outbound``."""

    def write(self, payloads: list[bytes], mono_us: int) -> bool:
        """Send a picture; False where it was dropped."""
        ...


class Feed:
    """One source of pictures.

    Args:
        request_keyframe: asks the source to begin anew.
    """

    def __init__(self, request_keyframe: Callable[[], None]) -> None:
        self._request_keyframe = request_keyframe
        self._slots: list[Slot] = []
        self._gop: list[tuple[list[bytes], int]] = []
        self._gop_bytes = 0
        self._parameter_sets: list[bytes] = []
        self._asked_us: int | None = None
        self._wanted = False
        self.last_us = 0
        """When its newest picture was taken (CLOCK_MONOTONIC)."""

    @property
    def watched(self) -> bool:
        """Whether any slot shows it."""
        return bool(self._slots)

    def describe(self, extradata: bytes) -> None:
        """Take the parameter sets that stand outside the pictures, in Annex B form; empty where there are none."""
        self._parameter_sets = _parameter_sets(h264_payloads.nal_units(extradata))

    def take(self, units: list[bytes], mono_us: int, now_us: int) -> None:
        """A picture's NAL units: to every slot that shows this feed."""
        key = h264_payloads.is_keyframe(units)
        if key:
            self._parameter_sets = _parameter_sets(units) or self._parameter_sets
            self._wanted = False  # whoever wished for one until now has it
        payloads = h264_payloads.split(units, self._parameter_sets)
        if not payloads:
            return
        self.last_us = mono_us
        self._keep(payloads, mono_us, key=key)
        for slot in self._slots:
            slot.offer(payloads, mono_us, key=key)
        if self._wanted:
            self.want_keyframe(now_us)

    def want_keyframe(self, now_us: int) -> None:
        """Somebody cannot go on without one."""
        if self._asked_us is not None and now_us - self._asked_us < KEYFRAME_AGAIN_US:
            self._wanted = True
            return
        self._asked_us, self._wanted = now_us, False
        self._request_keyframe()

    def forget(self) -> None:
        """None of the pictures that are kept will be followed: the source has ended, or is closed."""
        self._gop, self._gop_bytes = [], 0
        for slot in self._slots:
            slot.lose()

    def join(self, slot: "Slot", now_us: int) -> None:
        """A slot shows this feed from now on."""
        self._slots.append(slot)
        for payloads, mono_us in self._gop:
            slot.offer(payloads, mono_us, key=payloads is self._gop[0][0])
        if not self._gop:
            self.want_keyframe(now_us)

    def leave(self, slot: "Slot") -> None:
        """It does no more."""
        self._slots.remove(slot)

    def _keep(self, payloads: list[bytes], mono_us: int, *, key: bool) -> None:
        if key:
            self._gop, self._gop_bytes = [], 0
        elif not self._gop:
            return
        self._gop_bytes += sum(map(len, payloads))
        if self._gop_bytes > MOST_GOP_BYTES:
            self._gop, self._gop_bytes = [], 0
        else:
            self._gop.append((payloads, mono_us))


class Slot:
    """One picture on one viewer's page.

    Args:
        viewer: where it is written.
        on_begun: is called when the first picture of another feed has been written.
    """

    def __init__(self, viewer: Viewer, on_begun: Callable[[], None] = lambda: None) -> None:
        self._viewer = viewer
        self._on_begun = on_begun
        self._needs_key = True
        self._fresh = True
        self.feed: Feed | None = None
        self.not_before_us = 0
        """Pictures that were taken before (CLOCK_MONOTONIC) were not for this viewer: the group that is under way may begin with such."""

    def show(self, feed: Feed | None, now_us: int) -> None:
        """Show this feed instead; None: nothing."""
        if feed is self.feed:
            return
        if self.feed is not None:
            self.feed.leave(self)
        self.feed, self._needs_key, self._fresh = feed, True, True
        if feed is not None:
            feed.join(self, now_us)

    def offer(self, payloads: list[bytes], mono_us: int, *, key: bool) -> None:
        """Take a picture of the feed."""
        if mono_us < self.not_before_us:
            self._needs_key = True
            return
        if self._needs_key and not key:
            return
        self._needs_key = not self._viewer.write(payloads, mono_us)
        if self._fresh and not self._needs_key:
            self._fresh = False
            self._on_begun()

    def lose(self) -> None:
        """The feed's next picture does not follow the last."""
        self._needs_key = True

    def want_keyframe(self, now_us: int) -> None:
        """The viewer cannot decode what comes (RFC 4585, section 6.3.1)."""
        if self.feed is not None:
            self.feed.want_keyframe(now_us)

    def starved(self, now_us: int) -> None:
        """Called by a clock: where pictures are missed until a keyframe, one is asked for."""
        if self._needs_key:
            self.want_keyframe(now_us)


def _parameter_sets(units: list[bytes]) -> list[bytes]:
    return [unit for unit in units if h264_payloads.kind(unit) in {h264_payloads.SPS, h264_payloads.PPS}]
