"""What people and children say, in forms that no journal can hold: it is mended or refused in words, and the recording goes on."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from recorder.child_process import ChildOwner, ChildPlan, ChildProcess
from recorder.children_plan import CAPTURE
from recorder.contract import child, control
from recorder.contract.client import ControlError
from recorder.record import canonical, entries
from recorder.record.shown import shown
from recorder.seal import read_journal
from tests.lab.room import room

DECOMPOSED, COMPOSED = "Ма\u0438\u0306дан", "Ма\u0439дан"
LYING = [
    child.Fragment(track="cam", part=0, t0=2**53, dur=1, timescale=90_000, key=True, new_segment=True),
    child.Fragment(track="cam", part=0, t0=-1, dur=1, timescale=90_000, key=True, new_segment=True),
    child.Init(track="cam", part=0, kind="video", codec="h264", timescale=0),
    child.Init(track="cam", part=0, kind="video", codec="h264", timescale=1, width=2**60),
    child.SenderReportSeen(track="cam", mono_us=1, ntp_us=2**60),
]


@pytest.mark.lab
def test_a_note_that_no_journal_can_hold_is_mended_or_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.do(control.AddNote(author="Clerk", text=DECOMPOSED))
        for note in (
            control.AddNote(author="Clerk", text="t", at_us=2**53),
            control.AddNote(author="Clerk", text="t", at_us=-1),
            control.AddNote(author="Clerk\x1b[2J", text="t"),
            control.AddNote(author="Clerk", text="bell \x07"),
        ):
            with pytest.raises(ControlError, match=r"at_us|author|control characters"):
                it.do(note)
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
    notes = [entry.text for _, entry in read_journal(record) if isinstance(entry, entries.Note)]
    assert notes == [COMPOSED]


@pytest.mark.parametrize("message", LYING, ids=[f"{type(m).__name__}{n}" for n, m in enumerate(LYING)])
def test_numbers_that_no_journal_can_hold_end_at_the_contract(message: child.Message) -> None:
    with pytest.raises(msgspec.ValidationError):
        child.from_child.decode(child.encoder.encode(message))


def test_texts_are_brought_into_the_form_that_a_journal_has_and_numbers_refused() -> None:
    note = canonical.writable(entries.Note(author="A", text=DECOMPOSED, at_us=1))
    assert note == entries.Note(author="A", text=COMPOSED, at_us=1)
    with pytest.raises(canonical.NotCanonicalError):
        canonical.writable(entries.Note(author="A", text="t", at_us=2**53))


class Owner(ChildOwner):
    """Fails over the first statistics of a child."""

    def __init__(self) -> None:
        self.failed = 0
        self.taken = asyncio.Event()
        self.causes: list[str] = []

    def on_started(self, process: ChildProcess) -> None:
        pass

    def on_message(self, process: ChildProcess, message: child.Message, body: bytes) -> None:  # noqa: ARG002 - as the owner is told
        if isinstance(message, child.Stats):
            if not self.failed:
                self.failed += 1
                raise ZeroDivisionError
            self.taken.set()

    def on_ended(self, process: ChildProcess, cause: str, detail: str) -> None:  # noqa: ARG002 - as the owner is told
        self.causes.append(detail)


async def test_a_child_over_whose_words_the_core_stumbles_is_started_again(tmp_path: Path) -> None:
    device = {"id": "cam", "driver": "test-pattern", "width": 320, "height": 180, "fps": 10}
    owner = Owner()
    process = ChildProcess(ChildPlan("cam", CAPTURE, device), str(tmp_path), owner)
    process.start()
    try:
        async with asyncio.timeout(30):
            await owner.taken.wait()
    finally:
        await process.close()
    assert "ZeroDivisionError" in owner.causes[0]


def test_a_thread_that_fails_unexpectedly_ends_the_recorder_so_that_it_is_started_again() -> None:
    script = (
        "import threading, time\nfrom recorder import service\nthreading.excepthook = service._give_up\n"
        "threading.Thread(target=lambda: 1 / 0, name='committer').start()\ntime.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 70
    assert "committer" in done.stdout + done.stderr


def test_a_thread_that_records_nothing_may_fail_and_the_recorder_goes_on_and_tells() -> None:
    script = (
        "import threading\nfrom functools import partial\nfrom recorder import service\nheard = threading.Event()\n"
        "threading.excepthook = partial(service._give_up, tell=lambda words: (print('told', words), heard.set()))\n"
        "threading.Thread(target=lambda: 1 / 0, name='complete copies').start()\nassert heard.wait(20)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "told complete copies: ZeroDivisionError" in done.stdout


def test_what_a_record_says_cannot_steer_the_terminal_of_whoever_verifies_it() -> None:
    assert shown("Trial \x1b[2J\x1b[32mSealed\u202e\nof \x07[red]7[/]") == "Trial \ufffd[2J\ufffd[32mSealed\ufffd of \ufffd\\[red]7\\[/]"
