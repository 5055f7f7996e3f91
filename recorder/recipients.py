"""Who may open media keys, by room.toml: their certificates, read once at the start.

One that cannot be used costs the room its reader, not its record: with another one left it records, and says so (``recipient_unread``).
With none left it does not start, for what it wrote then nobody could read, or everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from provisioning.room import RecipientCertificate
from recorder.media_keys import RecipientKey, new_key, wrap
from recorder.record.file_check import read_given

MIN_RSA_BITS = 2048
REMEDY = "put a PEM certificate of an RSA key there, and look with `courtroom check-config`"


class RecipientError(Exception):
    """Nobody whom room.toml names could read what would be recorded; the message says why of each."""


@dataclass(slots=True)
class Recipients:
    """Those whose certificates can be used, and of each other one why not, in words."""

    keys: list[RecipientKey] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def load_recipients(named: Sequence[RecipientCertificate]) -> Recipients:
    """Read the recipients' certificates.

    Raises:
        RecipientError: some are named, and none can be used.
    """
    found = Recipients()
    for recipient in named:
        try:
            found.keys.append(_key(recipient))
        except OSError as error:
            why = error.strerror or str(error)
            found.unread.append(f"[[recipient]] '{recipient.name}': {recipient.certificate} cannot be read: {why}; {REMEDY}")
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            found.unread.append(f"[[recipient]] '{recipient.name}': {recipient.certificate} {error}; {REMEDY}")
    if found.unread and not found.keys:
        raise RecipientError("\n".join(found.unread))
    return found


def _key(recipient: RecipientCertificate) -> RecipientKey:
    data = read_given(Path(recipient.certificate))
    try:
        certificate = x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise ValueError(f"holds no PEM certificate: {error}") from error
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise ValueError("is not of an RSA key, which media keys are wrapped to")  # noqa: TRY004 - of the file, not of an argument
    if public.key_size < MIN_RSA_BITS:
        raise ValueError(f"is of {public.key_size} bits, and {MIN_RSA_BITS} are the fewest")
    key = RecipientKey(name=recipient.name, certificate=certificate, levels=frozenset(recipient.levels))
    if key.levels:  # to try it now is better than to find out when a hearing begins
        wrap(new_key("", "", 0), [key], next(iter(key.levels)))
    return key
