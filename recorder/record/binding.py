"""Bindings: which hearing a sealed record belongs to, where that was found out or corrected after its seal. Pure.

Each line of ``bindings.jsonl`` beside the seal is a ``Binding`` as canonical JSON, signed by the record's own device. Bindings count from
1, each holds the hash of the line before, and the last one counts. A binding before the seal is an entry of the journal
(``entries.Bind``).
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.record import canonical, layout
from recorder.record.entries import FIRST_PREV

BINDING_VERSION = 1


class Binding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record with this seal belongs to ``hearing`` (of ``case``), as ``actor`` said for this reason.

    ``sums_sha256`` is the hash of the record's SHA256SUMS, ``previous_sha256`` that of the line before (zeros: none), ``utc_us`` when it
    was said, by the device's clock; ``sig`` base64 of a DER ECDSA P-256 signature over ``binding_text``.
    """

    record: str
    sums_sha256: str
    number: int
    previous_sha256: str
    hearing: str
    case: str
    actor: str
    reason: str
    utc_us: int
    sig: str = ""
    v: int = BINDING_VERSION


@dataclass(slots=True)
class Bindings:
    """What stands in ``bindings.jsonl``: those in force, and (place, code, words) of what is not."""

    given: list[Binding] = field(default_factory=list)
    last_sha256: str = FIRST_PREV
    torn: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)


def binding_text(binding: Binding) -> bytes:
    """The text under a binding's signature: a line that says what it is, then the binding without its signature, canonically.

    Raises:
        NotCanonicalError: a text that is not in normalisation form C, or a number that is too large.
    """
    return b"courtroom-binding-v1\n" + canonical.encode(msgspec.structs.replace(binding, sig="")) + b"\n"


def binding_line(binding: Binding, sig: bytes) -> bytes:
    """The line of a binding, without its line end."""
    return canonical.encode(msgspec.structs.replace(binding, sig=base64.b64encode(sig).decode()))


def check_bindings(data: bytes, record: str, sums_sha256: str, chain: Sequence[x509.Certificate]) -> Bindings:
    """Read bindings, each held to the seal, to the one before it and to the device (the first certificate of ``chain``)."""
    found = Bindings()
    for line_number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        place = f"{layout.BINDINGS}, line {line_number}"
        try:
            binding = canonical.decode_as(line, Binding)
        except canonical.NotCanonicalError as error:
            found.torn.append((place, f"is no binding ({error}); a crash can tear a line"))
            continue
        why = _refusal(binding, record, sums_sha256, found, chain)
        if why is not None:
            found.problems.append((place, *why))
            return found
        found.given.append(binding)
        found.last_sha256 = hashlib.sha256(line).hexdigest()
    return found


def _refusal(binding: Binding, record: str, sums_sha256: str, found: Bindings, chain: Sequence[x509.Certificate]) -> tuple[str, str] | None:
    if binding.v != BINDING_VERSION:
        return "binding_unknown", f"is a binding of format {binding.v}; known is {BINDING_VERSION}"
    if (binding.record, binding.sums_sha256) != (record, sums_sha256):
        return "binding_foreign", "is a binding of another record, or of another seal"
    if (binding.number, binding.previous_sha256) != (len(found.given) + 1, found.last_sha256):
        return "binding_missing", f"says that it is binding {binding.number} and does not follow the one before it: one was taken away"
    key = chain[0].public_key() if chain else None
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return "binding_forged", "cannot be checked: the device's certificate is not there"
        key.verify(base64.b64decode(binding.sig, validate=True), binding_text(binding), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return "binding_forged", "is not signed by the record's device"
    return None
