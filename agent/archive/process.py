"""``courtroom deliver``: the delivery as a process of its own, which reads records, and is told by the agent when to be slow.

It runs as the records' owner; the agent, which speaks to the centre and to staff, cannot read a record. What it has to tell it tells the
agent by that one's socket, and believes told only what was answered.
"""

import asyncio
import contextlib
import datetime as dt
import signal
from pathlib import Path
from typing import Annotated, Self

import aiohttp
import msgspec
import structlog
import typer
from rich.console import Console

from agent.archive.delivery import Delivery, DeliveryStatus
from agent.archive.pace import Pace
from agent.archive.reasons import Reasons, keep
from agent.archive.records import Records
from agent.archive.upload import Uploader
from agent.archive.vouchers import Vouchers
from agent.desk import SOCKET, DeliveryAnswer, DeliveryReport, Sending
from agent.upstream.client import Credentials, UpstreamClient
from agent.upstream.contract import RecordDeleted, RecordDelivered
from provisioning.mending import WRONG_STATUS, load_or_wait
from provisioning.room import Centre, RoomConfig
from recorder.record.trust import TrustError

log = structlog.get_logger()

REPORT_S = 1.0
AGENT_S = 10.0
MOST_ALARMS, ALARM_CHARS = 50, 200
"""The agent takes messages of 64 KiB (``local_server.MAX_BODY_BYTES``), and one that it does not take tells it nothing."""
AGAIN_S = 5.0
CREDENTIALS_S = 30.0
MIB = 1024 * 1024
TOLD = "delivery-told.json"


class AgentAwayError(Exception):
    """The agent does not answer; it is asked again."""


class AgentSocket:
    """The agent's socket; use as an async context manager."""

    def __init__(self, own_run_dir: Path) -> None:
        self._path = own_run_dir / SOCKET
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._path)))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def report(self, report: DeliveryReport) -> DeliveryAnswer:
        """Tell the agent; what it answered is durable there.

        Raises:
            AgentAwayError: it does not answer.
        """
        assert self._session is not None
        try:
            async with self._session.post(
                "http://agent/delivery", data=msgspec.json.encode(report), headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=AGENT_S),
            ) as response:  # fmt: skip
                raw = await response.read()
                if response.status != 200:
                    raise AgentAwayError(f"the agent answered {response.status}: {raw[:200].decode(errors='replace')}")
            return msgspec.json.decode(raw, type=DeliveryAnswer)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            raise AgentAwayError(f"the agent does not answer at {self._path}: {error or type(error).__name__}") from error


def deliver(
    config: Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")] = Path(
        "/etc/courtroom/room.toml"
    ),
    own_run: Annotated[Path, typer.Option("--own-run", help="Directory of the agent's socket.")] = Path("/run/courtroom"),
) -> None:
    """Send sealed records to the archive, until told to end (SIGTERM, Ctrl-C).

    Oldest first, no faster than [centre] allows, slower while a hearing runs. Records that the archive acknowledged are deleted when the
    disk needs room, as [retention] says. In a closed network `courtroom archive --to` carries the records; this is needed there too, for
    nothing else deletes what the archive has.
    """
    room = load_or_wait(config, _tell)
    if room is None:
        raise typer.Exit(WRONG_STATUS)
    try:
        vouchers = Vouchers.of(room)
        records = Records(_bases(room), vouchers.read(dt.datetime.now(dt.UTC))[0])
    except (TrustError, OSError) as error:
        _tell(str(error))
        raise typer.Exit(1) from None
    asyncio.run(_serve(room, vouchers, records, own_run))


def _tell(reason: str) -> None:
    Console(stderr=True).print(reason, style="red", highlight=False, markup=False)


async def _serve(room: RoomConfig, vouchers: Vouchers, records: Records, own_run_dir: Path) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with AgentSocket(own_run_dir) as agent:
        running = asyncio.create_task(_deliver(room, vouchers, records, agent))
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in (running, waiting):
            task.cancel()
        results = await asyncio.gather(running, waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _deliver(room: RoomConfig, vouchers: Vouchers, records: Records, agent: AgentSocket) -> None:
    """Deliver for ever; with keys for the centre that cannot be used only what needs no centre is done."""
    while True:
        async with contextlib.AsyncExitStack() as stack:
            uploader = None
            if room.centre is not None:
                try:
                    uploader = await _uploader(stack, room.centre, records)
                except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                    log.error("the keys for the centre cannot be used; records wait here", error=str(error))
            delivery = _delivery(room, vouchers, records, uploader, agent)
            work = asyncio.create_task(delivery.run())
            report = asyncio.create_task(_report(delivery, agent))
            # The agent renews the transport certificate: all is begun anew with the new one, and a record goes on where it was.
            lacking = room.centre if uploader is None else None
            renewed = asyncio.create_task(_renewed(room.centre) if lacking is None else _usable(lacking))
            reasons = asyncio.create_task(_keep_reasons(delivery, records.bases[0]))
            tasks = [work, report, renewed, reasons]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def _renewed(centre: Centre | None) -> None:
    """Until one of the files by which the room speaks to the centre is another."""
    paths = [] if centre is None else [Path(path) for path in (centre.key, centre.certificate, centre.roots)]
    before = await asyncio.to_thread(_stamps, paths)
    while True:
        await asyncio.sleep(CREDENTIALS_S)
        if await asyncio.to_thread(_stamps, paths) != before:
            return


async def _usable(centre: Centre) -> None:
    """Until the keys by which the room speaks to the centre can be used; what needs no centre is not disturbed before."""
    while True:
        await asyncio.sleep(CREDENTIALS_S)
        with contextlib.suppress(OSError, ValueError):
            await asyncio.to_thread(_credentials(centre).context)
            return


def _credentials(centre: Centre) -> Credentials:
    return Credentials(key=Path(centre.key), certificate=Path(centre.certificate), roots=Path(centre.roots))


def _stamps(paths: list[Path]) -> list[tuple[int, int]]:
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((status.st_ino, status.st_mtime_ns))
    return found


async def _uploader(stack: contextlib.AsyncExitStack, centre: Centre, records: Records) -> Uploader:
    credentials, url = _credentials(centre), centre.archive_url or centre.url
    client = await stack.enter_async_context(UpstreamClient(url, credentials))
    pace = Pace(cap_bytes_s=centre.upload_mib_s * MIB, hearing_cap_bytes_s=centre.hearing_upload_mib_s * MIB)
    uploader = Uploader(client, url, centre_tls=credentials.context(), pace=pace, authorities=lambda: records.authorities)
    return await stack.enter_async_context(uploader)


def _delivery(room: RoomConfig, vouchers: Vouchers, records: Records, uploader: Uploader | None, agent: AgentSocket) -> Delivery:
    async def tell(event: RecordDelivered | RecordDeleted) -> None:
        while True:
            try:
                await agent.report(DeliveryReport(events=[event]))
            except AgentAwayError:
                await asyncio.sleep(AGAIN_S)
            else:
                return

    return Delivery(
        records, uploader, tell, records.bases[0] / f".{TOLD}", keep_days=room.retention.days,
        free_bytes=int(room.retention.free_gib * 1024 * MIB), vouchers=vouchers,
    )  # fmt: skip


async def _report(delivery: Delivery, agent: AgentSocket) -> None:
    """Tell how the delivery stands, and learn whether a hearing runs; until that is known, one may."""
    hearing, away = True, False
    delivery.set_hearing(hearing=True)
    while True:
        status = delivery.status()
        try:
            answer = await agent.report(_told_of(status))
        except AgentAwayError as error:
            if not away:
                log.warning("it is not known whether a hearing runs; what was known last holds", error=str(error))
            away = True
            delivery.set_clock(believed=None)
        else:
            away = False
            delivery.set_clock(believed=answer.clock_believed)
            if answer.hearing != hearing:
                hearing = answer.hearing
                delivery.set_hearing(hearing=hearing)
        await asyncio.sleep(REPORT_S)


async def _keep_reasons(delivery: Delivery, base: Path) -> None:
    """Lay down why records are still here, when it is another reason than before."""
    kept: Reasons | None = None
    failed = False
    while True:
        now = delivery.status().reasons
        if now != kept:
            try:
                await asyncio.to_thread(keep, base, now)
            except OSError as error:
                if not failed:
                    log.warning("`courtroom archive status` cannot be told why records are still here", error=str(error))
                failed = True
            else:
                kept, failed = now, False
        await asyncio.sleep(REPORT_S)


def _told_of(status: DeliveryStatus) -> DeliveryReport:
    sending = Sending(record=status.sending, done_bytes=status.done_bytes, total_bytes=status.total_bytes) if status.sending else None
    alarms = [alarm if len(alarm) <= ALARM_CHARS else f"{alarm[:ALARM_CHARS]}…" for alarm in status.alarms[:MOST_ALARMS]]
    if len(status.alarms) > MOST_ALARMS:
        alarms.append(f"and {len(status.alarms) - MOST_ALARMS} more records: `courtroom archive status`")
    return DeliveryReport(indicators=status.indicators(), alarms=alarms, sending=sending)


def _bases(room: RoomConfig) -> list[Path]:
    return [Path(room.storage.primary), *([Path(room.storage.mirror)] if room.storage.mirror else [])]
