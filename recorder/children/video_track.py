"""One camera: its streams on the bus, its pre-roll, and its parts; pictures are encoded once, what comes encoded is passed on untouched."""

from typing import Any

import av

from drivers.capabilities import Encoded, Picture, VideoFormat
from recorder.children.bus_server import BusServer
from recorder.children.encoder import VIDEO_HZ, PictureEncoder, choose_h264, low_size
from recorder.children.fragmenter import Emit
from recorder.children.pace import Pace
from recorder.children.part_writer import PartWriter
from recorder.children.preroll import Preroll
from recorder.contract import bus, child

ARMED_GOP_US = 1_000_000
"""While the pre-roll is armed groups of pictures are this short: a part can only begin with one."""
_REORDERED_US = 1_000_000
"""A picture that is to be shown so little before the one that came before it is a B-frame; further back, the camera's clock leapt."""


class VideoTrack:
    """One camera's picture."""

    def __init__(
        self,
        name: str,
        label: str,
        form: VideoFormat,
        encoding: dict[str, Any],
        server: BusServer,
        emit: Emit,
        segment_us: int,
        fragment_us: int,
        *,
        low_rung: bool = True,
    ) -> None:
        self.name = name
        self.units = 0
        self.dropped = 0
        self.last_us = 0
        self.preroll = Preroll()
        self.detail = f"{form.codec} as delivered"
        self._form = form
        self._encoding = encoding
        self._parts = PartWriter(name, label, emit, segment_us, fragment_us)
        self.schedule = self._parts.schedule
        self._encoder: PictureEncoder | None = None
        self._low: PictureEncoder | None = None
        self._codec = "libx264"
        self._interval_us = round(1_000_000 / form.rate) if form.rate else 40_000
        self._pace = Pace(self._interval_us if form.codec == "raw" else None)
        self._key_us = 0
        if form.codec == "raw":
            self._codec, self.detail = choose_h264(str(encoding.get("h264", "auto")))
        raw = form.codec == "raw"
        self._in_order = form.template is None or not form.template.codec_context.has_b_frames
        self._shown_us = 0
        self._main = server.stream(self._hello(name, form.width, form.height), self.request_key, described=not raw)
        self._low_stream = (
            server.stream(self._hello(f"{name}.low", *low_size(form.width, form.height)), self._request_low_key, described=False)
            if raw and low_rung
            else None
        )
        self._key_wanted = False

    def start(self, message: child.StartPart) -> None:
        """Plan a part; what the pre-roll holds of it is recorded at once."""
        planned = self.schedule.start(message)
        if planned is None or self.schedule.running is not None:
            return
        self.request_key()
        for item in self.preroll.take(planned.from_us):
            packet: av.Packet[Any] = av.Packet(item.data)
            packet.pts, packet.dts, packet.time_base, packet.duration = item.meta
            packet.is_keyframe = item.key
            self._record(packet, item.mono_us)

    def request_key(self) -> None:
        """Begin a new group of pictures, where the pictures are encoded here."""
        self._key_wanted = True

    def add_picture(self, picture: Picture, mono_us: int) -> None:
        """Take a raw picture."""
        self._count(mono_us, mono_us)
        self.expire(mono_us)
        begins = self.schedule.begins_with(mono_us)
        if self.schedule.running is None and not (begins or self._main.watched or self.preroll.armed):
            self._close_encoder()
        else:
            if self._encoder is None:
                self._encoder = PictureEncoder(
                    self._form.width, self._form.height, self._form.rate, codec=self._codec, options=self._encoding
                )
                self._main.describe(self._hello(self.name, self._form.width, self._form.height))
            short = self.preroll.armed and mono_us - self._key_us >= ARMED_GOP_US
            if self._key_wanted or begins or short:
                # A part's second picture is an IDR picture too: it lets the first one go to the disk at once, not half a second later.
                self._key_wanted = begins
                self._encoder.request_key()
            for packet, packet_us in self._encoder.encode(picture.frame, mono_us):
                self._take(packet, packet_us)
        self._feed_low(picture, mono_us)

    def add_encoded(self, encoded: Encoded, mono_us: int) -> None:
        """Take a packet of a camera that encodes itself."""
        packet = encoded.packet
        decode_us = encoded.device_us
        if packet.dts is not None and packet.time_base is not None:
            decode_us = round(packet.dts * packet.time_base * 1_000_000)
        self._count(decode_us, mono_us)
        if self._in_order and 0 < self._shown_us - encoded.device_us < _REORDERED_US:
            self._in_order = False  # the camera's parameters did not say so
            self._main.describe(self._hello(self.name, self._form.width, self._form.height))
        self._shown_us = encoded.device_us
        self._take(packet, mono_us)

    def expire(self, mono_us: int) -> None:
        """Close what should have ended before now."""
        if self.schedule.ends_before(mono_us, can_begin=self._form.codec == "raw"):
            self.finish()
        self._parts.forget_abandoned(mono_us)

    def wipe(self) -> None:
        """Forget all that is held back, and what the encoders remember; what was recorded until now is closed."""
        self.preroll.arm(0)
        self.finish()
        self._pace.restart()
        self._close_encoder()
        self._low = None

    def _take(self, packet: "av.Packet[Any]", mono_us: int) -> None:
        data = bytes(packet)
        self._main.publish(mono_us, self._interval_us, key=packet.is_keyframe, data=data)
        if packet.is_keyframe:
            self._key_us = mono_us
        if self.preroll.armed and self.schedule.running is None:
            meta = (packet.pts, packet.dts, packet.time_base, packet.duration)
            self.preroll.put(mono_us, key=packet.is_keyframe, data=data, meta=meta)
        self._record(packet, mono_us)

    def _record(self, packet: "av.Packet[Any]", mono_us: int) -> None:
        key = packet.is_keyframe
        if self.schedule.ends_before(mono_us, can_begin=key):
            self.finish()
        self.expire(mono_us)
        if self.schedule.begins_with(mono_us, can_begin=key):
            self._parts.begin(self._encoder.stream if self._encoder is not None else self._form.template, VIDEO_HZ)
        self._mux(packet, mono_us)

    def release(self, until_us: int) -> None:
        """Record the picture that waits for the next one, if it was captured until this time."""
        self._parts.release(until_us)

    def _mux(self, packet: "av.Packet[Any]", mono_us: int) -> None:
        if self._parts.fragmenter is not None and packet.pts is not None:
            packet.duration = packet.duration or self._packet_duration(packet)
            self._parts.put(packet, mono_us)

    def _packet_duration(self, packet: "av.Packet[Any]") -> int:
        return round(self._interval_us / 1_000_000 / packet.time_base) if packet.time_base else 0

    def finish(self) -> None:
        """Close the running part with what was captured for it."""
        if self._parts.fragmenter is not None:
            self._close_encoder()
        self._parts.end()

    def _close_encoder(self) -> None:
        """Take the pictures that are still inside the encoder: they were captured before the part's end."""
        if self._encoder is None:
            return
        for packet, packet_us in self._encoder.flush():
            self._mux(packet, packet_us)
        self._encoder = None
        self._main.forget()

    def _count(self, stream_us: int, mono_us: int) -> None:
        """Count a picture, and those that the stream's times say are missing before it."""
        self.units += 1
        self.dropped += self._pace.missing(stream_us)
        self.last_us = mono_us

    def _feed_low(self, picture: Picture, mono_us: int) -> None:
        """Make the low rung while somebody watches it."""
        if self._low_stream is None or not self._low_stream.watched:
            if self._low is not None and self._low_stream is not None:
                self._low = None
                self._low_stream.forget()
            return
        width, height = low_size(self._form.width, self._form.height)
        if self._low is None:
            self._low = PictureEncoder(width, height, self._form.rate, codec="libx264", options=self._encoding, low=True)
            self._low_stream.describe(self._hello(f"{self.name}.low", width, height))
        for packet, packet_us in self._low.encode(picture.frame, mono_us):
            self._low_stream.publish(packet_us, self._interval_us, key=packet.is_keyframe, data=bytes(packet))

    def _request_low_key(self) -> None:
        if self._low is not None:
            self._low.request_key()

    def _hello(self, stream: str, width: int, height: int) -> bus.Hello:
        context = self._low if stream.endswith(".low") else self._encoder
        extradata = context.stream.codec_context.extradata if context is not None else None
        if extradata is None and self._form.template is not None:
            extradata = self._form.template.codec_context.extradata
        codec = "h264" if self._form.codec == "raw" else self._form.codec
        forwardable = codec == "h264" and self._in_order
        return bus.Hello(
            stream=stream, kind="video", codec=codec, extradata=extradata or b"", width=width, height=height, forwardable=forwardable
        )
