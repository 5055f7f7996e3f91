"""A stream of the bus that costs work to make: it is made, in a thread of its own, only while somebody watches and the room may be seen."""

import threading
import time
from collections.abc import Callable

from recorder.children.bus_server import BusServer, BusStream
from recorder.contract import bus

RETRY_S = 1.0

Guarded = Callable[[Callable[[], None]], bool]
"""Runs what is given to it, unless the room is muted: then it returns False."""


def serve_on_demand(
    server: BusServer,
    hello: bus.Hello,
    guarded: Guarded,
    serve: Callable[[BusStream], None],
    failures: tuple[type[Exception], ...],
    asked: Callable[[], None] = lambda: None,
) -> None:
    """Offer a stream.

    Args:
        server: of this process.
        hello: what the stream is, as far as that is known before it is made.
        guarded: tells whether the room may be seen.
        serve: makes the stream until nobody watches or nobody may.
        failures: what ``serve`` raises where its source is not there now; it is called again while somebody watches.
        asked: called when a viewer comes, or needs a keyframe.

    """
    wanted = threading.Event()

    def want() -> None:
        asked()
        wanted.set()

    stream = server.stream(hello, want, described=False)

    def run() -> None:
        while True:
            wanted.wait()
            wanted.clear()
            while watching := stream.watching:
                if not guarded(lambda: None):
                    # Only them: who comes from here on may find the mute ended.
                    stream.send_away(watching)
                    continue
                try:
                    try:
                        serve(stream)
                    finally:
                        stream.forget()
                except failures:
                    time.sleep(RETRY_S)

    threading.Thread(target=run, name=hello.stream, daemon=True).start()
