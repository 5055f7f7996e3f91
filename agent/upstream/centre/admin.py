"""What who runs the centre may ask of it while it runs: a unix socket of lines of JSON, for the centre's own user alone."""

import asyncio
import contextlib
import datetime as dt
import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.upstream import contract
from agent.upstream.centre.authority import Authority, Issuer, name_problem
from agent.upstream.centre.backend import AwayError, Backend, UnknownRoomError
from agent.upstream.centre.callers import CERTIFIED, STATION
from agent.upstream.centre.database import why_not_kept
from agent.upstream.centre.decisions import first_wrong
from agent.upstream.centre.deny_list import revocation_list
from agent.upstream.centre.flags import CONTRADICTION_US, LOOK_BACK_US, is_looked_for
from agent.upstream.centre.looking_in import look_into
from agent.upstream.centre.overview import Overview
from agent.upstream.plain_words import plain
from agent.upstream.requests import new_key, new_token

log = structlog.get_logger()

TOKEN_US = 24 * 3600 * 1_000_000
DAY_US = 86_400 * 1_000_000
AHEAD_US = 10 * 365 * DAY_US
"""No hearing is planned for later."""
LINE_BYTES = 16 * 1024 * 1024
DO_S = 60.0


class AdminError(Exception):
    """It cannot be done; the message says why and what to do."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", forbid_unknown_fields=True):
    """Base of what may be asked."""


class MakeToken(Ask, frozen=True, kw_only=True, tag="token"):
    """A token for a room."""

    room: contract.Id


class Revoke(Ask, frozen=True, kw_only=True, tag="revoke"):
    """Deny all certificates of a room or a role."""

    name: str


class Revocations(Ask, frozen=True, kw_only=True, tag="revocations"):
    """The list of what was revoked, as it is now."""


class MakeRole(Ask, frozen=True, kw_only=True, tag="role"):
    """A certificate for a role, in two files beside each other."""

    role: str
    to: str


class PutSchedule(Ask, frozen=True, kw_only=True, tag="schedule"):
    """Hearings from a file."""

    hearings: list[contract.Hearing]


class Give(Ask, frozen=True, kw_only=True, tag="command"):
    """A command for a room."""

    room: contract.Id
    command: contract.AnyCommand


class LookInto(Ask, frozen=True, kw_only=True, tag="look_in"):
    """Let a named person look into a room; the answer has the link, which nobody keeps."""

    room: contract.Id
    person: str
    reason: str
    length_s: int


class Export(Ask, frozen=True, kw_only=True, tag="ledger"):
    """The ledger behind a counter."""

    after: int = 0


class Events(Ask, frozen=True, kw_only=True, tag="events"):
    """The rooms' events behind a number."""

    after: int = 0


class Rooms(Ask, frozen=True, kw_only=True, tag="rooms"):
    """The state of all rooms."""


class Forget(Ask, frozen=True, kw_only=True, tag="forget"):
    """List a room no longer."""

    room: contract.Id


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: an error in words, or ``values``."""

    error: str = ""
    values: dict[str, Any] = {}


AnyAsk = MakeToken | Revoke | Revocations | MakeRole | PutSchedule | Give | LookInto | Export | Events | Rooms | Forget


class Admin:
    """Does what is asked."""

    def __init__(
        self, backend: Backend, authority: Authority, overview: Overview, names: list[str], port: int, public_url: str = ""
    ) -> None:
        self._backend = backend
        self._overview = overview
        self._authority = authority
        self._names = names
        self._port = port
        self._public_url = public_url

    async def do(self, ask: AnyAsk) -> Told:
        """Do it."""
        match ask:
            case MakeToken():
                if problem := name_problem(ask.room):
                    raise AdminError(problem)
                token, secret_sha256 = new_token(self._authority.root)
                await self._backend.registry.add_token(ask.room, secret_sha256, _now_us() + TOKEN_US)
                return Told(values={"token": token, "url": f"https://{self._names[0]}:{self._port}"})
            case Revoke():
                serials = await self._backend.registry.revoke(ask.name, _now_us())
                if not serials:
                    raise AdminError(
                        f"no certificate that this centre knows is in force for '{ask.name}'; one that it issued since a copy from "
                        "which it was restored is denied from now on. `courtroom centre rooms` lists the rooms"
                    )
                return Told(values={"serials": [f"{serial:x}" for serial in serials], "crl": await self._revocation_list()})
            case Revocations():
                return Told(values={"crl": await self._revocation_list()})
            case MakeRole():
                return await self._role(ask)
            case PutSchedule():
                if wrong := first_wrong(ask.hearings):
                    raise AdminError(f"hearing '{wrong[0]}': {wrong[1]}; none of the file was taken")
                taken = msgspec.to_builtins(await self._backend.plan.put(ask.hearings))
                return Told(values={**taken, "unheard": await self._unheard(ask.hearings)})
            case Give():
                return Told(values={"number": await self._give(ask.room, ask.command)})
            case LookInto():
                return await self._look_into(ask)
            case Export():
                receipts = await self._backend.ledger.after(ask.after, 10_000)
                return Told(values={"receipts": [msgspec.to_builtins(receipt) for receipt in receipts]})
            case Events():
                told = await self._backend.events.after(ask.after, 1_000)
                return Told(values={"events": [msgspec.to_builtins(event) for event in told]})
            case Rooms():
                states = [view.state for view in await self._overview.rooms(fresh=True)]
                short = await self._overview.is_archive_short()
                return Told(values={"rooms": [msgspec.to_builtins(state) for state in states], "no_room": short})
            case Forget():
                await self._forget(ask.room)
                return Told()

    async def _unheard(self, hearings: list[contract.Hearing]) -> list[str]:
        """The rooms of these hearings that never came: they are not enrolled yet, or their names are mistyped."""
        heard = {state.room for state in await self._backend.registry.rooms() if state.heard_utc_us is not None}
        return sorted({hearing.room for hearing in hearings if hearing.state == "planned"} - heard)

    async def _give(self, room: str, command: contract.AnyCommand) -> int:
        try:
            return await self._backend.commands.give(room, command)
        except UnknownRoomError:
            raise AdminError(f"there is no room '{room}'; `courtroom centre rooms` lists them") from None

    async def _forget(self, room: str) -> None:
        view = next((view for view in await self._overview.rooms(fresh=True) if view.state.room == room), None)
        if view is None:
            raise AdminError(f"there is no room '{room}'; `courtroom centre rooms` lists them")
        now_us = _now_us()
        if "contradiction" in view.state.flags:
            raise AdminError(
                f"a record of '{room}' contradicts what was countersigned: tell the security service. It is shown for "
                f"{CONTRADICTION_US // DAY_US} days, and the room with it"
            )
        if view.state.heard_utc_us is not None and "silent" not in view.state.flags:
            ago_s = (now_us - view.state.heard_utc_us) // 1_000_000
            raise AdminError(f"'{room}' is there: it was heard {ago_s} s ago. Turn its agent off first")
        changes = await self._backend.plan.starting(now_us - LOOK_BACK_US, now_us + AHEAD_US)
        planned = [change.hearing.id for change in changes if change.hearing.room == room and is_looked_for(change.hearing, now_us)]
        if planned:
            raise AdminError(
                f"hearings are planned in '{room}', or were to end within the last day: {', '.join(planned[:5])}"
                f"{' and others' if len(planned) > 5 else ''}. Move them to another room, or cancel them, so that none is missed unseen"
            )
        await self._backend.registry.forget(room, now_us)

    async def _look_into(self, ask: LookInto) -> Told:
        if not self._public_url:
            raise AdminError("no link would open: set public and public_url in centre.toml")
        try:
            wanted, token = look_into(ask.person, ask.reason, ask.length_s, _now_us())
        except msgspec.ValidationError as error:
            what = "the room's screens show the person (at most 200 characters) and the record has the reason (500): write one line of each"
            raise AdminError(f"{what}, and at most an hour ({error})") from None
        await self._give(ask.room, wanted)
        return Told(values={"lookin": wanted.lookin, "link": f"{self._public_url.rstrip('/')}/r/{ask.room}/look/#{token}"})

    async def _role(self, ask: MakeRole) -> Told:
        if ask.role not in CERTIFIED:
            raise AdminError(f"there is no role '{ask.role}'; there are {', '.join(CERTIFIED)}")
        key, now = new_key(), dt.datetime.now(dt.UTC)
        make = self._authority.notary if ask.role == STATION else self._authority.role
        certificate = make(key.public_key(), ask.role, now)
        await self._issued(certificate, ask.role)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode() + self._authority.chain_pem
        files = {f"{ask.role}.key": Issuer(key, certificate).key_pem, f"{ask.role}.pem": pem.encode()}
        try:
            for name, data in files.items():
                descriptor = os.open(Path(ask.to) / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
        except FileExistsError:
            raise AdminError(f"{ask.to}/{name} is there already: name another directory with --to, or move it away") from None
        except OSError as error:
            raise AdminError(f"cannot write {ask.to}/{name}: {error.strerror}") from error
        return Told(values={"files": [str(Path(ask.to) / name) for name in files]})

    async def _issued(self, certificate: x509.Certificate, name: str) -> None:
        until_us = int(certificate.not_valid_after_utc.timestamp()) * 1_000_000
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        await self._backend.registry.issued(certificate.serial_number, name, until_us, pem)

    async def _revocation_list(self) -> str:
        listed = await revocation_list(self._backend.registry, self._authority)
        return listed.public_bytes(serialization.Encoding.PEM).decode()


class AdminServer:
    """Serves the socket; use as an async context manager."""

    def __init__(self, admin: Admin, path: Path) -> None:
        self._admin = admin
        self._path = path
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, path=str(self._path), limit=LINE_BYTES)
        finally:
            os.umask(before)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            told = await self._told(await reader.readline())
            writer.write(msgspec.json.encode(told) + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):  # it went away, or sent a line without an end
            return
        finally:
            writer.close()

    async def _told(self, line: bytes) -> Told:
        try:
            return await self._admin.do(msgspec.json.decode(line, type=AnyAsk))
        except msgspec.DecodeError as error:
            return Told(error=f"not understood: {plain(str(error))}")
        except AdminError as error:
            return Told(error=str(error))
        except AwayError as error:
            return Told(error=f"{error}; nobody knows whether it was done: ask again")
        except sqlite3.Error as error:
            log.error("what was asked could not be kept", error=str(error))
            return Told(error=why_not_kept(error))


def ask(path: Path, wanted: AnyAsk) -> dict[str, Any]:
    """Ask the centre that runs.

    Raises:
        AdminError: none runs there, or it refuses.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DO_S)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(wanted) + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise AdminError(f"no centre answers at {path} ({error}); start it by `courtroom centre run {path.parent}`") from error
    try:
        told = msgspec.json.decode(line, type=Told)
    except msgspec.DecodeError as error:
        raise AdminError("the centre ended the connection without an answer; its log says why") from error
    if told.error:
        raise AdminError(told.error)
    return told.values


def _now_us() -> int:
    return time.time_ns() // 1000
