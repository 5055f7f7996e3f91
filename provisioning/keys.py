"""Keys and certificates for a demonstration, tests or a first installation: one small hierarchy, made whole.

``root`` signs ``issuing`` (which signs the room's ``device``), the centre's receipt signer, a ``tsa`` and the recipient ``court``.
Signing keys are P-256: Ed25519 in CMS fails in OpenSSL 3.0. The device's certificate carries digitalSignature, emailProtection (wanted by
``openssl cms -verify`` and C2PA) and documentSigning (RFC 9336), and names its room as ``urn:courtroom:room:<id>``. The recipient is
RSA-3072, because CMS key transport (RFC 5652, section 6.2.1) wraps media keys to it. A court with its own authority replaces all of these.
"""

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from recorder.record.layout import is_id

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

ROOM_URN = "urn:courtroom:room:"
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
"""id-kp-documentSigning, RFC 9336."""

AUTHORITY_DAYS = 3650
LEAF_DAYS = 730
CLOSED_DIRECTORY = Path("/etc/courtroom/keys")
"""Which no unit but the recorder's can look into (InaccessiblePaths= in systemd/)."""
BACKDATED = dt.timedelta(hours=1)
"""A room whose clock is a little behind must not find its own certificate not yet valid."""

_TSA_CONFIG = """\
# An RFC 3161 authority by openssl alone: openssl ts -reply -config tsa.cnf -queryfile request.tsq -out answer.tsr
# One certificate in the answer: readers of RFC 3161 reject sets that are not in DER order.
[tsa]
default_tsa = courtroom
[courtroom]
serial = {directory}/tsa.serial
signer_cert = {directory}/tsa.pem
signer_key = {directory}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class KeysError(Exception):
    """The keys cannot be made or stored; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and its certificate."""

    key: PrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS #8 PEM, not encrypted: the file's mode protects it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )  # fmt: skip

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """All identities of one installation."""

    room: str
    root: Identity
    issuing: Identity
    device: Identity
    centre: Identity
    court: Identity
    tsa: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """Where ``write`` put everything; ``chain`` is the device's certificate followed by ``issuing``."""

    root: Path
    public_root: Path
    """The same certificate where every process of the room can read it."""
    root_key: Path
    issuing_key: Path
    device_key: Path
    chain: Path
    centre_key: Path
    centre: Path
    court_key: Path
    court: Path
    tsa_key: Path
    tsa: Path
    tsa_config: Path


def build(room: str, now: dt.datetime, *, days: int = LEAF_DAYS) -> Hierarchy:
    """Make all keys and certificates of a room, in memory.

    Args:
        room: the room's id, as in ``room.toml``.
        now: the beginning of validity (aware).
        days: validity of the leaf certificates; the authorities have ten years.

    Raises:
        KeysError: ``room`` is not an id.
    """
    if not is_id(room):
        raise KeysError(f"'{room}' cannot name a room: at most 48 of a-z, 0-9, dot and dash, beginning and ending with a letter or digit")
    root_key = _p256()
    root = Identity(root_key, _authority(root_key, f"Courtroom root ({room})", None, now, path_length=1))
    issuing_key = _p256()
    issuing = Identity(issuing_key, _authority(issuing_key, f"Courtroom devices ({room})", root, now, path_length=0))
    signing = [ExtendedKeyUsageOID.EMAIL_PROTECTION, DOCUMENT_SIGNING]
    uri = [x509.UniformResourceIdentifier(ROOM_URN + room)]
    device = _leaf(_p256(), room, issuing, now, days, usage=signing, names=uri)
    centre = _leaf(_p256(), "Centre receipts", root, now, days, usage=signing)
    court = _leaf(rsa.generate_private_key(65537, 3072), "Court archive", root, now, days, usage=[], encipher=True)
    tsa = _leaf(_p256(), "Timestamps", root, now, days, usage=[ExtendedKeyUsageOID.TIME_STAMPING])
    return Hierarchy(room=room, root=root, issuing=issuing, device=device, centre=centre, court=court, tsa=tsa)


def write(hierarchy: Hierarchy, directory: Path, closed: Path = CLOSED_DIRECTORY) -> KeyFiles:
    """Store a hierarchy; private keys with mode 0600. Nothing that exists is overwritten: it may be the only key of stored records.

    Where ``directory`` is ``closed``, which the recorder alone can look into, the root's certificate is laid beside it too, as
    ``roots.pem``: the delivery believes acknowledgements by it.

    Raises:
        KeysError: the directory already holds a file of these names, or cannot be written.
    """
    at = directory.resolve()
    files = KeyFiles(
        root=at / "root.pem",
        public_root=at.parent / "roots.pem" if at == closed.resolve() else at / "root.pem",
        root_key=at / "root.key",
        issuing_key=at / "issuing.key",
        device_key=at / "device.key",
        chain=at / "device-chain.pem",
        centre_key=at / "centre.key",
        centre=at / "centre.pem",
        court_key=at / "court.key",
        court=at / "court.pem",
        tsa_key=at / "tsa.key",
        tsa=at / "tsa.pem",
        tsa_config=at / "tsa.cnf",
    )
    contents: list[tuple[Path, bytes, int]] = [
        (files.root_key, hierarchy.root.key_pem, 0o600),
        (files.issuing_key, hierarchy.issuing.key_pem, 0o600),
        (files.device_key, hierarchy.device.key_pem, 0o600),
        (files.centre_key, hierarchy.centre.key_pem, 0o600),
        (files.court_key, hierarchy.court.key_pem, 0o600),
        (files.tsa_key, hierarchy.tsa.key_pem, 0o600),
        (files.root, hierarchy.root.pem, 0o644),
        (files.chain, hierarchy.device.pem + hierarchy.issuing.pem, 0o644),
        (files.centre, hierarchy.centre.pem, 0o644),
        (files.court, hierarchy.court.pem, 0o644),
        (files.tsa, hierarchy.tsa.pem, 0o644),
        (files.tsa_config, _TSA_CONFIG.format(directory=at).encode(), 0o644),
        (at / "tsa.serial", b"01\n", 0o644),
    ]
    if files.public_root != files.root:
        contents.append((files.public_root, hierarchy.root.pem, 0o644))
    try:
        at.mkdir(parents=True, exist_ok=True)
        existing = [path.name if path.parent == at else str(path) for path, _, _ in contents if os.path.lexists(path)]
        if existing:
            raise KeysError(f"{at} already holds {', '.join(existing)}; choose another directory: keys are never overwritten")
        for path, data, mode in contents:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
    except OSError as error:
        raise KeysError(f"cannot write keys to {at}: {error.strerror}") from error
    return files


def make(directory: Path, room: str) -> KeyFiles:
    """Make a room's keys now and store them in ``directory``.

    Raises:
        KeysError: as ``build`` and ``write``.
    """
    return write(build(room, dt.datetime.now(dt.UTC)), directory)


def stanzas(files: KeyFiles) -> str:
    """The lines of ``room.toml`` that use these files."""
    return (
        f'centre_roots = "{files.public_root}"\n\n'
        f'[signing]\nkind = "file"\nkey = "{files.device_key}"\nchain = "{files.chain}"\n\n'
        f'[[recipient]]\nname = "Court archive"\ncertificate = "{files.court}"\n'
    )


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, sign: bool = False, encipher: bool = False, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign, content_commitment=False, key_encipherment=encipher, data_encipherment=False, key_agreement=False,
        key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _begin(key: PrivateKey, common_name: str, issuer: Identity | None, now: dt.datetime, days: int) -> x509.CertificateBuilder:
    public = key.public_key()
    issuer_public = issuer.key.public_key() if issuer else public
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else _name(common_name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )


def _authority(key: PrivateKey, name: str, issuer: Identity | None, now: dt.datetime, *, path_length: int) -> x509.Certificate:
    builder = _begin(key, name, issuer, now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def _leaf(
    key: PrivateKey, name: str, issuer: Identity, now: dt.datetime, days: int, *,
    usage: list[ObjectIdentifier], names: list[x509.UniformResourceIdentifier] | None = None, encipher: bool = False,
) -> Identity:  # fmt: skip
    builder = _begin(key, name, issuer, now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(sign=not encipher, encipher=encipher), critical=True)
    if usage:
        # RFC 3161, section 2.3: a timestamp authority's purpose is alone and critical.
        alone = usage == [ExtendedKeyUsageOID.TIME_STAMPING]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=alone)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Identity(key, builder.sign(issuer.key, hashes.SHA256()))
