"""A small internet of network namespaces: nodes on one network, and a room behind a NAT that lets nothing in. Needs root.

What runs in a node is started by a thread that has entered it: a thread's network namespace is its own (setns(2)), and its children's.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

CLONE_NEWNET = 0x4000_0000
NETWORK = "203.0.113"
"""RFC 5737: nobody's."""
TURN = f"{NETWORK}.20"
"""The address of the TURN server."""
ROOM, GATEWAY = "10.77.0.2", "10.77.0.1"
DEVICE = "eth0"
P = ParamSpec("P")
R = TypeVar("R")


def missing() -> str:
    """Why there can be no such network here; empty: there can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    tools = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
    if tools:
        return f"{' and '.join(tools)} not installed (scripts/setup-debian test)"
    with contextlib.suppress(subprocess.CalledProcessError), _namespace("probe") as probe:
        _run("ip", "-n", probe, "link", "add", "name", "bridge0", "type", "bridge")
        return ""
    return "the kernel makes no network namespaces here"


class Node:
    """One namespace.

    Args:
        name: what ``ip netns`` calls it.
        address: its own.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread's new sockets and processes are in the node while the block runs."""
        with Path("/proc/thread-self/ns/net").open("rb") as before, Path("/run/netns", self.name).open("rb") as inside:
            _enter(inside.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The call, made within; for a thread of its own."""
        with self.entered():
            return call(*args, **kwargs)

    def ip(self, *words: str) -> None:
        """``ip`` within."""
        _run("ip", "-n", self.name, *words)

    def moves_to(self, address: str) -> None:
        """The node has another address from now on, as a phone that changes networks."""
        self.ip("address", "del", f"{self.address}/24", "dev", DEVICE)
        self.ip("address", "add", f"{address}/24", "dev", DEVICE)
        self.address = address

    def rules(self, table: str) -> None:
        """Replace the node's packet filter by this table of nftables."""
        _run("ip", "netns", "exec", self.name, "nft", "-f", "-", given=f"flush ruleset\n{table}\n")

    def lets_out(self, *allowed: str) -> None:
        """Nothing leaves the node but what one of these rules lets out, and what stays within."""
        rules = "\n".join(f"{rule} accept" for rule in ('oifname "lo"', "ct state established,related", *allowed))
        self.rules(f"table inet lab {{\nchain out {{\ntype filter hook output priority filter; policy drop\n{rules}\n}}\n}}")


class Network:
    """The nodes: a browser, a TURN server and a centre on the internet, and a room behind its NAT."""

    def __init__(self, make: Callable[[str], str]) -> None:
        self._switch = make("net")
        _run("ip", "-n", self._switch, "link", "add", "name", "bridge0", "type", "bridge")
        _run("ip", "-n", self._switch, "link", "set", "bridge0", "up")
        self.browser = self._attached(make("browser"), 10)
        self.turn = self._attached(make("turn"), 20)
        self.centre = self._attached(make("centre"), 30)
        self.nat = self._attached(make("nat"), 40)
        self.room = Node(make("room"), ROOM)
        self._join_room()

    def _attached(self, name: str, number: int) -> Node:
        node = Node(name, f"{NETWORK}.{number}")
        _run("ip", "-n", self._switch, "link", "add", "name", f"to{number}", "type", "veth", "peer", "name", DEVICE, "netns", name)
        _run("ip", "-n", self._switch, "link", "set", f"to{number}", "master", "bridge0", "up")
        node.ip("address", "add", f"{node.address}/24", "dev", DEVICE)
        node.ip("link", "set", "lo", "up")
        node.ip("link", "set", DEVICE, "up")
        return node

    def _join_room(self) -> None:
        """The worst NAT: each way out has another port, and nothing comes in that was not asked for."""
        self.nat.ip("link", "add", "name", "inside", "type", "veth", "peer", "name", DEVICE, "netns", self.room.name)
        self.nat.ip("address", "add", f"{GATEWAY}/24", "dev", "inside")
        self.nat.ip("link", "set", "inside", "up")
        _run("ip", "netns", "exec", self.nat.name, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1")
        self.nat.rules(
            f"table inet lab {{\n"
            f'chain behind {{\ntype nat hook postrouting priority srcnat\noifname "{DEVICE}" masquerade fully-random\n}}\n'
            f'chain through {{\ntype filter hook forward priority filter; policy drop\niifname "inside" accept\n'
            f"ct state established,related accept\n}}\n"
            f"chain in {{\ntype filter hook input priority filter; policy drop\nct state established,related accept\n}}\n}}"
        )
        self.room.ip("address", "add", f"{ROOM}/24", "dev", DEVICE)
        self.room.ip("link", "set", "lo", "up")
        self.room.ip("link", "set", DEVICE, "up")
        self.room.ip("route", "add", "default", "via", GATEWAY)


@contextmanager
def network() -> Iterator[Network]:
    """A network of one's own; what runs in it must have ended before."""
    with ExitStack() as stack:
        yield Network(lambda name: stack.enter_context(_namespace(name)))


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    own = f"courtroom-{os.getpid()}-{name}"
    _run("ip", "netns", "add", own)
    try:
        yield own
    finally:
        _run("ip", "netns", "del", own)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _run(*command: str, given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
