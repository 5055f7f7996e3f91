"""What a front holds of the registry's stream: rooms, certificates in force, and those that are denied. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from agent.upstream.centre.backend import Shown

_DAY_US = 86_400 * 1_000_000
_PER_SWEEP = 1_000


class _Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="is"):
    """Base of what the stream holds."""


class RoomNamed(_Entry, frozen=True, kw_only=True, tag="room"):
    """A hearing named a room."""

    room: str


class RoomForgotten(_Entry, frozen=True, kw_only=True, tag="forgotten"):
    """A room is listed no longer, until it is named again or heard after ``utc_us``."""

    room: str
    utc_us: int


class TokenState(_Entry, frozen=True, kw_only=True, tag="token"):
    """A token; its secret's hash is the subject's. ``use`` is different for each use that was tried."""

    room: str
    until_utc_us: int
    used_utc_us: int | None = None
    use: str = ""


class CertificateIssued(_Entry, frozen=True, kw_only=True, tag="certificate"):
    """A certificate; ``serial`` in hexadecimal."""

    serial: str
    name: str
    until_utc_us: int
    pem: str


class Revoked(_Entry, frozen=True, kw_only=True, tag="revoked"):
    """All certificates of this name that stand before are denied, and those that stand nowhere and were issued until then."""

    name: str
    utc_us: int


AnyEntry = RoomNamed | RoomForgotten | TokenState | CertificateIssued | Revoked


class Denied(NamedTuple):
    """When a certificate was denied, and by which message."""

    utc_us: int
    seq: int


class RegistryView:
    """The stream's messages, applied in their order."""

    def __init__(self) -> None:
        self.rooms: set[str] = set()
        self.forgotten_utc_us: dict[str, int] = {}
        """When rooms were forgotten: what was heard of one before does not list it."""
        self.denied: dict[int, Denied] = {}
        self._revoked_utc_us: dict[str, int] = {}
        self._in_force: dict[str, dict[int, int]] = {}
        self._issued = 0

    def clear(self) -> None:
        """Forget all."""
        self.rooms.clear()
        self.forgotten_utc_us.clear()
        self.denied.clear()
        self._revoked_utc_us.clear()
        self._in_force.clear()

    def apply(self, seq: int, entry: AnyEntry, now_utc_us: int) -> None:
        """Take the next message."""
        match entry:
            case RoomNamed() | TokenState():
                self.rooms.add(entry.room)
            case RoomForgotten():
                self.rooms.discard(entry.room)
                self.forgotten_utc_us[entry.room] = entry.utc_us
            case CertificateIssued():
                self._in_force.setdefault(entry.name, {})[int(entry.serial, 16)] = entry.until_utc_us
                self._issued += 1
                if self._issued % _PER_SWEEP == 0:
                    self._sweep(now_utc_us - _DAY_US)
            case Revoked():
                for serial in self._in_force.pop(entry.name, {}):
                    self.denied[serial] = Denied(entry.utc_us, seq)
                self._revoked_utc_us[entry.name] = max(entry.utc_us, self._revoked_utc_us.get(entry.name, 0))

    def is_denied(self, certificate: Shown) -> bool:
        """What is known of a certificate itself counts; of one that is not known, what its name says."""
        serial, name, issued_us = certificate
        if serial in self.denied:
            return True
        return serial not in self._in_force.get(name, {}) and issued_us <= self._revoked_utc_us.get(name, -1)

    def denied_by(self, seq: int) -> Sequence[int]:
        """The certificates that a message denied."""
        return [serial for serial, denied in self.denied.items() if denied.seq == seq]

    def _sweep(self, before_utc_us: int) -> None:
        """Certificates that ran out need not be denied any more."""
        for name, serials in list(self._in_force.items()):
            left = {serial: until_us for serial, until_us in serials.items() if until_us >= before_utc_us}
            if left:
                self._in_force[name] = left
            else:
                del self._in_force[name]
