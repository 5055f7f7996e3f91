"""The agent's link to the recorder's control socket: its state as it is told, requests with a deadline, receipts handed over.

The agent neither dies with the recorder nor because of it: a recorder that is away is asked for again for ever, one that hangs (its socket
takes connections, and nothing comes) counts as away after ``STALE_S``.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from agent.upstream.backoff import Backoff
from recorder.contract import control
from recorder.record.checkpoint import Receipt

log = structlog.get_logger()

STALE_S = 3.0
"""The recorder tells its state five times a second; after so long a silence it counts as away."""
GIVE_UP_S = 30.0
"""A connection on which nothing came for so long is made anew; one that hangs for less goes on where it stopped."""
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0
REQUEST_S = 10.0
STOP_S = 120.0
"""A stop is answered when the record is sealed; sealing waits for the mirror, the signing key and the timestamp authority."""
MAX_LINE_BYTES = 4 * 1024 * 1024
RECEIPTS_KEPT = 100


class RecorderAwayError(Exception):
    """The recorder cannot be reached, or did not answer in time: whether it did what it was asked for, its next state says."""


class RecorderRefusedError(Exception):
    """The recorder refuses; the message says why, and what to do."""


class RecorderLink:
    """The recorder as the agent sees it; ``run`` keeps it up to date.

    Args:
        run_dir: the directory of the recorder's sockets.
        on_status: called with each state that the recorder tells.
        on_reachable: called with True when the first state comes, and with False when the recorder is away.
        on_receipt: called with each receipt that is done with: the recorder has it, or will never take it.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        on_status: Callable[[control.Status], None] = lambda _: None,
        on_reachable: Callable[[bool], None] = lambda _: None,
        on_receipt: Callable[[Receipt], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        self._path = run_dir / "control.sock"
        self._on_status = on_status
        self._on_reachable = on_reachable
        self._on_receipt = on_receipt
        self._clock = clock
        self._backoff = backoff or Backoff(first_s=FIRST_RETRY_S, longest_s=LONGEST_RETRY_S)
        self._status: control.Status | None = None
        self._at_s: float | None = None
        self._there = False
        self._told_away = False
        self._receipts: deque[Receipt] = deque(maxlen=RECEIPTS_KEPT)
        self._due = asyncio.Event()

    @property
    def status(self) -> control.Status | None:
        """The last state that was told, however old; None before the first."""
        return self._status

    @property
    def age_s(self) -> float | None:
        """How old the last state is."""
        return None if self._at_s is None else self._clock() - self._at_s

    @property
    def reachable(self) -> bool:
        """Whether the recorder tells its state now."""
        age_s = self.age_s
        return self._there and age_s is not None and age_s <= STALE_S

    async def run(self) -> None:
        """Follow the recorder's state, and hand receipts over, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_always())
            group.create_task(self._hand_over_always())

    async def _follow_always(self) -> None:
        while True:
            try:
                await self._follow()
            except (OSError, EOFError, ValueError, msgspec.DecodeError, RecorderRefusedError) as error:
                self._away(str(error) or type(error).__name__)
            await asyncio.sleep(self._backoff.failed())

    async def do(self, request: control.AnyRequest, deadline_s: float | None = None) -> control.Reply:
        """Ask the recorder for something, on a connection of its own: a seal that takes a minute holds nothing else up.

        Args:
            request: what; ``GetStatus`` and ``Subscribe`` are not for here.
            deadline_s: how long to wait (default: by the request).

        Returns:
            The answer; one without ``ok`` was obeyed and warns in ``error`` that it is not on the disk yet.

        Raises:
            RecorderAwayError: it cannot be reached, or does not answer in time.
            RecorderRefusedError: it said no.
        """
        if deadline_s is None:
            deadline_s = STOP_S if isinstance(request, control.StopRequest) else REQUEST_S
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._ask(request)
        except TimeoutError as error:
            raise RecorderAwayError(f"the recorder did not answer within {deadline_s:g} s; its state says whether it did it") from error
        except (OSError, EOFError, ValueError, msgspec.DecodeError) as error:
            raise RecorderAwayError(
                f"the recorder does not answer ({_words(error)}); is it running? see `systemctl status courtroom-recorder`"
            ) from error
        if not isinstance(answer, control.Reply):
            raise RecorderAwayError("the recorder answered with a state where a reply was due")
        if not control.is_obeyed(request, answer):
            raise RecorderRefusedError(answer.error)
        if not answer.ok:
            log.error("the recorder obeys, and its disk takes nothing of it yet", request=type(request).__name__, error=answer.error)
        return answer

    async def keep(self, receipt: Receipt) -> None:
        """Have a receipt stored with its record, now or when the recorder is back. Does not wait for it."""
        self._receipts.append(receipt)
        self._due.set()

    async def _hand_over_always(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            while self._receipts:
                receipt = self._receipts.popleft()
                if not await self._handed_over(receipt):
                    self._receipts.appendleft(receipt)
                    break
                if self._on_receipt is not None:
                    await self._on_receipt(receipt)

    async def _handed_over(self, receipt: Receipt) -> bool:
        """Whether a receipt is done with: the recorder has it, or will never take it."""
        try:
            await self.do(control.AddReceipt(receipt=msgspec.json.encode(receipt).decode()))
        except RecorderAwayError:
            return False
        except RecorderRefusedError as error:
            log.warning("the recorder does not take a receipt; the centre's ledger has it", record=receipt.record, error=str(error))
        return True

    async def _ask(self, request: control.AnyRequest) -> control.Reply | control.Status:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=MAX_LINE_BYTES)
        try:
            writer.write(control.json_encoder.encode(request) + b"\n")
            await writer.drain()
            return await _read(reader)
        finally:
            writer.close()

    async def _follow(self) -> None:
        """Read one subscription until it ends.

        Raises:
            OSError: no connection, or it broke, or nothing came for ``GIVE_UP_S``.
            EOFError: the recorder ended.
            ValueError: a line that is too long, or none.
            RecorderRefusedError: this user may not.
        """
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=MAX_LINE_BYTES)
        try:
            writer.write(control.json_encoder.encode(control.Subscribe()) + b"\n")
            reading: asyncio.Task[control.Reply | control.Status] | None = None
            silent_since_s = self._clock()
            try:
                while True:
                    reading = reading or asyncio.create_task(_read(reader))
                    await asyncio.wait([reading], timeout=STALE_S)
                    if not reading.done():
                        self._away(f"it hangs: its socket is open, and it has told nothing for {STALE_S:g} s")
                        if self._clock() - silent_since_s >= GIVE_UP_S:
                            raise TimeoutError(f"silent for {GIVE_UP_S:g} s")
                        continue
                    answer, reading = reading.result(), None
                    silent_since_s = self._clock()
                    self._take(answer)
            finally:
                if reading is not None:
                    reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError, OSError, EOFError, ValueError, msgspec.DecodeError):
                        await reading
        finally:
            writer.close()

    def _take(self, answer: control.Reply | control.Status) -> None:
        if not isinstance(answer, control.Status):
            raise RecorderRefusedError(answer.error)
        self._status, self._at_s = answer, self._clock()
        if not self._there:
            self._there, self._told_away = True, False
            self._backoff.succeeded()
            log.info("the recorder answers", state=answer.state, session=answer.record)
            self._on_reachable(True)
            self._due.set()
        self._on_status(answer)

    def _away(self, why: str) -> None:
        if not self._told_away:
            self._told_away = True
            log.error("the recorder is away; it is asked for again until it answers", error=why)
        if self._there:
            self._there = False
            self._on_reachable(False)


async def _read(reader: asyncio.StreamReader) -> control.Reply | control.Status:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the recorder closed the connection")
    answer: control.Reply | control.Status = control.from_recorder.decode(line)
    return answer


def _words(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
