"""A schedule from a file that somebody else writes: ``{"hearings": [...]}`` as in ``docs/openapi.yaml``, all of them each time."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from agent.upstream import contract
from agent.upstream.centre.decisions import wrong_times
from agent.upstream.centre.source import AHEAD_US, BACK_US, Reading, SourceError

PERIOD_S = 1.0
MOST_BYTES = 64 * 1024 * 1024


class _Hearings(msgspec.Struct, forbid_unknown_fields=True):
    hearings: list[Any]


class FileSource:
    """``ScheduleSource`` of a file; it is read when its time, its size or its inode changed, and each day."""

    name = "file"
    period_s = PERIOD_S

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int, int] | None = None

    async def read(self, now_utc_us: int) -> Reading | None:
        """What the file has now.

        Raises:
            SourceError: it is not there, or is no list of hearings.
        """
        return await asyncio.to_thread(self._read, now_utc_us)

    def _read(self, now_utc_us: int) -> Reading | None:
        try:
            state = self._path.stat()
            # The same file means other hearings tomorrow: the span that is read moves on.
            seen = (state.st_mtime_ns, state.st_size, state.st_ino, now_utc_us // BACK_US)
            if seen == self._seen:
                return None
            if state.st_size > MOST_BYTES:
                raise SourceError(f"{self._path} has {state.st_size} bytes; the most is {MOST_BYTES}")
            data = self._path.read_bytes()
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            listed = msgspec.json.decode(data, type=_Hearings).hearings
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(f'{self._path} is not {{"hearings": [...]}}: {error}') from error
        self._seen = seen
        return _reading(listed, now_utc_us)


def _reading(listed: list[Any], now_utc_us: int) -> Reading:
    hearings, refused, elsewhere = list[contract.Hearing](), dict[str, str](), dict[str, contract.Hearing | None]()
    for number, each in enumerate(listed):
        try:
            hearing = msgspec.convert(each, contract.Hearing)
        except msgspec.ValidationError as error:
            name = each.get("id") if isinstance(each, dict) else None
            refused[name if isinstance(name, str) else f"hearings[{number}]"] = str(error)
            continue
        if why := wrong_times(hearing):
            refused[hearing.id] = why
        elif now_utc_us - BACK_US <= hearing.starts_utc_us < now_utc_us + AHEAD_US:
            hearings.append(hearing)
        else:
            elsewhere[hearing.id] = hearing
    return Reading(hearings, refused, elsewhere)
