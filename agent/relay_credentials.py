"""Credentials for the TURN server: each person's own, and good for a short time.

coturn's time-limited credentials (``use-auth-secret``): the user is the second until which they are good, and who it is; the password is
its HMAC-SHA1 under the secret that room and server share. They are looked at when a relay is asked for; one that stands goes on when they
have expired. vks is given credentials and never the secret: whoever breaks into it relays for minutes, and as nobody else.
"""

import base64
import hmac
from pathlib import Path

import structlog

from provisioning.turn_server import Turn, TurnSecretError, read_secret
from recorder.contract.conference import IceServer, Invitation, Relays

log = structlog.get_logger()

STEP_S = 900
"""Credentials are made anew so often, and are good for one to two such spans: clocks that differ by minutes do no harm."""

LOOK_INS = "look-ins_"
"""As who they relay."""


def good_until_s(now_s: int) -> int:
    """Until when credentials that are made now are good; the same for some time, so that they are not told to vks at every look."""
    return (now_s // STEP_S + 2) * STEP_S


def credentials(secret: str, who: str, until_s: int) -> tuple[str, str]:
    """User and password for somebody, good until then."""
    user = f"{until_s}:{who}"
    return user, base64.b64encode(hmac.digest(secret.encode(), user.encode(), "sha1")).decode()


def relays_for(turn: Turn, secret: str, who: str, until_s: int) -> Relays:
    """By what the media of one person may go."""
    user, password = credentials(secret, who, until_s)
    page = [IceServer(urls=list(turn.urls), username=user, credential=password)]
    if turn.for_room is None:
        return Relays(page=page, room=[IceServer(urls=[turn.stun_url])])
    return Relays(page=page, room=[IceServer(urls=[turn.for_room], username=user, credential=password)])


class RelayCredentials:
    """Makes them for all who are invited.

    Args:
        turn: the server; None: there is none.
        room: the room's id, so that people of different rooms are told apart.
    """

    def __init__(self, turn: Turn | None, room: str) -> None:
        self._turn = turn
        self._room = room
        self._secret = ""
        self._until_s = 0
        self._told = False

    def relays(self, invitations: list[Invitation], now_s: int) -> dict[str, Relays]:
        """By person; nothing where the secret cannot be read now."""
        return {one.person: found for one in invitations if (found := self._relays_of(one.person, now_s)) is not None}

    def of_look_ins(self, now_s: int) -> Relays:
        """For whoever looks in: under a name that no person has."""
        return self._relays_of(LOOK_INS, now_s) or Relays(page=[], room=[])

    def _relays_of(self, who: str, now_s: int) -> Relays | None:
        turn, until_s = self._turn, good_until_s(now_s)
        if turn is None:
            return None
        if until_s != self._until_s or not self._secret:  # a secret that was changed is taken up by the next span
            self._until_s, self._secret = until_s, self._read(Path(turn.secret))
        return relays_for(turn, self._secret, f"{self._room}.{who}", until_s) if self._secret else None

    def _read(self, path: Path) -> str:
        try:
            secret = read_secret(path)
        except (OSError, TurnSecretError) as error:
            if not self._told:
                log.error("there is no relay for participants: the secret of the TURN server cannot be read", error=str(error))
            self._told = True
            return ""
        self._told = False
        return secret
