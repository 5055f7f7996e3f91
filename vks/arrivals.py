"""How what a conference's peers send has come: track by track for the record, link by link for who watches over all rooms."""

from collections.abc import Iterable, Mapping

from vks.account import Arrival
from vks.links import SPAN_US
from vks.peer import CAMERA, SCREEN, SOUND, Peer
from vks.source import Kind, Source

_LINES: dict[Kind, int] = {"audio": SOUND, "video": CAMERA, "screen": SCREEN}


def of_tracks(sources: Iterable[Source], peers: Mapping[str, Peer]) -> tuple[dict[str, Arrival], dict[str, str]]:
    """How each track that is recorded has come, and for sound how good the link of who sends it is."""
    arrivals, links = dict[str, Arrival](), dict[str, str]()
    for source in sources:
        peer, line = peers.get(source.person), _LINES[source.kind]
        if not source.recorded or peer is None or peer.connection is None or line >= peer.own_lines:
            continue
        inbound = peer.connection.inbound(line)
        arrivals[source.track] = Arrival(inbound.counts.packets, inbound.counts.lost, inbound.jitter_us)
        if source.kind == "audio":
            links[source.track] = peer.quality
    return arrivals, links


def of_links(peers: Mapping[str, Peer], now_us: int) -> tuple[dict[str, Arrival], list[int]]:
    """How each stream of the peers has come, and the round trips that were measured within ``links.SPAN_US``."""
    arrivals, round_trips_us = dict[str, Arrival](), list[int]()
    for name, peer in peers.items():
        if peer.connection is None:
            continue
        for line in range(peer.own_lines):
            inbound = peer.connection.inbound(line)
            if inbound.counts.packets:
                arrivals[f"{name}:{line}"] = Arrival(inbound.counts.packets, inbound.counts.lost, inbound.jitter_us)
        lines = [peer.connection.outbound(line) for line in range(peer.connection.lines)]
        round_trips_us += [one.round_trip_us for one in lines if one.round_trip_us is not None and now_us - one.measured_us < SPAN_US]
    return arrivals, round_trips_us
