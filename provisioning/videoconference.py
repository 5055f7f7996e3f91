"""``[vks]`` of ``room.toml``: the videoconference."""

import ipaddress

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Stanza(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IceServer(_Stanza):
    """``[[vks.ice]]``: a STUN or TURN server, as browsers know it."""

    urls: list[str] = Field(min_length=1)
    username: str = ""
    credential: str = ""


class Vks(_Stanza):
    """``[vks]``: the videoconference. ``address`` is where browsers in the court's own network reach it; empty: only through the centre."""

    address: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65_535)
    certificate: str = ""
    """PEM file of the certificate chain under the court's CA. Without one it can be reached from this PC alone."""
    key: str = ""
    public_url: str = Field(default="", pattern=r"^(https?://[^\s#?]+[^\s#?/])?$")
    """The centre's public door: links are given out with it, so that they open from the internet. Empty: with ``address``."""
    ice: list[IceServer] = []

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


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
