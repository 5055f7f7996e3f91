"""``[nats]`` of ``centre.toml``: the cluster that several fronts of a centre share, and who this front is to it."""

import ipaddress
import json
import ssl
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Nats(BaseModel):
    """``[nats]``: what this centre keeps lies in NATS JetStream, and several fronts may share it; without it in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    servers: list[str] = Field(min_length=1)
    """``tls://host:4222``, each server of the cluster."""
    ca: str = ""
    """PEM: who vouches for the servers; with ``certificate`` and ``key``. Servers on this machine may ask for none of the three."""
    certificate: str = ""
    key: str = ""
    replicas: Literal[1, 3, 5] = 3
    """On so many servers each message lies; 1 is for trying it out."""
    prefix: str = Field(default="courtroom", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """The streams' names begin with it: a name for each centre of the cluster."""
    keeps_uploads: bool = False
    """Whether this front takes records into the archive: one of all fronts may."""

    @field_validator("servers")
    @classmethod
    def _places(cls, servers: list[str]) -> list[str]:
        for server in servers:
            place = urlsplit(server)
            if place.scheme not in {"tls", "nats"} or not place.hostname or place.username is not None or place.password is not None:
                raise ValueError(f"'{server}' is no server, such as tls://nats-1.court.example:4222")
        return servers

    @model_validator(mode="after")
    def _is_mutual(self) -> Self:
        files = (self.ca, self.certificate, self.key)
        if any(files) and not all(files):
            raise ValueError("ca, certificate and key belong together: this front and the servers prove to each other who they are")
        if not any(files) and not all(_is_here(server) for server in self.servers):
            raise ValueError("ca, certificate and key are needed for servers on other machines")
        if any(files) and not all(urlsplit(server).scheme == "tls" for server in self.servers):
            raise ValueError("with ca, certificate and key each server is named tls://")
        return self

    def tls(self) -> ssl.SSLContext | None:
        """TLS 1.3, both sides known; read anew for each connection.

        Raises:
            OSError: a file cannot be read or holds nothing of use (``ssl.SSLError`` is one).
        """
        if not self.ca:
            return None
        for file in (self.ca, self.certificate, self.key):
            Path(file).read_bytes()  # whose error names the file, as that of OpenSSL does not
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        return context

    def toml(self) -> str:
        """The stanza as it stands in ``centre.toml``."""
        servers = ", ".join(map(quoted, self.servers))
        return (
            "# What this centre keeps lies in NATS JetStream, so that several fronts may share it: docs/several-fronts.md.\n"
            f"[nats]\nservers = [{servers}]\nca = {quoted(self.ca)}\ncertificate = {quoted(self.certificate)}\nkey = {quoted(self.key)}\n"
            f"replicas = {self.replicas}\nprefix = {quoted(self.prefix)}\n"
            "# One of all fronts takes records into the archive.\n"
            f"keeps_uploads = {str(self.keeps_uploads).lower()}\n"
        )


def quoted(text: str) -> str:
    """A text as a basic string of TOML: as in JSON, but for the character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_here(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
