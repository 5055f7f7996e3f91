"""The recorder as a process: its key, its sockets, its signals, its end."""

import asyncio
import hashlib
import os
import pwd
import signal
import threading
from functools import partial
from pathlib import Path

import structlog

from provisioning.room import RoomConfig
from recorder.control_server import ControlServer
from recorder.core import Recorder
from recorder.heap import keep_small
from recorder.session_store import SessionStore
from recorder.signing import SigningError, open_signer

log = structlog.get_logger()

AGENT_USER, VKS_USER = "courtroom-agent", "courtroom-vks"
"""Made by systemd/courtroom.sysusers.conf: who may steer the recorder, and who may read the media bus."""
RECORDING = frozenset({"committer", "mirror", "checkpointer"})
"""The threads without which no record is made as it must be. All others may fail, with an alarm."""
UNEXPECTED = 70
"""Exit status after an error that nothing expects (EX_SOFTWARE of sysexits.h)."""


async def serve(config: RoomConfig, config_path: Path, run_dir: Path) -> int:
    """Run a room's recorder until SIGTERM or SIGINT; returns the exit status."""
    keep_small()
    try:
        signer = open_signer(config.signing)
        config_bytes = await asyncio.to_thread(config_path.read_bytes)
        store = SessionStore(config, signer, hashlib.sha256(config_bytes).hexdigest())
    except SigningError as error:
        log.error("cannot sign", error=str(error))
        return 1
    os.makedirs(run_dir / "bus", mode=0o750, exist_ok=True)  # noqa: PTH103 - once, before anything runs
    agent, vks = _uids(AGENT_USER), _uids(VKS_USER)
    recorder = Recorder(config, run_dir, store, [os.geteuid(), *agent, *vks])
    control_server = ControlServer(run_dir, recorder.handle, recorder.status, agent)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def failed(thread: threading.ExceptHookArgs) -> None:
        name = thread.thread.name if thread.thread is not None else "unknown"
        if name in RECORDING:
            _give_up(name, thread.exc_value)
        log.error("a thread ended", thread=name, error=repr(thread.exc_value), exc_info=thread.exc_value)
        words = f"{name}: {thread.exc_value!r}; the recording goes on. Tell whoever maintains it, with the recorder's log"
        loop.call_soon_threadsafe(partial(recorder.alarm, "thread_failed", "", on=True, detail=words))

    threading.excepthook = failed
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await recorder.start()
    await control_server.start()
    timers = asyncio.create_task(recorder.run_timers())
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({timers, waiting}, return_when=asyncio.FIRST_COMPLETED)
    timers.cancel()
    waiting.cancel()
    await control_server.close()
    await recorder.close()
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


def _give_up(name: str, error: BaseException | None) -> None:
    """A thread that records ended by an error that nothing expects: to seem to run and to write nothing is worse than to start again.

    What is on the disk is safe, and the session is taken up within seconds.
    """
    log.critical("the recorder ends", thread=name, error=repr(error), exc_info=error)
    os._exit(UNEXPECTED)
