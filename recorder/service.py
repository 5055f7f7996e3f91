"""The recorder as a process: its key, its sockets, its signals, its end."""

import asyncio
import hashlib
import os
import signal
from pathlib import Path

import structlog

from provisioning.room import RoomConfig
from recorder.control_server import ControlServer
from recorder.core import Recorder
from recorder.session_store import SessionStore
from recorder.signing import SigningError, open_signer

log = structlog.get_logger()


async def serve(config: RoomConfig, config_path: Path, run_dir: Path) -> int:
    """Run a room's recorder until SIGTERM or SIGINT; returns the exit status."""
    try:
        signer = open_signer(config.signing)
        config_bytes = await asyncio.to_thread(config_path.read_bytes)
        store = SessionStore(config, signer, hashlib.sha256(config_bytes).hexdigest())
    except SigningError as error:
        log.error("cannot sign", error=str(error))
        return 1
    os.makedirs(run_dir / "bus", mode=0o750, exist_ok=True)  # noqa: PTH103 - once, before anything runs
    recorder = Recorder(config, run_dir, store, [os.geteuid()])
    control_server = ControlServer(run_dir, recorder.handle, recorder.status, frozenset())
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
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
