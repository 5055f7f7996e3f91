"""What a session may do next: the recorder's states and the requests that each of them takes. Pure.

::

    idle ── start ──▶ open ◀── resume ── off_record | privileged | deliberation
                       │ ─── pause ────▶     │  (pause: from one of them into another)
                       └────── stop ─────────┴──▶ closing ──▶ idle

In ``off_record`` nothing reaches the disk while the conference goes on; in ``privileged`` and ``deliberation`` every sample is dropped at
the device. Only a named person leads out of a pause.
"""

from recorder.contract import control
from recorder.contract.control import State
from recorder.record.entries import PausedState

PAUSED: tuple[PausedState, ...] = ("off_record", "privileged", "deliberation")
DROPPING: frozenset[State] = frozenset({"privileged", "deliberation"})
"""States in which samples are dropped in the device's own child."""

_ALWAYS: set[type[control.Request]] = {
    control.GetStatus,
    control.Subscribe,
    control.BindSealed,
    control.CertifyFault,
    control.CertifyHandover,
    control.FindRecord,
    control.FindRecords,
}
_IN_SESSION: set[type[control.Request]] = {
    control.AddNote,
    control.AddEvent,
    control.SetLevel,
    control.BindRequest,
    control.StopRequest,
    control.AddReceipt,
    control.KeyframeRequest,
}
_PAUSE: set[type[control.Request]] = {control.PauseRequest}
_RESUME: set[type[control.Request]] = {control.ResumeRequest}
ALLOWED: dict[State, set[type[control.Request]]] = {
    "idle": _ALWAYS | {control.Start, control.ArmRequest, control.AddReceipt},
    "open": _ALWAYS | _IN_SESSION | _PAUSE,
    "off_record": _ALWAYS | _IN_SESSION | _PAUSE | _RESUME,
    "privileged": _ALWAYS | _IN_SESSION | _PAUSE | _RESUME,
    "deliberation": _ALWAYS | _IN_SESSION | _PAUSE | _RESUME,
    "closing": _ALWAYS | {control.AddReceipt},
}

_WORDS: dict[type[control.Request], str] = {
    control.Start: "start a session",
    control.ArmRequest: "arm or wipe the pre-roll",
    control.PauseRequest: "pause",
    control.ResumeRequest: "resume",
    control.AddNote: "take a note",
    control.AddEvent: "take an event",
    control.SetLevel: "change the level",
    control.BindRequest: "bind the session",
    control.BindSealed: "bind the record",
    control.StopRequest: "stop",
    control.AddReceipt: "take a receipt",
    control.KeyframeRequest: "ask for a keyframe",
}
_REMEDY: dict[State, str] = {
    "idle": "no session is running; start one first",
    "open": "a session is being recorded; stop it first",
    "off_record": "the session is off the record; resume first",
    "privileged": "the session is privileged; resume first",
    "deliberation": "the court is deliberating; resume first",
    "closing": "the session is being sealed; wait until it is idle",
}


def refusal(state: State, request: control.Request) -> str | None:
    """Why ``request`` is refused in ``state``, in words with the remedy, or None where it is allowed."""
    if state == "open" and isinstance(request, control.ResumeRequest):
        return "cannot resume: nothing is paused; the session is being recorded"
    if type(request) not in ALLOWED[state]:
        return f"cannot {_WORDS[type(request)]}: {_REMEDY[state]}"
    if isinstance(request, control.PauseRequest) and request.state == state:
        return f"cannot pause: the session is already {state.replace('_', ' ')}"
    actor = getattr(request, "actor", None) if not isinstance(request, control.AddNote) else request.author
    if actor is not None and not actor.strip():
        return f"cannot {_WORDS[type(request)]}: name the person who asks for it"
    if isinstance(request, control.AddNote) and not request.text.strip():
        return "cannot take a note: it is empty"
    return None
