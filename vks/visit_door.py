"""The way into another room's hearing: its TLS, the request that uses the link, the connection that follows.

The link's token goes into the body of a request and nowhere else: into no address, no log and no error.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator

import aiohttp
import msgspec

from recorder.contract import conference as contract
from recorder.contract.page_door import HEARTBEAT_S
from vks import signalling

REACH_S = 10.0
"""So long the other room's door may take to answer."""
LONGEST_ANSWER_BYTES = 64 * 1024
_LATER = frozenset({"starting", "unreachable", "lost"})


class VisitError(Exception):
    """The other room is not entered. ``code`` is of ``visit_state.WORDS``; ``again``: the same may do in a moment."""

    def __init__(self, code: str, *, again: bool) -> None:
        super().__init__(code)
        self.code = code
        self.again = again


class _Joined(msgspec.Struct, frozen=True):
    resume: str


class _Refused(msgspec.Struct, frozen=True):
    code: str


class Door:
    """Another room's door.

    Args:
        visit: by which link.
        session: made by ``door``.
    """

    def __init__(self, visit: contract.Visit, session: aiohttp.ClientSession) -> None:
        self._visit = visit
        self._session = session

    async def join(self) -> str:
        """Use the link; returns the resume token.

        Raises:
            VisitError: it does not open.
        """
        body = msgspec.json.encode({"token": self._visit.token, "device": self._visit.device})
        with _told_simply():
            asked = self._session.post(
                f"{self._visit.root}/api/join", data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            )
            async with asked as answer:
                said = await answer.content.read(LONGEST_ANSWER_BYTES)
                status = answer.status
        try:
            if status == 200:
                return msgspec.json.decode(said, type=_Joined).resume
            code = msgspec.json.decode(said, type=_Refused).code
        except (msgspec.DecodeError, UnicodeError):
            raise VisitError("unreachable" if status >= 500 else "no_court", again=status >= 500) from None
        raise VisitError(code, again=code in _LATER)

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        """Open the connection on which the resume token is told.

        Raises:
            VisitError: it does not open.
        """
        with _told_simply():
            try:
                return await self._session.ws_connect(
                    f"{self._visit.root}/api/connect", heartbeat=HEARTBEAT_S, max_msg_size=4 * signalling.MESSAGE_BYTES
                )
            except aiohttp.WSServerHandshakeError as error:
                raise VisitError("no_court" if error.status == 404 else "unreachable", again=True) from None


@contextlib.asynccontextmanager
async def door(visit: contract.Visit) -> AsyncIterator[Door]:
    """A door while it is used.

    Raises:
        VisitError: what shall vouch for it holds no certificates.
    """
    timeout = aiohttp.ClientTimeout(total=REACH_S, sock_connect=REACH_S)
    connector = aiohttp.TCPConnector(ssl=_trust(visit.authorities))
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Door(visit, session)


def _trust(authorities: str) -> ssl.SSLContext:
    """Whom this PC trusts, and the court's own authorities."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities)
        except (ssl.SSLError, ValueError):
            raise VisitError("untrusted", again=False) from None
    return context


@contextlib.contextmanager
def _told_simply() -> Iterator[None]:
    """What goes wrong on the way, by our own codes."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError:
        raise VisitError("untrusted", again=False) from None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # ValueError: an address that is none
        raise VisitError("unreachable", again=True) from None
