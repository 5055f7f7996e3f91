"""A level order: after the seal, somebody who holds a recipient's key says of which level an interval of the record is. Pure.

``orders/NNNN.json`` is the order as canonical JSON with one line feed, ``orders/NNNN.json.p7s`` the signature over these bytes, and
``orders/NNNN/<track>-NN.cms`` are the media keys of whole parts whose level it lowers, wrapped to whom it admits. Orders count from 1, and
each holds the hash of the one before. What an order must be signed by is told in ``order_check.py``.
"""

import hashlib
import re

import msgspec

from recorder.record import canonical, layout
from recorder.record.entries import FIRST_PREV, Level

ORDER_VERSION = 1
FIRST_PREVIOUS = FIRST_PREV
_hash = re.compile(r"[0-9a-f]{64}")


class OrderError(ValueError):
    """An order that cannot be obeyed; the message says why."""


class OrderKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part's media key that the order wraps anew, and the SHA-256 of that file."""

    track: str
    part: int
    sha256: str


class LevelOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From ``from_us`` to before ``to_us`` of session time these tracks (none named: all, and what was noted) are of this level.

    ``sums_sha256`` is the hash of the SHA256SUMS of the record that it speaks of, ``previous_sha256`` that of the order before (zeros:
    none), ``actor`` who ordered it, ``order`` the reference of the court's order, ``utc_us`` when it was signed, by the signer's clock.
    """

    v: int
    number: int
    record: str
    sums_sha256: str
    previous_sha256: str
    utc_us: int
    tracks: list[str]
    from_us: int
    to_us: int
    level: Level
    actor: str
    order: str
    keys: list[OrderKey]

    def concerns(self, track: str) -> bool:
        """Whether it speaks of this track."""
        return not self.tracks or track in self.tracks

    def meets(self, other: "LevelOrder") -> bool:
        """Whether there is a moment of a track of which both speak."""
        tracks = not self.tracks or not other.tracks or bool(set(self.tracks) & set(other.tracks))
        return tracks and self.from_us < other.to_us and other.from_us < self.to_us


def order_bytes(order: LevelOrder) -> bytes:
    """The file of an order: what is signed, and what the next order holds the hash of.

    Raises:
        NotCanonicalError: a text that is not in normalisation form C, or a number that is too large.
    """
    return canonical.encode(order) + b"\n"


def order_sha256(data: bytes) -> str:
    """The hash that names an order."""
    return hashlib.sha256(data).hexdigest()


def read_order(data: bytes, number: int) -> LevelOrder:
    """Read the file of the order of this number.

    Raises:
        OrderError: it is none, or contradicts itself.
    """
    try:
        order = canonical.decode_as(data.removesuffix(b"\n"), LevelOrder)
    except canonical.NotCanonicalError as error:
        raise OrderError(f"is no level order: {error}") from error
    if not data.endswith(b"\n"):
        raise OrderError("is no level order: its line does not end")
    if order.v != ORDER_VERSION:
        raise OrderError(f"is an order of format {order.v}; known is {ORDER_VERSION}")
    if order.number != number:
        raise OrderError(f"says that it is order {order.number}")
    if not 0 <= order.from_us < order.to_us or order.utc_us < 0:
        raise OrderError(f"speaks of the interval from {order.from_us} to {order.to_us}, which is none")
    named = [(key.track, key.part) for key in order.keys]
    if order.tracks != sorted(set(order.tracks)) or named != sorted(set(named)):
        raise OrderError("names tracks or keys out of order or twice")
    if not all(layout.is_id(track) for track in order.tracks) or not all(layout.is_id(track) and part >= 0 for track, part in named):
        raise OrderError("names what cannot be a track")
    if not all(_hash.fullmatch(text) for text in (order.sums_sha256, order.previous_sha256, *(key.sha256 for key in order.keys))):
        raise OrderError("holds what is no hash")
    return order
