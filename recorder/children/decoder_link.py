"""The watch's way to the decoder of participants' media.

A thread reads what is asked about from the disk and hands it to the decoder, one stretch at a time. The watch never waits for it: what a
participant sends can crash the decoder or keep it busy, and then participants are not watched for a while, and the room is.
"""

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from recorder.children.decoder import Measured, Stretch, encoder, from_decoder
from recorder.contract import child
from recorder.contract.framing import FrameError, FrameReader, pack

ANSWER_S = 10.0
"""How long a stretch of about 1.5 s may be decoded, on a machine that has more important things to do."""
REST_S = 5.0
"""After a decoder that crashed or hung, so long none is started: starting one costs more than what it is to do."""
_WAITING = 128
_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Question:
    """A stretch of a participant's track; ``read`` gives the bytes of its fragments as the disk has them."""

    record: str
    track: str
    part: int
    kind: Literal["video", "audio"]
    key: bytes | None
    header: bytes
    end_us: int
    read: Callable[[], bytes]


class DecoderLink:
    """Asks the decoder; starts it when it is needed, and again after it failed."""

    def __init__(self, answer_s: float = ANSWER_S, rest_s: float = REST_S) -> None:
        self.pid: int | None = None
        self._answer_s = answer_s
        self._rest_s = rest_s
        self._questions: queue.Queue[Question] = queue.Queue(_WAITING)
        self._answers: queue.SimpleQueue[tuple[Question, Measured | None]] = queue.SimpleQueue()
        self._link: socket.socket | None = None
        self._not_before_s = 0.0
        threading.Thread(target=self._serve, name="decoder", daemon=True).start()

    def ask(self, question: Question) -> bool:
        """Have a stretch measured; False where too many wait, and it is passed over."""
        try:
            self._questions.put_nowait(question)
        except queue.Full:
            return False
        return True

    def answers(self) -> list[tuple[Question, Measured | None]]:
        """What was answered meanwhile; None of a stretch that was passed over."""
        found: list[tuple[Question, Measured | None]] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._answers.get_nowait())
        return found

    def _serve(self) -> None:
        while True:
            question = self._questions.get()
            self._answers.put((question, self._answer(question)))

    def _answer(self, question: Question) -> Measured | None:
        if self._link is None and time.monotonic() < self._not_before_s:
            return None
        try:
            media = question.read()
        except OSError as error:
            return Measured(values=None, failure=f"it cannot be read: {error.strerror}")
        asked = Stretch(track=question.track, part=question.part, kind=question.kind, key=question.key, header_bytes=len(question.header))
        try:
            return self._exchange(pack(encoder.encode(asked), question.header + media))
        except (OSError, FrameError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._end()
            self._not_before_s = time.monotonic() + self._rest_s
            return Measured(values=None, failure=f"its decoder crashed, or hung: {error}")

    def _exchange(self, frame: bytes) -> Measured:
        """Ask and wait.

        Raises:
            OSError, FrameError, DecodeError: it cannot be started, died, took too long or answered nonsense.
        """
        link = self._link = self._link or self._start()
        end_s = time.monotonic() + self._answer_s
        link.settimeout(self._answer_s)  # sendall holds the whole of it to this
        link.sendall(frame)
        frames = FrameReader(0)
        while True:
            link.settimeout(max(0.001, end_s - time.monotonic()))
            data = link.recv(_ANSWER_BYTES)
            if not data:
                raise ConnectionResetError("it is gone")
            for head, _ in frames.feed(data):
                return from_decoder.decode(head)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            # This thread is the decoder's parent: when the watch ends, both do (PDEATHSIG).
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "recorder.children.decoder"],
                dict(os.environ),
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), child.LINK_FD)],
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def _end(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None
