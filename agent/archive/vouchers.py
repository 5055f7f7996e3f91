"""Who vouches for the archive, and what was withdrawn: files that somebody replaces while the room runs, read anew whenever it counts."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509

from provisioning.revocations import load_revocations, out_of_date
from provisioning.room import RoomConfig
from recorder.record.trust import Authorities, TrustError, load_certificates


@dataclass(frozen=True, slots=True)
class Vouchers:
    """The file of authorities, and that of their revocation lists where there is one."""

    roots: Path
    revocations: Path | None = None

    @classmethod
    def of(cls, room: RoomConfig) -> Self:
        """Those that room.toml names.

        Raises:
            TrustError: nobody is named.
        """
        roots = (room.centre.receipt_roots if room.centre is not None else "") or room.centre_roots
        if not roots:
            raise TrustError("nobody is named who vouches for the archive: set centre_roots in room.toml")
        return cls(Path(roots), revocations_of(room))

    def read(self, now: dt.datetime) -> tuple[Authorities, str]:
        """The authorities as the files are now, and why no record may be deleted on their word; empty where one may.

        Lists that are out of date still withdraw what they name.

        Raises:
            TrustError: the authorities are damaged.
            OSError: they cannot be read.
        """
        roots = load_certificates(self.roots)
        if self.revocations is None:
            return Authorities(roots), ""
        try:
            lists = load_revocations(self.revocations)
        except OSError as error:
            return Authorities(roots), f"{self.revocations} cannot be read: {error.strerror or error}"
        except TrustError as error:
            return Authorities(roots), str(error)
        return Authorities(roots, lists), out_of_date(lists, now)


def revocations_of(room: RoomConfig) -> Path | None:
    """The file of revocation lists that room.toml names."""
    path = (room.centre.revocations if room.centre is not None else "") or room.centre_revocations
    return Path(path) if path else None


def is_listed_by(authorities: Authorities, leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> bool:
    """Whether one of the revocation lists is of who issued ``leaf``: another's list says nothing of it."""
    issuers = [other for other in (*others, *authorities.roots) if other.subject == leaf.issuer]
    return any(_is_signed_by(listed, issuer) for listed in authorities.revocation_lists for issuer in issuers)


def _is_signed_by(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return listed.issuer == issuer.subject and listed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
