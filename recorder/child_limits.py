"""What a child may say: only its own tracks' names, and no more than a record and its disk can hold. Pure; the clock is passed in.

A child parses what devices and participants send, so it may be taken over. It can spoil its own tracks then, and nothing else. The watch
has no track: it may judge those that it was told of, and neither begin, end nor fill one.
"""

from collections.abc import Callable

from recorder.child_process import ChildPlan, LimitError
from recorder.children_plan import CAPTURE, INGEST, MIXER, SPEAKER, WATCH, expected_tracks
from recorder.contract import child
from recorder.contract.bucket import Bucket
from recorder.record.layout import is_id

ENTRIES_PER_S = 40
"""Per track: four times what a fragment each half second with its events needs."""
BURST_S = 20
REPORTS_PER_S = 50
"""Meters and counters: no child gives more than ten a second, whatever the number of its tracks."""
SOUND_BYTES_PER_S = 1_000_000
"""A channel of 192 kHz and 32 bits that nothing compresses is 0.77 MB."""
VIDEO_BYTES_PER_S = 60_000_000
"""The fastest camera that is recorded as it delivers: motion JPEG, sixty pictures a second of 1 MB each."""
OVERHEAD_BYTES_PER_S = 32_768
"""The boxes around a participant's packets, which his quota does not count, and what is said of him."""
BYTES_BURST_S = 12
"""The pre-roll's ten seconds come at once."""
STARTS_PER_S = 5
"""Participants' tracks that begin; each one costs a key."""
WATCH_PER_S = 100
"""Findings and measured values of all tracks together."""
DETAIL_CHARS = 400
_WATCH_SAYS = child.Opened | child.Finding | child.Baseline | child.Judged
_ONE_TRACK = {MIXER: "room-mix", SPEAKER: "room-out"}
_REMOTE = "remote-"


def may_name(plan: ChildPlan, track: str) -> bool:
    """Whether a track is this child's."""
    if not is_id(track):
        return False
    if plan.module == INGEST:
        return track.startswith(_REMOTE)
    if plan.module == CAPTURE:
        return track in expected_tracks(plan)
    return track == _ONE_TRACK.get(plan.module)


class ChildLimits:
    """The limits of one child.

    Args:
        plan: who it is.
        watched: whether the watch was told of a track; asked of the watch alone.

    """

    def __init__(self, plan: ChildPlan, watched: Callable[[str], bool] = lambda _: False) -> None:
        self._plan = plan
        self._watched = watched
        tracks = int(plan.device.get("max_tracks", 1)) if plan.module == INGEST else max(1, len(expected_tracks(plan)))
        per_s = WATCH_PER_S if plan.module == WATCH else ENTRIES_PER_S * tracks
        self._entries = Bucket(per_s, per_s * BURST_S)
        self._reports = Bucket(REPORTS_PER_S, REPORTS_PER_S * BURST_S)
        bytes_per_s = _bytes_per_s(plan)
        self._bytes = Bucket(bytes_per_s, bytes_per_s * BYTES_BURST_S)
        self._starts = Bucket(STARTS_PER_S, tracks * 4)

    def hold(self, message: child.Message, size_bytes: int, now_s: float) -> None:
        """Hold a message, whose body has so many bytes, to the limits.

        Raises:
            LimitError: it names another's track, comes too often or is too much.
        """
        now_us = int(now_s * 1e6)
        if self._plan.module == WATCH:
            self._hold_watch(message)
        for track in _named(message):
            if not (self._watched(track) if self._plan.module == WATCH else may_name(self._plan, track)):
                raise LimitError(f"names a track that is not its own: {track[:80]!r}")
        if isinstance(message, child.Levels | child.Stats | child.Muted | child.Judged):
            if size_bytes or not self._reports.take(now_us):
                raise LimitError(f"reports more than {REPORTS_PER_S} times a second")
            return
        if not self._entries.take(now_us):
            raise LimitError(f"says more than {self._entries.per_s} things a second for the record")
        if not self._bytes.take(now_us, size_bytes + len(child.encoder.encode(message))):
            raise LimitError(f"hands over more than {self._bytes.per_s} bytes a second")
        if isinstance(message, child.TrackOpened) and not self._starts.take(now_us):
            raise LimitError(f"begins more than {STARTS_PER_S} tracks a second")

    def _hold_watch(self, message: child.Message) -> None:
        if not isinstance(message, _WATCH_SAYS):
            raise LimitError(f"says what the watch has no word for: {type(message).__name__}")
        if isinstance(message, child.Opened) and message.tracks:
            raise LimitError("the watch has no track of its own")
        if isinstance(message, child.Finding) and len(message.detail) > DETAIL_CHARS:
            raise LimitError("says more of a finding than anyone reads")


def _bytes_per_s(plan: ChildPlan) -> int:
    """What a child may hand over: participants' by their quota, and of each kind of track what the fastest device gives."""
    if plan.module == INGEST:
        return int(plan.device["max_tracks"]) * (int(plan.device["track_bytes_per_s"]) + OVERHEAD_BYTES_PER_S)
    kinds = expected_tracks(plan).values() or ["audio"]
    return sum(VIDEO_BYTES_PER_S if kind == "video" else SOUND_BYTES_PER_S for kind in kinds)


def _named(message: child.Message) -> list[str]:
    if isinstance(message, child.Opened):
        return list(message.tracks)
    if isinstance(message, child.Judged):
        return list(message.until_us)
    if isinstance(message, child.Finding) and message.code == "room_silent":
        return [message.track] if message.track else []
    if isinstance(message, child.Levels):
        return [level.track for level in message.channels]
    if isinstance(message, child.Stats):
        return [stats.track for stats in message.tracks]
    track = getattr(message, "track", None)
    return [track] if isinstance(track, str) else []
