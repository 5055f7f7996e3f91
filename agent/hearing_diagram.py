"""Draws ``docs/hearing.md`` from the table of ``hearing.py``: ``python -m agent.hearing_diagram``."""

from collections.abc import Mapping
from pathlib import Path

from agent.hearing import BEFORE, PAUSED, RECONCILED, RUNNING, STATES, TABLE, Cause, State

PATH = Path(__file__).parent.parent / "docs" / "hearing.md"
_MEANING = {
    "planned": "The centre planned it for this room.",
    "preparing": "The checks run, 30 minutes before it.",
    "ready": "The checks ran; the clerk sees what they found.",
    "open": "It is recorded.",
    "off_record": "The conference goes on, nothing reaches the disk.",
    "privileged": "Every sample is dropped at the device: counsel and client.",
    "deliberation": "Every sample is dropped at the device: the court deliberates.",
    "closing": "The record is being sealed.",
    "unsealed": "The recorder went away in the middle; the record stays as it is.",
    "recovered": "The recorder is back, and goes on with the same record.",
    "sealed": "The record is closed and signed.",
    "delivered": "The archive has acknowledged all of its records, by hash.",
    "cancelled": "The centre cancelled it.",
    "moved": "The centre moved it to another room.",
    "not_held": "Nobody began it, or the room heard of it when it was over; the reason is told.",
    "failed": "It could not be recorded, or its record is gone, or cannot be sealed; a signed fault certificate says what was lost.",
}
_HEAD = """# The life of a hearing

Made by `python -m agent.hearing_diagram` from the table in `agent/hearing.py`; do not edit.

A *hearing* is the centre's plan, a *session* is the room's fact: one record. A hearing waits by itself, then follows the session that runs,
else its newest. A session begins `open`. Nothing that the centre says leads out of a state in which something is recorded.

"""


_GROUPS: dict[str, tuple[State, ...]] = {
    "waiting": ("planned", "preparing", "ready"),
    "running": ("open", "off_record", "privileged", "deliberation"),
    "ended": ("sealed", "delivered", "cancelled", "moved", "not_held", "failed"),
}


def diagram() -> str:
    """The table as a Mermaid state diagram. What leads out of all states of a group is drawn from the group."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    left: dict[State, dict[Cause, State]] = {state: dict(table) for state, table in TABLE.items()}
    shared: list[str] = []
    for group, members in _GROUPS.items():
        for cause, to in TABLE[members[0]].items():
            if to not in members and all(TABLE[state].get(cause) == to for state in members):
                shared.append(f"    {group} --> {to}: {cause}")
                for state in members:
                    del left[state][cause]
        lines.append(f"    state {group} {{")
        lines += [f"        {state}" for state in members]
        lines += ["    " + line for line in _drawn({state: left[state] for state in members}, inside=frozenset(members))]
        lines.append("    }")
    lines += ["    [*] --> planned: the centre plans it", "    [*] --> open: an unplanned session begins", *shared]
    for state in STATES:
        group_of = frozenset(next((members for members in _GROUPS.values() if state in members), ()))
        lines += _drawn({state: {cause: to for cause, to in left[state].items() if to not in group_of}})
    return "\n".join([*lines, "```"])


def _drawn(table: Mapping[State, Mapping[Cause, State]], inside: frozenset[State] | None = None) -> list[str]:
    lines = []
    for state, causes in table.items():
        by_target: dict[State, list[Cause]] = {}
        for cause, to in causes.items():
            if inside is None or to in inside:
                by_target.setdefault(to, []).append(cause)
        lines += [f"    {state} --> {to}: {', '.join(led)}" for to, led in by_target.items()]
    return lines


def page() -> str:
    """The whole page."""
    rows = ["| state | meaning | a session runs | reconciled |", "|---|---|---|---|"]
    for state in STATES:
        runs = "not recorded" if state in PAUSED else "yes" if state in RUNNING else ""
        rows.append(f"| `{state}` | {_MEANING[state]} | {runs} | {'yes' if state in RECONCILED else ''} |")
    waiting = ", ".join(f"`{state}`" for state in STATES if state in BEFORE)
    foot = (
        f"\nHearings that wait ({waiting}) are reconciled at the latest four hours after their planned end. So are those that\n"
        "the centre plans when they are over. What a room's first snapshot says was over it may have recorded before its disk was\n"
        "changed: of that it says nothing by itself, and `courtroom hearing not-held` ends it.\n\n"
        "A session that the agent missed, for it did not run, is taken in by its record. So no hearing ends as `not_held` or `failed` by\n"
        "itself while it is not known which records the room has: the recorder, or one of its disks, does not answer.\n"
    )
    return _HEAD + "\n".join(rows) + "\n" + foot + "\n" + diagram() + "\n"


if __name__ == "__main__":
    PATH.write_text(page())
