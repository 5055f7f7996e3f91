"""A child that was taken over: it says what no child may say. ``LIE`` in its environment names what.

``python -m tests.lab.lying_child recorder run …`` runs a recorder whose camera ``cam`` is such a child, or the child that ``LIAR`` names.
"""

import os
import sys
from typing import Any

from agent import cli
from recorder import child_process
from recorder.children.link import Link, now_us
from recorder.contract import child


def main() -> None:
    """Be the recorder, or its child."""
    if len(sys.argv) > 1:
        take_over(os.environ.get("LIAR", "cam"))
        cli.main()
    else:
        lie(os.environ["LIE"])


def take_over(name: str) -> None:
    """Let the child of this name be this module, whatever the recorder thinks that it started."""
    spawn, run_once = os.posix_spawn, child_process.ChildProcess._run_once
    starting = ""

    async def noted(process: child_process.ChildProcess) -> int:
        nonlocal starting
        starting = process.plan.name
        return await run_once(process)

    def replaced(path: Any, arguments: Any, *rest: Any, **more: Any) -> int:
        if starting == name:
            arguments = [sys.executable, "-m", "tests.lab.lying_child"]
        return spawn(path, arguments, *rest, **more)

    child_process.ChildProcess._run_once = noted  # type: ignore[assignment,method-assign]
    child_process.os.posix_spawn = replaced  # type: ignore[attr-defined]


def lie(what: str) -> None:
    """Open as a camera does, and lie as soon as a part is to be recorded."""
    link = Link()
    link.wait()
    if os.environ.get("LIAR") == "watch":
        judge_falsely(link, what)
        return
    tracks = {"cam": "video"} | ({"../../../PWNED": "video"} if what == "path" else {})
    link.send(child.Opened(driver="lie", address="", serial="", tracks=tracks))  # type: ignore[arg-type]
    part, begun = -1, False
    while True:
        message = link.wait(0.2)
        link.send(child.Stats(tracks=[child.TrackStats(track="cam", units=1, dropped=0, last_mono_us=now_us())]))
        if isinstance(message, child.StartPart):
            part, begun = message.tracks["cam"], True
            link.send(child.Init(track="cam", part=part, kind="video", codec="h264", timescale=90_000), b"header")
            if what not in {"silent", "late"}:
                tell(link, what, part)
        elif isinstance(message, child.StopPart) and what == "late" and begun:
            for number in range(4_000):
                link.send(fragment(part, 90_000 + number * 9, 9), b"late")


def judge_falsely(link: Link, what: str) -> None:
    """Open as the watch does, and lie as soon as there is something to judge."""
    link.send(child.Opened(driver="lie", address="", serial="", tracks={}, continuous=False))
    while not isinstance(link.wait(), child.WatchCommitted):
        pass
    forged = child.Fragment(track="judge", part=0, t0=10 * 48_000, dur=48_000, timescale=48_000, key=True, new_segment=True)
    while link.wait() is not None:
        link.send(child.PartEnded(track="judge", part=0, end_us=1) if what == "others_end" else forged, b"forged")


def tell(link: Link, what: str, part: int) -> None:
    """One lie."""
    link.send(fragment(part, 0, 45_000), b"media")
    if what == "others_end":
        for number in range(3):
            link.send(child.PartEnded(track="witness", part=number, end_us=1))
    elif what == "others_media":
        link.send(child.Fragment(track="judge", part=0, t0=0, dur=48_000, timescale=48_000, key=True, new_segment=True), b"forged")
    elif what == "others_open":
        link.send(child.TrackOpened(track="judge", kind="audio", label=""))
    elif what == "flood":
        while True:
            link.send(child.SenderReportSeen(track="cam", mono_us=1, ntp_us=1))
    elif what == "memory":
        for number in range(40):
            link.send(fragment(part, 45_000 + number, 1), bytes(31 * 1024 * 1024))


def fragment(part: int, t0: int, dur: int) -> child.Fragment:
    """A fragment of the camera's."""
    return child.Fragment(track="cam", part=part, t0=t0, dur=dur, timescale=90_000, key=True, new_segment=False)


if __name__ == "__main__":
    main()
