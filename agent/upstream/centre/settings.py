"""The centre's directory: its configuration, keys and database; how it is made, and how it is read."""

import datetime as dt
import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.upstream.centre.authority import NAME_BYTES, ROOT_LIST_DAYS, Authority, Issuer, found
from agent.upstream.centre.flags import Limits
from agent.upstream.centre.listener import ServerFiles
from agent.upstream.centre.nats_settings import Nats, quoted
from agent.upstream.centre.source_calendar import is_private
from agent.upstream.requests import new_key
from recorder.record.trust import TrustError, load_revocation_lists, name

CONFIG = "centre.toml"


class SettingsError(Exception):
    """The directory cannot be made or used; the message names the place and the remedy."""


class _Stanza(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class S3(_Stanza):
    """``[s3]``: where records are kept; without it they lie in the centre's own directory. The secret stands in a file of its own."""

    endpoint: str
    bucket: str
    access_key: str
    secret_file: str
    lock_days: int = Field(default=365, ge=1)


class Settings(_Stanza):
    """``centre.toml``."""

    name: str = "Reference centre"
    host: str = "127.0.0.1"
    """The address to listen on: this machine's own for rooms elsewhere."""
    port: int = Field(default=8443, ge=0, le=65_535)
    names: list[str] = Field(default=["127.0.0.1", "localhost"], min_length=1)
    """Names and addresses by which rooms reach it; its certificate is for these."""
    page: str = ""
    """``127.0.0.1:PORT``: the page of all rooms, for whoever sits at this machine. Empty: by a role's certificate alone."""
    public: str = ""
    """``ADDRESS:PORT`` of the door for participants from the internet. Empty: there is none."""
    public_url: str = ""
    """Under which browsers reach that door: ``https://centre.example``. Links to look into rooms begin with it."""
    public_certificate: str = ""
    """PEM file of a certificate that browsers trust, and of its key. Without them the door is at 127.0.0.1, behind a server with TLS."""
    public_key: str = ""
    public_forwarded_for: bool = False
    """The server with TLS before the door says in ``X-Forwarded-For`` who asks; for a door on loopback alone."""
    late_after_s: int = Field(default=300, ge=0)
    silent_after_s: int = Field(default=60, ge=20)
    custodian: str = ""
    """A directory on another disk to which the ledger is copied at once."""
    source: Literal["api", "file", "ical"] = "api"
    source_at: str = ""
    """The file, or the calendar's address, that a source of another kind than ``api`` reads."""
    source_ca: str = ""
    """Whom to trust for the calendar's address; empty: whom the system trusts."""
    s3: S3 | None = None
    nats: Nats | None = None

    @property
    def takes_records(self) -> bool:
        """Whether this process is the one that takes records into the archive."""
        return self.nats is None or self.nats.keeps_uploads

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.source != "api" and not self.source_at:
            raise ValueError(f'source = "{self.source}" needs source_at: the file, or the calendar\'s address')
        if self.source == "file" and "://" in self.source_at:
            raise ValueError('source_at must be a path where source is "file"')
        if self.source == "ical" and not is_private(self.source_at):
            raise ValueError("source_at must be https: anybody on the way could plan and cancel hearings")
        return self

    @property
    def limits(self) -> Limits:
        """From when on something is wrong in a room."""
        return Limits(late_after_us=self.late_after_s * 1_000_000, silent_after_us=self.silent_after_s * 1_000_000)


def new_settings(**values: object) -> Settings:
    """Settings for a new centre.

    Raises:
        SettingsError: every mistake, with its place.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_mistakes("this cannot be the configuration of a centre", error)) from None


class CentreHome:
    """The directory of one centre."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def database(self) -> Path:
        """Everything that it keeps."""
        return self.root / "centre.sqlite"

    @property
    def socket(self) -> Path:
        """Where `courtroom centre` speaks to the one that runs."""
        return self.root / "admin.sock"

    @property
    def roots(self) -> Path:
        """Whom rooms and verifiers trust."""
        return self.root / "root.pem"

    @property
    def server(self) -> ServerFiles:
        """The listener's files."""
        return ServerFiles(key=self.root / "server.key", certificate=self.root / "server.pem", roots=self.roots)

    def make(self, settings: Settings, now: dt.datetime) -> None:
        """Make the directory with keys and configuration; nothing that is there is overwritten.

        Raises:
            SettingsError: there is a centre already, or it cannot be written.
        """
        if (self.root / CONFIG).exists() or self.roots.exists():
            raise SettingsError(f"{self.root} holds a centre already: its keys are never overwritten; name another directory")
        server, notary = new_key(), new_key()
        try:
            root, issuing = found(settings.name, now)
            authority = Authority(issuing, root.certificate)
            certificates = {
                "root.pem": root.pem.decode(),
                "issuing.pem": issuing.pem.decode(),
                "server.pem": _pem(authority.server(server.public_key(), settings.names, now)) + authority.chain_pem + authority.root_pem,
                # By the root itself: a receipt carries its signer's certificate alone.
                "notary.pem": _pem(Authority(root, root.certificate).notary(notary.public_key(), settings.name, now)),
            }
        except ValueError as error:
            most = NAME_BYTES - len(" issuing")
            raise SettingsError(
                f"no certificate can be made for '{settings.name}', reached by {', '.join(settings.names)}: {error}. "
                f"A centre's name has at most {most} bytes in UTF-8, and rooms reach it by ASCII names or addresses"
            ) from None
        keys = {"root.key": root.key, "issuing.key": issuing.key, "server.key": server, "notary.key": notary}
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, key in keys.items():
                _put(self.root / name, Issuer(key, root.certificate).key_pem, 0o600)
            for name, text in certificates.items():
                _put(self.root / name, text.encode(), 0o644)
            self.root_list(now)
            # A calendar's address may hold what lets one read it.
            _put(self.root / CONFIG, _toml(settings).encode(), 0o600)
        except OSError as error:
            raise SettingsError(f"cannot write {self.root}: {error.strerror}") from error

    def root_list(self, now: dt.datetime, key: Path | None = None) -> str:
        """The root's list of what was revoked, PEM: a new one where its key is at hand, else the one that was made last.

        Who signs acknowledgements and receipts, and the issuing authority, are of the root itself. What the last list revokes, so does the
        new one.

        Args:
            now: the time.
            key: where the root's key is, if not in this directory.

        Raises:
            SettingsError: neither is there.
        """
        path = self.root / "root-revoked.pem"
        try:
            last = load_revocation_lists(path)[0] if path.exists() else None
        except (OSError, TrustError) as error:
            raise SettingsError(f"{path} cannot be used: {error}") from error
        if key is None and not (self.root / "root.key").exists():
            if last is None or last.next_update_utc is None or last.next_update_utc <= now:
                raise SettingsError(
                    f"there is no list of the root's that is in force: give its key by --root-key once, for the next {ROOT_LIST_DAYS} days"
                )
            return last.public_bytes(serialization.Encoding.PEM).decode()
        root = self._root(key)
        revoked = [(each.serial_number, each.revocation_date_utc) for each in last or ()]
        made = Authority(root, root.certificate).revocation_list(revoked, now, ROOT_LIST_DAYS)
        pem = made.public_bytes(serialization.Encoding.PEM)
        _replace(path, pem)
        return pem.decode()

    def renew(self, what: Literal["server", "notary"], now: dt.datetime, root_key: Path | None = None) -> dt.datetime:
        """Make the certificate of the listener, or of what signs receipts and acknowledgements, anew for its key; returns its end.

        Raises:
            SettingsError: a file is missing, or it cannot be written.
        """
        key = _key(self.root / f"{what}.key").public_key()
        try:
            if what == "server":
                authority = self.authority()
                made = authority.server(key, self.settings().names, now)
                chain = authority.chain_pem + authority.root_pem
            else:
                root, before = self._root(root_key), self.identity_certificate("notary")
                # Receipts that were given before must stand by it too: a front may sign them anew.
                made = Authority(root, root.certificate).notary(key, name(before), now, before.not_valid_before_utc)
                chain = ""
        except ValueError as error:
            raise SettingsError(f"no certificate can be made: {error}") from None
        _replace(self.root / f"{what}.pem", (_pem(made) + chain).encode())
        return made.not_valid_after_utc

    def _root(self, key: Path | None) -> Issuer:
        place = key or self.root / "root.key"
        if key is None and not place.exists():
            raise SettingsError(f"{place} is kept elsewhere: say where by --root-key")
        root = Issuer(_key(place), self.identity_certificate("root"))
        if root.key.public_key() != root.certificate.public_key():
            raise SettingsError(f"{place} is not the key of {self.roots}")
        return root

    def settings(self) -> Settings:
        """Read the configuration.

        Raises:
            SettingsError: every mistake, with its place.
        """
        path = self.root / CONFIG
        try:
            return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise SettingsError(f"{path} is not there: make a centre by `courtroom centre init {self.root}`") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from error
        except ValidationError as error:
            raise SettingsError(_mistakes(str(path), error)) from None

    def authority(self) -> Authority:
        """The issuing authority.

        Raises:
            SettingsError: a file is missing or of another kind.
        """
        return Authority(self.identity("issuing"), self.identity_certificate("root"))

    def identity(self, name: str) -> Issuer:
        """One of the centre's keys with its certificate.

        Raises:
            SettingsError: a file is missing or of another kind.
        """
        return Issuer(_key(self.root / f"{name}.key"), self.identity_certificate(name))

    def identity_certificate(self, name: str) -> x509.Certificate:
        """The certificate of one of them.

        Raises:
            SettingsError: the file is missing or of another kind.
        """
        path = self.root / f"{name}.pem"
        try:
            return x509.load_pem_x509_certificates(path.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} cannot be used: {error}") from error


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError(f"{path} cannot be used: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SettingsError(f"{path} holds another kind of key than P-256")
    return key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _put(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _mistakes(what: str, error: ValidationError) -> str:
    return "\n".join(f"{what}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def _replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    try:
        new.unlink(missing_ok=True)
        _put(new, data, 0o644)
        new.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from error


def _toml(settings: Settings) -> str:
    names = ", ".join(map(quoted, settings.names))
    return (
        "# The centre's configuration; `courtroom centre run` reads it at its start.\n"
        f"name = {quoted(settings.name)}\n"
        "# The address to listen on. 127.0.0.1 is for trying it out: give this machine's own, for rooms elsewhere.\n"
        f"host = {quoted(settings.host)}\nport = {settings.port}\n"
        "# By these names and addresses rooms reach it. Its certificate was made for these.\n"
        f"names = [{names}]\n"
        '# The page of all rooms for whoever sits at this machine: "127.0.0.1:8080". Empty: for holders of a role\'s certificate alone.\n'
        f"page = {quoted(settings.page)}\n"
        '# The door for participants of videoconferences, "ADDRESS:PORT", with a certificate that browsers trust. Empty: there is none.\n'
        f"public = {quoted(settings.public)}\n"
        '# Under which browsers reach that door, "https://centre.example": links to look into rooms begin with it.\n'
        f"public_url = {quoted(settings.public_url)}\n"
        f"public_certificate = {quoted(settings.public_certificate)}\npublic_key = {quoted(settings.public_key)}\n"
        "# Whether a server before the door, which then stands on 127.0.0.1, writes who asks at the end of X-Forwarded-For.\n"
        f"public_forwarded_for = {str(settings.public_forwarded_for).lower()}\n"
        "# So long after its planned start a hearing is late; so long after its last heartbeat a room is silent.\n"
        f"late_after_s = {settings.late_after_s}\nsilent_after_s = {settings.silent_after_s}\n"
        "# A directory on another disk (another person's, best of all), to which the ledger of receipts is copied at once.\n"
        f"custodian = {quoted(settings.custodian)}\n"
        "# Where hearings come from: what the case system puts (api), and besides it a file or a calendar (ical): docs/integration.md.\n"
        f"source = {quoted(settings.source)}\nsource_at = {quoted(settings.source_at)}\nsource_ca = {quoted(settings.source_ca)}\n"
    ) + ("" if settings.nats is None else settings.nats.toml())
