"""Whether records are to lie where the installed systemd units may write: who checks a configuration by hand may write elsewhere, too."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath

from provisioning.problems import Finding
from provisioning.room import Storage

UNITS = ("courtroom-recorder", "courtroom-delivery")
PLACE = "/srv/courtroom"
"""What the units open as they are installed (systemd/)."""
_DIRECTORIES = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
"""systemd.unit(5): of files of one name the first counts."""
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
"""By ``ProtectHome=yes`` and ``PrivateTmp=yes`` a unit sees none of what is there (systemd.exec(5)), whatever else is opened."""


def writable(root: Path = Path("/")) -> dict[str, list[str]]:
    """Of each unit that is installed and sees the file system read-only: the directories in which it may write."""
    found: dict[str, list[str]] = {}
    for unit in UNITS:
        try:
            opened = opened_by(_texts(root, unit))
        except OSError:  # a drop-in that this user may not read may open anything
            continue
        if opened is not None:
            found[unit] = opened
    return found


def opened_by(texts: Iterable[str]) -> list[str] | None:
    """What a unit's file and its drop-ins, in this order, open by ``ReadWritePaths=``; None where the rest is not read-only. Pure."""
    opened: list[str] = []
    strict = False
    for line in "\n".join(texts).replace("\\\n", " ").split("\n"):
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "ProtectSystem":
            strict = value == "strict"
        elif key == "ReadWritePaths":
            opened = [*opened, *(word.lstrip("-+") for word in _words(value))] if value else []
    return opened if strict else None


def check_places(storage: Storage, units: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Warn of directories that a unit may not write to; ``units`` are those that ``writable`` finds."""
    for key, path in (("primary", storage.primary), ("mirror", storage.mirror)):
        if path is None or not units:
            continue
        real = PurePath(os.path.realpath(path))
        hidden = next((place for place in _HIDDEN if real.is_relative_to(place)), None)
        closed = [unit for unit, opened in units.items() if not any(real.is_relative_to(os.path.realpath(place)) for place in opened)]
        if hidden:
            what = f"{path} lies in {hidden}, of which {' and '.join(units)} see nothing: nothing would be kept there"
            yield Finding(place=("storage", key), what=what, remedy=f"name a directory under {PLACE}", severity="warning")
        elif closed:
            what = f"{path} lies where {' and '.join(closed)} may not write as services: nothing would be kept there"
            remedy = f"name a directory under {PLACE}; or `systemctl edit {' '.join(closed)}`: [Service] with ReadWritePaths=-{path}"
            yield Finding(place=("storage", key), what=what, remedy=remedy, severity="warning")


def _texts(root: Path, unit: str) -> Iterator[str]:
    """The unit's file, and its drop-ins by their names' order; nothing where it is not installed."""
    homes = [root / directory for directory in _DIRECTORIES]
    file = next((home / f"{unit}.service" for home in homes if (home / f"{unit}.service").is_file()), None)
    if file is None:
        return
    drop_ins: dict[str, Path] = {}
    for home in reversed(homes):
        drop_ins |= {one.name: one for one in (home / f"{unit}.service.d").glob("*.conf")}
    for one in (file, *(drop_ins[name] for name in sorted(drop_ins))):
        yield one.read_text(encoding="utf-8", errors="replace")


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # a quote that is not closed
        return value.split()
