"""Who may come by which link: join tokens, resume tokens, and attempts to guess them. Pure; the clock is passed in.

A *join token* is what the link holds: 32 random bytes in base64url, made by whoever invites. The room knows its SHA-256 alone, in an
``Invitation`` that binds it to a hearing, a person, a role and a span of time. It takes no seat but by the request that follows the device
check, never by opening the page, so that a messenger's preview of the link does nothing. It is good as often as it is asked for: another
device of the same person uses the same link, and ``rules.py`` says what becomes of it.

A *resume token* is what the device then holds instead: it names the seat under a key that the agent keeps, so that a reload, another
network or a new start of this process leads back to the same place. It is good for one hearing and one device.
"""

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from typing import Literal

import msgspec

from recorder.contract.conference import Invitation, Role
from vks.order import Struct

RESUME_US = 24 * 3600 * 1_000_000
"""A resume token is good for so long at most; the hearing ends it sooner."""
FAILURES = 10
"""After so many wrong tokens from one source within ``FORGET_US`` each further wrong one is told to wait."""
FORGET_US = 60_000_000
MOST_SOURCES = 4_096
"""Sources that are remembered; whoever has failed longest ago is forgotten first."""
_LONGEST = 1_024
_MAC_BYTES = 32

Why = Literal["unknown", "early", "expired", "too_many", "starting", "no_hearing"]
"""``no_hearing``: none is near, so that a link of a later one cannot be told from one that is none.

``starting``: nobody has said yet which hearing it is; the same token is worth another try at once."""


class Seat(Struct, frozen=True, kw_only=True):
    """What a resume token says: whose place it is, and which device holds it."""

    hearing: str
    person: str
    name: str
    role: Role
    device: str
    until_utc_us: int


class NotAdmittedError(Exception):
    """The token opens nothing. ``why`` is what pages translate; it never tells a wrong token from one of another room."""

    def __init__(self, why: Why, at_utc_us: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.at_utc_us = at_utc_us
        """When the link opens, or since when it does not, where somebody asks with a good one."""


class Admission:
    """For one hearing.

    Args:
        hearing: its name.
        invitations: who may come to it.
        secret: the agent's key for resume tokens, 32 bytes.
    """

    def __init__(self, hearing: str, invitations: list[Invitation], secret: bytes) -> None:
        self._hearing = hearing
        self._invited = {one.token_sha256: one for one in invitations}
        self._secret = secret
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """By source: how many wrong tokens, and when the first came."""

    def join(self, token: str, device: str, source: str, now_utc_us: int) -> Seat:
        """The seat that a join token is for.

        Raises:
            NotAdmittedError: it opens nothing, or not now.
        """
        invited = self._invited.get(hashlib.sha256(token.encode()).hexdigest()) if len(token) <= _LONGEST else None
        if invited is None:
            raise self._failed(source, now_utc_us)
        if now_utc_us < invited.from_utc_us:
            raise NotAdmittedError("early", invited.from_utc_us)
        if now_utc_us >= invited.until_utc_us:
            raise NotAdmittedError("expired", invited.until_utc_us)
        return Seat(
            hearing=self._hearing, person=invited.person, name=invited.name, role=invited.role, device=device,
            until_utc_us=now_utc_us + RESUME_US,
        )  # fmt: skip

    def resume_token(self, seat: Seat) -> str:
        """What the device of a seat comes back with."""
        said = msgspec.json.encode(seat)
        return base64.urlsafe_b64encode(self._mac(said) + said).decode().rstrip("=")

    def resume(self, token: str, source: str, now_utc_us: int) -> Seat:
        """The seat that a resume token is for.

        Raises:
            NotAdmittedError: it is none of ours, of another hearing, too old, or of somebody who is not invited any more.
        """
        seat = self._opened(token)
        if seat is None or seat.hearing != self._hearing or all(one.person != seat.person for one in self._invited.values()):
            raise self._failed(source, now_utc_us)
        if now_utc_us >= seat.until_utc_us:
            raise NotAdmittedError("expired", seat.until_utc_us)
        return seat

    def _opened(self, token: str) -> Seat | None:
        if len(token) > _LONGEST:
            return None
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, said = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        return msgspec.json.decode(said, type=Seat) if hmac.compare_digest(mac, self._mac(said)) else None

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, b"courtroom-resume-v1\n" + said, "sha256")

    def _failed(self, source: str, now_us: int) -> NotAdmittedError:
        """What a wrong token is told. A good one is never counted: many people share an address, and one of them may guess."""
        count, since_us = self._failures.get(source, (0, now_us))
        if now_us - since_us >= FORGET_US:
            count, since_us = 0, now_us
        elif count >= FAILURES:
            return NotAdmittedError("too_many", since_us + FORGET_US)
        self._failures[source] = (count + 1, since_us)
        self._failures.move_to_end(source)
        while len(self._failures) > MOST_SOURCES:
            self._failures.popitem(last=False)
        return NotAdmittedError("unknown")
