"""Follows the centre's feed of schedule changes and commands by a long poll that is always open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from agent.upstream import contract
from agent.upstream.backoff import Backoff
from agent.upstream.client import RefusedError, UpstreamError

log = structlog.get_logger()

WAIT_S = 50
"""For how long one poll waits: shorter than what proxies and firewalls let a silent connection live."""


class Centre(Protocol):
    """What is wanted of ``UpstreamClient``."""

    async def feed(self, after: int, command: int, wait_s: int) -> contract.Feed:
        """Wait for changes of the schedule and for commands, at most so long."""
        ...


class Follower:
    """Polls until it is cancelled.

    Args:
        centre: its client.
        place: the offset of the schedule and the number of the last command that are durable here.
        take: makes what came durable; only then is it asked for what follows.
    """

    def __init__(
        self,
        centre: Centre,
        place: Callable[[], tuple[int, int]],
        take: Callable[[contract.Feed], Awaitable[None]],
        backoff: Backoff | None = None,
    ) -> None:
        self._centre = centre
        self._place = place
        self._take = take
        self._backoff = backoff or Backoff()
        self._anew = False
        self.reached = False
        """Whether the last poll was answered."""

    def begin_anew(self) -> None:
        """Ask for the whole schedule next."""
        self._anew = True

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            offset, command = self._place()
            # Put down before the poll: while one is waited for, which was asked before, another may be wanted.
            anew, self._anew = self._anew, False
            try:
                feed = await self._centre.feed(0 if anew else offset, command, 0 if anew else WAIT_S)
            except (UpstreamError, RefusedError) as error:
                self._anew = self._anew or anew
                if self.reached or not self._backoff.failures:
                    log.warning("the centre's schedule cannot be followed; the room keeps the one it has", error=str(error))
                self.reached = False
                await asyncio.sleep(self._backoff.failed(error.retry_after_s if isinstance(error, UpstreamError) else None))
                continue
            if not self.reached:
                log.info("the centre's schedule is followed", offset=feed.as_of)
            self.reached = True
            await self._take(feed)
            if feed.as_of != offset and self._place() == (offset, command):
                # It was told something and stands where it stood: asked again at once, it would be told the same.
                await asyncio.sleep(self._backoff.failed())
            else:
                self._backoff.succeeded()
