"""Two network namespaces with one bad link between them: a rate (tbf) and loss (nftables), the same both ways. Needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Side = Literal["room", "viewer"]
SIDES: tuple[Side, Side] = ("room", "viewer")
BURST, LATENCY = "16kb", "200ms"
"""What a cheap router holds: more waiting than this is dropped."""


@dataclass(frozen=True, slots=True)
class Link:
    """What the link carries; 0: any rate, no loss."""

    kbps: int = 0
    loss_percent: int = 0

    @property
    def name(self) -> str:
        """How the figures call it."""
        return f"{self.kbps} kbit/s" if self.kbps else f"{self.loss_percent}% loss"


class BadLink:
    """The link while it is there."""

    def __init__(self) -> None:
        self._names = {side: f"link-{side}-{os.getpid()}" for side in SIDES}

    def command(self, side: Side, *words: str) -> list[str]:
        """What runs this command on that side."""
        return ["ip", "netns", "exec", self._names[side], *words]

    def make(self, link: Link) -> None:
        """Both sides and what lies between them."""
        room, viewer = (self._names[side] for side in SIDES)
        for name in (room, viewer):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", room, "link", "add", "name", "way0", "type", "veth", "peer", "name", "way0", "netns", viewer)
        for number, name in enumerate((room, viewer), 1):
            _run("ip", "-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "way0")
            _run("ip", "-n", name, "link", "set", "way0", "up")
            if link.kbps:
                rate = ("rate", f"{link.kbps}kbit", "burst", BURST, "latency", LATENCY)
                _run("tc", "-n", name, "qdisc", "add", "dev", "way0", "root", "tbf", *rate)
            if link.loss_percent:
                _run("ip", "netns", "exec", name, "nft", "-f", "-", said=_LOSSY.format(percent=link.loss_percent))

    def remove(self) -> None:
        """Nothing is left of it."""
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


_LOSSY = """
table inet link {{
  chain arrived {{
    type filter hook input priority 0
    iifname "way0" meta l4proto udp numgen random mod 100 < {percent} drop
  }}
}}
"""


@contextmanager
def bad_link(link: Link) -> Iterator[BadLink]:
    """Such a link for as long as the block runs."""
    it = BadLink()
    try:
        it.make(link)
        yield it
    finally:
        it.remove()


def _run(*command: str, said: str = "") -> None:
    subprocess.run(command, input=said, text=True, check=True)
