"""A page that opens by a link of its own, shows something, and sends nothing: its life, from its first message to its last."""

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from vks import signalling
from vks.peer import Peer
from vks.rules import RefusedError
from vks.talk import Talk
from vks.times import mono_us

FIRST_S = 10.0
"""So long may a page take for its first message."""
STARTING = "starting"
"""The same token is worth another try at once."""
FromIt = TypeVar("FromIt")
First = TypeVar("First")
Shown = TypeVar("Shown", signalling.Screen, signalling.Checking)


class OpenedPage(ABC, Generic[FromIt, First, Shown]):
    """One page's WebSocket; ``serve`` is its life.

    Args:
        talk: with the page.
        first: what its first message must be.
    """

    def __init__(self, talk: Talk[FromIt], first: type[First]) -> None:
        self._talk = talk
        self._first = first
        self.end = talk.end
        self.viewer: Peer | None = None
        """What takes pictures for it, once the link has opened."""
        self._told: Shown | None = None

    def tell(self, shown: Shown) -> None:
        """Show this, where it is not shown already."""
        if shown != self._told:
            self._told = shown
            self._talk.say(shown)

    async def serve(self) -> None:
        """Hear the page until it is gone."""
        try:
            first = await self._hear_first()
            if first is not None:
                self._open(first)
                await self._hear()
        except RefusedError as refused:
            self.end(signalling.Bye(code=refused.code, again=refused.code == STARTING))
        finally:
            self._lose()
            if self.viewer is not None:
                self.viewer.leave(mono_us())
            await self._talk.finish()

    async def _hear_first(self) -> First | None:
        try:
            async with asyncio.timeout(FIRST_S):
                message = await self._talk.receive()
        except TimeoutError:
            message = None
        if isinstance(message, self._first):
            return message
        self.end(signalling.Bye(code="bad_message", again=False))
        return None

    @abstractmethod
    def _open(self, first: First) -> None:
        """Use the link.

        Raises:
            RefusedError: it opens nothing.
        """

    @abstractmethod
    async def _hear(self) -> None:
        """Do what the page says from then on."""

    @abstractmethod
    def _lose(self) -> None:
        """The page is gone."""
