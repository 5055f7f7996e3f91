"""Opens the media key of a part for a recipient: as the recorder wrapped it, or as an order wrapped it anew."""

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from recorder import media_keys
from recorder.media_keys import MediaKeyError, WrappedKey
from recorder.record import layout
from recorder.record.cms import Addressee, CmsError, addressees
from recorder.record.file_check import read_small
from recorder.record.levels import PartSpan
from recorder.record.order import LevelOrder, order_sha256


class NotAddressedError(Exception):
    """The key was wrapped to others."""


class KeyDamagedError(Exception):
    """The key is wrapped to this recipient, or nobody can tell, and cannot be opened; the message names the file."""


def open_key(
    record: Path, uuid: str, part: PartSpan, orders: Sequence[LevelOrder], certificate: x509.Certificate, key: rsa.RSAPrivateKey
) -> WrappedKey:
    """The media key of a part of the record ``uuid``.

    Raises:
        NotAddressedError: neither the recorder nor an order in force wrapped it to this certificate.
        KeyDamagedError: it cannot be used.
    """
    damaged = ""
    for path, sha256 in _files(part, orders):
        try:
            data = read_small(record / path)
            if order_sha256(data) != sha256:
                damaged = damaged or f"{path}: is not the key that was stored"
                continue
            if Addressee.of(certificate) not in addressees(data):
                continue
            wrapped = media_keys.unwrap(data, certificate, key)
        except OSError as error:
            damaged = damaged or f"{path}: {error.strerror}"
            continue
        except (CmsError, MediaKeyError) as error:
            damaged = damaged or f"{path}: {error}"
            continue
        if (wrapped.record, wrapped.track, wrapped.part) == (uuid, part.track, part.number):
            return wrapped
        damaged = damaged or f"{path}: is the key of another part"
    if damaged:
        raise KeyDamagedError(damaged)
    raise NotAddressedError(f"{part.track}, part {part.number}")


def _files(part: PartSpan, orders: Sequence[LevelOrder]) -> list[tuple[str, str]]:
    """Paths and hashes of all that wraps the part's key."""
    anew = [
        (layout.order_key_file(order.number, key.track, key.part), key.sha256)
        for order in orders
        for key in order.keys
        if (key.track, key.part) == (part.track, part.number)
    ]
    return [(layout.key_file(part.track, part.number), part.key_sha256), *anew]
