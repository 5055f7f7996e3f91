"""Simulated rooms, as a process: ``python -m bench.fleet_rooms SETTINGS``. Each keeps a long poll open and tells things each ten seconds.

The protocol is spoken by hand, because 1,479 clients of a library would measure the library.
"""

import asyncio
import json
import math
import ssl
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from agent.upstream import contract
from agent.upstream.backoff import Backoff
from tests.lab.events import beat, event

PERIOD_S = 10.0
EVENTS = 5
WAIT_S = 50
LONG_AGO = 10
"""Failures before, as after a long outage: the bound of the next wait has grown to its longest."""


@dataclass
class Seen:
    """What all rooms of this process saw; times are of CLOCK_MONOTONIC."""

    acks_s: list[tuple[float, float]] = field(default_factory=list)
    """When, and how long an acknowledgement of events took."""
    pushes_s: list[float] = field(default_factory=list)
    """When a room was told of a change."""
    returns_s: list[float] = field(default_factory=list)
    """When a room was back after the connection was lost."""
    failures: int = 0


class Connection:
    """One connection that is kept, and made anew when it was lost."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One request; OSError where the connection is lost."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        assert self._reader is not None
        head = f"{method} {path} HTTP/1.1\r\nHost: centre\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            self._writer.write(head.encode() + body)
            answer = await self._reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length"))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            self._writer.close()
            self._writer = None
            raise ConnectionError(str(error)) from error
        if answer.startswith(b"HTTP/1.1 503"):
            raise ConnectionError("the centre cannot keep anything for the moment")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise AssertionError(answer[:200] + data[:500])
        return data


class Room:
    """One room."""

    def __init__(self, name: str, settings: dict[str, Any], seen: Seen) -> None:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings["roots"])
        context.load_cert_chain(Path(settings["certificates"]) / f"{name}.pem", settings["key"])
        self._name = name
        self._seen = seen
        self._chance = Random(name)
        port = self._chance.choice(settings["ports"])
        self._feed = Connection(port, context)
        self._tell = Connection(port, context)
        self._epoch = str(uuid.uuid4())
        self._seq = 0
        self._heartbeat = msgspec.json.encode(beat())

    async def run(self) -> None:
        """Poll and tell until cancelled."""
        await asyncio.gather(self._polls(), self._tells())

    async def _polls(self) -> None:
        after, backoff = 0, Backoff(self._chance.random)
        await asyncio.sleep(self._chance.random() * PERIOD_S)
        while True:
            try:
                answer = await self._feed.ask("GET", f"/v1/feed?after={after}&command=0&wait={WAIT_S}")
            except OSError:
                await self._lost(backoff)
                continue
            self._back(backoff)
            feed = msgspec.json.decode(answer, type=contract.Feed)
            if after and feed.changes:
                self._seen.pushes_s.append(time.monotonic())
            after = max(after, feed.as_of)

    async def _tells(self) -> None:
        backoff = Backoff(self._chance.random)
        await asyncio.sleep(self._chance.random() * PERIOD_S)
        due_s = time.monotonic()
        while True:
            try:
                await self._tell.ask("POST", "/v1/heartbeat", self._heartbeat)
                events = [event(self._name, self._epoch, self._seq + number) for number in range(1, EVENTS + 1)]
                body = msgspec.json.encode(contract.EventBatch(epoch=self._epoch, events=events))
                sent_s = time.monotonic()
                await self._tell.ask("POST", "/v1/events", body)
            except OSError:
                await self._lost(backoff)
                continue
            self._back(backoff)
            self._seq += EVENTS
            now_s = time.monotonic()
            self._seen.acks_s.append((now_s, now_s - sent_s))
            # By its own clock, as a room tells: what a busy moment delayed together must not go on together.
            due_s += PERIOD_S * math.ceil((now_s - due_s) / PERIOD_S)
            await asyncio.sleep(due_s - now_s)

    async def _lost(self, backoff: Backoff) -> None:
        self._seen.failures += 1
        backoff.failures = max(backoff.failures, LONG_AGO)
        await asyncio.sleep(backoff.failed())

    def _back(self, backoff: Backoff) -> None:
        if backoff.failures:
            self._seen.returns_s.append(time.monotonic())
        backoff.succeeded()


async def main(settings: dict[str, Any]) -> None:
    """Run all rooms until a line comes on stdin; what was seen is printed after each line, and forgotten."""
    seen = Seen()
    rooms = [asyncio.create_task(Room(name, settings, seen).run()) for name in settings["rooms"]]
    lines = asyncio.get_running_loop()
    while line := (await lines.run_in_executor(None, sys.stdin.readline)).strip():
        for room in rooms:
            if room.done():
                room.result()
        if line == "seen":
            print(json.dumps(vars(seen)), flush=True)
            seen.acks_s.clear()
            seen.pushes_s.clear()
            seen.returns_s.clear()
            seen.failures = 0
    for room in rooms:
        room.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
