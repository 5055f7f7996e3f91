"""Which fragments no checkpoint covered, so far or when a recovery found them. Pure."""

from collections import deque
from collections.abc import Iterator

import msgspec


class UnsignedFragment(msgspec.Struct, frozen=True, gc=False):
    """Where one lies."""

    seq: int
    track: str
    part: int
    seg: int
    off: int
    len: int
    sha256: str


class UnsignedFragments:
    """In the journal's order. A journal's lines are longer than what is kept of them."""

    def __init__(self) -> None:
        self._found: list[UnsignedFragment] = []
        """By a recovery: what is signed behind it was not signed then."""
        self._since: deque[UnsignedFragment] = deque()
        """The last checkpoint or recovery."""

    def __iter__(self) -> Iterator[UnsignedFragment]:
        """All of them."""
        yield from self._found
        yield from self._since

    def add(self, fragment: UnsignedFragment) -> None:
        """The next one."""
        self._since.append(fragment)

    def cover(self, to: int) -> None:
        """A checkpoint covers the entries up to this one."""
        while self._since and self._since[0].seq <= to:
            self._since.popleft()

    def recover(self) -> None:
        """A recovery found those that are not covered yet."""
        self._found.extend(self._since)
        self._since.clear()
