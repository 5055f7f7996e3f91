"""The room's link to its centre: events, heartbeat, feed, commands and its own certificate, each in a loop of its own."""

import asyncio
import datetime as dt
import time
from pathlib import Path

import structlog
from cryptography import x509

from agent.centre_watch import CentreWatch
from agent.commands import Commands
from agent.conduct import Conductor
from agent.final_heads import FinalHeads, HeadsTold
from agent.hearing import record_of
from agent.look_in_desk import LookInDesk
from agent.measures import Measures
from agent.room_process import VERSION, RoomProcess
from agent.sending import Sender
from agent.upstream import contract
from agent.upstream.client import Credentials, RefusedError, UpstreamClient, UpstreamError
from agent.upstream.enrolment import EnrolmentError, renew, renewal_due
from agent.upstream.follow import Follower
from agent.upstream.heart import Heart
from provisioning.room import Centre
from recorder.record.checkpoint import Receipt

log = structlog.get_logger()

LOOK_AT_CERTIFICATE_S = 3_600.0
TRY_CERTIFICATE_AGAIN_S = 300.0
OPEN_AGAIN_S = 60.0


class CentreLink:
    """Everything that goes to the centre and comes from it."""

    def __init__(
        self,
        process: RoomProcess,
        conductor: Conductor,
        measures: Measures,
        centre: Centre,
        state_dir: Path,
        look_ins: LookInDesk | None = None,
    ) -> None:
        self._process = process
        self._conductor = conductor
        self._measures = measures
        self._centre = centre
        self._state_dir = state_dir
        self._look_ins = look_ins
        self._credentials = Credentials(key=Path(centre.key), certificate=Path(centre.certificate), roots=Path(centre.roots))
        self._heart: Heart | None = None
        self._watch: CentreWatch | None = None
        self._renewed = asyncio.Event()
        self._in_use: x509.Certificate | None = None
        self._alarm = ""
        self._certificate_alarm = ""
        self._heads = FinalHeads()
        self._last_counter = -1

    @property
    def reached(self) -> bool:
        """Whether the last heartbeat was answered."""
        return self._heart is not None and self._heart.reached

    @property
    def refusal(self) -> str:
        """Why a centre that is reached refuses this room; empty: it does not, or is away."""
        return "" if self._watch is None else self._watch.refusal

    @property
    def alarms(self) -> list[str]:
        """What somebody should look at."""
        receipts = "" if self._heart is None else self._heart.alarm
        certificate = self._certificate_alarm or ("" if self._watch is None else self._watch.alarm)
        return [alarm for alarm in (self._alarm, certificate, receipts) if alarm]

    async def run(self) -> None:
        """Speak to the centre for ever; a new certificate is taken over at once. Nothing that befalls it stops the room."""
        while True:
            opened = False
            try:
                self._in_use = await asyncio.to_thread(_certificate, self._credentials.certificate)
                async with UpstreamClient(self._centre.url, self._credentials) as client:
                    opened = True
                    await self._speak(client)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                keys = f"the keys for the centre cannot be used ({error}); see `courtroom enrol --help`"
                # Of a disk or a socket of the room's own nobody must be told that the keys are bad: he would enrol the room anew.
                self._certificate_alarm = f"the link to the centre broke off here ({error}) and is begun anew" if opened else keys
                log.error("the room cannot speak to its centre; it works on alone", error=str(error))
                await asyncio.sleep(OPEN_AGAIN_S)

    async def _speak(self, client: UpstreamClient) -> None:
        """All loops over one client, until the certificate is a new one."""
        process = self._process
        sender = Sender(client, process.store, process.stamp, self._alarmed)
        watch = self._watch = CentreWatch(client)
        heart = self._heart = Heart(
            HeadsTold(watch, self._heads, process.room), self._heartbeat, self._keep, self._clock_said, room=process.room
        )  # fmt: skip
        follower = Follower(client, lambda: process.store.place, self._take_feed)
        self._commands = Commands(process, self._conductor, follower, self._state_dir, self._look_ins)
        process.on_events[:] = [sender.hurry, heart.hurry]
        self._renewed.clear()
        loops = [sender.run(), heart.run(), follower.run(), self._commands.run(), self._keep_certificate(client)]
        tasks = [asyncio.create_task(loop) for loop in loops]
        renewed = asyncio.create_task(self._renewed.wait())
        try:
            await asyncio.wait([*tasks, renewed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, renewed):
                task.cancel()
            ended = await asyncio.gather(*tasks, renewed, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _keep(self, receipt: Receipt) -> None:
        if not self._heads.tells_final:
            if receipt.counter == self._last_counter:
                return  # the running record's head has not moved since
            self._last_counter = receipt.counter
        await self._process.link.keep(receipt)

    async def _take_feed(self, feed: contract.Feed) -> None:
        stamp = self._process.stamp()
        await self._process.store.do(lambda store: store.take_feed(feed, stamp))
        self._process.wake.set()
        self._commands.hurry()
        for call in self._process.on_events:  # a change may have brought events of its own
            call()

    def _heartbeat(self) -> contract.Heartbeat:
        process, status = self._process, self._process.status()
        stamp = process.stamp()
        running: contract.Head | None = None
        if status is not None and status.record and status.head_at >= 0:
            running = contract.Head(record=record_of(status.record), at=status.head_at, sha256=status.head)
        return contract.Heartbeat(
            utc_us=stamp.utc_us, boot=stamp.boot, version=VERSION, clock=stamp.clock,
            state="unreachable" if status is None else status.state,
            session="" if status is None or not status.record else record_of(status.record),
            hearing="" if status is None else status.hearing,
            head=self._heads.choose(process.store.sessions, running), applied_offset=process.store.place[0],
            outbox_depth=self._measures.depth.waiting, indicators=self._measures.values(),
            alarms=sorted({alarm.code for alarm in status.alarms}) if status is not None else ["recorder_unreachable"],
        )  # fmt: skip

    def _clock_said(self, utc_us: int, half_trip_us: int) -> None:
        now_s = time.monotonic()
        self._measures.heard_s = now_s
        self._process.centre_clock.said(utc_us, half_trip_us, own_utc_us=self._process.stamp().utc_us, now_s=now_s)

    def _alarmed(self, words: str) -> None:
        self._alarm = words

    async def _keep_certificate(self, client: UpstreamClient) -> None:
        """Renew the transport certificate in time. One that expired stops nothing but the link itself, and a person must get another."""
        while True:
            wait_s, expired = LOOK_AT_CERTIFICATE_S, ""
            try:
                now = dt.datetime.now(dt.UTC)
                certificate = await asyncio.to_thread(_certificate, self._credentials.certificate)
                if certificate != self._in_use:
                    log.info("another certificate was laid down for the room")
                    self._certificate_alarm = ""
                    self._renewed.set()
                    return
                expired = self._expired(certificate, now)
                if renewal_due(certificate, now):
                    await renew(client, self._credentials, self._process.room, now)
                    log.info("the room's certificate is renewed")
                    self._certificate_alarm = ""
                    self._renewed.set()
                    return
                self._certificate_alarm = ""
            except (UpstreamError, RefusedError, EnrolmentError, OSError, ValueError) as error:
                self._certificate_alarm = expired or f"the room's certificate cannot be renewed: {error}"
                log.warning("the room's certificate is not renewed yet", error=str(error))
                wait_s = TRY_CERTIFICATE_AGAIN_S
            await asyncio.sleep(wait_s)

    def _expired(self, certificate: x509.Certificate, now: dt.datetime) -> str:
        """What is to be done about a certificate that expired, by which no centre renews one; empty where it has not."""
        if now <= certificate.not_valid_after_utc:
            return ""
        to = self._credentials.certificate.parent
        command = f"courtroom enrol {self._process.room} --transport-only --centre {self._centre.url} --to {to}"
        return (
            f"the room's certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}: ask the centre for a token, and run, as "
            f"courtroom-agent where the room is installed, `COURTROOM_TOKEN=… {command}`"
        )


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]
