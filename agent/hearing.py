"""The life of a hearing and of its sessions: the states, what leads from one to the next (``TABLE``), and the facts that are kept. Pure.

Theory of operation. A *hearing* is the centre's plan; a *session* is the room's fact: one record, whose UUID is the session's name. So a
session that the agent finds running after a restart is the same one. A hearing goes through the states before its session alone, then
follows the session that runs, else its newest, and ends reconciled (``RECONCILED``). A session begins ``open`` and knows the states from
there on. A hearing that ended comes back where facts say so: it is planned again, a session is started for it, or is bound to it later.

An unplanned session has a hearing of the room's own making, ``local:<uuid>``, until it is bound to one of the centre.

Nothing the centre says leads out of a state in which something is recorded: ``cancelled``, ``moved``, ``retimed`` and ``planned_again``
start from no state in ``RUNNING`` (a test holds it).

Who uses what: ``decision.py`` moves facts by the schedule, the recorder and the clock; ``told.py`` by what people, the recorder's answers
and the archive say; ``docs/hearing.md`` is drawn from the table by ``python -m agent.hearing_diagram``.
"""

from typing import Literal, get_args
from uuid import uuid4

import msgspec

from agent.upstream import contract

State = Literal[
    "planned", "preparing", "ready",
    "open", "off_record", "privileged", "deliberation", "closing", "unsealed", "recovered", "sealed", "delivered",
    "cancelled", "moved", "not_held", "failed",
]  # fmt: skip
STATES: tuple[State, ...] = get_args(State)

Cause = Literal[
    "checks_due", "checked", "retimed", "cancelled", "moved", "planned_again", "not_held", "failed",
    "started", "opened", "went_off_record", "became_privileged", "began_deliberation", "stopped",
    "lost", "recovered", "sealed", "delivered", "unbound",
]  # fmt: skip

BEFORE: frozenset[State] = frozenset({"planned", "preparing", "ready"})
PAUSED: frozenset[State] = frozenset({"off_record", "privileged", "deliberation"})
LIVE: frozenset[State] = PAUSED | {"open"}
RUNNING: frozenset[State] = LIVE | {"closing", "unsealed", "recovered"}
"""A session exists that is not sealed."""
RECONCILED: frozenset[State] = frozenset({"sealed", "delivered", "cancelled", "moved", "not_held", "failed"})
"""How a hearing may end."""

_LIVE_BY_CAUSE: dict[Cause, State] = {
    "opened": "open",
    "went_off_record": "off_record",
    "became_privileged": "privileged",
    "began_deliberation": "deliberation",
    "stopped": "closing",
}
_BEFORE_ENDS: dict[Cause, State] = {
    "started": "open", "cancelled": "cancelled", "moved": "moved", "not_held": "not_held", "failed": "failed",
}  # fmt: skip
_LIVE_ENDS: dict[Cause, State] = {"lost": "unsealed", "sealed": "sealed", "unbound": "planned"}
_COMES_BACK: dict[Cause, State] = {"started": "open", "planned_again": "planned"}

TABLE: dict[State, dict[Cause, State]] = {
    # before the session
    "planned": {"checks_due": "preparing", **_BEFORE_ENDS},
    "preparing": {"checked": "ready", "retimed": "planned", **_BEFORE_ENDS},
    "ready": {"retimed": "planned", **_BEFORE_ENDS},
    # while it runs: a person may go from any of the four to any other, and stop
    "open": {**{cause: to for cause, to in _LIVE_BY_CAUSE.items() if to != "open"}, **_LIVE_ENDS},
    "off_record": {**{cause: to for cause, to in _LIVE_BY_CAUSE.items() if to != "off_record"}, **_LIVE_ENDS},
    "privileged": {**{cause: to for cause, to in _LIVE_BY_CAUSE.items() if to != "privileged"}, **_LIVE_ENDS},
    "deliberation": {**{cause: to for cause, to in _LIVE_BY_CAUSE.items() if to != "deliberation"}, **_LIVE_ENDS},
    # its end, and the recorder's loss and return
    "closing": {"lost": "unsealed", "sealed": "sealed", "unbound": "planned"},
    "unsealed": {"recovered": "recovered", "failed": "failed", "unbound": "planned"},
    "recovered": {**_LIVE_BY_CAUSE, **_LIVE_ENDS},
    "sealed": {"delivered": "delivered", "unbound": "planned", **_COMES_BACK},
    "delivered": {"unbound": "planned", **_COMES_BACK},
    # ended without a record, until facts say otherwise
    "cancelled": {**_COMES_BACK, "moved": "moved"},
    "moved": {**_COMES_BACK, "cancelled": "cancelled"},
    "not_held": {**_COMES_BACK, "failed": "failed", "cancelled": "cancelled"},
    "failed": {**_COMES_BACK, "unbound": "planned", "recovered": "recovered", "delivered": "delivered"},
}

CAUSE_OF: dict[str, Cause] = {to: cause for cause, to in _LIVE_BY_CAUSE.items()}
"""What leads a session into the state that the recorder shows."""
PATH_TO: dict[State, tuple[Cause, ...]] = {
    "open": ("started",),
    **{state: ("started", CAUSE_OF[state]) for state in ("off_record", "privileged", "deliberation", "closing")},
    "unsealed": ("started", "lost"),
    "recovered": ("started", "lost", "recovered"),
    "sealed": ("started", "sealed"),
    "delivered": ("started", "sealed", "delivered"),
    "failed": ("started", "lost", "failed"),
}
"""How a hearing catches up with a session that is bound to it."""

LOCAL_PREFIX = "local:"
KEPT_S = 30 * 86_400
UNREACHABLE = "recorder_unreachable"
"""Cause of a fault: the recorder did not answer."""
REFUSED = "recorder_refused"
"""Cause of a fault: it answered, and did not begin. All other causes are its own words."""


class LifeError(Exception):
    """No such transition is in the table."""


def follow(state: State, cause: Cause) -> State:
    """Where a cause leads.

    Raises:
        LifeError: nowhere, from this state.
    """
    try:
        return TABLE[state][cause]
    except KeyError:
        raise LifeError(f"'{cause}' leads nowhere from '{state}'") from None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why something could not be recorded, as the room itself saw it."""

    cause: str
    detail: str
    from_utc_us: int
    until_utc_us: int | None = None
    """None while it lasts."""
    channels: tuple[str, ...] = ()
    lost_s: int | None = None
    """Set when it is to be certified."""


class HearingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the room knows of a hearing."""

    hearing: str
    plan: contract.Hearing | None
    """The last plan that was known; it stays where the schedule forgets it. None: only a session tells of this hearing."""
    offset: int = 0
    state: State = "planned"
    session: str = ""
    """The session that it follows."""
    reason: str = ""
    heard_utc_us: int | None = None
    """When the room heard of it, where that was after its planned end."""
    late_told_utc_us: int | None = None
    """The planned start against which the centre was told that it is late."""
    checks_asked_utc_us: int | None = None
    checks_bad: bool = False
    start_asked_utc_us: int | None = None
    conflict: Literal["", "cancelled", "moved", "retimed"] = ""
    """How it was changed while it was recorded; the clerk has not seen it yet."""
    recorded_for_utc_us: int | None = None
    """The planned start for which it is recorded, where it was given another one meanwhile; None: it was not."""
    fault: Fault | None = None


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A session shall belong to this hearing; it stands until the record's signed entry is there."""

    hearing: str
    case: str
    by: str
    reason: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The archive has acknowledged a record, of which the room does not know yet that it is sealed."""

    sums_sha256: str
    by: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was begun in this room. ``session`` is the record's UUID."""

    session: str
    path: str
    number: int = 0
    """Rises with each session that is taken up, so no step of the clock makes an older one the newest.

    0: it was over when the agent got to know of it, or came before they were counted.
    """
    hearing: str
    began_as: str = ""
    """The hearing when it began, whatever it is bound to later; empty: taken up before that was kept."""
    case: str = ""
    state: State = "open"
    interval: Literal["open", "off_record", "privileged", "deliberation"] = "open"
    """The last of these that the centre was told."""
    by: str
    automatic: bool = False
    began_utc_us: int
    ends_utc_us: int | None
    """The latest planned end that was ever known for it; a change never makes it earlier. None without a plan."""
    countdown_utc_us: int | None = None
    """When the clerk was first warned that it will be closed."""
    stop_by: str = ""
    stop_reason: str = ""
    stop_asked_utc_us: int | None = None
    ended_utc_us: int | None = None
    """When it ended, sealed or not: the recorder was there, and did not have it any more."""
    wanted: Binding | None = None
    delivery: Delivery | None = None
    """Told when the session has ended."""
    further_deliveries: list[Delivery] = []
    """Likewise, where the room's two disks sealed its record otherwise."""
    seals_told: list[str] = []
    """By which seals (hashes of SHA256SUMS) it was told that the archive has its record."""
    not_begun: bool = False
    """Nothing could be recorded in it: it is no record of its hearing."""
    final_head: contract.Head | None = None
    """The last head of its record, until the centre's receipt for it is stored; None before it is sealed, too."""
    fault: Fault | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked the recorder for: kept before it is asked, so that what follows bears a name. ``to`` is the state wanted."""

    to: Literal["open", "off_record", "privileged", "deliberation"]
    by: str
    hearing: str = ""
    case: str = ""
    automatic: bool = False
    utc_us: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the room knows of its hearings and sessions."""

    hearings: dict[str, HearingFacts] = {}
    sessions: dict[str, Session] = {}
    asked: Asked | None = None
    known_from_utc_us: int | None = None
    """All sessions that were begun since then are known, or were missed; of those before, earlier facts knew. None: not yet asked."""


def forget(facts: Facts, now_utc_us: int) -> Facts:
    """The facts without what was over, and delivered where something was recorded, a month ago.

    A hearing that nobody planned goes with its last session.
    """
    before_us = now_utc_us - KEPT_S * 1_000_000
    sessions = {
        id_: session
        for id_, session in facts.sessions.items()
        if session.state not in {"delivered", "failed"} or (session.ended_utc_us or now_utc_us) >= before_us
    }
    held = {session.hearing for session in sessions.values()}
    hearings = {
        id_: hearing
        for id_, hearing in facts.hearings.items()
        if hearing.state not in RECONCILED or id_ in held or (hearing.plan is not None and hearing.plan.ends_utc_us >= before_us)
    }
    if len(sessions) == len(facts.sessions) and len(hearings) == len(facts.hearings):
        return facts
    return msgspec.structs.replace(facts, sessions=sessions, hearings=hearings)


def local_hearing() -> str:
    """A new name for an unplanned session's hearing."""
    return f"{LOCAL_PREFIX}{uuid4()}"


def is_local(hearing: str) -> bool:
    """Whether the room itself named this hearing."""
    return hearing.startswith(LOCAL_PREFIX)


def record_of(path: str) -> str:
    """The record's UUID by its path or name, ``<date>_<room>_<uuid>``."""
    return path.rstrip("/").rsplit("/", 1)[-1].rsplit("_", 1)[-1]
