"""The two disks of a record: the one that leads and the one that follows, and what is told when they change places."""

from collections.abc import Callable, Mapping

import structlog

from recorder.clock import mono_us
from recorder.disk import Disk, DiskName
from recorder.file_copy import SEALED
from recorder.file_table import FileTable
from recorder.ledger import Round
from recorder.mirror import FULL, Mirror, MirrorState
from recorder.record import entries
from recorder.storage import Forecast

log = structlog.get_logger()

Trouble = Callable[[str, str, bool], None]
"""Called with an alarm's code, its words, and whether it is on."""
TAKE_LEAD_S = 2.0
ROOM_S = 300.0
"""A disk that was full is used again when it has room for so much more at the present rate."""
ALARM: Mapping[DiskName, str] = {"primary": "primary_disk_failed", "mirror": "mirror_left"}
"""On while the disk does not take part."""
_WORDS: Mapping[DiskName, str] = {"primary": "first", "mirror": "second"}


class DiskPair:
    """Who leads. ``journal`` is called, from any thread, with each change of a disk."""

    def __init__(
        self, leader: Disk, other: Disk | None, backlog_bytes: int, journal: Callable[[entries.DiskState], None], on_trouble: Trouble
    ) -> None:
        self.leader = leader
        self.follower: Mirror | None = None
        self._backlog_bytes = backlog_bytes
        self._journal = journal
        self._on_trouble = on_trouble
        self._forecast = Forecast()
        self._files = FileTable()
        self._started = False
        if other is not None:
            self.follower = self._mirror(other, full=False)

    def leads(self, files: FileTable) -> None:
        """What the leading disk holds at the beginning."""
        self._files = files.copied()

    def start(self) -> None:
        """Let the other disk follow, if it does not yet; never before the first line is put, for what a disk does comes behind it."""
        if self.follower is not None and not self._started:
            self._started = True
            self.follower.start(self.leader.root, self._files)
            self._files = FileTable()

    def committed(self, done: Round) -> None:
        """Hand a round on that the leading disk made durable."""
        self.start()
        self._forecast.wrote(done.bytes(), mono_us())
        if self.follower is not None:
            self.follower.offer(done)

    def hasten(self, *, on: bool) -> None:
        """The leading disk takes nothing (or does again): the other one is wanted at once."""
        if self.follower is not None:
            self.follower.hasten(on=on)

    def change_lead(self, reason: str, *, full: bool) -> bool:
        """Go on on the disk that follows, if that holds all that was committed; the one that led follows from now on."""
        follower = self.follower
        if follower is None or not follower.take_lead(TAKE_LEAD_S):
            return False
        old = self.leader
        log.error("the other disk takes the lead", failed=old.name, leads=follower.disk.name, error=reason)
        old.close_all()
        self.leader = follower.disk
        self._journal(entries.DiskState(disk=old.name, state="full" if full else "failed", detail=reason))
        self._journal(entries.DiskState(disk=self.leader.name, state="leads", detail="the recording goes on here"))
        self._on_trouble(ALARM[old.name], self._advice(old, FULL if full else reason), True)
        self.follower = self._mirror(old, full=full)
        self.follower.start(self.leader.root, follower.files, held=True)
        return True

    def regained_room(self) -> bool:
        """Whether the leading disk, which was full, has room for its ballast and as much besides; the ballast is laid."""
        ballast = self.leader.ballast
        if ballast is None:
            return True
        try:
            return self.leader.free_bytes() >= 2 * ballast.size_bytes and ballast.lay()
        except OSError as error:
            log.warning("the disk does not tell its room", error=str(error))
            return False

    def _mirror(self, disk: Disk, *, full: bool) -> Mirror:
        return Mirror(disk, self._backlog_bytes, lambda state, detail: self._told(disk, state, detail), self._reserve_bytes, full=full)

    def _reserve_bytes(self) -> int:
        return int(self._forecast.rate_bytes_s * ROOM_S)

    def _told(self, disk: Disk, state: MirrorState, detail: str) -> None:
        self._journal(entries.DiskState(disk=disk.name, state=state, detail=detail))
        left = state == "left"
        self._on_trouble(ALARM[disk.name], self._advice(disk, detail) if left else "", left)

    def _advice(self, disk: Disk, detail: str) -> str:
        if detail == SEALED:
            return (
                f"{_WORDS[disk.name]} disk: {disk.root.parent} {SEALED}: what is recorded now goes on with a hearing that was over. Stop "
                "it, and start a new one for what is held now; nothing is written over, and both records are kept"
            )
        what = (
            f"delete or move away what does not belong there; with room for {ROOM_S / 60:g} minutes more"
            if detail == FULL
            else "check its cable and power, or change it; when it answers"
        )
        return (
            f"{_WORDS[disk.name]} disk: {detail}; the recording goes on on the other disk alone. {disk.root.parent}: {what} "
            "it is caught up by itself"
        )
