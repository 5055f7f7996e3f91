"""Whom a verifier believes that is told of nobody: on a room's PC, the authorities that the room itself names."""

import os
import tomllib
from pathlib import Path

DEFAULT_CA = Path("/etc/courtroom/ca.pem")
ROOM_TOML = Path("/etc/courtroom/room.toml")


def own_roots(default_ca: Path = DEFAULT_CA, room_toml: Path = ROOM_TOML) -> Path | None:
    """The file of the authorities: ``default_ca`` where it is there, else the ``centre_roots`` of ``room_toml``; None where neither is.

    A configuration that is not there, is another user's or is malformed names nobody, nor does one whose file this user may not read: the
    verdict says that the signer was not checked.
    """
    if default_ca.exists():
        return default_ca
    try:
        named = tomllib.loads(room_toml.read_text(encoding="utf-8-sig")).get("centre_roots", "")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    if not isinstance(named, str) or not named:
        return None
    roots = room_toml.parent / named
    return roots if os.access(roots, os.R_OK) else None
