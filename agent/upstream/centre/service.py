"""The reference centre as a process: its files, its keeper, its listener, and the socket for who runs it."""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.upstream.centre.admin import Admin, AdminServer
from agent.upstream.centre.answers import Answers
from agent.upstream.centre.authority import Authority, Issuer
from agent.upstream.centre.backend import AwayError, Backend, now_utc_us
from agent.upstream.centre.background import keep_on
from agent.upstream.centre.custodian import Custodian
from agent.upstream.centre.database import DatabaseError
from agent.upstream.centre.deny_list import vouching
from agent.upstream.centre.front import application
from agent.upstream.centre.listener import Listener
from agent.upstream.centre.nats_backend import nats_backend
from agent.upstream.centre.nats_connection import Servers
from agent.upstream.centre.nats_names import Streams
from agent.upstream.centre.notary import Notary
from agent.upstream.centre.overview import Overview
from agent.upstream.centre.page_server import loopback_page, loopback_place
from agent.upstream.centre.public import public_door
from agent.upstream.centre.relays import Relays
from agent.upstream.centre.s3_storage import S3Settings, S3Storage
from agent.upstream.centre.settings import CentreHome, Settings, SettingsError
from agent.upstream.centre.source import ScheduleSource, SourceFollower
from agent.upstream.centre.source_calendar import CalendarSource
from agent.upstream.centre.source_file import FileSource
from agent.upstream.centre.sqlite_backend import SqlitePlan, sqlite_backend
from agent.upstream.centre.sqlite_registry import SqliteRegistry
from agent.upstream.centre.storage import DirectoryStorage, Storage
from agent.upstream.centre.uploads import Uploads
from agent.upstream.centre.workroom import Workroom
from provisioning import sole_process

log = structlog.get_logger()

LOCK = "centre.lock"
"""In its directory, held by the centre that runs there."""
STORE_HEARD_S = 10.0
COUNT_ON_S = 300.0
"""A file that was put in the centre's place is found to be a copy by rooms that were told something so much later."""


@dataclass(slots=True)
class RunningCentre:
    """A centre that runs: where, and what it keeps."""

    port: int
    page_port: int | None
    """Where the page is served on loopback; None: nowhere."""
    public_port: int | None
    """Where participants come; None: nowhere."""
    backend: Backend


async def serve(home: CentreHome, page: str = "") -> None:
    """Run until SIGTERM or SIGINT; ``page`` is the loopback place of the page of all rooms, in place of the configuration's.

    Raises:
        SettingsError: the directory cannot be used, or a centre runs there already.
    """
    home.settings()  # no lock is laid into a directory that is no centre's
    lock = await asyncio.to_thread(_alone, home)
    try:
        await _serve(home, page)
    finally:
        os.close(lock)


async def _serve(home: CentreHome, page: str) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(home, page) as centre:
        log.info("the centre runs", port=centre.port, directory=str(home.root), page=centre.page_port, public=centre.public_port)
        await ended.wait()


def _alone(home: CentreHome) -> int:
    """The lock of the directory: two centres would write the same files, and the second to end would take the other's socket along."""
    try:
        return sole_process.hold(home.root / LOCK)
    except sole_process.HeldError as error:
        raise SettingsError(
            f"a centre runs in {home.root} already ({error}): stop that one first, or give a directory of its own"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"the lock {home.root / LOCK} cannot be made: {error.strerror or error}; give the centre's user room and a right to write there"
        ) from error


@asynccontextmanager
async def running(home: CentreHome, page: str = "") -> AsyncIterator[RunningCentre]:
    """A centre in this process.

    Raises:
        SettingsError: the directory cannot be used, or its port is taken.
    """
    settings, authority, notary = home.settings(), home.authority(), home.identity("notary")
    async with contextlib.AsyncExitStack() as stack:
        backend = await _backend(stack, home, settings, notary)
        storage = _storage(home, settings) if settings.takes_records else None
        uploads = None
        if storage is not None:
            uploads = _uploads(home, settings, storage, backend, authority, notary)
            await uploads.start()
            stack.push_async_callback(uploads.stop)
        is_short = storage.is_short if isinstance(storage, DirectoryStorage) else None
        overview = Overview(backend, settings.limits, now_utc_us, is_short)
        relays = Relays() if settings.public else None
        app = application(Answers(backend, authority, uploads, overview), storage, relays)
        try:
            listener = await stack.enter_async_context(Listener(app, home.server, settings.host, settings.port))
        except OSError as error:
            raise SettingsError(f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}") from error
        page_port = await _serve_page(stack, overview, page or settings.page)
        public_port = None if relays is None else await _serve_public(stack, relays, settings)
        admin = Admin(backend, authority, overview, settings.names, listener.port, settings.public_url)
        try:
            await stack.enter_async_context(AdminServer(admin, home.socket))
        except OSError as error:
            raise SettingsError(
                f"the socket {home.socket} cannot be made: {error.strerror or error}; "
                "give the centre's user room and a right to write there, or move the directory to where its path is shorter"
            ) from error
        await stack.enter_async_context(_background(backend, settings))
        yield RunningCentre(listener.port, page_port, public_port, backend)


async def _backend(stack: contextlib.AsyncExitStack, home: CentreHome, settings: Settings, notary: Issuer) -> Backend:
    der = notary.certificate.public_bytes(serialization.Encoding.DER)
    # Without chance (RFC 6979): the same receipt has the same signature, whichever front makes it, and whenever.
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    def sign(text: bytes) -> bytes:
        return notary.key.sign(text, algorithm)

    if settings.nats is not None:
        servers = Servers(urls=settings.nats.servers, tls=settings.nats.tls)
        try:
            return await stack.enter_async_context(
                nats_backend(servers, Streams(settings.nats.prefix, settings.nats.replicas), sign, der)
            )  # fmt: skip
        except (AwayError, OSError) as error:
            raise SettingsError(f"[nats] {error}") from error
    try:
        backend, database = sqlite_backend(home.database, sign, der)
    except (DatabaseError, sqlite3.Error, OSError) as error:
        raise SettingsError(f"{home.database} cannot be used: {error}") from error
    stack.callback(database.close)
    return backend


def _uploads(home: CentreHome, settings: Settings, storage: Storage, backend: Backend, authority: Authority, notary: Issuer) -> Uploads:
    store = home.root / "uploads.sqlite"
    try:
        return Uploads(
            store, storage, Workroom(home.root / "work"),
            authorities=lambda: vouching(backend.registry, authority), ledger=backend.ledger.of_record,
            notary=Notary(key=notary.key, certificate=notary.certificate, by=settings.name),
        )  # fmt: skip
    except (DatabaseError, sqlite3.Error) as error:
        raise SettingsError(f"{store} cannot be used: {error}") from error


async def _serve_page(stack: contextlib.AsyncExitStack, overview: Overview, place: str) -> int | None:
    if not place:
        return None
    try:
        return await stack.enter_async_context(loopback_page(overview, loopback_place(place)))
    except ValueError as error:
        raise SettingsError(f"page: {error}") from error
    except OSError as error:
        raise SettingsError(f"page: cannot listen on {place}: {error.strerror or error}") from error


async def _serve_public(stack: contextlib.AsyncExitStack, relays: Relays, settings: Settings) -> int:
    host, _, port = settings.public.rpartition(":")
    try:
        return await stack.enter_async_context(
            public_door(
                relays, host, int(port), settings.public_certificate, settings.public_key, forwarded=settings.public_forwarded_for
            )
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise SettingsError(f"public: {error}") from error


@asynccontextmanager
async def _background(backend: Backend, settings: Settings) -> AsyncIterator[None]:
    tasks = []
    if isinstance(backend.registry, SqliteRegistry):
        registry = backend.registry
        tasks.append(asyncio.create_task(keep_on("the stored heartbeats", lambda: _store_heard(registry))))
    if isinstance(backend.plan, SqlitePlan):
        plan = backend.plan
        tasks.append(asyncio.create_task(keep_on("the count of the schedule", lambda: _count_on(plan))))
    if settings.source != "api":
        follower = SourceFollower(_source(settings), backend.plan)
        tasks.append(asyncio.create_task(keep_on("the source of the schedule", follower.run)))
    if settings.custodian:
        custodian = Custodian(backend.ledger, Path(settings.custodian))
        tasks.append(asyncio.create_task(keep_on("the second custodian", custodian.run)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(backend.registry, SqliteRegistry):
            try:
                await backend.registry.store_heard()
            except sqlite3.Error as error:  # the end goes on: all else is durable already
                log.error("the last heartbeats are not stored", error=str(error))


def _source(settings: Settings) -> ScheduleSource:
    if settings.source == "file":
        return FileSource(Path(settings.source_at))
    return CalendarSource(settings.source_at, Path(settings.source_ca) if settings.source_ca else None)


async def _store_heard(registry: SqliteRegistry) -> None:
    while True:
        await asyncio.sleep(STORE_HEARD_S)
        await registry.store_heard()


async def _count_on(plan: SqlitePlan) -> None:
    while True:
        await asyncio.sleep(COUNT_ON_S)
        await plan.count_on()


def _storage(home: CentreHome, settings: Settings) -> Storage:
    if settings.s3 is None:
        return DirectoryStorage(home.root / "records")
    try:
        secret = Path(settings.s3.secret_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"[s3] secret_file {settings.s3.secret_file} cannot be read: {error.strerror}") from error
    try:
        return S3Storage(
            S3Settings(
                endpoint=settings.s3.endpoint, bucket=settings.s3.bucket, access_key=settings.s3.access_key, secret_key=secret,
                lock_days=settings.s3.lock_days,
            )
        )  # fmt: skip
    except ValueError as error:
        raise SettingsError(f"[s3] endpoint must be an address such as https://s3.court.example ({error})") from error
