"""Puts pictures into a viewer's tiles: whose, and in which."""

from collections.abc import Mapping

from vks.forwarding import Feed
from vks.peer import Peer
from vks.speaking import Stage

SHARED = "screen"
"""Name of the shared screen among feeds."""


def fill(viewer: Peer, feeds: Mapping[str, Feed], stage: Stage, now_us: int) -> None:
    """Put the pictures that this viewer may see, by name, into the tiles that the link carries."""
    wanted = viewer.tiles_wanted
    kept = [name if number < wanted else "" for number, name in enumerate(viewer.tiles)]
    chosen = stage.fill(kept[:wanted], list(feeds), pinned=SHARED)
    viewer.tiles = [*chosen, *[""] * (len(viewer.tiles) - wanted)]
    for slot, name in zip(viewer.slots, viewer.tiles, strict=True):
        slot.show(feeds.get(name), now_us)
    viewer.tell_tiles()
