"""The file that ``courtroom baseline`` writes and the watch judges by: what each track of the quiet room sounds and looks like."""

import contextlib
import json
import math
import os
import shutil
from pathlib import Path

REMEDY = "`courtroom baseline` writes it anew, while the room is quiet"


class BaselineError(Exception):
    """The file cannot be used; the words name it."""


def write_baseline(path: Path, source: str, tracks: dict[str, dict[str, float]]) -> None:
    """Write the file whole or not at all: a power cut leaves the one before.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"record": source, "tracks": tracks}, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    if path.exists():  # who may read it stays as an administrator has set it
        shutil.copymode(path, part)
        with contextlib.suppress(PermissionError):
            os.chown(part, path.stat().st_uid, path.stat().st_gid)
    part.replace(path)


def read_floors(path: str) -> dict[str, float]:
    """Each sound track's noise floor in dBFS; none where there is no file.

    Raises:
        BaselineError: it cannot be read, or is no baseline.
    """
    if not path:
        return {}
    try:
        tracks = json.loads(Path(path).read_text(encoding="utf-8"))["tracks"]
        floors = {str(name): float(values["floor_dbfs"]) for name, values in tracks.items() if "floor_dbfs" in values}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BaselineError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BaselineError(f"{path} is no baseline") from error
    if not all(math.isfinite(floor) for floor in floors.values()):
        raise BaselineError(f"{path} is no baseline")
    return floors
