"""Who calls: read from the certificate of his TLS connection, never from what he says."""

import ssl
from dataclasses import dataclass
from typing import Any, get_args

from agent.upstream.centre.authority import BACKDATED, ROLE_URN, ROOM_URN
from agent.upstream.centre.backend import Shown
from agent.upstream.operations import Caller

ROLES: tuple[Caller, ...] = tuple(role for role in get_args(Caller) if role not in {"anyone", "room"})

STATION = "archive_station"
"""Who holds this certificate calls nobody: it signs receipts for records that were carried to an archive on a disk."""
CERTIFIED = (*ROLES, STATION)
"""Whom a certificate is made for by name."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller: what he is, a room's id, and his certificate's serial number and when it was issued."""

    caller: Caller
    room: str
    serial: int
    issued_utc_us: int

    @property
    def certificate(self) -> Shown:
        """His certificate, by the name to which it was issued."""
        return Shown(self.serial, self.room or self.caller, self.issued_utc_us)


NOBODY = Peer("anyone", "", 0, 0)


def peer_of(certificate: dict[str, Any] | None) -> Peer:
    """The caller by the verified certificate as ``ssl.SSLSocket.getpeercert`` gives it; ``NOBODY`` where there is none, or it names two."""
    if not certificate:
        return NOBODY
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    serial = int(certificate["serialNumber"], 16)
    if len(uris) != 1:
        return NOBODY
    uri = str(uris[0])
    # It begins before it was issued (``authority.py``); a room that is enrolled again at once after a revocation was issued a good one.
    issued_us = (ssl.cert_time_to_seconds(certificate["notBefore"]) + int(BACKDATED.total_seconds())) * 1_000_000
    if uri.startswith(ROOM_URN) and len(uri) > len(ROOM_URN):
        return Peer("room", uri.removeprefix(ROOM_URN), serial, issued_us)
    for role in ROLES:
        if uri == ROLE_URN + role:
            return Peer(role, "", serial, issued_us)
    return NOBODY
