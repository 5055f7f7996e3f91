"""A network camera's own small stream, as the low rung: opened only while somebody watches it, in a thread of its own."""

import threading
import time
from collections.abc import Callable
from typing import Any

from drivers.capabilities import Encoded, SourceLostError, VideoFormat
from drivers.registry import open_source
from recorder.children.bus_server import BusServer
from recorder.children.link import now_us
from recorder.contract import bus

RETRY_S = 2.0


class SubStream:
    """Serves ``<camera>.low``.

    ``guarded`` runs what is given to it, unless the room is muted: then it returns False and the stream is closed.
    """

    def __init__(self, device: dict[str, Any], server: BusServer, guarded: Callable[[Callable[[], None]], bool]) -> None:
        self._device = {**device, "url": device["sub_url"], "audio": False}
        self._guarded = guarded
        self._came = threading.Event()
        self._hello = bus.Hello(stream=f"{device['id']}.low", kind="video", codec="h264")
        self._stream = server.stream(self._hello, self._came.set, described=False)
        threading.Thread(target=self._run, name="sub-stream", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._came.wait()
            self._came.clear()
            try:
                while self._stream.watched and self._guarded(_nothing):
                    self._serve()
            except SourceLostError:
                # The picture itself is the main stream's matter; who watches comes again, and that opens the camera again.
                time.sleep(RETRY_S)
            self._stream.disconnect()

    def _serve(self) -> None:
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
            self._stream.describe(
                bus.Hello(
                    stream=self._hello.stream,
                    kind="video",
                    codec=form.codec,
                    extradata=form.template.codec_context.extradata or b"",
                    width=form.width,
                    height=form.height,
                )
            )
            while self._stream.watched:
                item = source.read()
                if isinstance(item, Encoded) and not self._publish(item, interval_us):
                    return
        finally:
            source.close()

    def _publish(self, item: Encoded, interval_us: int) -> bool:
        packet = item.packet
        return self._guarded(
            # The arrival is near enough for a live view, and is on the room's clock without a fit.
            lambda: self._stream.publish(min(item.arrival_us, now_us()), interval_us, key=packet.is_keyframe, data=bytes(packet))
        )


def _nothing() -> None:
    return
