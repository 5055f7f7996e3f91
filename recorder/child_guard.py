"""Guards the children: one that shows no progress is killed, and one that does not confirm that it drops what it hears is killed too.

Whether a source may rightly be quiet changes nothing: also where nobody speaks the child says that it is at work. Only the rungs, which
record nothing, say nothing while nobody watches.
"""

import asyncio
from collections.abc import Mapping

from recorder.child_process import ChildProcess
from recorder.children_plan import RUNGS, WATCH
from recorder.contract import child

SILENT_CHILD_S = 1.5
"""A device that delivers nothing for so long is frozen: its child is killed, and the alarm is on within 2 s."""
SILENT_WATCH_S = 10.0
"""The watch works when nothing else has to, and waits for the disk; it says that it works after each stretch that it judged."""
OPENING_S = 15.0
"""How long a device may take to open before its child is started again."""
MUTE_ACKNOWLEDGED_S = 0.5


class ChildGuard:
    """The guard of all children of a room. Call ``look`` some times a second from the event loop."""

    def __init__(self, children: Mapping[str, ChildProcess]) -> None:
        self._children = children
        self._muting: dict[str, float] = {}
        """By when each child must have confirmed that it is mute (event loop's time)."""

    def look(self, now_s: float, *, muted: bool) -> None:
        """Kill what hangs: a child that shows no progress (unless the room is muted), an order to be mute that nobody confirms."""
        for name, process in self._children.items():
            is_watch = process.plan.module == WATCH
            limit_s = OPENING_S if process.opened is None else SILENT_WATCH_S if is_watch else SILENT_CHILD_S
            quiet = process.plan.module == RUNGS and process.opened is not None
            if process.pid is not None and not quiet and (is_watch or not muted) and now_s - process.last_word_s > limit_s:
                process.last_word_s = now_s
                process.kill("frozen", f"nothing came for {limit_s:g} s; {'it' if is_watch else 'the device or its driver'} hangs")
            if name in self._muting and now_s > self._muting[name]:
                del self._muting[name]
                process.kill("not_muted", "did not confirm in time that it drops what it hears; it was stopped by force")

    def mute(self, *, on: bool) -> None:
        """Tell every device to drop what it hears and sees, or to take it again."""
        now_s = asyncio.get_running_loop().time()
        for name, process in self._children.items():
            if process.plan.module == WATCH:
                continue
            if process.send(child.Mute(on=on)) and on:
                self._muting[name] = now_s + MUTE_ACKNOWLEDGED_S
            process.last_word_s = now_s

    def confirmed(self, name: str) -> None:
        """A child is mute, or has ended: it drops everything either way."""
        self._muting.pop(name, None)
