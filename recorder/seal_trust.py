"""Whether a seal counts on this room's disks: whoever had one of them can lay files there that are named as those of a seal."""

import datetime as dt
import errno
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.room import RoomConfig
from recorder.centre_trust import authorities_of
from recorder.record import layout
from recorder.record.cms import CmsError, CmsSigner, check_detached
from recorder.record.file_check import LIST_BYTES, read_small
from recorder.record.trust import Authorities, TrustError, load_certificates, name, rooms

log = structlog.get_logger()

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Manifest(msgspec.Struct, frozen=True):
    record: str


@dataclass(frozen=True, slots=True)
class SealTrust:
    """Whose seals count: this device's, and those of devices of this room for which its authorities vouch.

    ``chain`` is the device's certificate, then those that issued it; ``roots`` are the room's authorities. ``archive`` vouches for who
    acknowledges records; None: nobody is named, or they cannot be read.
    """

    chain: Sequence[x509.Certificate]
    roots: Sequence[x509.Certificate] = ()
    archive: Authorities | None = None

    @property
    def key(self) -> ec.EllipticCurvePublicKey | None:
        """The device's key, by which checkpoints are checked."""
        key = self.chain[0].public_key()
        return key if isinstance(key, ec.EllipticCurvePublicKey) else None

    def is_sealed(self, record: Path) -> bool:
        """Whether a record has a seal that counts.

        Raises:
            OSError: the disk failed.
        """
        return (record / layout.SUMS_SIGNATURE).exists() and not self.refusal(record)

    def knows(self, chain: Sequence[x509.Certificate]) -> bool:
        """Whether a device (the first certificate) is this one, or one of this room for which its authorities vouch."""
        return not self._signer_refusal(CmsSigner(chain[0], list(chain)))

    def is_false(self, record: Path) -> bool:
        """Whether there stands what calls itself a seal, and is none.

        Raises:
            OSError: the disk failed.
        """
        return (record / layout.SUMS_SIGNATURE).exists() and bool(self.refusal(record))

    def refusal(self, record: Path) -> str:
        """Why the seal of a record is none, in words; empty where it counts. That the files are as it lists them is not looked at.

        Raises:
            OSError: the disk failed.
        """
        try:
            sums = read_small(record / layout.SUMS, LIST_BYTES)
            signed = check_detached(read_small(record / layout.SUMS_SIGNATURE), sums)
            manifest = read_small(record / layout.MANIFEST, LIST_BYTES)
            # The list names no record, but it lists the manifest, which does: else the seal of another record would do.
            # Whoever starts the room waits, and a disk may hold hundreds of records: nothing is parsed that need not be.
            if b"\n%b  %b\n" % (hashlib.sha256(manifest).hexdigest().encode(), layout.MANIFEST.encode()) not in b"\n" + sums:
                return f"{layout.MANIFEST} is not the one that the seal lists"
            named = msgspec.json.decode(manifest, type=_Manifest).record
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            return f"{error.filename or record}: {error.strerror or error}"
        except (CmsError, msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"the signature over {layout.SUMS} does not hold: {error}"
        if record.name.rpartition("_")[2] != named:
            return f"it is the seal of the record {named}"
        return self._signer_refusal(signed)

    def _signer_refusal(self, signed: CmsSigner) -> str:
        signer, own = signed.certificate, self.chain[0]
        if _key(signer) == _key(own):
            return ""  # by whatever certificate: it may have been renewed since
        if rooms(signer) != rooms(own):
            return f"it is signed by {name(signer)}, which is no device of this room"
        others = [certificate for certificate in (*signed.certificates, *self.chain[1:]) if certificate != signer]
        authorities = Authorities([*self.roots, *self.chain[1:]])
        # It may have expired since, and whoever issued it may have a newer certificate: that all held at one time is enough.
        refusals = [authorities.refusal(signer, others, _us(one.not_valid_before_utc)) for one in (signer, *others, *self.roots)]
        return "" if None in refusals else str(refusals[0])


def trust_of(config: RoomConfig, chain: Sequence[x509.Certificate]) -> SealTrust:
    """Whose seals count by room.toml; where its authorities cannot be read, the device's own and those of its issuer."""
    archive = authorities_of(config)
    if not config.centre_roots:
        return SealTrust(chain, archive=archive)
    try:
        return SealTrust(chain, load_certificates(Path(config.centre_roots)), archive)
    except (OSError, TrustError) as error:
        log.warning("seals of earlier devices count by this device's issuer alone", file=config.centre_roots, error=str(error))
        return SealTrust(chain, archive=archive)


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _us(at: dt.datetime) -> int:
    return int((at - _EPOCH) / dt.timedelta(microseconds=1))
