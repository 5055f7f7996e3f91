"""A sealed record with recipients, to give orders beside: open, four seconds of secret, open again."""

import copy
import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from provisioning.keys import Hierarchy, Identity
from recorder.level_order import Given, Wish, give_order
from recorder.media_keys import RecipientKey
from recorder.record import canonical, layout
from recorder.record.levels import LEVELS
from recorder.record.order import LevelOrder, order_bytes, order_sha256
from tests.record.record_builder import Builder

SECRET_US = (4_000_000, 8_000_000)
END_US = 12_000_000


@dataclass(frozen=True)
class Ordered:
    """The record, the court that may open all of it, and the press that may open what is open."""

    builder: Builder
    court: Identity
    press: Identity

    @property
    def root(self) -> Path:
        return self.builder.root

    def copied(self, base: Path) -> "Ordered":
        twin = copy.copy(self.builder)
        twin.root = base / self.root.name
        shutil.copytree(self.root, twin.root)
        return dataclasses.replace(self, builder=twin)

    def order(self, signer: Identity | None = None, admitted: tuple[RecipientKey, ...] = (), **wish: Any) -> Given:
        by = signer or self.court
        assert isinstance(by.key, rsa.RSAPrivateKey)
        asked = Wish(**({"level": "secret", "actor": "Judge", "order": "No 12/3"} | wish))
        return give_order(self.root, asked, by.certificate, by.key, admitted, self.builder.utc_us + 60_000_000)

    def forge(self, signer: Identity, **changes: Any) -> LevelOrder:
        """Write an order by hand: a sound one for all of the record but for these changes, signed by anybody."""
        before = sorted((self.root / layout.ORDERS).glob("*.json"))
        number = len(before) + 1
        fields = {
            "v": 1, "number": number, "record": str(self.builder.record_id), "utc_us": self.builder.utc_us + 60_000_000,
            "sums_sha256": order_sha256((self.root / layout.SUMS).read_bytes()),
            "previous_sha256": order_sha256(before[-1].read_bytes()) if before else "0" * 64,
            "tracks": [], "from_us": 0, "to_us": END_US, "level": "open", "actor": "Judge", "order": "No 1", "keys": [],
        }  # fmt: skip
        order = msgspec.convert(fields | changes, LevelOrder)
        self.put(order_bytes(order), order.number, signer)
        return order

    def put(self, data: bytes, number: int, signer: Identity) -> None:
        place = self.root / layout.order_file(number)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data)
        (self.root / layout.order_signature_file(number)).write_bytes(signature(data, signer))


def signature(data: bytes, signer: Identity) -> bytes:
    assert isinstance(signer.key, rsa.RSAPrivateKey)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(signer.certificate, signer.key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])


def recipient(name: str, identity: Identity, *levels: str) -> RecipientKey:
    return RecipientKey(name, identity.certificate, frozenset(level for level in LEVELS if level in levels or not levels))


def ordered(base: Path, keys: Hierarchy, press: Identity, **record: Any) -> Ordered:
    """With what of the builder's is given as ``record``."""
    builder = Builder(base, keys, recipients=[recipient("court", keys.court), recipient("press", press, "open")], **record)
    builder.record(4)
    builder.set_level("secret")
    builder.record(4)
    builder.set_level("open")
    builder.record(4)
    builder.close()
    return Ordered(builder, keys.court, press)


def edited(data: bytes, **changes: Any) -> bytes:
    """An order with other fields, in canonical form."""
    return canonical.encode(canonical.decode(data.removesuffix(b"\n")) | changes) + b"\n"
