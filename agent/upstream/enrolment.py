"""A room's half of enrolment: keys made here that never leave the PC, certificates got for a token, and the transport's renewed in time.

The token carries the hash of the centre's root: the secret is sent only to a server that a root of this hash vouches for. A first
connection that asks for nothing fetches the chain; what it says is believed only when it hashes to that.
"""

import asyncio
import contextlib
import datetime as dt
import grp
import os
import shlex
import ssl
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.upstream import transfer
from agent.upstream.client import Credentials, UpstreamClient, whole
from agent.upstream.requests import RequestError, new_key, read_token, request
from recorder.record.trust import TrustError, parse_chain, rooms

RENEW_AT = 2 / 3
"""Of a certificate's life (a third is left for a centre that is away)."""
REQUEST_S = 20.0
_ROOM_BYTES = 64 * 1024
"""More than all keys and certificates take."""
CENTRE_GROUP = "courtroom-centre"
"""Of the agent and of the delivery, which both speak to the centre (systemd/courtroom.sysusers.conf)."""

CENTRE_DIRECTORY = Path("/var/lib/courtroom-centre")
"""Of that group, and the only place where the agent's unit lets a renewed certificate be written (systemd/courtroom.tmpfiles.conf)."""
RECORDER_USER = "courtroom-recorder"
SIGNING_DIRECTORY = Path("/etc/courtroom/keys")
"""The recorder's alone: the other units do not see it."""


class EnrolmentError(Exception):
    """The room is not enrolled; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RoomFiles:
    """Where a room's keys and certificates lie."""

    transport_key: Path
    transport: Path
    signing_key: Path
    chain: Path
    roots: Path

    @classmethod
    def under(cls, directory: Path) -> "RoomFiles":
        """Their usual names."""
        at = directory.resolve()
        return cls(at / "transport.key", at / "transport.pem", at / "device.key", at / "device-chain.pem", at / "roots.pem")

    def try_writing(self, user: str = "courtroom-agent") -> None:
        """Find out whether there is a place for all, before a token is used up for it; nothing stays of that.

        Raises:
            EnrolmentError: there is none.
        """
        place = self.transport.parent
        made = [each for each in (place, *place.parents) if not each.exists()]
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(bytes(_ROOM_BYTES))
                file.flush()
                os.fsync(file.fileno())
            for each in made:
                each.rmdir()
        except OSError as error:
            raise EnrolmentError(
                f"cannot write in {place}: {error.strerror or error}; the token was not used. Where the room is installed: "
                f"runuser -u {user} -- courtroom enrol …; elsewhere name a directory by --to"
            ) from error

    def store(
        self,
        root: x509.Certificate,
        certificates: transfer.Certificates,
        transport_key: ec.EllipticCurvePrivateKey,
        signing_key: ec.EllipticCurvePrivateKey,
    ) -> None:
        """Write all; the transport key, without which nothing is used, last.

        Raises:
            OSError: the disk takes nothing.
        """
        self.roots.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _store(self.roots, _pem(root), 0o644)
        _store(self.chain, certificates.signing.encode(), 0o644)
        _store(self.signing_key, _key_pem(signing_key), 0o600)
        _store(self.transport, certificates.transport.encode(), 0o644)
        _store(self.transport_key, _key_pem(transport_key), 0o640 if self.shared else 0o600)

    @property
    def shared(self) -> bool:
        """Whether what is made there belongs to the group of agent and delivery: both are to read the transport key."""
        there = self.transport_key.parent.stat()
        try:
            group = grp.getgrgid(there.st_gid).gr_name
        except KeyError:
            return False
        return bool(there.st_mode & stat.S_ISGID) and group == CENTRE_GROUP

    def recorders(self, directory: Path) -> "RoomFiles":
        """The same with the signing key and its chain in the recorder's own directory."""
        return replace(self, signing_key=directory / self.signing_key.name, chain=directory / self.chain.name)

    def moves(self, to: "RoomFiles") -> list[str]:
        """The commands by which root gives the signing key and its chain to the recorder: what lies there is kept (``device.key.~1~``)."""
        directory = shlex.quote(str(to.signing_key.parent))
        old = " ".join(shlex.quote(str(path)) for path in (self.signing_key, self.chain))
        new = " ".join(shlex.quote(str(path)) for path in (to.signing_key, to.chain))
        return [
            f"install -d -o {RECORDER_USER} -g {RECORDER_USER} -m 700 {directory}",
            f"mv --backup=numbered {old} {directory}",
            f"chown {RECORDER_USER}: {new}",
        ]

    @property
    def credentials(self) -> Credentials:
        """What the client needs."""
        return Credentials(key=self.transport_key, certificate=self.transport, roots=self.roots)

    def stanzas(self, url: str) -> str:
        """The lines of room.toml that use them."""
        return (
            f'centre_roots = "{self.roots}"\n\n'
            f'[signing]\nkind = "file"\nkey = "{self.signing_key}"\nchain = "{self.chain}"\n\n'
            f'[centre]\nurl = "{url}"\nkey = "{self.transport_key}"\ncertificate = "{self.transport}"\nroots = "{self.roots}"\n'
        )


async def enrol(url: str, token: str, room: str, directory: Path) -> RoomFiles:
    """Make the room's keys and get its certificates.

    Raises:
        EnrolmentError: nothing was stored; the message says why.
    """
    files = RoomFiles.under(directory)
    there = [path.name for path in (files.transport_key, files.signing_key) if path.exists()]
    if there:
        raise EnrolmentError(
            f"{directory} holds {', '.join(there)} already: keys are never overwritten; name another directory, or --transport-only where "
            f"nothing but the connection's certificate expired"
        )
    try:
        root_sha256, secret = read_token(token)
    except RequestError as error:
        raise EnrolmentError(str(error)) from None
    host, port = _host(url)
    await asyncio.to_thread(files.try_writing)
    root = await _root(url, host, port, root_sha256)
    transport_key, signing_key = new_key(), new_key()
    enrolment = transfer.Enrolment(
        room=room, secret=secret, transport_request=request(transport_key, room), signing_request=request(signing_key, room)
    )
    certificates = await _certificates(url, root, enrolment)
    _check(certificates.transport, transport_key, "transport", room)
    _check(certificates.signing, signing_key, "signing", room)
    try:
        await asyncio.to_thread(files.store, root, certificates, transport_key, signing_key)
    except OSError as error:
        raise EnrolmentError(f"cannot write {error.filename}: {error.strerror}; the token is used up: have a new one made") from error
    return files


async def enrol_transport(url: str, token: str, room: str, directory: Path, now: dt.datetime) -> x509.Certificate:
    """Get a new transport certificate for the keys that a room has: its own expired, and no centre renews for one that has.

    Raises:
        EnrolmentError: nothing was changed; the message says why.
    """
    files = RoomFiles.under(directory)
    key = _private_key(files.transport_key)
    root_sha256, secret, roots = _token_and(files.roots, token)
    root = next((one for one in roots if one.fingerprint(hashes.SHA256()).hex() == root_sha256), None)
    if root is None:
        raise EnrolmentError(f"the token is of another centre than {files.roots}: enrol into another directory, without --transport-only")
    _host(url)
    await asyncio.to_thread(files.try_writing)
    # A token is for two certificates. The other one's key is known to nobody: records go on being signed as before.
    enrolment = transfer.Enrolment(room=room, secret=secret, transport_request=request(key, room), signing_request=request(new_key(), room))
    certificates = await _certificates(url, root, enrolment)
    return await _replace(files.transport, certificates.transport, "transport", key, room, now)


async def enrol_signing(url: str, token: str, room: str, directory: Path, now: dt.datetime) -> x509.Certificate:
    """Get a new certificate for the key that signs records, before the one that is there ends.

    The key stays, so that nothing else of the room changes. To be run by the recorder's user, who alone reads it.

    Raises:
        EnrolmentError: nothing was changed; the message says why.
    """
    files = RoomFiles.under(directory)
    key = _private_key(files.signing_key)
    root_sha256, secret, chain = _token_and(files.chain, token)
    host, port = _host(url)
    await asyncio.to_thread(files.try_writing, RECORDER_USER)
    root = await _root(url, host, port, root_sha256)
    if not _is_under(chain[-1], root):
        raise EnrolmentError(f"the token is of another centre than the one that vouches for {files.chain}: ask that one, or enrol anew")
    # A token is for two certificates. The other one's key is known to nobody: the connection's stays as it is.
    enrolment = transfer.Enrolment(room=room, secret=secret, transport_request=request(new_key(), room), signing_request=request(key, room))
    certificates = await _certificates(url, root, enrolment)
    return await _replace(files.chain, certificates.signing, "signing", key, room, now)


def _token_and(path: Path, token: str) -> tuple[str, str, list[x509.Certificate]]:
    """The fingerprint of the centre's root and the secret that a token holds; and the certificates of a file."""
    try:
        return *read_token(token), parse_chain(path.read_bytes(), str(path))
    except (RequestError, TrustError) as error:
        raise EnrolmentError(str(error)) from None
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be read: {error.strerror}") from error


def _is_under(last: x509.Certificate, root: x509.Certificate) -> bool:
    """Whether a chain that ends so is one of this root."""
    try:
        last.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def renewal_due(certificate: x509.Certificate, now: dt.datetime) -> bool:
    """Whether two thirds of its life are over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begin + (end - begin) * RENEW_AT


async def renew(client: UpstreamClient, credentials: Credentials, room: str, now: dt.datetime) -> None:
    """Get a new transport certificate for the key that is there; replaced whole or not at all, and only by one that is good now.

    Raises:
        UpstreamError: the centre cannot be reached.
        RefusedError: it refuses.
        EnrolmentError: what it answered is not for this key and room, or not valid now, or cannot be stored.
    """
    key = _private_key(credentials.key)
    certificates = await client.renew(transfer.Renewal(transport_request=request(key, room)))
    await _replace(credentials.certificate, certificates.transport, "transport", key, room, now)


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        raise EnrolmentError(f"{path} is not there: this room has no keys yet, or they lie elsewhere") from None
    except (OSError, ValueError, TypeError) as error:
        raise EnrolmentError(f"{path} cannot be used: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolmentError(f"{path} holds another kind of key than P-256")
    return key


async def _replace(place: Path, pem: str, what: str, key: ec.EllipticCurvePrivateKey, room: str, now: dt.datetime) -> x509.Certificate:
    """Lay a new certificate with its chain in the place of the one that is there, if it is good now."""
    certificate = _check(pem, key, what, room)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise EnrolmentError(
            f"the centre's {what} certificate is valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC, "
            f"and this PC's clock says {now:%Y-%m-%d %H:%M}: compare both clocks"
        )
    try:
        await asyncio.to_thread(_store, place, pem.encode(), 0o644)
    except OSError as error:
        raise EnrolmentError(f"cannot write {place}: {error.strerror}") from error
    return certificate


def _host(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that are not closed, a port that there is not
        host, port = None, None
    if host is None or not host or parts.scheme != "https" or port == 0:
        raise EnrolmentError(f"{url} is no address of a centre: https://NAME:PORT")
    return host, port or 443


async def _root(url: str, host: str, port: int, sha256: str) -> x509.Certificate:
    """The root of this hash, out of the chain that the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is said on this connection, and its chain is hashed
    try:
        async with asyncio.timeout(REQUEST_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, ssl.SSLError, TimeoutError, UnicodeError) as error:
        raise EnrolmentError(f"{url} cannot be reached: {error or 'no answer'}") from error
    try:
        shown = writer.get_extra_info("ssl_object")._sslobj.get_unverified_chain() or []  # noqa: SLF001 - public from Python 3.13 on
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    for each in shown:
        certificate = x509.load_pem_x509_certificate(each.public_bytes().encode())
        if certificate.fingerprint(hashes.SHA256()).hex() == sha256:
            return certificate
    raise EnrolmentError(
        f"{url} is not the centre that gave this token: its certificates are by somebody else. Check the address and the token"
    )


async def _certificates(url: str, root: x509.Certificate, enrolment: transfer.Enrolment) -> transfer.Certificates:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=_pem(root).decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=timeout) as session,
            session.post(
                url.rstrip("/") + "/v1/enrol", data=msgspec.json.encode(enrolment), headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response,
        ):  # fmt: skip
            raw, status = await whole(response.content), response.status
    except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError) as error:
        raise EnrolmentError(f"{url} cannot be reached: {error or type(error).__name__}") from error
    try:
        if status != 200:
            problem = msgspec.json.decode(raw, type=transfer.Problem)
            raise EnrolmentError(f"the centre refuses: {problem.title} {problem.detail}".rstrip())
        return msgspec.json.decode(raw, type=transfer.Certificates)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EnrolmentError(f"{url} answered {status}, and not as a centre does") from None


def _check(pem: str, key: ec.EllipticCurvePrivateKey, what: str, room: str) -> x509.Certificate:
    try:
        certificate = parse_chain(pem.encode(), f"the centre's {what} certificate")[0]
    except TrustError as error:
        raise EnrolmentError(f"the centre's {what} certificate cannot be read: {error}") from error
    if certificate.public_key() != key.public_key():
        raise EnrolmentError(f"the centre's {what} certificate is for another key")
    if rooms(certificate) != [room]:
        raise EnrolmentError(f"the centre's {what} certificate is for {', '.join(rooms(certificate)) or 'no room'}, not for room {room}")
    return certificate


def _store(path: Path, data: bytes, mode: int) -> None:
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
