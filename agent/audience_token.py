"""The token by which vks hands hearings to the large audience's server: the agent alone reads its file.

vks is told the token with the hearing, and keeps it in memory: whoever breaks into it can publish in this room's name while it runs.
"""

from pathlib import Path
from urllib.parse import urlsplit

import structlog

from provisioning.audience import Audience, AudienceTokenError, read_token
from recorder.contract.conference import AudienceServer

log = structlog.get_logger()

AGAIN_S = 10
"""The file is read again so often: a token that was changed is used from then on."""


class AudienceToken:
    """Reads it.

    Args:
        audience: the server; None: there is none.
    """

    def __init__(self, audience: Audience | None) -> None:
        self._audience = audience
        self._server: AudienceServer | None = None
        self._read_s: int | None = None
        self._told = ""

    @property
    def why_not(self) -> str:
        """Why hearings are handed to no large audience; empty: they can be."""
        if self._audience is None:
            return "no large audience can watch: room.toml has no [vks.audience]"
        return self._told

    def why_not_from(self, url: str) -> str:
        """Why nobody is taken in from this address; empty: its speaker can be."""
        if self._audience is None or self._told:
            return self.why_not
        server, asked = urlsplit(self._audience.whip), urlsplit(url)
        if (asked.scheme, asked.netloc) != (server.scheme, server.netloc):
            return f"speakers are taken in from the large audience's own server alone: {server.scheme}://{server.netloc}/…"
        return ""

    def server(self, now_s: int) -> AudienceServer | None:
        """Where to hand hearings; None where there is no server, or its token could never be read."""
        if self._audience is not None and (self._read_s is None or not 0 <= now_s - self._read_s < AGAIN_S):
            self._read_s = now_s
            self._server = self._read(self._audience) or self._server  # a file that is just written anew ends nothing
        return self._server

    def _read(self, audience: Audience) -> AudienceServer | None:
        try:
            token = read_token(Path(audience.token))
        except (OSError, AudienceTokenError) as error:
            why = f"the token of the large audience's server cannot be read: {error}"
            if why != self._told:
                log.error(why)
            self._told = why
            return None
        self._told = ""
        return AudienceServer(whip=audience.whip, token=token, ca=audience.ca)
