"""Rooms that were told more than a front finds: by a front that saw more, or by a centre of which only an older copy is left. Pure."""

BACK_S = 5.0
"""A leader that was deposed and does not know may say an old number for a moment; one that says it so long was restored from a copy."""


class ToldMore:
    """Since when each room says a number that the stream's leader does not have."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, float]] = {}

    def is_restored(self, room: str, after: int, now_s: float) -> bool:
        """Whether the leader has gone without this number for so long that it was restored from a copy: nobody will find it any more."""
        said, since_s = self._said.get(room, (after, now_s))
        if said != after:  # it was told another one meanwhile: what it said before is no news of this one
            since_s = now_s
        self._said[room] = after, since_s
        return now_s - since_s > BACK_S

    def is_found(self, room: str) -> None:
        """What the room says is there."""
        self._said.pop(room, None)
