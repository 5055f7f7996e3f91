"""How the recorder writes its log: plain lines, and tracebacks without the values of variables, for keys are among them."""

import contextlib
import sys
from typing import TextIO, cast

import structlog


class PatientSink:
    """A text stream that loses what its disk does not take: a log that cannot be written must not stop what it tells of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
            self._stream.write(text.encode(errors="backslashreplace").decode())  # others' bytes that were no text are told, not lost
        return len(text)

    def flush(self) -> None:
        """Flush, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure() -> None:
    """Set structlog up for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", PatientSink(sys.stdout))),  # all of a file that it uses
    )
