"""The same rooms over NATS JetStream: three servers that sync each write; 1, 2 and 4 fronts; what more rooms would need, by the slope."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.fleet import PUSH_S, ROOMS, STEADY_S, fleet
from bench.result import Result, cpu_s, pss_mib
from tests.lab.centre import Centre
from tests.lab.events import hearing
from tests.lab.nats_cluster import NatsCluster, nats_cluster

FRONTS = tuple(int(count) for count in os.environ.get("BENCH_FRONTS", "1,2,4").split(","))
SETTLE_S = 30.0
NATION = 15_000
"""Rooms for which the need is computed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A steady state: cores and MiB of all fronts together and of all servers together."""

    rooms: int
    fronts: int
    fronts_cores: float
    servers_cores: float
    fronts_mib: float
    servers_mib: float
    p50_s: float
    p99_s: float
    failures: int
    last_told_s: float
    told: int


def rooms_over_nats(base: Path) -> list[Result]:
    """CPU, memory, acknowledgements, a push for each number of fronts, against SQLite; a third of the rooms on one front for the slope."""
    alone = _measure(base / "sqlite", None, ROOMS, 1)
    plans = [(ROOMS // 3, 1), *((ROOMS, fronts) for fronts in FRONTS)]
    with nats_cluster(base / "nats") as cluster:
        seen = [_measure(base / f"{rooms}-{fronts}", cluster, rooms, fronts) for rooms, fronts in plans]
    return [*(result for each in seen for result in _results(each, alone)), *_needs(seen)]


def _measure(base: Path, cluster: NatsCluster | None, count: int, fronts: int) -> Seen:
    """The rooms' steady state and a push; on SQLite where there is no cluster."""
    servers = [] if cluster is None else cluster.pids
    rooms = [f"room-{number}" for number in range(count)]
    with _running(base, cluster, fronts) as centres:
        it = centres[0]
        it.plan(*(hearing(f"first-{room}", room) for room in rooms))
        with fleet(it, base, rooms, [centre.port for centre in centres]) as simulated:
            time.sleep(SETTLE_S)
            simulated.seen()
            pids = [centre.process.pid for centre in centres if centre.process is not None]
            before_s, servers_s, began_s = _cpu_s(pids), _cpu_s(servers), time.monotonic()
            time.sleep(STEADY_S)
            took_s = time.monotonic() - began_s
            fronts_cores, servers_cores = (_cpu_s(pids) - before_s) / took_s, (_cpu_s(servers) - servers_s) / took_s
            steady = simulated.seen()
            pushed_s, told = time.monotonic(), list[float]()
            it.plan(*(hearing(f"second-{room}", room) for room in rooms))
            while len(told) < count and time.monotonic() < pushed_s + PUSH_S:
                time.sleep(0.2)
                told += simulated.seen()["pushes_s"]
            memory, servers_memory = sum(map(pss_mib, pids)), sum(map(pss_mib, servers))
    acks = np.array([took for _, took in steady["acks_s"]])
    return Seen(
        count, fronts, fronts_cores, servers_cores, memory, servers_memory, float(np.percentile(acks, 50)), float(np.percentile(acks, 99)),
        int(steady["failures"]), max(told, default=pushed_s + PUSH_S) - pushed_s, len(told),
    )  # fmt: skip


@contextmanager
def _running(base: Path, cluster: NatsCluster | None, fronts: int) -> Iterator[list[Centre]]:
    first = Centre(base / "front-0", nats=None if cluster is None else cluster.settings(f"bench-{base.name}"))
    centres = [first, *(first.another(base / f"front-{number}") for number in range(1, fronts))]
    with contextlib.ExitStack() as stack:
        for centre in centres:
            stack.callback(centre.stop)
            centre.start()
        yield centres


def _cpu_s(pids: list[int]) -> float:
    return sum(map(cpu_s, pids))


def _results(seen: Seen, alone: Seen) -> list[Result]:
    what = f"{seen.rooms} rooms over NATS, {seen.fronts} front{'s' if seen.fronts > 1 else ''}"
    source = "TLS 1.3 with a certificate each; three servers, replicas 3, sync always, simulator: all on the same machine"
    peer = f"SQLite, {alone.rooms} rooms"
    return [
        Result(f"{what}: CPU of the fronts", seen.fronts_cores, alone.fronts_cores, "cores", peer, None, source),
        Result(f"{what}: CPU of the three servers", seen.servers_cores, alone.fronts_cores, "cores", f"{peer}, front", None, source),
        Result(f"{what}: memory of the fronts", seen.fronts_mib, alone.fronts_mib, "MiB", peer, None, source),
        Result(f"{what}: memory of the three servers", seen.servers_mib, 3072.0, "MiB", "1 GiB each", None, source),
        Result(f"{what}: events acknowledged, p50", seen.p50_s, alone.p50_s, "s", peer, None, source),
        Result(f"{what}: events acknowledged, p99", seen.p99_s, alone.p99_s, "s", peer, None, source),
        Result(f"{what}: requests that failed", float(seen.failures), 1.0, "requests", "none", 0.0, source),
        Result(f"{what}: a change to every room: the last one told", seen.last_told_s, alone.last_told_s, "s", peer, None, source),
        Result(f"{what}: a change to every room: rooms that were told", float(seen.told), float(seen.rooms), "rooms", "all", None, source),
    ]


def _needs(seen: list[Seen]) -> list[Result]:
    """What ``NATION`` rooms would need: by the slope over the rooms, and what each further front adds by hearing of all rooms."""
    small, large, *more = seen
    between = large.rooms - small.rooms
    source = f"computed from the slope between {small.rooms} and {large.rooms} rooms on one front, not measured"
    what = f"{NATION} rooms over NATS"

    def at(first: float, second: float) -> float:
        return second + (second - first) / between * (NATION - large.rooms)

    cores, servers, memory = (
        at(getattr(small, name), getattr(large, name)) for name in ("fronts_cores", "servers_cores", "fronts_mib")
    )  # fmt: skip
    results = [
        Result(f"{what}: CPU of the fronts", cores, 1.0, "cores", "one core", None, source),
        Result(f"{what}: CPU of the three servers", servers, 3.0, "cores", "one core each", None, source),
        Result(f"{what}: memory of the fronts", memory, 1024.0, "MiB", "1 GiB", None, source),
    ]
    if more:
        last = more[-1]
        each = (last.fronts_cores - large.fronts_cores) / (last.fronts - large.fronts) * NATION / large.rooms
        source = f"computed from {large.fronts} and {last.fronts} fronts with {large.rooms} rooms, not measured"
        results.append(Result(f"{what}: CPU of each further front, for hearing of all rooms", each, 1.0, "cores", "one core", None, source))
    return results
