"""Who may read the key of the connection to the centre: agent and delivery, and nobody else of this PC."""

import grp
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

AGENT_USER = "courtroom-agent"
CENTRE_GROUP = "courtroom-centre"
"""Both made by systemd/courtroom.sysusers.conf."""
CENTRE_DIRECTORY = Path("/var/lib/courtroom-centre")
"""Where `courtroom enrol` lays the connection's files if it is told nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAccess:
    """A key file's owner, group and mode."""

    owner: str
    group: str
    mode: int

    @classmethod
    def of(cls, path: Path) -> "KeyAccess":
        """As they are now.

        Raises:
            OSError: the file is not there, or cannot be looked at.
        """
        there = path.stat()
        return cls(owner=_user(there.st_uid), group=_group(there.st_gid), mode=stat.S_IMODE(there.st_mode))


def wrong_access(path: Path, access: KeyAccess) -> tuple[str, str] | None:
    """What is wrong with who may read the key, and what to do; None where nothing is.

    In an installed room the agent makes it, and the delivery, which runs as the records' owner, reads it by the group of both. Anywhere
    else it is its owner's alone.
    """
    installed = access.owner == AGENT_USER
    remedy = f"chgrp {CENTRE_GROUP} {path}; chmod 640 {path}" if installed else f"chmod 600 {path}"
    by_group = access.group == CENTRE_GROUP
    if access.mode & (0o037 if by_group else 0o077):
        return f"{path} can be read by other users of this PC", remedy
    if installed and not (by_group and access.mode & stat.S_IRGRP):
        return f"{path} cannot be read by the delivery: no record would reach the archive", remedy
    return None


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
