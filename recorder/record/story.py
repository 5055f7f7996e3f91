"""What a journal tells of the hearing: who paused, what was not recorded and why, and whether the media's own times agree. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from recorder.record import entries
from recorder.record.entries import AnyEntry, Line
from recorder.record.verdict import Findings, Interval

HOLE_US = 1_000_000
"""A hole in a track's media that an interval must explain: a fragment is about half a second."""
MARGIN_US = 1_500_000
"""By how much media may end before, or begin after, the interval that explains its absence (devices start with a keyframe)."""
ALIVE_US = 15_000_000
"""The recorder says at least every 10 s that it is there while nothing is recorded."""
_NEVER_US = 2**63
_MOST_TOLD = 10
"""Of so many pauses at most it is told that a track has media from within: a verdict lists no more findings of a kind."""
_COMMON = (entries.Frag, entries.Checkpoint)
"""Nearly all lines of a journal are of these."""


@dataclass(slots=True)
class _Hole:
    track: str
    from_us: int
    to_us: int
    place: str


class _Media:
    """When there are media of a track, as stretches of time with holes between them."""

    def __init__(self) -> None:
        self.stretches: list[list[int]] = []
        """From when to when; in order once it is settled."""

    def take(self, start_us: int, end_us: int) -> None:
        """A fragment more; nearly always one that goes on where the one before it ended."""
        last = self.stretches[-1] if self.stretches else None
        if last is not None and last[0] <= start_us <= last[1] + HOLE_US:
            last[1] = max(last[1], end_us)
        else:
            self.stretches.append([start_us, max(start_us, end_us)])

    def settle(self) -> None:
        """All has come: put in order what ran backwards."""
        self.stretches, unordered = [], sorted(self.stretches)
        for start_us, end_us in unordered:
            self.take(start_us, end_us)

    def next_us(self, at_us: int) -> int | None:
        """Where the media begins that follows a moment, be it at once; None: none follows."""
        after = bisect_right(self.stretches, at_us + MARGIN_US, key=lambda stretch: stretch[1])
        return max(at_us, self.stretches[after][0]) if after < len(self.stretches) else None


@dataclass(slots=True)
class _Paused:
    from_us: int
    to_us: int
    place: str
    states: list[str]


class _Pauses:
    """Times that no media can be from: pauses without devices' margins, those as one that follow each other at once."""

    def __init__(self, pauses: Iterable[tuple[Interval, str]]) -> None:
        found: list[_Paused] = []
        for pause, place in sorted(pauses, key=lambda one: one[0].from_us):
            to_us = (_NEVER_US if pause.to_us is None else pause.to_us) - MARGIN_US
            if not found or pause.from_us - MARGIN_US > found[-1].to_us:
                found.append(_Paused(pause.from_us + MARGIN_US, to_us, place, []))
            found[-1].to_us = max(found[-1].to_us, to_us)
            if pause.cause not in found[-1].states:
                found[-1].states.append(pause.cause)
        self._found = [paused for paused in found if paused.from_us < paused.to_us]

    def with_media(self, media: _Media) -> Iterator[tuple[_Paused, int]]:
        """The first of them that media are from, and how much of each."""
        sums_us: dict[int, int] = {}
        for start_us, end_us in media.stretches:
            at = bisect_right(self._found, start_us, key=lambda paused: paused.to_us)
            while at < len(self._found) and self._found[at].from_us < end_us and len(sums_us) < _MOST_TOLD:
                paused = self._found[at]
                sums_us[at] = sums_us.get(at, 0) + min(end_us, paused.to_us) - max(start_us, paused.from_us)
                at += 1
        return ((self._found[at], media_us) for at, media_us in sums_us.items())


class _Declared:
    """What the entries say was not recorded of a track, as stretches of time that lie further apart than devices need to begin."""

    def __init__(self, intervals: Iterable[Interval], track: str, media: _Media) -> None:
        self._from_us: list[int] = []
        self._to_us: list[int] = []
        end_us = -_NEVER_US
        for interval in sorted((one for one in intervals if one.track in {"", track}), key=lambda one: one.from_us):
            if interval.from_us - MARGIN_US > end_us:
                self._from_us.append(interval.from_us)
                self._to_us.append(end_us)
            to_us = media.next_us(interval.from_us) if interval.to_us is None else interval.to_us
            end_us = self._to_us[-1] = max(end_us, _NEVER_US if to_us is None else to_us)

    def reach_us(self, at_us: int) -> int:
        """Until when media may lack that end here."""
        before = bisect_right(self._from_us, at_us + MARGIN_US)
        return max(at_us, self._to_us[before - 1]) if before else at_us


class Story:
    """Feed every entry in order by ``take``, and what ``Replay`` knows of the media; then call ``finish``."""

    def __init__(self, findings: Findings) -> None:
        self.intervals: list[Interval] = []
        self.hearing = ""
        self.case = ""
        self.error_us: list[tuple[int, int | None]] = []
        """From which entry on, what error bound the PC claimed of its UTC."""
        self._findings = findings
        self._pause: Interval | None = None
        self._pauses: list[tuple[Interval, str]] = []
        """All of them, and their entries."""
        self._gaps: dict[str, Interval] = {}
        self._holes: list[_Hole] = []
        self._media: dict[str, _Media] = {}
        self._said: list[Interval] = []
        """What explains holes: without an end, until the track's next media."""
        self._last_us = 0
        self._told_to_end = False

    def take(self, line: Line, entry: AnyEntry) -> None:
        """Look at the next entry."""
        last_us, self._last_us = self._last_us, line.t_us
        if self._pause is None and isinstance(entry, _COMMON):
            return  # they tell nothing here
        place = f"entry {line.seq}"
        if self._pause is not None and line.t_us - last_us > ALIVE_US and not isinstance(entry, entries.Recovered):
            text = f"nothing says that the recorder was there for {(line.t_us - last_us) / 1e6:.0f} s of the pause"
            self._findings.doubt("alive_missing", place, text)
        match entry:
            case entries.Genesis():
                self.hearing, self.case = entry.hearing, entry.case
                self.error_us.append((line.seq, entry.clock.error_us))
            case entries.Bind():
                self.hearing, self.case = entry.hearing, entry.case
            case entries.Clock():
                self.error_us.append((line.seq, entry.clock.error_us))
            case entries.Pause():
                if self._pause is not None:
                    self._findings.doubt("pause_twice", place, "a pause begins within another")
                    self._pause.to_us = max(self._pause.from_us, entry.from_us)
                detail = entry.reason + (f" (order {entry.order})" if entry.order else "")
                self._pause = Interval("", entry.state, entry.from_us, None, entry.actor, detail)
                self._pauses.append((self._pause, place))
                self._tell(self._pause)
            case entries.Resume():
                if self._pause is None:
                    self._findings.doubt("resume_alone", place, "recording is resumed that was not paused")
                else:
                    self._pause.to_us = entry.to_us
                self._pause = None
            case entries.Gap():
                self._gaps[entry.track] = Interval(entry.track, entry.cause, entry.from_us, None, "", entry.detail)
                self._tell(self._gaps[entry.track])
            case entries.GapEnd():
                if entry.track in self._gaps:
                    self._gaps.pop(entry.track).to_us = entry.to_us
            case entries.Recovered():
                down = Interval("", "recorder_down", entry.from_us, entry.to_us, "", entries.down_words(told_to_end=self._told_to_end))
                self.intervals.append(down)
                # Where nobody knows for how long, session time stood still meanwhile: it goes on at the last line before.
                self._said.append(down if down.to_us is not None else replace(down, to_us=max(down.from_us, last_us)))
                self._told_to_end = False
            case entries.Event():
                self._told_to_end = self._told_to_end or (entry.source, entry.name) == entries.ENDED
            case entries.Overflow():
                detail = f"the disk took nothing for too long; {entry.fragments} fragment(s) were given up"
                self._tell(Interval(entry.track, "overflow", entry.from_us, entry.to_us, "", detail))
            case _:
                pass

    def media_at(self, track: str, start_us: int, end_us: int) -> None:
        """A fragment's media are of this time."""
        media = self._media.get(track)
        if media is None:
            media = self._media[track] = _Media()
        media.take(start_us, end_us)

    def media_hole(self, track: str, end_us: int, start_us: int, place: str) -> None:
        """A fragment ended at ``end_us``, the next begins at ``start_us``."""
        if start_us - end_us > HOLE_US:
            self._holes.append(_Hole(track, end_us, start_us, place))

    def media_ends(self, track: str, end_us: int, duration_us: int) -> None:
        """The track's last fragment ended at ``end_us``, the session at ``duration_us``."""
        if duration_us - end_us > 2 * MARGIN_US:
            self._holes.append(_Hole(track, end_us, duration_us, f"end of track {track}"))

    def damaged(self, track: str, lost: entries.ByteRange, from_us: int, to_us: int) -> None:
        """A recovery found journaled bytes damaged: the media of this time. It explains no hole, for their entries are there."""
        detail = f"{lost.file}, bytes {lost.off} to {lost.off + lost.len}: lost by the disk in a crash"
        self.intervals.append(Interval(track, "damaged", from_us, to_us, "", detail))

    def finish(self) -> None:
        """Judge the media and the holes, now that all intervals are known, and order the intervals."""
        pauses = _Pauses(self._pauses)
        for track, media in self._media.items():
            media.settle()
            for paused, media_us in pauses.with_media(media):
                text = f"track {track} has {media_us / 1e6:.1f} s of media from within the interval '{', '.join(paused.states)}'"
                self._findings.doubt("media_in_pause", paused.place, text)
        for interval in self._said:
            if interval.to_us is None and interval.track in self._media:
                interval.to_us = self._media[interval.track].next_us(interval.from_us)
        none = _Media()
        declared = {track: _Declared(self._said, track, self._media.get(track, none)) for track in {hole.track for hole in self._holes}}
        for hole in self._holes:
            if declared[hole.track].reach_us(hole.from_us) + MARGIN_US >= hole.to_us:
                continue
            self.intervals.append(
                Interval(
                    hole.track, "unexplained", hole.from_us, hole.to_us, "", "the media's times show it; no entry says why", declared=False
                )
            )
            text = f"track {hole.track}: {(hole.to_us - hole.from_us) / 1e6:.1f} s of media are missing and no entry says why"
            self._findings.doubt("hole_unexplained", hole.place, text)
        self.intervals.sort(key=lambda interval: (interval.from_us, interval.track))

    def _tell(self, interval: Interval) -> None:
        self.intervals.append(interval)
        self._said.append(interval)
