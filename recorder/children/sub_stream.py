"""A network camera's own small stream, as the low rung: opened only while somebody watches it."""

from typing import Any

from drivers.capabilities import Encoded, SourceLostError, VideoFormat
from drivers.registry import open_source
from recorder.children.bus_server import BusServer, BusStream
from recorder.children.link import now_us
from recorder.children.on_demand import Guarded, serve_on_demand
from recorder.contract import bus


class SubStream:
    """Serves ``<camera>.low``. A camera that does not give it costs its viewers the picture, and the record nothing."""

    def __init__(self, device: dict[str, Any], server: BusServer, guarded: Guarded) -> None:
        self._device = {**device, "url": device["sub_url"], "audio": False}
        self._guarded = guarded
        serve_on_demand(
            server, bus.Hello(stream=f"{device['id']}.low", kind="video", codec="h264"), guarded, self._serve, (SourceLostError,)
        )

    def _serve(self, stream: BusStream) -> None:
        """Pass the camera's packets on until nobody watches.

        Raises:
            SourceLostError: the camera does not give the stream.
        """
        source = open_source(self._device)
        try:
            form = source.formats["video"]
            if not isinstance(form, VideoFormat) or form.template is None:
                raise SourceLostError("format", f"{source.address}: gives no encoded picture")
            interval_us = round(1_000_000 / form.rate)
            context = form.template.codec_context
            stream.describe(
                bus.Hello(
                    stream=stream.hello.stream,
                    kind="video",
                    codec=form.codec,
                    extradata=context.extradata or b"",
                    width=form.width,
                    height=form.height,
                    forwardable=form.codec == "h264" and not context.has_b_frames,
                )
            )
            while stream.watched:
                item = source.read()
                if isinstance(item, Encoded) and not self._publish(stream, item, interval_us):
                    return
        finally:
            source.close()

    def _publish(self, stream: BusStream, item: Encoded, interval_us: int) -> bool:
        packet = item.packet
        return self._guarded(
            # The arrival is near enough for a live view, and is on the room's clock without a fit.
            lambda: stream.publish(min(item.arrival_us, now_us()), interval_us, key=packet.is_keyframe, data=bytes(packet))
        )
