import io
from pathlib import Path

import pytest
import structlog

from recorder.logs import PatientSink, configure


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closing it fails, too
    monkeypatch.setattr("sys.stdout", full)
    try:
        configure()
        for _ in range(3):
            structlog.get_logger().error("the disk of the log is full", detail="x" * 20_000)
    finally:
        structlog.reset_defaults()
        with pytest.raises(OSError, match="No space"):
            full.close()


def test_what_the_log_takes_is_written_whole() -> None:
    stream = io.StringIO()
    sink = PatientSink(stream)
    sink.write("a line\n")
    sink.write("others' bytes \udcff\n")
    sink.flush()
    assert stream.getvalue() == "a line\nothers' bytes \\udcff\n"
    stream.close()
    sink.write("lost")
    sink.flush()
