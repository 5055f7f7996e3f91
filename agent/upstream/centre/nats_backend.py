"""A centre's keeper in NATS JetStream, for any number of fronts on any machines: see ``backend.py`` and docs/several-fronts.md."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.upstream.centre.backend import Backend
from agent.upstream.centre.nats_commands import NatsCommands
from agent.upstream.centre.nats_connection import Connection, Servers
from agent.upstream.centre.nats_events import NatsEvents
from agent.upstream.centre.nats_follower import Follower
from agent.upstream.centre.nats_jet import Jet
from agent.upstream.centre.nats_ledger import NatsLedger, Sign
from agent.upstream.centre.nats_names import Streams
from agent.upstream.centre.nats_plan import NatsPlan
from agent.upstream.centre.nats_registry import NatsRegistry
from agent.upstream.centre.news import LocalNews


@asynccontextmanager
async def nats_backend(servers: Servers, streams: Streams, sign: Sign, certificate_der: bytes) -> AsyncIterator[Backend]:
    """The backend in these streams, which are made where they are not there.

    Raises:
        AwayError: the servers cannot be reached, or the streams not be used.
        OSError: a file of this front cannot be used.
    """
    connection, news = Connection(servers), LocalNews()
    jet = Jet(connection)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        await connection.connect()
        for stream in streams.every:
            await jet.ensure(stream)
        registry = NatsRegistry(connection, jet, streams)
        plan = NatsPlan(connection, jet, streams.plan, registry, news)
        commands = NatsCommands(connection, jet, streams.commands, registry, news)
        taken = Follower(connection, jet, streams.events, moved=news.tell_events)
        for part in (registry, plan, commands, taken):
            stack.push_async_callback(part.stop)
            await part.start()
        yield Backend(
            events=NatsEvents(jet, streams.events, taken),
            plan=plan,
            ledger=NatsLedger(jet, streams.ledger, streams.contradictions, sign, certificate_der),
            commands=commands,
            registry=registry,
            news=news,
        )
