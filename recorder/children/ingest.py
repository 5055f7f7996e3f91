"""The ingest child: takes participants' media from ``<run>/ingest.sock`` and makes fragments of it.

It faces what the internet sent, so it has no key but those of its own tracks, gives up files, new sockets and processes before it listens,
uses no demuxer and no decoder, and knows only the verbs of ``contract/ingest.py``. Whoever asks for more is refused, named to the core, and
disconnected; all that he had open ends with him. A packet that is none, or a start too many, is passed over alone: behind one connection
there are all participants.

It reports no drift: participants' times arrive as the conference laid them on CLOCK_MONOTONIC, and their RTP times stay there.
"""

import os
import pwd
import socket
from pathlib import Path

from recorder.children.ingest_gate import MAX_PACKET_BYTES, Gate, RefusedError, decode, refused_packet
from recorder.children.local_socket import accept, listen, receive
from recorder.children.packet_track import PacketTrack, can_begin, opus_dur_us
from recorder.children.part import Schedule
from recorder.children.sandbox import drop_powers
from recorder.children.socket_loop import SocketLoop, now_us, serve
from recorder.contract import child, h264, ingest
from recorder.contract.bucket import Bucket
from recorder.contract.framing import FrameError, FrameReader, pack
from recorder.record.layout import REMOTE

MAX_PEERS = 8
KEYFRAME_EVERY_US = 10_000_000
AGAIN_US = 1_000_000
"""So soon at the earliest a keyframe is asked for again, in place of pictures that were refused."""
STATS_EVERY_US = 200_000
LATE_US = 300_000
"""After ``StopPart``, packets from before its time are still taken for so long."""
MEMORY_BYTES = 768 * 1024 * 1024
_FILES = 64
_READ_BYTES = 256 * 1024
_REFUSALS_PER_S = 5
_OPUS_CHANNELS = 2


class _Peer:
    """One connection."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.sock = sock
        self.frames = FrameReader(MAX_PACKET_BYTES)


class _Remote:
    """One participant's track."""

    def __init__(self, peer: _Peer, start: ingest.TrackStart, recorded: PacketTrack) -> None:
        self.peer = peer
        self.short = start.track
        self.kind = start.kind
        self.delay_us = start.delay_us
        self.recorded = recorded
        self.schedule = Schedule(recorded.track)
        self.keyframe_asked_us = 0
        self.units = 0
        self.bytes = 0
        self.last_us = 0


class Ingest:
    """The child's state; driven by its loop."""

    def __init__(self, loop: SocketLoop, configure: child.Configure) -> None:
        device = configure.device
        self._loop = loop
        self._muted = False
        self._peers: dict[int, _Peer] = {}
        self._remotes: dict[str, _Remote] = {}
        self._next_peer = 0
        self._refusals = Bucket(_REFUSALS_PER_S, _REFUSALS_PER_S * 4)
        self._stats_us = 0
        self._fragment_us, self._segment_us = configure.fragment_us, configure.segment_s * 1_000_000
        self._gate = Gate(device["max_tracks"], device["track_bytes_per_s"])
        self._uid = pwd.getpwnam(device["user"]).pw_uid if device.get("user") else os.getuid()
        path = Path(configure.run_dir) / "ingest.sock"
        self._listener = listen(path, 0o666, MAX_PEERS)
        detail = drop_powers(MEMORY_BYTES, _FILES)
        loop.watch(self._listener, self._accept)
        loop.send(child.Opened(driver="ingest", address=str(path), serial="", tracks={}, detail=detail, continuous=False))

    def obey(self, message: child.ToChild) -> None:
        """Take a message of the core."""
        match message:
            case child.StartPart():
                self._start_part(message)
            case child.StopPart():
                for remote in self._remotes.values():
                    remote.schedule.stop(message.at_mono_us)
            case child.Mute():
                self._mute(on=message.on)
            case child.RequestKeyframe():
                wanted = self._remotes.get(message.track)
                if wanted is not None and wanted.kind == "video":
                    self._ask_keyframe(wanted)
            case _:
                pass  # the pre-roll is the room's own devices' matter

    def _start_part(self, message: child.StartPart) -> None:
        for name, part in message.tracks.items():
            remote = self._remotes.get(name)
            if remote is None:
                self._loop.send(child.PartEnded(track=name, part=part, end_us=None))
                continue
            remote.schedule.start(message)
            if remote.kind == "video":
                self._ask_keyframe(remote)

    def _mute(self, *, on: bool) -> None:
        self._muted = on
        if on:
            for remote in self._remotes.values():
                running = remote.schedule.running
                if running is not None and running.stop_us is None:
                    self._loop.send_all(remote.recorded.wipe())
                    remote.schedule.ended()
                self._finish(remote, None)
        self._loop.send(child.Muted(on=on, at_mono_us=now_us()))

    def tick(self) -> None:
        """Do what is due."""
        now = now_us()
        for remote in self._remotes.values():
            if remote.schedule.stopped_by(now - LATE_US):
                self._finish(remote, None)
            self._name_abandoned(remote, now - LATE_US)
            self._loop.send_all(remote.recorded.tick(now))
            if remote.kind == "video" and remote.schedule.wanted and now - remote.keyframe_asked_us > KEYFRAME_EVERY_US:
                self._ask_keyframe(remote)
        if now - self._stats_us > STATS_EVERY_US:
            self._stats_us = now
            stats = [
                child.TrackStats(track=name, units=remote.units, dropped=0, last_mono_us=remote.last_us, bytes=remote.bytes)
                for name, remote in self._remotes.items()
            ]
            self._loop.send(child.Stats(tracks=stats))

    def _accept(self) -> None:
        accepted = accept(self._listener)
        if accepted is None:
            return
        sock, uid = accepted
        self._next_peer += 1
        peer = _Peer(self._next_peer, sock)
        self._peers[peer.number] = peer
        self._gate.connected(peer.number)
        self._loop.watch(sock, lambda: self._readable(peer))
        if uid != self._uid:
            self._refuse(peer, RefusedError("user", f"user {uid} may not connect"))
        elif len(self._peers) > MAX_PEERS:
            self._refuse(peer, RefusedError("connections", f"more than {MAX_PEERS} connections"))

    def _readable(self, peer: _Peer) -> None:
        data = receive(peer.sock, _READ_BYTES)
        if data is None:
            return
        if not data:
            self._drop(peer, "disconnected", "the connection ended")
            return
        try:
            for head, body in peer.frames.feed(data):
                self._take_or_pass_over(peer, decode(head), body)
        except FrameError as error:
            self._refuse(peer, RefusedError("frame", str(error)))
        except RefusedError as refused:
            self._refuse(peer, refused)

    def _take_or_pass_over(self, peer: _Peer, message: ingest.Message, body: bytes) -> None:
        """Take a message; what is refused of one track alone is told, and costs no other track anything."""
        try:
            self._take(peer, message, body)
        except RefusedError as refused:
            if not refused.track:
                raise
            self._tell_refused(peer, refused)
            remote = self._remotes.get(f"{REMOTE}{refused.track}")
            if refused.is_open and remote is not None and remote.kind == "video" and now_us() - remote.keyframe_asked_us > AGAIN_US:
                self._ask_keyframe(remote)  # the pictures that follow lean on the one that is missing

    def _take(self, peer: _Peer, message: ingest.Message, body: bytes) -> None:
        now = now_us()
        if body and not isinstance(message, ingest.MediaPacket):
            raise RefusedError("frame", "only media has a body")
        match message:
            case ingest.TrackStart():
                name = self._gate.start(peer.number, message, now)
                # A still is told to be in the record as soon as it was handed over here: it waits for nothing.
                recorded = PacketTrack(
                    name, label=message.label, channels=_OPUS_CHANNELS, fragment_us=self._fragment_us, segment_us=self._segment_us,
                    at_once=message.level == "identity",
                )  # fmt: skip
                self._remotes[name] = _Remote(peer, message, recorded)
                self._loop.send(child.TrackOpened(track=name, kind=message.kind, label=message.label, level=message.level))
            case ingest.MediaPacket():
                self._media(self._remotes[self._gate.media(peer.number, message, len(body), now)], message, body)
            case ingest.TrackStop():
                name = self._gate.stop(peer.number, message)
                self._close(name, message.cause, message.detail)
            case ingest.Quality():
                name = self._gate.quality(peer.number, message, now)
                self._loop.send(child.QualityEvent(track=name, name=message.name, data=message.data))
            case _:
                raise RefusedError("verb", type(message).__name__)

    def _media(self, remote: _Remote, message: ingest.MediaPacket, body: bytes) -> None:
        if self._muted:
            return
        remote.units += 1
        remote.bytes += len(body)
        remote.last_us = message.mono_us
        try:
            if remote.kind == "video":
                units = h264.nal_units(body)
                self._turn(remote, message.mono_us, can_begin=can_begin(units))
                out = remote.recorded.add_picture(units, message.mono_us, message.dur_us)
            else:
                # A packet that reaches behind the end holds sound from after it: it is not recorded.
                if remote.schedule.stopped_by(message.mono_us + opus_dur_us(body) - 1):
                    self._finish(remote, None)
                self._turn(remote, message.mono_us, can_begin=True)
                running = remote.schedule.running
                if running is not None and message.mono_us - remote.delay_us < running.from_us:
                    return  # it may hold what was said before this part: in a break, or where another level was in force
                out = remote.recorded.add_sound(body, message.mono_us)
        except ValueError as error:
            raise refused_packet("packet", f"'{remote.recorded.track}': {error}", message) from error
        self._loop.send_all(out)

    def _turn(self, remote: _Remote, mono_us: int, *, can_begin: bool) -> None:
        """End the part that ends before a packet, and begin the one that begins with it.

        A part of another level begins with the keyframe that was asked for. Until it comes pictures are not kept: none lies in a part of
        the wrong level.
        """
        if remote.schedule.ends_before(mono_us):
            self._finish(remote, mono_us)
        self._name_abandoned(remote, mono_us)
        if remote.schedule.begins_with(mono_us, can_begin=can_begin):
            part = remote.schedule.begin()
            remote.recorded.start(part.number, part.from_us, part.origin_us, part.key)

    def _name_abandoned(self, remote: _Remote, mono_us: int) -> None:
        while (gone := remote.schedule.abandoned(mono_us)) is not None:
            self._loop.send(child.PartEnded(track=remote.recorded.track, part=gone.number, end_us=None))

    def _tell_refused(self, peer: _Peer, refused: RefusedError) -> None:
        now = now_us()
        told = self._gate.tells(peer.number, refused, now) and self._refusals.take(now)
        if told:
            self._loop.send(child.Refused(what=refused.what, detail=refused.detail))
        if told or not refused.is_open:
            self._say(peer, ingest.Refusal(what=refused.what, detail=refused.detail, track=refused.track, is_open=refused.is_open))

    def _refuse(self, peer: _Peer, refused: RefusedError) -> None:
        self._tell_refused(peer, refused)
        self._drop(peer, "refused", f"{refused.what}: {refused.detail}"[:200])

    def _drop(self, peer: _Peer, cause: str, detail: str) -> None:
        for name in self._gate.disconnected(peer.number):
            self._close(name, cause, detail)
        self._loop.unwatch(peer.sock)
        peer.sock.close()
        del self._peers[peer.number]

    def _close(self, name: str, cause: str, detail: str) -> None:
        remote = self._remotes.pop(name)
        self._finish(remote, None)
        remote.schedule.stop(0)
        self._name_abandoned(remote, 0)
        self._loop.send(child.TrackClosed(track=name, cause=cause, detail=detail))

    def _finish(self, remote: _Remote, next_us: int | None) -> None:
        """End the running part where it was to end, at the latest with what is captured at ``next_us``."""
        running = remote.schedule.running
        if running is None:
            return
        ends_us = [at_us for at_us in (running.stop_us, next_us) if at_us is not None]
        self._loop.send_all(remote.recorded.stop(min(ends_us, default=None), closed_us=running.stop_us))
        remote.schedule.ended()

    def _ask_keyframe(self, remote: _Remote) -> None:
        remote.keyframe_asked_us = now_us()
        self._say(remote.peer, ingest.KeyframeWanted(track=remote.short))

    def _say(self, peer: _Peer, message: ingest.Message) -> None:
        try:
            peer.sock.send(pack(ingest.encoder.encode(message)))
        except (BlockingIOError, ConnectionError):
            return  # a peer that does not read, or has gone, misses what is for its own good


if __name__ == "__main__":
    serve(Ingest)
