"""The command by which somebody of the Situation Centre may look into a room, and the token of the link. The room decides."""

import hashlib
import secrets
from uuid import uuid4

import msgspec

from agent.upstream import contract

TOKEN_BYTES = 32
WAITS_US = 60_000_000
"""A room that does not have the command by then refuses it: nobody waits for it any more."""


def look_into(person: str, reason: str, length_s: int, now_utc_us: int) -> tuple[contract.StartLookIn, str]:
    """The command, and the token of which it has the hash.

    Raises:
        msgspec.ValidationError: a room would not take that.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    wanted = contract.StartLookIn(
        number=0, lookin=f"look-{uuid4()}", person=person, reason=reason, length_s=length_s,
        token_sha256=hashlib.sha256(token.encode()).hexdigest(), before_utc_us=now_utc_us + WAITS_US,
    )  # fmt: skip
    return msgspec.convert(msgspec.to_builtins(wanted), contract.StartLookIn), token
