"""The recorder as a process: its key, its sockets, its signals, its end."""

import asyncio
import hashlib
import os
import pwd
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from provisioning import sole_process
from provisioning.room import RoomConfig
from recorder import own_certificate
from recorder.clock import utc_us
from recorder.control_server import ControlServer
from recorder.core import Recorder
from recorder.heap import keep_large_out, share_heap
from recorder.recipients import RecipientError
from recorder.session_store import SessionStore
from recorder.signing import SigningError, open_signer

log = structlog.get_logger()

AGENT_USER, VKS_USER = "courtroom-agent", "courtroom-vks"
"""Made by systemd/courtroom.sysusers.conf: who may steer the recorder, and who may read the media bus."""
RECORDING = frozenset({"committer", "mirror", "checkpointer"})
"""The threads without which no record is made as it must be. All others may fail, with an alarm."""
LOCK = "recorder.lock"
ALREADY = "a recorder runs already; end it before another is started: systemctl stop courtroom-recorder, or Ctrl-C where it runs"
UNEXPECTED = 70
"""Exit status after an error that nothing expects (EX_SOFTWARE of sysexits.h)."""


async def serve(config: RoomConfig, config_path: Path, run_dir: Path) -> int:
    """Run a room's recorder until SIGTERM or SIGINT; returns the exit status."""
    keep_large_out()
    share_heap()
    try:
        signer = open_signer(config.signing)
        config_bytes = await asyncio.to_thread(config_path.read_bytes)
        store = SessionStore(config, signer, hashlib.sha256(config_bytes).hexdigest())
    except SigningError as error:
        log.error("cannot sign", error=str(error))
        return 1
    except RecipientError as error:
        log.error("nobody could read what would be recorded", error=str(error))
        return 1
    agent, vks = _uids(AGENT_USER), _uids(VKS_USER)
    recorder = Recorder(config, run_dir, store, [os.geteuid(), *agent, *vks])
    control_server = ControlServer(run_dir, recorder.handle, recorder.status, agent)
    try:
        os.makedirs(run_dir / "bus", mode=0o750, exist_ok=True)  # noqa: PTH103 - once, before anything runs
        await asyncio.to_thread(sole_process.hold, run_dir / LOCK)
        await control_server.open()  # before a session is taken up: one that nobody can reach is not begun
    except sole_process.HeldError as error:
        log.error(ALREADY, detail=str(error))
        return 1
    except OSError as error:
        words = "the recorder's sockets cannot be made; give its user room and a right to write there, or name another directory by --run"
        log.error(words, directory=str(run_dir), error=error.strerror or str(error))
        return 1
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(words: str) -> None:
        loop.call_soon_threadsafe(partial(recorder.alarm, "thread_failed", "", on=True, detail=words))

    threading.excepthook = partial(_give_up, tell=tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        await recorder.start()
    except sole_process.HeldError as error:
        log.error(ALREADY, detail=str(error))
        await control_server.close()
        return 1
    await control_server.start()
    timers = asyncio.create_task(recorder.run_timers())
    raise_alarm = partial(recorder.alarm, "certificate_ends", "", on=True)
    certificate = asyncio.create_task(own_certificate.watch(signer.chain[0], config, utc_us, lambda words: raise_alarm(detail=words)))
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({timers, waiting}, return_when=asyncio.FIRST_COMPLETED)
    timers.cancel()
    certificate.cancel()
    waiting.cancel()
    await control_server.close()
    await recorder.close(told_to_end=ended.is_set())
    if timers.done() and not timers.cancelled() and timers.exception() is not None:
        log.error("the recorder's timers failed", error=repr(timers.exception()))
        return 1
    return 0


def _uids(user: str) -> frozenset[int]:
    """The user's id, where this PC has him."""
    try:
        return frozenset({pwd.getpwnam(user).pw_uid})
    except KeyError:
        return frozenset()


def _give_up(failed: threading.ExceptHookArgs, tell: Callable[[str], None] = lambda _: None) -> None:
    """A thread ended by an error that nothing expects. If it is one that records, the recorder ends; else it goes on, and ``tell`` is told.

    To seem to run and to write nothing is worse than to start again: what is on the disk is safe, the session is taken up within seconds.
    """
    name = failed.thread.name if failed.thread is not None else "unknown"
    if name in RECORDING:
        log.critical("the recorder ends", thread=name, error=repr(failed.exc_value), exc_info=failed.exc_value)
        os._exit(UNEXPECTED)
    log.error("a thread ended", thread=name, error=repr(failed.exc_value), exc_info=failed.exc_value)
    tell(f"{name}: {failed.exc_value!r}; the recording goes on. Tell whoever maintains it, with the recorder's log")
