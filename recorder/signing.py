"""The device's signing key: a file, a systemd credential, or a token that never gives it out (PKCS#11)."""

import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from provisioning.room import CredentialKey, FileKey, Signing, TokenKey
from recorder.record.trust import MOST_IN_CHAIN

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

ECDSA = ec.ECDSA(hashes.SHA256())


class SigningError(Exception):
    """The key or its certificates cannot be used; the message says what to do."""


class Signer(Protocol):
    """Signs for the device."""

    chain: list[x509.Certificate]
    """The device's certificate, then those that issued it."""
    private_key: ec.EllipticCurvePrivateKey
    """The key, as far as CMS needs it; a token's key only passes the work on."""

    @property
    def key_id(self) -> str:
        """SHA-256 (hex) of the device's DER certificate."""
        ...

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 with SHA-256, DER."""
        ...


class KeySigner:
    """A signer around any P-256 key object."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey, chain: list[x509.Certificate]) -> None:
        self.private_key = private_key
        self.chain = chain
        self._key_id = chain[0].fingerprint(hashes.SHA256()).hex()

    @property
    def key_id(self) -> str:
        """SHA-256 (hex) of the device's DER certificate."""
        return self._key_id

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 with SHA-256, DER."""
        return self.private_key.sign(data, ECDSA)


def open_signer(signing: Signing) -> Signer:
    """Open the key that room.toml's ``[signing]`` names.

    Raises:
        SigningError: it is missing, readable by others, of another kind, or does not belong to the certificate.
    """
    if isinstance(signing, FileKey):
        return _from_files(Path(signing.key), Path(signing.chain))
    if isinstance(signing, CredentialKey):
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise SigningError("[signing] kind 'credential' needs systemd's $CREDENTIALS_DIRECTORY; run it as the unit, or use kind 'file'")
        return _from_files(Path(directory) / signing.key, Path(directory) / signing.chain, kept_by_systemd=True)
    return _from_token(signing)


def load_chain(path: Path) -> list[x509.Certificate]:
    """Read a PEM chain, the device's certificate first.

    Raises:
        SigningError: no such file, no certificate in it, or more than a verifier takes.
    """
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SigningError(f"cannot read the certificate chain {path}: {error.strerror}") from error
    except ValueError as error:
        raise SigningError(f"{path} holds no PEM certificate: {error}") from error
    if len(chain) > MOST_IN_CHAIN:
        raise SigningError(f"{path} holds {len(chain)} certificates; leave the device's and those that issued it, at most {MOST_IN_CHAIN}")
    return chain


def _from_files(key: Path, chain: Path, *, kept_by_systemd: bool = False) -> KeySigner:
    """Open a key with its chain; one kept by systemd lies in the unit's own directory, whatever its mode shows."""
    try:
        mode = key.stat().st_mode
        data = key.read_bytes()
    except OSError as error:
        raise SigningError(f"cannot read the signing key {key}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and not kept_by_systemd:
        raise SigningError(f"the signing key {key} can be read by others; `chmod 600 {key}`")
    try:
        private = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{key} holds no unencrypted PEM key: {error}") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise SigningError(f"the signing key {key} must be P-256; make one with `courtroom keys make`")
    certificates = load_chain(chain)
    _insist_on_match(private.public_key(), certificates[0].public_key(), f"{key} is not the key of the first certificate in {chain}")
    return KeySigner(private, certificates)


def _insist_on_match(one: "PublicKeyTypes", other: "PublicKeyTypes", message: str) -> None:
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if one.public_bytes(*spki) != other.public_bytes(*spki):
        raise SigningError(message)


class TokenPrivateKey(ec.EllipticCurvePrivateKey):
    """A P-256 key inside a token: signs there, and can do nothing else."""

    def __init__(self, handle: Any, public: ec.EllipticCurvePublicKey) -> None:  # noqa: ANN401 - python-pkcs11 has no types
        self._handle = handle
        self._public = public
        self._one_at_a_time = threading.Lock()  # a token's session takes one operation at a time

    def sign(self, data: "bytes | bytearray | memoryview[int]", signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign; the digest is computed here and only it goes to the token (CKM_ECDSA, PKCS#11 v2.40, 2.3.6)."""
        from pkcs11 import Mechanism  # noqa: PLC0415 - an optional dependency

        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed):
            digest = bytes(data)
        else:
            hasher = hashes.Hash(algorithm)
            hasher.update(data)
            digest = hasher.finalize()
        with self._one_at_a_time:
            raw: bytes = self._handle.sign(digest, mechanism=Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """256."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The certificate's key."""
        return self._public

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:  # noqa: ARG002 - the interface
        """Not with this key."""
        raise SigningError("the device's key only signs")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Not from a token."""
        raise SigningError("the device's key never leaves its token")

    def private_bytes(
        self,
        encoding: serialization.Encoding,  # noqa: ARG002 - the interface
        format: serialization.PrivateFormat,  # noqa: A002, ARG002 - the interface
        encryption_algorithm: serialization.KeySerializationEncryption,  # noqa: ARG002 - the interface
    ) -> bytes:
        """Not from a token."""
        raise SigningError("the device's key never leaves its token")

    def __copy__(self) -> "TokenPrivateKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenPrivateKey":
        return self


def _from_token(signing: TokenKey) -> KeySigner:
    try:
        import pkcs11  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise SigningError("[signing] kind 'pkcs11' needs the extra: pip install 'courtroom-agent[token]'") from error
    certificates = load_chain(Path(signing.chain))
    public = certificates[0].public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise SigningError(f"the device's certificate in {signing.chain} must hold a P-256 key")
    try:
        pin = Path(signing.pin_file).read_text(encoding="utf-8-sig").strip()  # with or without the mark of Windows
        token = pkcs11.lib(signing.module).get_token(token_label=signing.token)
        handle = token.open(user_pin=pin).get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=signing.label)
    except OSError as error:
        raise SigningError(f"cannot read the PIN file {signing.pin_file}: {error.strerror}") from error
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        why = str(error) or type(error).__name__
        raise SigningError(f"cannot use key '{signing.label}' on token '{signing.token}' by {signing.module}: {why}") from error
    signer = KeySigner(TokenPrivateKey(handle, public), certificates)
    probe = b"courtroom key check"
    try:
        public.verify(signer.sign(probe), probe, ECDSA)
    except Exception as error:
        raise SigningError(f"key '{signing.label}' on the token does not belong to the certificate in {signing.chain}") from error
    return signer
