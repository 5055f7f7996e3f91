"""Backends for tests: fronts over one NATS cluster, each with a connection and views of its own, or one SQLite file."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.upstream.centre.backend import Backend
from agent.upstream.centre.nats_backend import nats_backend
from agent.upstream.centre.nats_names import Streams
from agent.upstream.centre.nats_plan import NatsPlan
from agent.upstream.centre.sqlite_backend import sqlite_backend
from tests.lab.nats_cluster import NatsCluster

KEY = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
"""Stands for the notary's: backends only hand it on."""


def sign(text: bytes) -> bytes:
    """As the notary signs."""
    return KEY.sign(text, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def new_prefix() -> str:
    """A prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def nats_fronts(cluster: NatsCluster, count: int, prefix: str | None = None) -> AsyncIterator[list[Backend]]:
    """So many fronts."""
    streams = Streams(prefix or new_prefix(), cluster.nodes)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(nats_backend(cluster.servers, streams, sign, CERTIFICATE)) for _ in range(count)]


async def deafen(front: Backend) -> None:
    """Have every notice of what was stored lost on its way to a front over NATS."""
    assert isinstance(front.plan, NatsPlan)
    for subscription in list(front.plan._follower._connection._client._subs.values()):
        if ".told." in subscription.subject:
            await subscription.unsubscribe()


@contextmanager
def sqlite_fronts(path: Path) -> Iterator[list[Backend]]:
    """Twice the same front: a file has one alone."""
    backend, database = sqlite_backend(path, sign, CERTIFICATE)
    try:
        yield [backend, backend]
    finally:
        database.close()


async def seen(ask: Callable[[], Awaitable[bool]]) -> None:
    """Another front sees what one answered a moment later."""
    async with asyncio.timeout(10):
        while not await ask():  # noqa: ASYNC110 - what changes is at another front
            await asyncio.sleep(0.01)
