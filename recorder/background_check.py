"""Has a record that was taken up read again in the background (``recheck.py``), and listens to what is found."""

import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec
import structlog

from recorder.recheck import Answer, Damage
from recorder.record.entries import TrackTotal
from recorder.recovery import Left, totals

log = structlog.get_logger()

CODE = "record_damaged"
FAILED_CODE = "recheck_failed"
AFTER_S = 5.0
"""When it begins: the devices come first."""
_CLOSE_S = 5.0
_decoder: "msgspec.json.Decoder[Answer]" = msgspec.json.Decoder(Answer)


class BackgroundCheck:
    """One reading of one record. From a thread, ``told`` is called with the words of what does not match, ``failed`` with why it ended."""

    def __init__(self, left: Left, told: Callable[[str], None], failed: Callable[[str], None] = lambda _: None) -> None:
        self.sums_hold = not left.from_snapshot
        """Whether the tracks' sums are known to be those of the journal: false until the snapshot has been compared with it."""
        self._left = left
        self._assumed = totals(left.journal)
        self._told = told
        self._failed = failed
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="background check", daemon=True)

    def start(self) -> None:
        """Begin, after the devices."""
        self._thread.start()

    def close(self) -> None:
        """End, whether it is done or not."""
        self._ended.set()
        with self._starting:
            if self._process is not None:
                self._process.kill()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        if self._ended.wait(AFTER_S):
            return
        try:
            self._read_again()
        except Exception as error:
            # The recording goes on; a system that has no process to spare, or an answer that is none, must not end it.
            log.exception("the record could not be read again", record=self._left.record.name)
            self._failed(f"{self._left.record} could not be read again after the crash ({error!r}); `courtroom verify` tells all")

    def _read_again(self) -> None:
        left = self._left
        places = (left.end.number, left.end.off, left.journal.head.at)
        command = [sys.executable, "-m", "recorder.recheck", str(left.record), *map(str, places)]
        with self._starting:
            if self._ended.is_set():
                return
            # From this thread, which lives as long as the process: the system ends that with it (PDEATHSIG).
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with self._process as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.endswith(b"\n"):
                    self._take(_decoder.decode(line))
        if not self._ended.is_set():
            log.info("the record was read again", record=left.record.name, status=process.returncode)

    def _take(self, answer: Answer) -> None:
        if isinstance(answer, Damage):
            self._told(f"{answer.text}; `courtroom verify` tells all")
            return
        self.sums_hold = _of_media(answer.tracks) == _of_media(self._assumed)
        if not self.sums_hold:
            self._told(
                "the snapshot that the session was taken up by counted otherwise than the journal; its sums are corrected at the seal"
            )


def _of_media(tracks: list[TrackTotal]) -> list[TrackTotal]:
    """Without tracks of which there is nothing yet."""
    return [track for track in tracks if track.bytes or track.fragments]
