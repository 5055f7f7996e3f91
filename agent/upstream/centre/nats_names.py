"""The streams of a centre in NATS JetStream, and the names of their subjects. Pure.

A subject is ``<prefix>.<stream>.<token>…``. What is stored is told again under ``<prefix>.told.<stream>.…`` after it was committed, by
JetStream's ``republish``: by that fronts follow. Bodies hold names as they are; tokens only have to be different for different names.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_LONGEST = 100
_WINDOW_NS = 120 * 1_000_000_000


def token(name: str) -> str:
    """One token of a subject for any name; others for others."""
    text = "".join(chr(byte) if byte in _PLAIN else f"={byte:02x}" for byte in name.encode())
    if not text or len(text) > _LONGEST:  # "=h" is no escape: h is no hexadecimal digit
        return "=h" + hashlib.sha256(name.encode()).hexdigest()
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream: its name in JetStream, the beginning of its subjects, and how it is kept."""

    name: str
    root: str
    told_root: str
    replicas: int
    tells: Literal["all", "headers", "nothing"] = "nothing"
    last_only: bool = False
    """Keep the last message of each subject alone."""
    in_memory: bool = False

    def subject(self, *names: str) -> str:
        """The subject of these names."""
        return ".".join((self.root, *map(token, names)))

    @property
    def all(self) -> str:
        """All its subjects."""
        return f"{self.root}.>"

    @property
    def told(self) -> str:
        """Where what was stored is told."""
        return f"{self.told_root}.>"

    def configuration(self) -> dict[str, Any]:
        """What JetStream is asked for. Nothing that is stored can be deleted by a client, but with the whole stream."""
        republish = {"src": self.all, "dest": self.told, "headers_only": self.tells == "headers"}
        return {
            "name": self.name, "subjects": [self.all], "retention": "limits", "discard": "old" if self.last_only else "new",
            "storage": "memory" if self.in_memory else "file", "num_replicas": self.replicas, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "max_msgs_per_subject": 1 if self.last_only else -1, "duplicate_window": _WINDOW_NS, "allow_direct": True, "deny_delete": True,
            "deny_purge": True, "compression": "none",
            **({} if self.tells == "nothing" else {"republish": republish}),
        }  # fmt: skip


class Streams:
    """All streams of a centre; several centres may share a cluster under different prefixes."""

    def __init__(self, prefix: str, replicas: int) -> None:
        def stream(name: str, tells: Literal["all", "headers", "nothing"], *, last_only: bool = False, in_memory: bool = False) -> Stream:
            return Stream(
                name=f"{prefix}-{name}", root=f"{prefix}.{name}", told_root=f"{prefix}.told.{name}", replicas=replicas, tells=tells,
                last_only=last_only, in_memory=in_memory,
            )  # fmt: skip

        self.prefix = prefix
        self.events = stream("event", "headers")
        self.plan = stream("plan", "all", last_only=True)
        self.ledger = stream("ledger", "nothing")
        self.contradictions = stream("contradiction", "nothing", last_only=True)
        self.commands = stream("command", "all")
        self.registry = stream("registry", "all")
        self.heard = stream("heard", "nothing", last_only=True, in_memory=True)

    @property
    def every(self) -> tuple[Stream, ...]:
        """All of them."""
        return (self.events, self.plan, self.ledger, self.contradictions, self.commands, self.registry, self.heard)

    def beat(self, room: str) -> str:
        """Where a room's heartbeats are told to all fronts; no stream keeps them."""
        return f"{self.prefix}.beat.{token(room)}"

    @property
    def beats(self) -> str:
        """All rooms' heartbeats."""
        return f"{self.prefix}.beat.*"
