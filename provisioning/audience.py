"""``[vks.audience]`` of ``room.toml``: the media server by which a large audience watches public hearings."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1."""


class AudienceTokenError(Exception):
    """The file holds no token that can be used; the message says why."""


def _is_endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"'{url}' is no address") from None
    if not host or parts.username is not None or parts.fragment:
        raise ValueError(f"'{url}' is no address of a WHIP endpoint: write https://HOST/PATH; the token stands in its own file")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError(f"'{url}' is not encrypted: the token and what is told of media would go in the open; write https://HOST/PATH")
    return url


class Audience(BaseModel):
    """One media server that takes hearings by WHIP (RFC 9725)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    whip: Annotated[str, AfterValidator(_is_endpoint)]
    """Its endpoint."""
    token: str
    """File of the token that publishers bring; the agent alone reads it."""
    ca: str = ""
    """PEM file of the authority of its certificate, readable by courtroom-vks. Empty: those that the machine trusts."""


def read_token(path: Path) -> str:
    """The token of a file.

    Raises:
        OSError: it cannot be read.
        AudienceTokenError: it holds none.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not _TOKEN.fullmatch(token):
        raise AudienceTokenError(f"{path} holds no token: one line of letters, digits and any of -._~+/")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
