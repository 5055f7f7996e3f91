"""Decides what a peer of the ingest socket may do. Pure: messages and the time come in, names come out or a refusal.

Nothing that arrives is trusted. The verbs are those of ``contract/ingest.py``; every track is a peer's own, its name is an id, its bytes
are counted, its times lie near now and go forward, and the number of tracks, starts and quality events is bounded.
"""

from dataclasses import dataclass, field

import msgspec

from recorder.contract import ingest
from recorder.contract.bucket import Bucket
from recorder.record.layout import REMOTE, holds_stills, is_id

MAX_PACKET_BYTES = 4 * 1024 * 1024
"""No access unit of a participant is larger."""
PAST_US = 10_000_000
AHEAD_US = 500_000
MAX_DUR_US = 1_000_000
MAX_DELAY_US = 5_000_000
MOST_PER_S = {"audio": 500, "video": 240}
"""Of Opus packets, the shortest of which last 2.5 ms, and of pictures: each is held and named in the record, however small it is."""
BURST_S = 4
"""A track's quota may be used up for so many seconds at once (a keyframe, a stall of the network)."""
LABEL_CHARS = 200
QUALITY_PER_S = 20
QUALITY_ITEMS = 32
STARTS_PER_S = 5
STARTS_BURST = 2
"""All tracks may begin, and after a broken connection again, at once."""
TOLD_PER_S, TOLD_BURST = 0.1, 3
"""How often it is told that something of an open track was refused: a flood of bad packets is no flood of lines, and hides no other's."""
MOST_NOT_BEGUN = 1_000
"""Names that a peer may have asked for in vain."""
MAX_INTEGER = 2**53


class RefusedError(Exception):
    """The peer asked for what it may not have. ``what`` is a code for the record, ``detail`` says more.

    What only came of a participant, or too soon, is of one track (``track``, as the peer calls it): its start, or where ``is_open`` a
    single message of it. It ends nothing else: behind a peer there are all other participants. Everything else ends the peer's connection.
    """

    def __init__(self, what: str, detail: str, track: str = "", *, is_open: bool = False) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what
        self.detail = detail
        self.track = track
        self.is_open = is_open


@dataclass(slots=True)
class _Track:
    peer: int
    kind: str
    bytes_left: Bucket
    packets_left: Bucket
    told: Bucket
    last_us: int = 0


@dataclass(slots=True)
class _Peer:
    quality: Bucket
    not_begun: set[str] = field(default_factory=set)
    """Tracks whose start was refused: what still comes of them is passed over."""


def decode(head: bytes) -> ingest.Message:
    """Parse a message.

    Raises:
        RefusedError: it is none of the verbs, or not in their form.

    """
    try:
        message: ingest.Message = ingest.from_vks.decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("verb", f"not a message of this socket: {error}"[:300]) from error
    return message


class Gate:
    """The rules, for all peers of the socket.

    Args:
        max_tracks: tracks open at once.
        track_bytes_per_s: what one track may bring.

    """

    def __init__(self, max_tracks: int, track_bytes_per_s: int) -> None:
        self._max_tracks = max_tracks
        self._track_bytes_per_s = track_bytes_per_s
        # One for the whole socket: who comes again has what is left of it.
        self._starts = Bucket(STARTS_PER_S, max_tracks * STARTS_BURST)
        self._peers: dict[int, _Peer] = {}
        self._tracks: dict[str, _Track] = {}

    def connected(self, peer: int) -> None:
        """A peer is there."""
        self._peers[peer] = _Peer(Bucket(QUALITY_PER_S, QUALITY_PER_S * BURST_S))

    def disconnected(self, peer: int) -> list[str]:
        """A peer is gone; the names of the tracks that end with it."""
        del self._peers[peer]
        ended = [name for name, track in self._tracks.items() if track.peer == peer]
        for name in ended:
            del self._tracks[name]
        return ended

    def start(self, peer: int, message: ingest.TrackStart, now_us: int) -> str:
        """A track begins; its name in the record."""
        name = _name(message.track)
        known = self._tracks.get(name)
        if known is not None and known.peer == peer:
            raise RefusedError("track", f"'{name}' is open already", message.track, is_open=True)
        if known is not None:  # the peer's own connection before this one, perhaps, whose end was not noticed yet
            raise self._not_begun(peer, message.track, "track", f"'{name}' is open in another connection")
        if {"h264": "video", "opus": "audio"}[message.codec] != message.kind:
            raise RefusedError("track", f"{message.codec} is no {message.kind}")
        if message.level is not None and (message.kind != "video" or not holds_stills(name)):
            raise RefusedError("level", f"'{name}' is no track of stills: of what is heard and seen in a hearing the court says the level")
        if not 0 <= message.delay_us <= MAX_DELAY_US or (message.delay_us and message.kind != "audio"):
            raise RefusedError("track", f"'{name}' cannot be {message.delay_us} us late: sound may, by {MAX_DELAY_US} us")
        if len(self._tracks) >= self._max_tracks:
            raise self._not_begun(peer, message.track, "tracks", f"{self._max_tracks} tracks are open; there may be no more")
        if len(message.label) > LABEL_CHARS or not message.label.isprintable():
            raise self._not_begun(peer, message.track, "label", f"a label is at most {LABEL_CHARS} printable characters")
        if not self._starts.take(now_us):
            raise self._not_begun(peer, message.track, "tracks", "tracks are started too often")
        self._peers[peer].not_begun.discard(message.track)
        quota = Bucket(self._track_bytes_per_s, self._track_bytes_per_s * BURST_S)
        most = MOST_PER_S[message.kind]
        self._tracks[name] = _Track(peer, message.kind, quota, Bucket(most, most * BURST_S), Bucket(TOLD_PER_S, TOLD_BURST))
        return name

    def media(self, peer: int, message: ingest.MediaPacket, size_bytes: int, now_us: int) -> str:
        """A packet of a track; its name."""
        name, track = self._own(peer, message.track)
        if size_bytes == 0 or not 0 <= message.dur_us <= MAX_DUR_US:
            raise refused_packet("packet", f"{size_bytes} bytes for {message.dur_us} us on '{name}'", message)
        if not track.bytes_left.take(now_us, size_bytes):
            raise refused_packet("quota", f"'{name}' brings more than {self._track_bytes_per_s} bytes a second", message)
        if not track.packets_left.take(now_us):
            raise refused_packet("quota", f"'{name}' brings more than {MOST_PER_S[track.kind]} packets a second", message)
        if not now_us - PAST_US <= message.mono_us <= now_us + AHEAD_US or message.mono_us <= track.last_us:
            detail = f"a packet of '{name}' lies {message.mono_us - now_us} us from now, or not after the one before"
            raise refused_packet("time", detail, message)
        track.last_us = message.mono_us
        return name

    def stop(self, peer: int, message: ingest.TrackStop) -> str:
        """A track ends; its name."""
        name, _ = self._own(peer, message.track)
        if not is_id(message.cause) or len(message.detail) > LABEL_CHARS or not message.detail.isprintable():
            raise RefusedError("cause", "a cause is a short code")
        del self._tracks[name]
        return name

    def quality(self, peer: int, message: ingest.Quality, now_us: int) -> str:
        """Something for the journal; the track's name."""
        name, _ = self._own(peer, message.track)
        if not self._peers[peer].quality.take(now_us):
            raise RefusedError("quality", f"quality events come too often, the last of them of '{name}'", message.track, is_open=True)
        sane = is_id(message.name.replace("_", "-")) and len(message.data) <= QUALITY_ITEMS
        for key, value in message.data.items():
            sane = sane and len(key) <= 48 and key.isprintable()
            sane = sane and (len(value) <= LABEL_CHARS and value.isprintable() if isinstance(value, str) else abs(value) < MAX_INTEGER)
        if not sane:
            detail = f"of '{name}': names are ids or have underscores, texts short, numbers below 2^53"
            raise RefusedError("quality", detail, message.track, is_open=True)
        return name

    def tells(self, peer: int, refused: RefusedError, now_us: int) -> bool:
        """Whether it is to be told now that this was refused."""
        if not refused.is_open:
            return True
        found = self._tracks.get(_name(refused.track))
        if found is None or found.peer != peer:
            return False  # it was told when the track did not begin
        return found.told.take(now_us)

    def _not_begun(self, peer: int, track: str, what: str, detail: str) -> RefusedError:
        """A start that may be tried again; what comes of the track until then is passed over."""
        names = self._peers[peer].not_begun
        if track not in names and len(names) >= MOST_NOT_BEGUN:
            return RefusedError(what, detail)
        names.add(track)
        return RefusedError(what, detail, track)

    def _own(self, peer: int, track: str) -> tuple[str, _Track]:
        name = _name(track)
        found = self._tracks.get(name)
        if found is not None and found.peer == peer:
            return name, found
        if track in self._peers[peer].not_begun:
            raise RefusedError("track", f"'{name}' did not begin", track, is_open=True)
        raise RefusedError("track", f"'{name}' is not open here")


def refused_packet(what: str, detail: str, message: ingest.MediaPacket) -> RefusedError:
    """A packet that is not recorded."""
    return RefusedError(what, detail, message.track, is_open=True)


def _name(track: str) -> str:
    name = f"{REMOTE}{track}"
    if not is_id(track) or not is_id(name):
        raise RefusedError("name", f"no track may be called {track[:60]!r}")
    return name
