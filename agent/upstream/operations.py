"""The centre's operations: which message goes where, who may send it, and what comes back. ``docs/openapi.yaml`` is made from this table.

A caller is known by the certificate of his TLS connection: a room by ``urn:courtroom:room:<id>`` in its alternative names, any other by
``urn:courtroom:role:<role>``. No body and no header says who he is.
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from agent.upstream import contract, transfer
from recorder.record.checkpoint import Receipt

Caller = Literal["anyone", "room", "case_system", "situation_centre", "custodian"]
"""``anyone``: no certificate is asked for (enrolment, whose secret is in the body; health)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path or the query."""

    name: str
    place: Literal["path", "query"]
    schema: Literal["integer", "string"]
    doc: str
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. ``lines`` says that the answer is JSON lines of that type; None is an answer without a body."""

    id: str
    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    callers: frozenset[Caller]
    summary: str
    body: Any = None
    answer: Any = None
    lines: bool = False
    status: int = 200
    parameters: tuple[Parameter, ...] = ()


_AFTER = Parameter("after", "query", "integer", "What the caller knows already: everything behind this number is wanted.", required=False)
_WAIT = Parameter("wait", "query", "integer", "For how many seconds to wait for something new (0 to 60).", required=False)
_UPLOAD = Parameter("upload", "path", "string", "The upload, as its offer was answered.")
_HEARING = Parameter("hearing", "path", "string", "The hearing's id.")
_COMMAND_AFTER = Parameter("command", "query", "integer", "The last command that was carried out.", required=False)
_ROOM, _CASE, _SITUATION = frozenset[Caller]({"room"}), frozenset[Caller]({"case_system"}), frozenset[Caller]({"situation_centre"})
_STAFF = _CASE | _SITUATION

OPERATIONS: tuple[Operation, ...] = (
    # rooms
    Operation(
        id="putEvents", method="POST", path="/v1/events", callers=_ROOM, body=contract.EventBatch, answer=contract.EventsTaken,
        summary="Hand events over; answered when all that are acknowledged are durable. The same batch again changes nothing. 409: the "
        "epoch's numbers were given to other events; nothing of the batch is kept.",
    ),
    Operation(
        id="beat", method="POST", path="/v1/heartbeat", callers=_ROOM, body=contract.Heartbeat, answer=contract.HeartbeatTaken,
        summary="Say that the room is there; the head of the running record is countersigned.",
    ),
    Operation(
        id="feed", method="GET", path="/v1/feed", callers=_ROOM, answer=contract.Feed, parameters=(_AFTER, _COMMAND_AFTER, _WAIT),
        summary="Wait for changes of the schedule and for commands.",
    ),
    Operation(
        id="offerRecord", method="POST", path="/v1/uploads", callers=_ROOM, body=transfer.UploadOffer, answer=transfer.UploadState,
        summary="Offer a sealed record to the archive.",
    ),
    Operation(
        id="upload", method="GET", path="/v1/uploads/{upload}", callers=_ROOM, answer=transfer.UploadState, parameters=(_UPLOAD,),
        summary="How an upload stands.",
    ),
    Operation(
        id="addressParts", method="POST", path="/v1/uploads/{upload}/addresses", callers=_ROOM, body=transfer.PartsWanted,
        answer=transfer.PartAddresses, parameters=(_UPLOAD,), summary="Ask where to put parts.",
    ),
    Operation(
        id="noteParts", method="POST", path="/v1/uploads/{upload}/parts", callers=_ROOM, body=transfer.PartsDone,
        answer=transfer.UploadState, parameters=(_UPLOAD,), summary="Say that the storage took parts; the last begins the verification.",
    ),
    Operation(
        id="enrol", method="POST", path="/v1/enrol", callers=frozenset({"anyone"}), body=transfer.Enrolment, answer=transfer.Certificates,
        summary="Get a room's certificates for a token that is good once.",
    ),
    Operation(
        id="renew", method="POST", path="/v1/renew", callers=_ROOM, body=transfer.Renewal, answer=transfer.Certificates,
        summary="Get a new transport certificate for one that is still good.",
    ),
    # the case system and the Situation Centre
    Operation(
        id="putHearing", method="PUT", path="/v1/hearings/{hearing}", callers=_CASE, body=contract.Hearing, answer=transfer.Offset,
        parameters=(_HEARING,), summary="Plan a hearing, change it, move it to another room, or cancel it.",
    ),
    Operation(
        id="putHearings", method="POST", path="/v1/hearings", callers=_CASE, body=transfer.HearingsPut, answer=transfer.Offset,
        summary="The same for many.",
    ),
    Operation(
        id="hearings", method="GET", path="/v1/hearings", callers=_STAFF, answer=contract.Change, lines=True, parameters=(_AFTER,),
        summary="The schedule as it is, behind an offset.",
    ),
    Operation(
        id="events", method="GET", path="/v1/events", callers=_STAFF, answer=contract.TakenEvent, lines=True, parameters=(_AFTER, _WAIT),
        summary="All rooms' events in the order in which the centre took them.",
    ),
    Operation(
        id="command", method="POST", path="/v1/rooms/{room}/commands", callers=_SITUATION, body=contract.AnyCommand,
        answer=transfer.Offset, parameters=(Parameter("room", "path", "string", "The room."),), summary="Give a room a command.",
    ),
    Operation(
        id="rooms", method="GET", path="/v1/rooms", callers=_SITUATION, answer=contract.RoomState, lines=True,
        summary="How every room is: its last heartbeat, and what is wrong there.",
    ),
    Operation(
        id="ledger", method="GET", path="/v1/ledger", callers=_STAFF | frozenset({"custodian"}), answer=Receipt, lines=True,
        parameters=(_AFTER,), summary="The receipts behind a counter, as `courtroom verify --ledger` reads them.",
    ),
)  # fmt: skip


def is_union(kind: Any) -> bool:  # noqa: ANN401 - a type or a union of types
    """Whether an operation's message is one of several."""
    return not (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
