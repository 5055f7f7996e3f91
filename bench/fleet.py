"""1,479 rooms on one centre: real TLS with a certificate each, a heartbeat and five events each ten seconds, one long poll."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization

from agent.upstream.centre import admin
from agent.upstream.requests import new_key, request
from bench.result import Result, cpu_s, pss_mib
from tests.lab.centre import Centre, centre
from tests.lab.events import hearing

ROOMS = int(os.environ.get("BENCH_ROOMS", "1479"))
STEADY_S = float(os.environ.get("BENCH_FLEET_S", "60"))
"""For so long each steady state is measured."""
SPREAD_S = 95.0
PUSH_S = 20.0


class Fleet:
    """The simulated rooms' process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def seen(self) -> dict[str, Any]:
        """What was seen since the last look."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("seen\n")
        self._process.stdin.flush()
        seen: dict[str, Any] = json.loads(self._process.stdout.readline())
        return seen


@contextmanager
def fleet(it: Centre, base: Path, rooms: list[str], ports: Sequence[int] = ()) -> Iterator[Fleet]:
    """The rooms, connected: to this centre, or each to one of its fronts' ports."""
    key, authority, now = new_key(), it.home.authority(), dt.datetime.now(dt.UTC)
    certificates = base / "certificates"
    certificates.mkdir()
    key_file = base / "rooms.key"
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    for room in rooms:
        pem = authority.transport(request(key, room), room, now).public_bytes(serialization.Encoding.PEM).decode()
        (certificates / f"{room}.pem").write_text(pem + authority.chain_pem)
    settings = base / "rooms.json"
    files = {"roots": str(it.home.roots), "key": str(key_file), "certificates": str(certificates)}
    settings.write_text(json.dumps({"ports": list(ports) or [it.port], "rooms": rooms, **files}))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.fleet_rooms", str(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Fleet(process)
    finally:
        process.kill()
        process.wait()


def rooms_on_one_centre(base: Path) -> list[Result]:
    """CPU and memory of the centre, how soon events are acknowledged, a push to the last room, and everybody's return after an outage."""
    rooms = [f"room-{number}" for number in range(ROOMS)]
    source = f"{ROOMS} rooms, TLS 1.3 with a certificate each; simulator on the same machine"
    with centre(base) as it:
        it.plan(*(hearing(f"first-{room}", room) for room in rooms))
        with fleet(it, base, rooms) as rooms_running:
            time.sleep(30)
            rooms_running.seen()
            assert it.process is not None
            before_s, began_s = cpu_s(it.process.pid), time.monotonic()
            time.sleep(STEADY_S)
            cores = (cpu_s(it.process.pid) - before_s) / (time.monotonic() - began_s)
            memory = pss_mib(it.process.pid)
            steady = rooms_running.seen()
            pushed_s = time.monotonic()
            it.plan(*(hearing(f"second-{room}", room) for room in rooms))
            told: list[float] = []
            while len(told) < ROOMS and time.monotonic() < pushed_s + PUSH_S:
                time.sleep(0.2)
                told += rooms_running.seen()["pushes_s"]
            it.kill()
            time.sleep(2)
            rooms_running.seen()
            it.start()
            back: dict[str, list[Any]] = {"returns_s": [], "acks_s": []}
            end_s = time.monotonic() + SPREAD_S
            while time.monotonic() < end_s:
                time.sleep(5)
                seen = rooms_running.seen()
                back = {name: [*back[name], *seen[name]] for name in back}
            taken = it.ask(admin.Rooms())["rooms"]
    acks = np.array([took for _, took in steady["acks_s"]])
    returns, late = np.array(back["returns_s"]), np.array([took for _, took in back["acks_s"]])
    assert isinstance(taken, list)
    return [
        Result(f"{ROOMS} rooms on one centre: CPU", cores, 1.0, "cores", "one core", None, source),
        Result(f"{ROOMS} rooms on one centre: memory", memory, 1024.0, "MiB", "1 GiB", None, source),
        Result("events acknowledged, p50", float(np.percentile(acks, 50)), 1.0, "s", "1 s", 1.0, source),
        Result("events acknowledged, p99", float(np.percentile(acks, 99)), 1.0, "s", "1 s", 1.0, source),
        Result("requests that failed", float(steady["failures"]), 1.0, "requests", "none", 0.0, source),
        Result("a change to every room: the last one told", max(told, default=pushed_s + PUSH_S) - pushed_s, 1.0, "s", "1 s", 1.0, source),
        Result("a change to every room: rooms that were told", float(len(told)), float(ROOMS), "rooms", "all", None, source),
        Result("return after an outage: spread", float(np.ptp(returns)), 60.0, "s", "at least 60 s", None, source),
        Result("return after an outage: acknowledged, p99", float(np.percentile(late, 99)), 1.0, "s", "1 s", 1.0, source),
        Result("return after an outage: rooms heard", float(len(taken)), float(ROOMS), "rooms", "all", None, source),
    ]
