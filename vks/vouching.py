"""Who vouches for a peer's DTLS certificate in a hearing that is not public: what is compared, and what is signed. Pure.

A centre relays what page and room say to each other until their media stands. One that is hostile could put a certificate of its own into
both descriptions, and sit in the middle. So no media goes in such a hearing but by a certificate that is vouched for: by the person's own
signature over ``text``, or by the clerk, to whom the person reads the page's ``code`` by telephone.

A code of few digits is compared by people, while whoever is in the middle chooses a certificate towards either side: of two lists of 2^33
certificates two would fit together, if the code hung on the certificates alone. So it hangs on a random number of either side as well. The
room's is fixed (``commitment``) before the page tells its own, and shown only after it: whoever is in the middle has to fix what he says to
both sides before he can know either code, and has one guess in 10^20 (S. Vaudenay, "Secure Communications over Insecure Channels Based on
Short Authenticated Strings", 2005).
"""

import hashlib
import hmac
import re

from vks.order import Struct

CODE_DIGITS = 20
NUMBER_BYTES = 32
TRIES = 5
"""So many codes that do not fit are compared with one; then there is a new one."""
_DIGITS = re.compile(r"[\s-]*")


class Unvouched(Struct, frozen=True, kw_only=True):
    """A page whose certificate nobody has vouched for yet. Fingerprints and numbers are SHA-256's and 32 bytes', in hexadecimal."""

    hearing: str
    person: str
    page: str
    """The fingerprint of the page's certificate, as its offer came here."""
    room: str
    """The fingerprint of the room's, as it left here."""
    number: str
    """The room's random number. It is told when the page has told its own."""
    page_number: str = ""
    """The page's; empty: it has not told it yet."""
    tries: int = 0
    """Codes and signatures that did not fit."""

    @property
    def commitment(self) -> str:
        """What the room says before the page tells its number: it fixes the room's certificate and number, and tells neither."""
        return _sha256("room", self.hearing, self.person, self.room, self.number).hex()

    @property
    def code(self) -> str:
        """What the page shows, where nobody is in the middle; empty: it cannot know it yet."""
        if not self.page_number:
            return ""
        digest = _sha256("code", self.hearing, self.person, self.page, self.room, self.page_number, self.number)
        return f"{int.from_bytes(digest) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"

    @property
    def text(self) -> bytes:
        """What the person signs."""
        return f"courtroom-dtls-v1\n{self.hearing}\n{self.person}\n{self.page}\n{self.room}\n".encode()

    def fits(self, code: str) -> bool:
        """Whether this is the page's code; spaces and hyphens between its digits mean nothing. It takes as long for a wrong one."""
        own = self.code
        return bool(own) and hmac.compare_digest(_DIGITS.sub("", code).encode(), own.encode())


def is_code(words: str) -> bool:
    """Whether this may be a code at all: what has fewer digits was typed too soon, and tells nothing of who is in between."""
    digits = _DIGITS.sub("", words)
    return len(digits) == CODE_DIGITS and digits.isascii() and digits.isdigit()


def _sha256(what: str, *fields: str) -> bytes:
    """Over lines of which all but the hearing's name have one length or no line's end, so that no two lists make the same bytes."""
    return hashlib.sha256("".join(f"{line}\n" for line in (f"courtroom-dtls-{what}-v1", *fields)).encode()).digest()
