"""``[vks]`` of ``room.toml``: the videoconference."""

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from provisioning.audience import Audience
from provisioning.turn_server import Turn


class _Stanza(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Vouching(_Stanza):
    """``[vks.vouching]``: by whose signatures pages are vouched for in hearings that are not public."""

    ca: str
    """PEM file of the authorities that vouch for persons, the roots of the national certification centre. Readable by courtroom-vks."""


class Vks(_Stanza):
    """``[vks]``: the videoconference. ``address`` is where browsers in the court's own network reach it; empty: only through the centre."""

    address: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65_535)
    certificate: str = ""
    """PEM file of the certificate chain under the court's CA. Without one it can be reached from this PC alone."""
    key: str = ""
    ports: str = Field(default="", pattern=r"^(\d{1,5}-\d{1,5})?$")
    """UDP ports of media, as ``40000-40999``, for a firewall to let through; two a participant suffice. Empty: any."""
    echo: Literal["cancel", "none"] = "cancel"
    """``none``: the room's own sound system takes the loudspeakers' sound out of the microphones'."""
    public_url: str = Field(default="", pattern=r"^(https?://[^\s#?]+[^\s#?/])?$")
    """The centre's public door: links are given out with it, so that they open from the internet. Empty: with ``address``."""
    display_port: int = Field(default=8444, ge=0, le=65_535)
    """Where the courtroom's own screens find their page on 127.0.0.1, when ``address`` is another. 0: nowhere."""
    turn: Turn | None = None
    """The relay for media that finds no straight way. Empty: there is none."""
    audience: Audience | None = None
    """The media server by which a large audience watches public hearings. Empty: there is none."""
    vouching: Vouching | None = None
    """Empty: the clerk alone vouches, by the code that a person reads out."""

    @model_validator(mode="after")
    def _is_encrypted(self) -> "Vks":
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key belong together: name both files")
        if self.address and not self.certificate and not _is_loopback(self.address):
            raise ValueError(
                f"browsers give no camera to a page that is not encrypted: name certificate and key, or let address be 127.0.0.1 "
                f"instead of {self.address}"
            )
        return self

    @model_validator(mode="after")
    def _has_ports(self) -> "Vks":
        if self.ports and not 1024 <= self.port_range[0] < self.port_range[1] <= 65_535:
            raise ValueError(f'ports = "{self.ports}": give the first and the last, between 1024 and 65535, as 40000-40999')
        return self

    @property
    def is_on_this_pc_alone(self) -> bool:
        """Whether browsers reach it by loopback."""
        return _is_loopback(self.address)

    @property
    def own_url(self) -> str:
        """Where browsers in the court's own network reach it; empty: nowhere that is known beforehand."""
        if not (self.address and self.port):
            return ""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    @property
    def display_url(self) -> str:
        """The display's page, as the room's PC opens it; empty: there is none."""
        return self._screen_url("display")

    @property
    def identity_url(self) -> str:
        """The page on which the clerk checks who somebody is, as the room's PC opens it; empty: there is none."""
        return self._screen_url("identity")

    def _screen_url(self, page: str) -> str:
        if self.is_on_this_pc_alone:
            return f"{self.own_url}/{page}/" if self.own_url else ""
        return f"http://127.0.0.1:{self.display_port}/{page}/" if self.display_port else ""

    @property
    def port_range(self) -> tuple[int, int]:
        """The first and the last of ``ports``."""
        first, last = self.ports.split("-")
        return int(first), int(last)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
