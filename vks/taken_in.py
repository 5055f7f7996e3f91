"""Speakers of the large audience who were taken into the hearing: each is fetched from its media server, by WHEP, and is a participant.

The order says who is (``Person.feed``) and where he is; whoever is dismissed or put out is fetched no more. Such a person sends and is sent
no messages: what he sees and hears of the hearing is what the large audience does.
"""

import asyncio
from collections.abc import Callable

import structlog

from recorder.contract import conference as contract
from vks import acts
from vks.conference import Conference
from vks.connection import Connection
from vks.jitter import Unit
from vks.kept import LOOK_S, Kept
from vks.opus import Decoder
from vks.order import AUDIENCE, Person
from vks.peer import SOUND, Peer
from vks.sound import level_dbov
from vks.times import mono_us
from vks.whip import WhipAwayError

log = structlog.get_logger()

_APART = frozenset({"dismissed", "removed"})
_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
_Key = tuple[Conference, str, contract.AudienceServer]


class TakenIn:
    """Keeps a connection for each of them.

    Args:
        now: the conference and its hearing, where there is one.
    """

    def __init__(self, now: Callable[[], tuple[Conference | None, contract.HearingIs | None]]) -> None:
        self._now = now
        self._group: asyncio.TaskGroup | None = None
        self._fetching: dict[_Key, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Fetch whoever is to be there, for ever."""
        async with asyncio.TaskGroup() as self._group:
            self.follow()
            await asyncio.get_running_loop().create_future()

    def follow(self) -> None:
        """Bring all in line with the hearing."""
        conference, hearing = self._now()
        if self._group is None:
            return  # ``run`` does it
        server = None if hearing is None else hearing.audience
        wanted: dict[_Key, Person] = {}
        if conference is not None and server is not None:
            fed = (one for one in conference.order.people.values() if one.feed and one.place not in _APART)
            wanted = {(conference, one.id, server): one for one in fed}
        for key in [key for key in self._fetching if key not in wanted]:
            self._fetching.pop(key).cancel()
        for key, person in wanted.items():
            if key not in self._fetching:
                self._fetching[key] = self._group.create_task(self._fetch(key[0], person, key[2]))

    async def _fetch(self, conference: Conference, person: Person, server: contract.AudienceServer) -> None:
        refused = await Kept(
            server, person.feed, "recvonly", lambda connection: self._use(conference, person, connection), _nothing
        ).keep()  # fmt: skip
        log.error("the media server does not give a speaker of the large audience: he is dismissed", person=person.id, error=refused)
        conference.act(acts.FeedRefused(person=person.id, reason=refused))

    async def _use(self, conference: Conference, person: Person, connection: Connection) -> None:
        peer = Peer(person.id, AUDIENCE, _nothing)
        conference.act(acts.Came(person=person.id, name=person.name, role=person.role, device=AUDIENCE))
        conference.enter(peer)
        conference.media(peer, connection)
        if _LEVEL not in connection.remoteDescription.sdp:
            _hear_level(conference, person.id, connection)
        try:
            while connection.connectionState == "connected":  # noqa: ASYNC110 - looked at as ``Kept`` does
                await asyncio.sleep(LOOK_S)
            raise WhipAwayError("the connection to the server is lost")
        finally:
            if self._now()[0] is conference:
                conference.gone(peer, left=False)


def _hear_level(conference: Conference, person: str, connection: Connection) -> None:
    """A server that does not say how loud each packet is: it is listened to."""
    inbound, decoder = connection.inbound(SOUND), Decoder()
    take = inbound.on_unit

    def heard(unit: Unit) -> None:
        samples = decoder.decode(unit.payloads[0])
        if samples is not None:
            conference.sound.level(person, level_dbov(samples), mono_us())
        take(unit)

    inbound.on_unit = heard


def _nothing(_: object) -> None:
    """Nobody reads it."""
