"""What number the newest thing has that a room must know, so that a room that has it is answered without a look into the file."""

from collections.abc import Iterable


class Newest:
    """By room; written by the database's thread, read by any.

    A number is noted before what it stands for is durable, so it may be too high for a moment, or for ever where that was undone: then the
    file is asked in vain. It is never too low.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] | None = None

    @property
    def is_known(self) -> bool:
        """Whether the file was read."""
        return self._numbers is not None

    def read(self, rows: Iterable[tuple[str, int]]) -> None:
        """Take what the file has, which nothing was noted of before."""
        self._numbers = dict(rows)

    def note(self, room: str, number: int) -> None:
        """There is something newer. Before the file was read nothing need be noted: it will have it."""
        if self._numbers is not None:
            self._numbers[room] = max(number, self._numbers.get(room, 0))

    def has_all(self, room: str, number: int) -> bool:
        """Whether nothing is newer than this number."""
        return self._numbers is not None and number >= self._numbers.get(room, 0)
