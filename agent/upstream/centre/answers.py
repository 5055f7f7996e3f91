"""What the centre answers to each operation, over a backend."""

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.upstream import contract, transfer
from agent.upstream.centre.authority import Authority
from agent.upstream.centre.backend import Backend, ConflictError, ContradictionError, DeniedError, Shown, UnknownRoomError
from agent.upstream.centre.callers import Peer
from agent.upstream.centre.decisions import first_wrong, too_long
from agent.upstream.centre.overview import Overview
from agent.upstream.centre.uploads import RefusedError, Uploads
from agent.upstream.requests import RequestError, secret_sha256
from recorder.record.checkpoint import Receipt

log = structlog.get_logger()

MOST_LINES = 1_000
MOST_WAIT_S = 60
BEAT_S = 10.0
AnswerTo = Callable[[Peer, dict[str, Any], Any], Awaitable[Any]]


class Answers:
    """One method an operation, by its id.

    Args:
        backend: what is kept.
        authority: issues certificates to rooms.
        uploads: the archive's side; None where this centre takes no records.
        overview: how every room is.
    """

    def __init__(self, backend: Backend, authority: Authority, uploads: Uploads | None, overview: Overview) -> None:
        self.backend = backend
        self.overview = overview
        self._authority = authority
        self._uploads = uploads

    def of(self, operation: str) -> AnswerTo:
        """The method of an operation."""
        answers: dict[str, AnswerTo] = {
            "putEvents": self._put_events,
            "beat": self._beat,
            "feed": self._feed,
            "offerRecord": self._offer,
            "upload": self._upload,
            "addressParts": self._address,
            "noteParts": self._note,
            "enrol": self._enrol,
            "renew": self._renew,
            "putHearing": self._put_hearing,
            "putHearings": self._put_hearings,
            "hearings": self._hearings,
            "events": self._events,
            "command": self._command,
            "ledger": self._ledger,
            "rooms": self._rooms,
        }
        return answers[operation]

    async def _put_events(self, peer: Peer, _: dict[str, Any], batch: contract.EventBatch) -> contract.EventsTaken:
        if why := too_long(batch):
            raise RefusedError(413, "The message is too long.", why)
        last = 0
        for event in batch.events:
            if event.room != peer.room:
                raise RefusedError(
                    403, "An event of another room.", f"seq {event.seq} is of room {event.room!r}, the caller is {peer.room!r}."
                )
            # Who reads the log knows an event by its source and id, and what it is by its type.
            tag = type(event.data).__struct_config__.tag
            if (event.source, event.type) != (f"{contract.ROOM_SOURCE}{peer.room}", f"{contract.TYPE_PREFIX}{tag}"):
                raise RefusedError(
                    403, "An event that says to be another.", f"seq {event.seq} is of {event.source!r} and of type {event.type!r}."
                )
            if event.epoch != batch.epoch or event.seq <= last:
                raise RefusedError(422, "The batch is not in order.", f"seq {event.seq} follows {last}, or is of another epoch.")
            last = event.seq
        return await self.backend.events.put(peer.room, batch)

    async def _beat(self, peer: Peer, _: dict[str, Any], heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        now_us = _now_us()
        await self.backend.registry.heard(peer.room, heartbeat, now_us)
        receipt = None
        if heartbeat.head is not None:
            try:
                receipt = await self.backend.ledger.countersign(peer.room, heartbeat.head)
            except ContradictionError as error:
                if error.found.times == 1:
                    log.critical("a room contradicts what it said of a record", room=peer.room, detail=str(error))
        return contract.HeartbeatTaken(utc_us=now_us, receipt=receipt, due_s=BEAT_S)

    async def _feed(self, peer: Peer, parameters: dict[str, Any], _: None) -> contract.Feed:
        after, command = parameters.get("after", 0), parameters.get("command", 0)
        with self.backend.news.room(peer.room) as news:
            feed = await self._feed_now(peer.room, after, command)
            if not (feed.snapshot or feed.changes or feed.commands):
                await _wait(news, parameters)
                feed = await self._feed_now(peer.room, after, command)
        return feed

    async def _feed_now(self, room: str, after: int, command: int) -> contract.Feed:
        feed = await self.backend.plan.feed(room, after)
        commands = list(await self.backend.commands.after(room, command))
        return contract.Feed(as_of=feed.as_of, snapshot=feed.snapshot, changes=feed.changes, commands=commands)

    async def _offer(self, peer: Peer, _: dict[str, Any], offer: transfer.UploadOffer) -> transfer.UploadState:
        return await self._archive().offer(peer.room, offer)

    async def _upload(self, peer: Peer, parameters: dict[str, Any], _: None) -> transfer.UploadState:
        return await self._archive().state(peer.room, parameters["upload"])

    async def _address(self, peer: Peer, parameters: dict[str, Any], wanted: transfer.PartsWanted) -> transfer.PartAddresses:
        return await self._archive().addresses(peer.room, parameters["upload"], wanted)

    async def _note(self, peer: Peer, parameters: dict[str, Any], done: transfer.PartsDone) -> transfer.UploadState:
        return await self._archive().parts(peer.room, parameters["upload"], done)

    async def _enrol(self, _: Peer, __: dict[str, Any], enrolment: transfer.Enrolment) -> transfer.Certificates:
        now, secret = dt.datetime.now(dt.UTC), secret_sha256(enrolment.secret)
        try:  # anybody may ask this: no key of his is looked at before he has shown a token
            await self.backend.registry.check_token(enrolment.room, secret, _now_us())
        except ConflictError as error:
            raise _no_token(error) from None
        try:  # both are made before the token is used up, and given out after
            transport = self._authority.transport(enrolment.transport_request, enrolment.room, now)
            signing = self._authority.signing(enrolment.signing_request, enrolment.room, now)
        except RequestError as error:
            raise RefusedError(422, "No certificate can be issued.", str(error)) from None
        try:
            await self.backend.registry.use_token(enrolment.room, secret, _now_us())
        except ConflictError as error:
            raise _no_token(error) from None
        log.info("a room is enrolled", room=enrolment.room)
        return transfer.Certificates(
            transport=await self._issued(transport, enrolment.room),
            signing=await self._issued(signing, enrolment.room),
            roots=self._authority.root_pem,
        )

    async def _renew(self, peer: Peer, _: dict[str, Any], renewal: transfer.Renewal) -> transfer.Certificates:
        try:
            transport = self._authority.transport(renewal.transport_request, peer.room, dt.datetime.now(dt.UTC))
        except RequestError as error:
            raise RefusedError(422, "No certificate can be issued.", str(error)) from None
        try:
            issued = await self._issued(transport, peer.room, renewed_from=peer.certificate)
        except DeniedError:
            raise denied() from None
        return transfer.Certificates(transport=issued, signing="", roots=self._authority.root_pem)

    async def _issued(self, certificate: x509.Certificate, room: str, *, renewed_from: Shown | None = None) -> str:
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        until_us = int(certificate.not_valid_after_utc.timestamp()) * 1_000_000
        await self.backend.registry.issued(certificate.serial_number, room, until_us, pem, renewed_from=renewed_from)
        return pem + self._authority.chain_pem

    async def _put_hearing(self, _: Peer, parameters: dict[str, Any], hearing: contract.Hearing) -> transfer.Offset:
        if parameters["hearing"] != hearing.id:
            raise RefusedError(
                422, "Two hearings in one request.", f"The address names {parameters['hearing']!r}, the message {hearing.id!r}."
            )
        return await self._planned([hearing])

    async def _put_hearings(self, _: Peer, __: dict[str, Any], put: transfer.HearingsPut) -> transfer.Offset:
        return await self._planned(put.hearings)

    async def _planned(self, hearings: Sequence[contract.Hearing]) -> transfer.Offset:
        if wrong := first_wrong(hearings):
            raise RefusedError(422, "A hearing cannot be at these times.", f"Hearing {wrong[0]!r}: {wrong[1]}.")
        return await self.backend.plan.put(hearings)

    async def _hearings(self, _: Peer, parameters: dict[str, Any], __: None) -> Sequence[contract.Change]:
        return await self.backend.plan.after(parameters.get("after", 0), MOST_LINES)

    async def _events(self, _: Peer, parameters: dict[str, Any], __: None) -> Sequence[contract.TakenEvent]:
        after = parameters.get("after", 0)
        with self.backend.news.events() as news:
            found = await self.backend.events.after(after, MOST_LINES)
            if not found:
                await _wait(news, parameters)
                found = await self.backend.events.after(after, MOST_LINES)
        return found

    async def _command(self, _: Peer, parameters: dict[str, Any], command: contract.AnyCommand) -> transfer.Offset:
        try:
            number = await self.backend.commands.give(parameters["room"], command)
        except UnknownRoomError:
            raise RefusedError(404, "There is no such room.", f"{parameters['room'][:200]!r}: `GET /v1/rooms` lists them.") from None
        return transfer.Offset(offset=number, changed=1)

    async def _ledger(self, _: Peer, parameters: dict[str, Any], __: None) -> Sequence[Receipt]:
        return await self.backend.ledger.after(parameters.get("after", 0), MOST_LINES)

    async def _rooms(self, _: Peer, __: dict[str, Any], ___: None) -> Sequence[contract.RoomState]:
        return [view.state for view in await self.overview.rooms()]

    def _archive(self) -> Uploads:
        if self._uploads is None:
            raise RefusedError(503, "This centre takes no records.")
        return self._uploads


def _no_token(error: ConflictError) -> RefusedError:
    return RefusedError(403, str(error), "`courtroom centre token DIRECTORY ROOM` at the centre makes one.")


def denied() -> RefusedError:
    """What the holder of a denied certificate is told."""
    return RefusedError(403, "This certificate is revoked.", "Have the room enrolled anew by a fresh token of the centre.")


async def _wait(news: asyncio.Event, parameters: dict[str, Any]) -> None:
    try:
        async with asyncio.timeout(min(MOST_WAIT_S, parameters.get("wait", 0))):
            await news.wait()
    except TimeoutError:
        return


def _now_us() -> int:
    return time.time_ns() // 1000
