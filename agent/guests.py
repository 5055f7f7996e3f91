"""Who was invited to a hearing in this room itself, and the key of the hearings' resume tokens: one small file of the agent.

A link's token is shown once, to whoever invites; the file has its SHA-256 alone.
"""

import hashlib
import hmac
import secrets
from pathlib import Path

import msgspec

from agent import whole_file
from recorder.contract.conference import Invitation, Role, iin_sha256_of

TOKEN_BYTES = 32
KEPT_US = 7 * 86_400_000_000
"""An invitation is forgotten so long after it has expired."""
MOST = 2_000


class GuestsError(Exception):
    """The file cannot be used, or takes no more; the message says why."""


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was invited to a hearing."""

    hearing: str
    invitation: Invitation


class _File(msgspec.Struct, frozen=True, kw_only=True):
    secret: bytes
    guests: list[Guest] = []
    made: int = MOST + 1
    """So many were invited ever: the number of the last one's id. A file without it named them by the least number that was free."""


class Guests:
    """The file.

    Args:
        path: where it is; it is made where there is none.

    Raises:
        GuestsError: it cannot be read or made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            self._keep(_File(secret=secrets.token_bytes(32), made=0))
        except (OSError, ValueError) as error:  # bytes that are no UTF-8 are no DecodeError
            raise GuestsError(f"{path} cannot be read: {error}; set it aside, and invite again whom it named") from error

    def invite(
        self, hearing: str, name: str, role: Role, from_utc_us: int, until_utc_us: int, now_utc_us: int, iin: str = ""
    ) -> tuple[str, str]:
        """Invite somebody; returns the person's id, and the token of the link. ``iin`` is whose signature vouches for the person's page.

        Raises:
            GuestsError: it cannot be written down, or there are too many.
        """
        kept = [guest for guest in self._file.guests if guest.invitation.until_utc_us + KEPT_US > now_utc_us]
        if len(kept) >= MOST:
            raise GuestsError(f"{MOST} people are invited already; withdraw some")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        made = self._file.made + 1  # no id is given twice: the resume token of one who was withdrawn would lead to the other's place
        person = f"g{made}"
        invitation = Invitation(
            token_sha256=hashlib.sha256(token.encode()).hexdigest(), person=person, name=name, role=role, from_utc_us=from_utc_us,
            until_utc_us=until_utc_us, iin_sha256=iin_sha256_of(iin) if iin else "",
        )  # fmt: skip
        self._keep(msgspec.structs.replace(self._file, guests=[*kept, Guest(hearing=hearing, invitation=invitation)], made=made))
        return person, token

    def withdraw(self, hearing: str, person: str) -> bool:
        """The person's link opens nothing any more; False where nobody of this name was invited here."""
        kept = [guest for guest in self._file.guests if (guest.hearing, guest.invitation.person) != (hearing, person)]
        found = len(kept) < len(self._file.guests)
        if found:
            self._keep(msgspec.structs.replace(self._file, guests=kept))
        return found

    def of(self, hearing: str) -> list[Invitation]:
        """Who was invited to a hearing."""
        return [guest.invitation for guest in self._file.guests if guest.hearing == hearing]

    def secret_of(self, hearing: str) -> bytes:
        """The key of a hearing's resume tokens."""
        return hmac.digest(self._file.secret, hearing.encode(), "sha256")

    def _keep(self, file: _File) -> None:
        try:
            whole_file.write(self._path, msgspec.json.encode(file))
        except OSError as error:
            raise GuestsError(f"{self._path} cannot be written: {error.strerror}; look after the disk") from error
        self._file = file
