"""The large audience: the public hearing is handed to a media server that stands elsewhere, by WHIP, and is watched there by thousands.

To the conference that server is one more viewer, whose name is ``order.AUDIENCE``: ``order.hears`` and ``order.sees`` decide about it as
about an observer, and let it have nothing but what is public. One picture goes there (the shared screen, else whoever speaks, else the
room), and the sound that all who are silent hear.
"""

import asyncio
from collections.abc import Callable

import structlog

from recorder.contract import conference as contract
from vks import acts
from vks.conference import Conference
from vks.connection import Connection
from vks.kept import LOOK_S, Kept
from vks.look_in import Viewer
from vks.order import AUDIENCE, is_on_floor
from vks.sound import PRIVATE_TAIL_US
from vks.times import mono_us
from vks.whip import WhipAwayError

log = structlog.get_logger()

REPORTS_US = 10_000_000
"""A server that is sent something and reports nothing for so long has gone; ICE would notice after 30 s."""
Wanted = tuple[Conference, contract.AudienceServer | None]


class Audience:
    """Keeps the connection to the server while it is wanted.

    Args:
        now: the conference and its hearing, where there is one.
    """

    def __init__(self, now: Callable[[], tuple[Conference | None, contract.HearingIs | None]]) -> None:
        self._now = now
        self._wanted: Wanted | None = None
        self._turned = asyncio.Event()
        self._until: asyncio.Timeout | None = None
        self._viewer = Viewer(AUDIENCE, "audience", _nothing)
        self._shown_by: Conference | None = None
        self._public_us: int | None = None
        """Since when the hearing is public, and wanted there."""

    def follow(self) -> None:
        """Bring all in line with the hearing: what is no longer public ends at once."""
        conference, hearing = self._now()
        wanted: Wanted | None = None
        if conference is not None and conference.order.to_audience:
            wanted = conference, None if hearing is None else hearing.audience
        public = conference is not None and is_on_floor(conference.order, AUDIENCE)
        self._public_us = (self._public_us or mono_us()) if public else None
        if self._shown_by is not None and (self._shown_by is not conference or not public):
            self._hide()
        if wanted != self._wanted:
            self._wanted = wanted
            self._turned.set()
            if self._until is not None and not self._until.expired():
                self._until.reschedule(0)

    async def run(self) -> None:
        """Hand the hearing over whenever it is wanted, for ever."""
        while True:
            await self._turned.wait()
            self._turned.clear()
            if self._wanted is None:
                continue
            conference, server = self._wanted
            if server is None:  # the agent was started anew, or cannot read the server's token just now: it will say which
                log.error("the room has no server of a large audience now", hearing=conference.order.hearing)
                conference.act(acts.AudienceIs(reached=False, reason="the room has no server of a large audience now"))
                continue
            try:
                async with asyncio.timeout(None) as until:
                    self._until = until
                    await self._keep(conference, server)
            except TimeoutError:
                if not until.expired():
                    raise
            finally:
                self._until = None

    async def _keep(self, conference: Conference, server: contract.AudienceServer) -> None:
        """Hand it over until it is refused; ``run`` ends it where it is not wanted any more."""

        def away(why: str) -> None:
            conference.act(acts.AudienceIs(reached=False, reason=why))

        refused = await Kept(server, server.whip, "sendonly", lambda connection: self._use(conference, connection), away).keep()
        log.error("the large audience's server does not take the hearing: it is switched off", error=refused)
        conference.act(acts.AudienceRefused(reason=refused))

    async def _use(self, conference: Conference, connection: Connection) -> None:
        conference.act(acts.AudienceIs(reached=True))
        self._viewer.take(connection, mono_us(), lambda: self._show(conference))
        try:
            await self._stay(conference, connection)
        except WhipAwayError as away:
            conference.act(acts.AudienceIs(reached=False, reason=str(away)))
            raise
        finally:
            self._hide()
            self._viewer.leave(mono_us())

    async def _stay(self, conference: Conference, connection: Connection) -> None:
        quiet_us, before = mono_us(), (0, 0)
        while connection.connectionState == "connected":
            await asyncio.sleep(LOOK_S)
            now_us = mono_us()
            lines = [connection.outbound(line) for line in range(connection.lines)]
            reports, sent = sum(line.reports for line in lines), sum(line.sent for line in lines)
            if reports != before[0] or sent == before[1]:
                quiet_us = now_us
            before = reports, sent
            if now_us - quiet_us > REPORTS_US:
                raise WhipAwayError("the server reports nothing of what it is sent")
            if self._shown_by is None:
                self._show(conference)
        raise WhipAwayError("the connection to the server is lost")

    def _show(self, conference: Conference) -> None:
        """From now on it is sent, where it has been public for a while; nothing of what was before is."""
        if self._public_us is not None and mono_us() - self._public_us > PRIVATE_TAIL_US:
            if self._shown_by is None:
                conference.forget_pictures()
            self._shown_by = conference
            conference.show(self._viewer)

    def _hide(self) -> None:
        if self._shown_by is not None:
            self._shown_by.hide(self._viewer)
            self._shown_by = None


def _nothing(_: object) -> None:
    """A server reads no messages."""
