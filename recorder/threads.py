"""Work that may hang for ever, each piece in a thread of its own; and waiting that does not.

The threads of a pool would all come to hang, one after the other, and what has nothing to do with them would wait; and at the end of the
process a pool is waited for.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T], name: str) -> "Future[T]":
    """Begin the work; the future takes what comes of it, an error too."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            done = work()
        except BaseException as error:  # noqa: BLE001 - whoever waits for it judges it
            future.set_exception(error)
        else:
            future.set_result(done)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


async def apart(work: Callable[[], T], name: str) -> T:
    """Do the work while the event loop goes on; whoever is cancelled meanwhile leaves the work behind."""
    future = asyncio.wrap_future(begin(work, name))
    await asyncio.wait({future})
    return future.result()


def within(work: Callable[[], T], timeout_s: float, name: str) -> T:
    """Do the work, and wait for it so long at most; blocks.

    Raises:
        TimeoutError: it hangs; it is left behind.
    """
    future = begin(work, name)
    if not wait({future}, timeout_s).done:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return future.result()


async def until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a condition holds that the event loop itself brings about, at most so long."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not condition() and loop.time() < deadline_s:  # noqa: ASYNC110 - the condition is plain state, brought about by messages
        await asyncio.sleep(0.01)
