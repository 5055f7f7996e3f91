"""How much media stand in a stretch of the journal that nobody signed, by the media's own boxes: what such lines say needs no key."""

import hashlib
import os
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path

from recorder.record import layout
from recorder.record.file_check import BLOCK_BYTES, open_inside, read_small
from recorder.record.fragment_time import BOX_HEAD_BYTES, BoxError, fragment_time, header_timescale, moof_bytes
from recorder.record.unsigned_fragments import UnsignedFragment


class UnsignedMedia:
    """Looks at the fragments that no checkpoint covered, each once. ``take`` stretches in the order of the journal, then ask."""

    def __init__(self, root: Path, fragments: Iterable[UnsignedFragment]) -> None:
        self.ends_us = 0
        """How far the media that were looked at go."""
        self.longest_us = 0
        """Of the track that has most in the stretch: how long its fragments last together, wherever they say that they lie."""
        self._root = root
        self._next = deque(fragments)
        self._held: deque[tuple[UnsignedFragment, int]] = deque()
        self._sums_us: dict[str, int] = defaultdict(int)
        self._untold = -1
        self._signed_to = -1
        self._timescales: dict[tuple[str, int], int | None] = {}

    @property
    def told(self) -> bool:
        """Whether each fragment of the stretch says how long it lasts."""
        return self._untold <= self._signed_to

    def take(self, signed_to: int, before: int) -> None:
        """The stretch now begins behind the one entry, and ends before the other."""
        self._signed_to = signed_to
        if self._held and self._held[0][0].seq <= signed_to:
            while self._held and self._held[0][0].seq <= signed_to:
                fragment, lasts_us = self._held.popleft()
                self._sums_us[fragment.track] -= lasts_us
            self.longest_us = max(self._sums_us.values())
        while self._next and self._next[0].seq < before:
            fragment = self._next.popleft()
            if fragment.seq > signed_to:
                self._look(fragment)

    def _look(self, fragment: UnsignedFragment) -> None:
        path = layout.segment_file(fragment.track, fragment.seg)
        try:
            with open_inside(self._root, path) as file:
                descriptor = file.fileno()
                try:
                    start_us, lasts_us = self._time(descriptor, fragment)
                except BoxError:
                    if _sha256(descriptor, fragment.off, fragment.len) == fragment.sha256:
                        self._untold = fragment.seq
                    return  # other bytes than the journal's are told of where the files are judged
        except OSError:
            return  # so is a file that is not there
        self.ends_us = max(self.ends_us, start_us + lasts_us)
        self._held.append((fragment, lasts_us))
        self._sums_us[fragment.track] += lasts_us
        self.longest_us = max(self.longest_us, self._sums_us[fragment.track])

    def _time(self, descriptor: int, fragment: UnsignedFragment) -> tuple[int, int]:
        moof = moof_bytes(os.pread(descriptor, min(BOX_HEAD_BYTES, fragment.len), fragment.off), fragment.len)
        time = fragment_time(os.pread(descriptor, moof + BOX_HEAD_BYTES, fragment.off), fragment.len)
        timescale = self._timescale(fragment.track, fragment.part)
        return time.start * 1_000_000 // timescale, time.duration * 1_000_000 // timescale

    def _timescale(self, track: str, part: int) -> int:
        """By the part's header: a line of the journal may say another."""
        if (track, part) not in self._timescales:
            try:
                self._timescales[track, part] = header_timescale(read_small(self._root / layout.init_file(track, part)))
            except (BoxError, OSError):
                self._timescales[track, part] = None
        known = self._timescales[track, part]
        if known is None:
            raise BoxError("its part's header gives no timescale")
        return known


def _sha256(descriptor: int, off: int, length: int) -> str:
    digest, at, end = hashlib.sha256(), off, off + length
    while at < end and (block := os.pread(descriptor, min(BLOCK_BYTES, end - at), at)):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()
