"""``[vks.turn]`` of ``room.toml``: the relay by which media goes where a participant and the room find no straight way to each other."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_URL = re.compile(r"(?P<scheme>turns?):(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?(\?transport=(?P<by>udp|tcp))?")
"""RFC 7065, with the transports that browsers know."""
_EXAMPLES = "write turn:HOST:3478?transport=udp or turns:HOST:443?transport=tcp"
SECRET_CHARACTERS = 16
"""A shorter secret is guessed from a credential that somebody was given (SHA-1 is quick)."""


class TurnSecretError(Exception):
    """The file holds no secret that can be used; the message says why."""


def _is_address(url: str) -> str:
    found = _URL.fullmatch(url)
    if found is None or not 1 <= int(found["port"] or 3478) <= 65_535:
        raise ValueError(f"'{url}' is no address of a TURN server: {_EXAMPLES}")
    if found["scheme"] == "turns" and found["by"] == "udp":
        raise ValueError(f"'{url}' is TURN over DTLS, which no browser has: {_EXAMPLES}")
    return url


Address = Annotated[str, AfterValidator(_is_address)]


class Turn(BaseModel):
    """One TURN server (coturn)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: list[Address] = Field(min_length=1)
    """Its addresses for browsers: by UDP, by TCP, by TLS."""
    secret: str
    """File of the secret that it shares with the room (coturn's ``static-auth-secret``); the agent alone reads it."""
    for_room: Address | None = None
    """The address by which the room's own end goes through it as well, in a network that lets no UDP out. Left out: it sends straight."""

    @model_validator(mode="after")
    def _room_is_found(self) -> "Turn":
        if self.for_room is None and not self.stun_url:
            raise ValueError(
                "no address of urls is by UDP, so that the room cannot learn how it is seen from outside: add one, "
                "or name in for_room by which address the room goes itself"
            )
        return self

    @property
    def stun_url(self) -> str:
        """Where the room learns how it is seen from outside: a TURN server tells it at its UDP port. Empty: nowhere."""
        for found in map(_URL.fullmatch, self.urls):
            if found is not None and found["scheme"] == "turn" and found["by"] != "tcp":
                return f"stun:{found['host']}:{found['port'] or 3478}"
        return ""


def read_secret(path: Path) -> str:
    """The secret of a file.

    Raises:
        OSError: it cannot be read.
        TurnSecretError: it holds none.
    """
    try:
        secret = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        secret = ""
    if len(secret) < SECRET_CHARACTERS or len(secret.split()) != 1:
        raise TurnSecretError(f"{path} holds no secret: one line of at least {SECRET_CHARACTERS} characters, without spaces")
    return secret
