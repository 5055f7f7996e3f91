"""What a command has to say, on standard output: written whole, at the end, so that a reader or disk that fails is told from a verdict."""

import io
import os
import sys
from collections.abc import Callable

from rich.console import Console


def rendered(show: Callable[[Console], None], *, soft_wrap: bool = False) -> str:
    """What ``show`` prints, in the colours and width that standard output has. Writes nothing."""
    console = Console(soft_wrap=soft_wrap)
    with console.capture() as captured:
        show(console)
        console.file = io.StringIO()  # the end of a capture writes nothing, which is refused by a full disk and a closed pipe
    return captured.get()


def write_out(text: str) -> None:
    """Write to standard output. What its encoding lacks is written as an escape; whoever reads may stop, as ``head`` does.

    Raises:
        OSError: it cannot be written.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        _leave()
    except OSError:
        _leave()
        raise


def _leave() -> None:
    """What Python still holds goes nowhere: written at the exit once more, it would change the exit status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
