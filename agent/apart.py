"""Work that may hang in the kernel (a disk, a mount) beside the event loop, in a thread that nobody ever waits for at the end.

``asyncio.to_thread`` would do, but for its executor: its threads are joined when the process ends, and one that hangs on a dead disk would
keep the process from ending.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def apart(work: Callable[[], Result], deadline_s: float) -> Result:
    """The result of ``work``, done in a thread of its own.

    Raises:
        TimeoutError: it is not done by the deadline; its thread is left behind.
        Exception: what ``work`` raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # Result may itself be None

    def run() -> None:
        result: Result | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed to who waits
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop ended meanwhile: nobody waits
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="apart", daemon=True).start()
    async with asyncio.timeout(deadline_s):
        return await done
