"""What the room's decisions ask for: actions of the recorder and the diagnostics, and prompts for the clerk. Plain data.

An action stands, decision after decision, until the facts show that it is done: carry out one of each at a time, and compare by
equality what is running already. A prompt is a code with arguments, no prose: pages put it into three languages. It, too, stands while
it holds.
"""

from typing import Literal

import msgspec

from recorder.record.entries import Level


class Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="act"):
    """Base of the actions."""


class StartRecording(Action, frozen=True, kw_only=True, tag="start"):
    """Send ``control.Start``. Refused or unreachable: ``told.start_failed``."""

    hearing: str
    case: str
    title: str
    start_token: str
    level: Level
    actor: str


class StopRecording(Action, frozen=True, kw_only=True, tag="stop"):
    """Send ``control.StopRequest``; how it ended is found out by ``FindOut``."""

    session: str
    actor: str
    reason: str


class FindOut(Action, frozen=True, kw_only=True, tag="find_out"):
    """The recorder no longer has this session: look at its record. Sealed: ``told.sealed``; gone, or never sealed: ``told.record_lost``.

    Asked for of a session that failed, too: its record may come to light.
    """

    session: str
    path: str


class FindMissed(Action, frozen=True, kw_only=True, tag="find_missed"):
    """Ask which records the room has: those of sessions that these facts do not know are taken in (``missed.take_in``)."""


class BindRecord(Action, frozen=True, kw_only=True, tag="bind"):
    """Write the signed entry: ``control.BindRequest``, or ``BindSealed`` where ``sealed``. Done: ``told.bound``."""

    session: str
    sealed: bool
    hearing: str
    case: str
    actor: str
    reason: str


class RunChecks(Action, frozen=True, kw_only=True, tag="checks"):
    """Run the diagnostics; then ``told.checked``."""

    hearing: str


class Certify(Action, frozen=True, kw_only=True, tag="certify"):
    """Send ``control.CertifyFault``; then ``told.certified`` with what was signed."""

    hearing: str
    record: str
    cause: str
    detail: str
    channels: tuple[str, ...]
    from_utc_us: int
    lost_s: int


AnyAction = StartRecording | StopRecording | FindOut | FindMissed | BindRecord | RunChecks | Certify

PromptCode = Literal[
    "start_due", "late", "not_started", "start_failed", "runs_over", "hearing_changed", "forgotten_stop", "paused_past_end", "bind_session",
    "wrong_case", "checks_bad", "recorder_unreachable",
]  # fmt: skip


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the clerk should see, or decide.

    ``start_due``: a hearing is due (``starts_utc_us``; ``automatic`` 1 where it starts by itself). ``late``: it should have begun
    (``late_s``). ``not_started``: its time is over; why was it not held? ``start_failed``: the recorder refused (``detail``).
    ``runs_over``: the running session stands in the way of the hearing ``next``. ``hearing_changed``: the hearing was changed while it
    is recorded (``change``). ``forgotten_stop``: its time is over and the room is empty; it is closed in ``closes_in_s``.
    ``paused_past_end``: its time is over, and it is still in a pause that only a person ends. ``bind_session``: an unplanned session
    wants a case (``next`` is a hearing that is due). ``wrong_case``: the session's hearing is not the one that is due (``next``).
    ``checks_bad``: the checks before the hearing found something. ``recorder_unreachable``: nobody can say what is recorded.
    """

    code: PromptCode
    hearing: str = ""
    session: str = ""
    args: dict[str, int | str] = {}
