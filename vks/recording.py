"""Hands participants' media to the recorder, as it was received: the other end of ``<run>/ingest.sock``.

Whatever this process says there, no recording of the room can be harmed by it. The connection is opened again for as long as it takes; what
comes meanwhile is not kept, and the record shows the gap. Where ingest reads too slowly, media is dropped and the drop is told.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog

from recorder.contract import ingest
from recorder.contract.bucket import Bucket
from recorder.contract.framing import FrameError, FrameReader, pack
from vks.plain import label_of
from vks.times import mono_us

log = structlog.get_logger()

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 2.0
HELD_S = 5.0
"""A connection that lasted so long was a good one: the next is tried soon."""
STARTS_PER_S, STARTS_BURST = 4, 1.5
"""Ingest takes five a second, and at once twice as many as there may be tracks: what is above this waits for its turn."""
WAITING_S = 0.25
AGAIN_US = 2_000_000
"""A track whose start was refused is tried again so much later."""
MOST_WAITING_BYTES = 8 * 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass(slots=True)
class _Track:
    start: ingest.TrackStart
    waits: bool = True
    """Ingest was not told of it: it is not there, it takes no more tracks, or they begin too fast."""
    again_us: int = 0
    """Not before."""
    dropped: int = 0
    """Packets that were not handed over, though ingest was there: told as soon as one is."""
    ready_us: int | None = None
    """Since when the record waits for pictures of it."""


class Recording:
    """The tracks of this process in the record.

    Args:
        run_dir: where the recorder's sockets are.
        on_keyframe_wanted: is told the track of which the record needs a keyframe.
        on_lost: is called when ingest is gone: what was handed over last may be in no record.
        most_tracks: so many the recorder takes at once; one more waits until another ends.
    """

    def __init__(
        self, run_dir: str, on_keyframe_wanted: Callable[[str], None], on_lost: Callable[[], None] | None = None, most_tracks: int = 64
    ) -> None:
        self._path = f"{run_dir}/ingest.sock"
        self._on_keyframe_wanted = on_keyframe_wanted
        self._on_lost = on_lost
        self._most_tracks = most_tracks
        self._tracks: dict[str, _Track] = {}
        self._starts = Bucket(STARTS_PER_S, STARTS_BURST * most_tracks)
        self._writer: asyncio.StreamWriter | None = None

    @property
    def connected(self) -> bool:
        """Whether ingest is there."""
        return self._writer is not None

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        delay_s = RETRY_FIRST_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_MOST_S)
                continue
            since_us = mono_us()
            self._writer = writer
            for track in self._tracks.values():
                track.ready_us, track.waits, track.again_us = None, True, 0
            self._begin_waiting()
            waiting = asyncio.create_task(self._keep_beginning(), name="tracks that wait for the record")
            try:
                await self._listen(reader)
                self._writer = None  # first: what comes from now on is not handed over, and not told to be
                if self._on_lost is not None:
                    self._on_lost()
            finally:
                self._writer = None
                waiting.cancel()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            delay_s = RETRY_FIRST_S if mono_us() - since_us > HELD_S * 1e6 else min(2 * delay_s, RETRY_MOST_S)
            await asyncio.sleep(delay_s)

    async def _keep_beginning(self) -> None:
        while True:
            await asyncio.sleep(WAITING_S)
            self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Tell ingest of as many of the tracks that wait as it takes now."""
        now_us = mono_us()
        room = self._most_tracks - sum(not one.waits for one in self._tracks.values())
        for one in sorted(self._tracks.values(), key=lambda one: one.start.kind != "audio"):  # what is said before what is seen
            if one.waits and now_us >= one.again_us and self._writer is not None:
                if room <= 0 or not self._starts.take(now_us):
                    return
                room, one.waits = room - 1, False
                self._say(one.start)

    def start(
        self, track: str, kind: Literal["video", "audio"], label: str, level: Literal["identity"] | None = None, delay_us: int = 0
    ) -> None:
        """A track begins. It begins again by itself where the connection was lost.

        Args:
            track: its name.
            kind: what it holds.
            label: what people call it.
            level: it is of this one, and not the session's.
            delay_us: so long before its time, at most, was captured what a packet holds.
        """
        codec: Literal["h264", "opus"] = "h264" if kind == "video" else "opus"
        start = ingest.TrackStart(track=track, kind=kind, codec=codec, label=label_of(label), level=level, delay_us=delay_us)
        self._tracks[track] = _Track(start)
        if len(self._tracks) > self._most_tracks:
            log.error("the recorder takes no more tracks: one is not recorded until another ends", track=track, most=self._most_tracks)
        self._begin_waiting()

    def ready_us(self, track: str) -> int | None:
        """Since when (CLOCK_MONOTONIC) the record takes pictures of a track; None where it does not, or nobody knows."""
        known = self._tracks.get(track)
        return None if known is None or self._writer is None else known.ready_us

    def media(self, track: str, mono_us: int, dur_us: int, body: bytes, *, key: bool) -> bool:
        """One access unit (Annex B) or packet of Opus of a track that was started; False where it was not handed over."""
        known = self._tracks.get(track)
        if known is None or self._writer is None or self._writer.is_closing():
            return False
        if known.waits or self._writer.transport.get_write_buffer_size() > MOST_WAITING_BYTES:
            known.dropped += 1
            return False
        if known.dropped:
            self.tell(track, "not_taken", {"packets": known.dropped})
            known.dropped = 0
        self._say(ingest.MediaPacket(track=track, mono_us=mono_us, dur_us=dur_us, key=key), body)
        return True

    def tell(self, track: str, name: str, data: dict[str, str | int]) -> None:
        """Something about a track for the record: loss, jitter, who spoke."""
        if track in self._tracks and not self._tracks[track].waits:
            self._say(ingest.Quality(track=track, name=name, data=data))

    def stop(self, track: str, cause: str, detail: str = "") -> None:
        """A track ends."""
        ended = self._tracks.pop(track, None)
        if ended is None or ended.waits:
            return
        self._say(ingest.TrackStop(track=track, cause=cause, detail=detail))
        self._begin_waiting()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        while data := await self._read(reader):
            try:
                messages = [ingest.from_ingest.decode(head) for head, _ in frames.feed(data)]
            except (FrameError, msgspec.DecodeError) as error:
                log.error("ingest said what the contract does not know", error=str(error))
                return
            for message in messages:
                if isinstance(message, ingest.Refusal):
                    log.error("ingest refused", what=message.what, detail=message.detail, track=message.track)
                    if not message.track:
                        return
                    self._refused(message)
                    continue
                wanted = self._tracks.get(message.track)
                if wanted is not None and wanted.ready_us is None:
                    wanted.ready_us = mono_us()
                self._on_keyframe_wanted(message.track)

    def _refused(self, message: ingest.Refusal) -> None:
        """Of one track alone; where it did not begin it is tried again."""
        one = self._tracks.get(message.track)
        if one is not None and not message.is_open:
            one.waits, one.again_us = True, mono_us() + AGAIN_US

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(_READ_BYTES)
        except ConnectionError:
            return b""

    def _say(self, message: ingest.Message, body: bytes = b"") -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(pack(ingest.encoder.encode(message), body))
