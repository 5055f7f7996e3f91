"""The process: its doors, its clocks, and its ways to the recorder. ``courtroom vks run`` is its command."""

import asyncio
import contextlib
import os
import pwd
import signal
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from cryptography import x509

from recorder.contract import conference as contract
from vks import signalling
from vks.agent_link import AgentLink
from vks.conference import Conference
from vks.door import Door
from vks.echo import EchoCanceller
from vks.hall import Hall
from vks.identity import MOST_CHECKS
from vks.mixing import Block
from vks.order import Order
from vks.recording import Recording
from vks.room_feed import RoomPicture, RoomSound
from vks.room_out import RoomOut
from vks.sound import BLOCK_US
from vks.times import mono_us
from vks.visit import Visits
from vks.visit_media import VisitMedia

log = structlog.get_logger()

AGENT_USER = "courtroom-agent"
NO_DOOR_STATUS = 2
"""A place that room.toml or the command names cannot be opened: as where room.toml is wrong."""
ASK_EVERY = 2
REPORT_EVERY = 50
"""In blocks of sound."""
LATE_US = 200_000
"""A clock that is so late does not catch up: what was due is dropped."""


class DoorError(Exception):
    """A door cannot be opened; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the process is set up."""

    run_dir: Path
    """Of the recorder's sockets."""
    own_run_dir: Path
    """Of this process's own socket, to which the agent comes."""
    cameras: list[str]
    """Streams of the media bus that are shown, the rungs of one camera: the largest first."""
    tracks: int = 64
    """How many the recorder takes at once."""
    echo: bool = True
    """Whether the loudspeakers' sound is taken out of the room's here, and not by its own devices."""
    address: str = ""
    """Where the court's own network reaches it; empty: nowhere, only through the centre."""
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None
    roots: Sequence[x509.Certificate] = ()
    """The authorities that vouch for persons: theirs may vouch for a page in a hearing that is not public."""
    display_port: int = 0
    """Where the courtroom's own screens reach it on 127.0.0.1, when they do not by ``address``; 0: nowhere."""

    @property
    def seats(self) -> int:
        """How many people's sound and pictures the recorder takes, beside the shared screen and stills of identities."""
        return max(1, (self.tracks - 1 - MOST_CHECKS) // 2)


class Service:
    """All of it.

    Args:
        settings: how it is set up.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        run_dir = str(settings.run_dir)
        self._pictures = [RoomPicture(run_dir, stream) for stream in settings.cameras]
        self._room_out = RoomOut(run_dir)
        self._recording = Recording(run_dir, self._keyframe_wanted, self._recorder_lost, settings.tracks)
        self._link = AgentLink(lambda: self.hall, _uids(AGENT_USER))
        self.hall = Hall(self._make, lambda: time.time_ns() // 1_000, self._link.changed, settings.roots)
        self._visits = Visits(self._visit_media, self.hall.displays, self._link.visit)
        self.hall.on_visit = self._visits.hold
        self._sound = RoomSound(run_dir, self._take_sound, self._silence)
        self.port = 0
        """The TCP port, when it is open."""

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until cancelled.

        Raises:
            DoorError: a door cannot be opened.
        """
        runners: list[web.AppRunner] = []
        works: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self._clock, self._recording.run, self._room_out.run, self._sound.run, self.hall.audience.run, self.hall.taken_in.run,
            self._visits.run, *(picture.run for picture in self._pictures),
        ]  # fmt: skip
        try:
            await self._open_doors(runners)
            if ready is not None:
                ready()
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work())
        finally:
            self.hall.close("closing", again=True)
            self.hall.displays.close(signalling.Bye(code="closing", again=True))
            self.hall.look_ins.close(signalling.Bye(code="closing", again=True))
            self.hall.identity_screens.close(signalling.Bye(code="closing", again=True))
            await self._link.close()
            for runner in runners:
                await runner.cleanup()

    async def _open_doors(self, runners: list[web.AppRunner]) -> None:
        application = Door(self.hall, relayed=True).application()
        self._link.add_to(application)
        runner = await _runner(application, runners)
        path = contract.socket_path(str(self._settings.own_run_dir))
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - before anything runs
            await web.UnixSite(runner, path).start()
            # Who may connect is decided by SO_PEERCRED: the agent has another user and another group.
            os.chmod(path, 0o666)  # noqa: PTH101, S103 - before anything runs
        except OSError as error:
            raise DoorError(
                f"the socket {path} cannot be made: {error.strerror or error}; "
                "give this process's user room and a right to write there, or name another directory by --own-run"
            ) from error
        if self._settings.address:
            await self._open_for_participants(runners)
        if self._settings.display_port:
            await self._open_for_displays(runners)

    async def _open_for_participants(self, runners: list[web.AppRunner]) -> None:
        address, port, files = self._settings.address, self._settings.port, (self._settings.certificate, self._settings.key)
        try:
            context = _tls(self._settings)
        except OSError as error:  # ssl.SSLError is one
            raise DoorError(f"[vks] certificate {files[0]} and key {files[1]} cannot be used: {error.strerror or error}") from error
        runner = await _runner(Door(self.hall, relayed=False).application(), runners)
        try:
            await web.TCPSite(runner, address, port, ssl_context=context).start()
        except OSError as error:
            raise DoorError(
                f"[vks] address = '{address}', port = {port}: {error.strerror or error}; "
                "name an address that this PC has, and a port that nothing else on it has"
            ) from error
        self.port = runner.addresses[0][1]
        log.info("participants may come", address=address, port=self.port)

    async def _open_for_displays(self, runners: list[web.AppRunner]) -> None:
        runner = await _runner(Door(self.hall, relayed=False).display_application(), runners)
        port = self._settings.display_port
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:  # no reason to keep participants out
            log.error("the courtroom's own screens cannot come", port=port, error=str(error))

    async def _clock(self) -> None:
        due_us, blocks = mono_us(), 0
        while True:
            due_us = max(due_us + BLOCK_US, mono_us() - LATE_US)
            await asyncio.sleep(max(0, due_us - mono_us()) / 1_000_000)
            blocks += 1
            if blocks % REPORT_EVERY == 0 and self._link.silent(mono_us()):
                self.hall.doubt()
            conference = self.hall.conference
            if conference is not None and conference.is_attended:
                conference.tick(mono_us())
                if blocks % ASK_EVERY == 0:
                    await conference.ask(mono_us())
            if conference is not None and blocks % REPORT_EVERY == 0:
                await conference.report(mono_us())
            await self._visit_clock(blocks)

    async def _visit_clock(self, blocks: int) -> None:
        visit = self._visits.media
        if visit is None:
            return
        try:
            visit.tick(mono_us())
            if blocks % ASK_EVERY == 0:
                await visit.ask(mono_us())
            if blocks % REPORT_EVERY == 0:
                await visit.report(mono_us())
        except Exception:  # whatever a hosting room sends ends the media of this visit, never the clock of this room's own hearing
            log.exception("what another room sends cannot be handled any more: the visit has no media")
            visit.lose()

    def _visit_media(self) -> VisitMedia:
        feeds = [picture.feed for picture in self._pictures]
        return VisitMedia(feeds, self._room_out.play, EchoCanceller() if self._settings.echo else None, mono_us)

    def _make(self, changed: Callable[[], None], order: Order | None) -> Conference:
        feeds = [picture.feed for picture in self._pictures]
        echo = EchoCanceller() if self._settings.echo else None
        return Conference(self._recording, feeds, self._room_out.play, self._link.tell, changed, order, echo, self._settings.seats)

    def _take_sound(self, block: Block) -> None:
        conference = self.hall.conference
        if conference is not None and conference.is_attended:
            conference.sound.room(block, mono_us())
        if self._visits.media is not None:
            self._visits.media.room(block)

    def _silence(self) -> None:
        if self.hall.conference is not None:
            self.hall.conference.sound.silence_room()
        if self._visits.media is not None:
            self._visits.media.silence_room()

    def _keyframe_wanted(self, track: str) -> None:
        if self.hall.conference is not None:
            self.hall.conference.keyframe_wanted(track)

    def _recorder_lost(self) -> None:
        if self.hall.conference is not None:
            self.hall.conference.recorder_lost()


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    service = asyncio.create_task(Service(settings).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.cancel)
    try:
        await service
    except asyncio.CancelledError:
        return 0
    except DoorError as error:
        log.error("a door cannot be opened", error=str(error))
        return NO_DOOR_STATUS
    return 0


async def _runner(application: web.Application, runners: list[web.AppRunner]) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, handle_signals=False, keepalive_timeout=10.0, shutdown_timeout=2.0)
    await runner.setup()
    runners.append(runner)
    return runner


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    return context


def _uids(user: str) -> list[int]:
    try:
        return [pwd.getpwnam(user).pw_uid]
    except KeyError:
        return []
