"""What a child may say: only its own tracks' names, and no more than a record can hold. Pure; the clock is passed in.

A child parses what devices and participants send, so it may be taken over. It can spoil its own tracks then, and nothing else. The watch
has no track: it may judge those that it was told of, and neither begin, end nor fill one.
"""

from collections.abc import Callable

from recorder.child_process import ChildPlan, LimitError
from recorder.children_plan import CAPTURE, INGEST, MIXER, SPEAKER, WATCH, expected_tracks
from recorder.contract import child
from recorder.record.layout import is_id

ENTRIES_PER_S = 40
"""Per track: four times what a fragment each half second with its events needs."""
BURST_S = 20
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
        self._per_s = WATCH_PER_S if plan.module == WATCH else ENTRIES_PER_S * tracks
        self._left = float(self._per_s * BURST_S)
        self._at_s: float | None = None

    def hold(self, message: child.Message, now_s: float) -> None:
        """Hold a message to the limits.

        Raises:
            LimitError: it names another's track, or comes too often.
        """
        if self._plan.module == WATCH:
            self._hold_watch(message)
        for track in _named(message):
            if not (self._watched(track) if self._plan.module == WATCH else may_name(self._plan, track)):
                raise LimitError(f"names a track that is not its own: {track[:80]!r}")
        if isinstance(message, child.Levels | child.Stats | child.Muted):
            return
        since_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._left = min(float(self._per_s * BURST_S), self._left + since_s * self._per_s) - 1
        if self._left < 0:
            raise LimitError(f"says more than {self._per_s} things a second for the record")

    def _hold_watch(self, message: child.Message) -> None:
        if not isinstance(message, _WATCH_SAYS):
            raise LimitError(f"says what the watch has no word for: {type(message).__name__}")
        if isinstance(message, child.Opened) and message.tracks:
            raise LimitError("the watch has no track of its own")
        if isinstance(message, child.Finding) and len(message.detail) > DETAIL_CHARS:
            raise LimitError("says more of a finding than anyone reads")


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
