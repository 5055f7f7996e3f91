"""The agent's link to vks: which hearing people may come to, what staff ask, what stands in the record.

vks may be killed at any time, and is: the link is made again for as long as it takes, and the conference goes on from what was kept here.
What it tells for the record is handed to the recorder in order while a session runs (a fact whose answer was lost is told again, rather
than not); vks keeps it until then, for this process may be killed, too. What was arranged before one begins vks tells when it hears of it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import aiohttp
import msgspec
import structlog

from agent.conference_quality import ConferenceQuality
from agent.recorder_link import RecorderAwayError, RecorderLink, RecorderRefusedError
from agent.upstream.backoff import Backoff
from recorder.contract import conference, control

log = structlog.get_logger()

LOOK_S = 0.2
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 2.0
ANSWER_S = 5.0
MOST_FACTS = 10_000
"""What is kept for a recorder that is away; the oldest is lost first, and that is told."""
MESSAGE_BYTES = 4 * 1024 * 1024


class ConferenceAwayError(Exception):
    """vks is not there, or does not answer."""


class ConferenceLink:
    """The link; ``run`` keeps it.

    Args:
        run_dir: directory of vks's socket.
        recorder: takes what stands in the record.
        look: the hearing as it is to be now, None while that is not known; is asked some times a second.
    """

    def __init__(self, run_dir: Path, recorder: RecorderLink, look: Callable[[], conference.HearingIs | None]) -> None:
        self._path = conference.socket_path(str(run_dir))
        self._recorder = recorder
        self._look = look
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._told: conference.HearingIs | None = None
        self._answers: dict[int, asyncio.Future[conference.Answer]] = {}
        self._number = 0
        self._facts: deque[tuple[int, conference.Fact]] = deque()
        """Each with when it was (CLOCK_MONOTONIC)."""
        self._taken_us = self._handed_us = 0
        """Until when facts were taken from vks, and until when it has been told on this link that they are handed over."""
        self._lost = 0
        self._due = asyncio.Event()
        self.stands: conference.Stands | None = None
        """How the conference stands; what was told last, also while vks is away."""
        self._is_told = False
        self.quality = ConferenceQuality()
        self.on_fact: Callable[[conference.Fact], None] = _nothing
        """Is called with each fact."""
        self.on_visit: Callable[[conference.VisitIs], None] = _nothing
        """Is called with what vks says of this room's visit."""

    @property
    def stands_now(self) -> conference.Stands | None:
        """How the conference stands by the vks that is there now; None where none has said it."""
        return self.stands if self._is_told else None

    @property
    def reachable(self) -> bool:
        """Whether vks is there."""
        return self._socket is not None

    async def run(self) -> None:
        """Keep the link, and hand facts over, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._hand_over())

    async def ask(self, act: conference.OfStaff | conference.OfCentre) -> conference.Answer:
        """Have something done.

        Raises:
            ConferenceAwayError: vks is not there, or does not answer.
        """
        socket = self._socket
        if socket is None:
            raise ConferenceAwayError("the videoconference is not running; see `systemctl status courtroom-vks`")
        self._number += 1
        number = self._number
        answer: asyncio.Future[conference.Answer] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            await socket.send_str(conference.encoder.encode(conference.Ask(number=number, act=act)).decode())
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except (TimeoutError, ConnectionError, RuntimeError) as error:
            raise ConferenceAwayError("the videoconference did not answer; its state says whether it was done") from error
        finally:
            del self._answers[number]

    async def _keep(self) -> None:
        backoff = Backoff(first_s=FIRST_RETRY_S, longest_s=LONGEST_RETRY_S)
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, msgspec.DecodeError):
                async with (
                    aiohttp.ClientSession(connector=aiohttp.UnixConnector(self._path)) as session,
                    session.ws_connect("http://vks/agent", heartbeat=10.0, max_msg_size=MESSAGE_BYTES) as socket,
                ):
                    backoff.succeeded()
                    await self._serve(socket)
            if self._socket is not None:
                log.error("the videoconference is away; it is asked for again until it answers")
            self._socket, self._is_told = None, False
            await asyncio.sleep(backoff.failed())

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._told, self._handed_us = socket, None, 0
        telling = asyncio.create_task(self._tell())
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._take(conference.from_vks.decode(message.data))
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, RuntimeError):
                await telling

    async def tell_now(self) -> None:
        """Tell vks what has changed; nothing where it is away (it is told when it is back), or where the hearing is not known yet."""
        socket, now = self._socket, self._look()
        if socket is None or now is None or now == self._told:
            return
        stands = self.stands
        kept = stands.order if self._told is None and stands is not None and stands.hearing == now.hearing else b""
        self._told = now
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_str(conference.encoder.encode(msgspec.structs.replace(now, kept=kept)).decode())

    async def _tell(self) -> None:
        while True:
            await self.tell_now()
            await asyncio.sleep(LOOK_S)

    def _take(self, message: conference.Answer | conference.Told | conference.Stands | conference.VisitIs) -> None:
        match message:
            case conference.Answer():
                waiting = self._answers.get(message.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case conference.Told() if message.mono_us > self._taken_us:  # else it came on an earlier link, and waits here
                self._taken_us = message.mono_us
                self._facts.extend((message.mono_us, fact) for fact in message.facts)
                for fact in message.facts:
                    self.quality.heard(fact)
                    self.on_fact(fact)
                self._drop_what_is_too_much()
                self._due.set()
            case conference.Stands():
                self.stands, self._is_told = message, True
                self.quality.stands(message, time.monotonic())
            case conference.VisitIs():
                self.on_visit(message)

    def _drop_what_is_too_much(self) -> None:
        while len(self._facts) > MOST_FACTS:
            if not self._lost:
                log.error("the recorder takes nothing of the conference for long: from now on the oldest facts are lost to the record")
            self._facts.popleft()
            self._lost += 1

    def _tell_what_was_lost(self) -> None:
        if self._lost:
            log.error("facts of the conference were lost to the record", lost=self._lost)
            self._lost = 0

    async def _hand_over(self) -> None:
        """Facts to the recorder, in order."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._due.wait()
            self._due.clear()
            status = self._recorder.status if self._recorder.reachable else None
            if status is None:
                continue  # it may be back at once, with its session: nothing is lost until then
            if status.state in {"idle", "closing"}:
                self._facts.clear()  # what is not recorded has no record that it could stand in; what lasts is told again when one begins
                self._tell_what_was_lost()
            else:
                await self._hand_over_all()
            await self._say_what_is_handed()

    async def _hand_over_all(self) -> None:
        while self._facts:
            mono_us, fact = first = self._facts[0]
            try:
                await self._tell_recorder(fact, mono_us)
            except RecorderAwayError:
                return
            except RecorderRefusedError as error:
                log.error("the record does not take what the conference tells", fact=fact.name, error=str(error))
            if self._facts and self._facts[0] is first:
                self._facts.popleft()
        self._tell_what_was_lost()

    async def _say_what_is_handed(self) -> None:
        until_us = self._facts[0][0] - 1 if self._facts else self._taken_us
        if self._socket is None or until_us <= self._handed_us:
            return
        self._handed_us = until_us
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.send_str(conference.encoder.encode(conference.Handed(until_mono_us=until_us)).decode())

    async def _tell_recorder(self, fact: conference.Fact, mono_us: int) -> None:
        event = control.AddEvent(name=fact.name, data=dict(fact.data), mono_us=mono_us)
        try:
            await self._recorder.do(event)
        except RecorderRefusedError as error:
            if "unknown field `mono_us`" not in str(error):
                raise
            # A session goes on with the program of before an update, which does not know the field: its record has when it was told.
            await self._recorder.do(msgspec.structs.replace(event, mono_us=None))


def _nothing(_: object) -> None:
    """Nobody listens."""
