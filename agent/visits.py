"""The hearing of another room that this room takes part in: one small file of the agent, that only it reads.

It has the link's token, for whatever process follows a killed one must come back by it; no log and no answer to the clerk has it.
"""

import re
import secrets
from pathlib import Path

import msgspec
import structlog

from agent import whole_file
from recorder.contract.conference import Visit

log = structlog.get_logger()

DEVICE_BYTES = 16
SECRET_BYTES = 32
_LINK = re.compile(
    r"(?P<root>(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\s#?@/\[\]:]+)(:\d{1,5})?(/[^\s#?]*)?)/join/?#(?P<token>[\w-]{1,1024})"
)
_DAMAGED = "what is kept of this room's visit cannot be read; the visit is over"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class VisitsError(Exception):
    """It is no link, or the file cannot be used; the message says why, and has no token."""


class _File(msgspec.Struct, frozen=True):
    boot: str
    visit: Visit


class Visits:
    """The file.

    Args:
        path: where it is; this room visits nobody where there is none. One that cannot be read, or is of another version, keeps no agent
            from its work: it is set aside, and this room visits nobody.
        boot: which time it is that the PC runs. A visit does not outlive it: a courtroom that is switched on dials nowhere by itself.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self._path = path
        self._boot = boot
        self.now: Visit | None = None
        """The visit that there is now."""
        kept = whole_file.read_or_set_aside(path, _File, _DAMAGED)
        if kept is None:
            return
        if kept.boot == boot:
            self.now = kept.visit
            return
        log.warning("the PC was switched on anew: this room's visit is over", root=kept.visit.root)
        self._remove()  # one that stays counts no more in any case

    def keep(self, visit: Visit) -> None:
        """This is the visit now.

        Raises:
            VisitsError: it cannot be written down; what was holds, also for an agent that is started anew, unless the message says so.
        """
        try:
            whole_file.write(self._path, msgspec.json.encode(_File(boot=self._boot, visit=visit)))
        except OSError as error:
            words = f"{self._path} cannot be written: {error.strerror}; look after the disk"
            if self.now is None and (left := self._remove()):  # it may be in its place already
                words = f"{words}; {left}"
            raise VisitsError(words) from error
        self.now = visit

    def drop(self) -> None:
        """There is none any more.

        Raises:
            VisitsError: the file cannot be removed.
        """
        self.now = None
        if left := self._remove():
            raise VisitsError(left)

    def _remove(self) -> str:
        """Returns why the visit may come back; empty: it will not."""
        try:
            whole_file.remove(self._path)
        except OSError as error:
            words = "this room may visit again when the agent is started anew; look after the disk, and then order `leave-visit`"
            return f"{self._path} cannot be removed: {error.strerror}; {words}"
        return ""


def visit_by(link: str, authorities: str) -> Visit:
    """A visit by a link as the other room's clerk gives it.

    Raises:
        VisitsError: it is none.
    """
    found = _LINK.fullmatch(link.strip())
    if found is None:
        raise VisitsError("this is no link to a hearing: it has the form https://…/join/#…, as `courtroom conference invite` prints it")
    if found["scheme"] == "http" and found["host"] not in _LOOPBACK:
        raise VisitsError("this link is not encrypted: ask the other room's clerk for one that begins with https")
    return Visit(
        id=secrets.token_hex(8), root=found["root"], token=found["token"], device=secrets.token_urlsafe(DEVICE_BYTES),
        authorities=authorities, secret=secrets.token_bytes(SECRET_BYTES),
    )  # fmt: skip
