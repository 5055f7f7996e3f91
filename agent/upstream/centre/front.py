"""The centre's HTTP front: the operations of ``operations.py`` over a backend. Any number of fronts may run over one backend.

A caller is who his certificate says (``callers.py``); what he sends is read within limits of size and time, held to its type, and answered
by a message or by a problem (RFC 9457) that names the place.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web

from agent.upstream import plain_words, relay, transfer
from agent.upstream.centre.answers import Answers, denied
from agent.upstream.centre.backend import AwayError, ConflictError
from agent.upstream.centre.callers import NOBODY, Peer, peer_of
from agent.upstream.centre.database import is_full, why_not_kept
from agent.upstream.centre.page_server import page
from agent.upstream.centre.relays import Relays
from agent.upstream.centre.seldom import Seldom
from agent.upstream.centre.storage import DirectoryStorage, NoRoomError, Storage, StorageError, WrongPartError
from agent.upstream.centre.uploads import RefusedError, no_room
from agent.upstream.operations import OPERATIONS, Operation
from recorder.record import canonical

log = structlog.get_logger()

BODY_BYTES = 1024 * 1024
MESSAGE_BYTES: dict[str, int] = {
    "offerRecord": 32 * 1024 * 1024, "putHearings": 16 * 1024 * 1024, "enrol": 32 * 1024, "renew": 32 * 1024,
}  # fmt: skip
"""What a message of these operations may have; of all others ``BODY_BYTES``."""
LONG_BYTES = 256 * 1024
"""A message that is longer is read in a thread: others are answered meanwhile."""
MOST_NOBODY = 64
"""So many requests of callers without a certificate are dealt with at once; each may take ``BODY_S`` and what a message holds."""
BODY_S = 20.0
"""Within so long a message must have arrived whole, however slowly its bytes come."""
PART_S = 600.0
LOOK_AGAIN_S = 10.0
"""So often it is looked whether a room that holds a connection open may still do so."""
AGAIN_S = 2
"""``Retry-After`` where the keeper is away: a leader is elected, or a connection made, within a few seconds."""
NO_ROOM_AGAIN_S = 300
"""And where the archive's disk is full: a person makes room."""
NOT_KEPT_AGAIN_S = 30
"""And where the centre's own file takes nothing: events wait in the rooms meanwhile."""
NOT_KEPT = web.AppKey("not_kept", Seldom)
"""How often it is told that the file takes nothing."""
JSON, LINES = "application/json", "application/x-ndjson"


def application(answers: Answers, storage: Storage | None = None, relays: Relays | None = None) -> web.Application:
    """The application; ``storage`` is given where parts of records are put to the centre itself, ``relays`` where participants come."""
    app = web.Application(client_max_size=max(MESSAGE_BYTES.values()), middlewares=[_problems])
    app[NOT_KEPT] = Seldom()
    strangers = asyncio.Semaphore(MOST_NOBODY)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, _handler(operation, answers, strangers))
    app.on_response_prepare.append(_without_server)
    app.router.add_get("/live", _live)
    app.router.add_get("/rooms", _page_handler(answers))
    if relays is not None:
        app.router.add_get(relay.PATH, _relay_handler(relays, answers))
    if isinstance(storage, DirectoryStorage):
        app.router.add_put("/v1/parts/{token}", _part_handler(storage, answers))
    return app


def problem(status: int, title: str, detail: str = "") -> web.Response:
    """An answer that says why not."""
    body = msgspec.json.encode(transfer.Problem(type="about:blank", title=title, status=status, detail=detail))
    return web.Response(status=status, body=body, content_type="application/problem+json")


async def caller(request: web.Request, answers: Answers) -> Peer:
    """Who calls.

    Raises:
        RefusedError: his certificate is denied.
    """
    peer = peer_of(request.get_extra_info("peercert"))
    await _check_in_force(peer, answers)
    return peer


async def _check_in_force(peer: Peer, answers: Answers) -> None:
    if peer is not NOBODY and await answers.backend.registry.is_revoked(peer.certificate):
        raise denied()


def _handler(
    operation: Operation, answers: Answers, strangers: asyncio.Semaphore
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    decoder = None if operation.body is None else msgspec.json.Decoder(operation.body)
    answer_to = answers.of(operation.id)

    async def handle(request: web.Request) -> web.StreamResponse:
        peer = await caller(request, answers)
        if "anyone" not in operation.callers and peer.caller not in operation.callers:
            if peer is NOBODY:
                raise RefusedError(401, "A certificate of this centre is needed.", "None was shown, or it names neither a room nor a role.")
            wanted = " or ".join(sorted(operation.callers)).replace("_", " ")
            raise RefusedError(403, "This caller may not do that.", f"{operation.method} {operation.path} is for: {wanted}.")
        if peer is not NOBODY:
            return await answered(request, peer)
        if strangers.locked():
            raise RefusedError(503, "Too many ask without a certificate at once.", "Try again in a moment.")
        async with strangers:
            return await answered(request, peer)

    async def answered(request: web.Request, peer: Peer) -> web.StreamResponse:
        parameters = _parameters(operation, request)
        body = None
        if decoder is not None:
            data = await _body(request, MESSAGE_BYTES.get(operation.id, BODY_BYTES))
            body = await asyncio.to_thread(_decoded, decoder, data) if len(data) > LONG_BYTES else _decoded(decoder, data)
            await _check_in_force(peer, answers)  # who took his time over the message may have been revoked meanwhile
        answer = await answer_to(peer, parameters, body)
        if "wait" in parameters:
            await _check_in_force(peer, answers)
        if operation.lines:
            lines: Sequence[Any] = answer
            return web.Response(body=b"".join(msgspec.json.encode(line, order="sorted") + b"\n" for line in lines), content_type=LINES)
        return web.Response(status=operation.status, body=msgspec.json.encode(answer), content_type=JSON)

    return handle


def _parameters(operation: Operation, request: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for parameter in operation.parameters:
        text = (request.match_info if parameter.place == "path" else request.query).get(parameter.name)
        if text is None:
            if parameter.required:
                raise RefusedError(422, "A parameter is missing.", f"{parameter.name}: {parameter.doc}")
            continue
        if parameter.schema == "integer":
            if not text.isascii() or not text.isdigit() or len(text) > 15:
                raise RefusedError(422, "A parameter is no number.", f"{parameter.name} is {text[:40]!r}: give a number of at least 0.")
            found[parameter.name] = int(text)
        else:
            found[parameter.name] = text
    return found


async def _body(request: web.Request, most_bytes: int) -> bytes:
    said = request.content_length
    if said is not None and said > most_bytes:
        raise RefusedError(413, "The message is too long.", f"It has {said} bytes; the most is {most_bytes}.")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > most_bytes:
                    raise RefusedError(413, "The message is too long.", f"The most is {most_bytes} bytes.")
    except TimeoutError:
        raise RefusedError(408, "The message did not arrive in time.", f"It must be whole within {BODY_S:g} s.") from None
    return bytes(data)


def _decoded(decoder: "msgspec.json.Decoder[Any]", data: bytes) -> Any:  # noqa: ANN401 - a message of the contract
    try:
        message = _message(decoder, data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        status = 422 if isinstance(error, msgspec.ValidationError) else 400
        title = "The message is not one of the contract." if status == 422 else "The message is no JSON."
        raise RefusedError(status, title, plain_words.plain(str(error))[:500]) from None
    if data.isascii() and b"\\u" not in data:
        return message  # texts of ASCII alone are in that form
    plain = msgspec.to_builtins(message)
    if canonical.normalised(plain) != plain:
        raise RefusedError(422, "A text is not in Unicode's normalisation form C.", "Send composed letters (NFC).")
    return message


def _message(decoder: "msgspec.json.Decoder[Any]", data: bytes) -> Any:  # noqa: ANN401 - a message of the contract
    """The message; 5209.0 is taken as the whole number that it is in JSON Schema, where msgspec reads a fraction."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
        return msgspec.convert(_whole(msgspec.json.decode(data)), decoder.type)


def _whole(value: Any) -> Any:  # noqa: ANN401 - plain JSON
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _part_handler(storage: DirectoryStorage, answers: Answers) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def put(request: web.Request) -> web.StreamResponse:
        peer = await caller(request, answers)
        if peer.caller != "room":
            raise RefusedError(401 if peer is NOBODY else 403, "Parts are taken from rooms alone.")
        try:
            async with asyncio.timeout(PART_S):
                tag = await storage.put(request.match_info["token"], request.content.iter_chunked(64 * 1024))
        except WrongPartError as error:
            raise RefusedError(error.status, "The part is not taken.", str(error)) from None
        except NoRoomError as error:
            raise no_room(error) from None
        except StorageError as error:
            log.error("the storage does not take a part", error=str(error))
            return problem(503, "The storage is away for the moment.")
        return web.Response(headers={"ETag": tag})

    return put


def _relay_handler(relays: Relays, answers: Answers) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        peer = await caller(request, answers)
        if peer.caller != "room":
            raise RefusedError(401 if peer is NOBODY else 403, "A relay is opened by rooms alone.")
        opened = asyncio.create_task(relays.serve(peer.room, request))
        try:
            while not (await asyncio.wait({opened}, timeout=LOOK_AGAIN_S))[0]:
                await _check_in_force(peer, answers)  # a room that was revoked is cut off
            return opened.result()
        finally:
            opened.cancel()

    return serve


def _page_handler(answers: Answers) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def show(request: web.Request) -> web.StreamResponse:
        peer = await caller(request, answers)
        if peer.caller != "situation_centre":
            raise RefusedError(401 if peer is NOBODY else 403, "The page of all rooms is for the Situation Centre alone.")
        return await page(request, answers.overview)

    return show


async def _without_server(_: web.Request, response: web.StreamResponse) -> None:
    """Which versions run here is nobody's business."""
    response.headers.pop("Server", None)


async def _live(_: web.Request) -> web.Response:
    return web.Response(text="live\n")


def _not_kept(request: web.Request, error: sqlite3.Error) -> web.Response:
    untold = request.app[NOT_KEPT].untold(time.monotonic())
    if untold is not None:
        log.error("the database takes nothing", path=request.path, error=why_not_kept(error), untold=untold)
    if is_full(error):
        response = problem(507, "The centre's disk is full; nothing of this is kept.", "Send it again when there is room.")
    else:
        response = problem(503, "The centre cannot keep anything for the moment.", "Nothing of this is kept: send it again.")
    response.headers["Retry-After"] = str(NOT_KEPT_AGAIN_S)
    return response


@web.middleware
async def _problems(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """Every refusal is a problem; what nobody expected says nothing of the inside."""
    try:
        return await handler(request)
    except RefusedError as error:
        said = error.problem
        response = problem(said.status, said.title, said.detail)
        if said.status == HTTPStatus.INSUFFICIENT_STORAGE:
            response.headers["Retry-After"] = str(NO_ROOM_AGAIN_S)
        return response
    except ConflictError as error:
        return problem(409, "That contradicts what is kept.", str(error))
    except AwayError as error:
        log.debug("the keeper is away", path=request.path, error=str(error))
        response = problem(503, "The centre cannot keep anything for the moment.", "Nobody knows whether this was done: send it again.")
        response.headers["Retry-After"] = str(AGAIN_S)
        return response
    except sqlite3.Error as error:
        return _not_kept(request, error)
    except web.HTTPException as error:
        detail = f"Allowed: {error.headers['Allow']}." if "Allow" in error.headers else f"{request.method} {request.path[:200]}"
        return problem(error.status, f"{HTTPStatus(error.status).phrase}.", detail)
    except (ConnectionResetError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("could not answer", method=request.method, path=request.path)
        with contextlib.suppress(ConnectionResetError):
            return problem(500, "The centre failed.", "Try again later; the centre's log says what happened.")
        raise
