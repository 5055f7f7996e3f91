"""``manifest.json``: what a case system reads first. Pure: made from the journal's entries alone, and holds no secret."""

from collections.abc import Iterable
from typing import Any

from recorder.record import entries
from recorder.record.entries import AnyEntry, Line

FORMAT = "courtroom-record/1"


def manifest(journal: Iterable[tuple[Line, AnyEntry]]) -> dict[str, Any]:
    """Hearing, tracks, events with their times, intervals that were not recorded, devices and versions."""
    made: dict[str, Any] = {"format": FORMAT, "tracks": {}, "events": [], "not_recorded": [], "clock_steps_us": []}
    gaps: dict[str, dict[str, Any]] = {}
    pause: dict[str, Any] | None = None
    told_to_end = False
    for line, entry in journal:
        if isinstance(entry, entries.Genesis):
            made["record"] = entry.record
            made["hearing"] = {"id": entry.hearing, "case": entry.case, "title": entry.title, "actor": entry.actor}
            made["court"], made["room"] = entry.court, entry.room
            made["started_utc_us"], made["media"] = line.utc_us, entry.media
            made["agent_version"], made["config_sha256"] = entry.agent_version, entry.config_sha256
            made["sources"], made["recipients"] = entry.sources, entry.recipients
        elif isinstance(entry, entries.Init):
            track = made["tracks"].setdefault(entry.track, {"kind": entry.kind, "label": entry.label, "parts": []})
            track["parts"].append({"part": entry.part, "codec": entry.codec, "level": entry.level, "from_us": line.t_us})
        elif isinstance(entry, entries.Bind):
            made["hearing"] |= {"id": entry.hearing, "case": entry.case}
            made["events"].append({"t_us": line.t_us, "type": "bind", "text": entry.hearing, "by": entry.actor})
        elif isinstance(entry, entries.Note):
            made["events"].append({"t_us": entry.at_us, "type": "note", "text": entry.text, "by": entry.author})
        elif isinstance(entry, entries.LevelChange):
            made["events"].append({"t_us": entry.from_us, "type": "level", "text": entry.level, "by": entry.actor})
        elif isinstance(entry, entries.Pause):
            pause = {"track": "", "cause": entry.state, "from_us": entry.from_us, "to_us": None, "by": entry.actor, "detail": entry.reason}
            made["not_recorded"].append(pause)
        elif isinstance(entry, entries.Resume):
            if pause is not None:
                pause["to_us"] = entry.to_us
            pause = None
        elif isinstance(entry, entries.Gap):
            gap = {"track": entry.track, "cause": entry.cause, "from_us": entry.from_us, "to_us": None, "by": "", "detail": entry.detail}
            gaps[entry.track] = gap
            made["not_recorded"].append(gap)
        elif isinstance(entry, entries.GapEnd):
            if entry.track in gaps:
                gaps.pop(entry.track)["to_us"] = entry.to_us
        elif isinstance(entry, entries.Recovered):
            made["not_recorded"].append(
                {
                    "track": "",
                    "cause": "recorder_down",
                    "from_us": entry.from_us,
                    "to_us": entry.to_us,
                    "by": "",
                    "detail": entries.down_words(told_to_end=told_to_end),
                }
            )
            told_to_end = False
        elif isinstance(entry, entries.Event):
            told_to_end = told_to_end or (entry.source, entry.name) == entries.ENDED
        elif isinstance(entry, entries.Overflow):
            made["not_recorded"].append(
                {
                    "track": entry.track,
                    "cause": "overflow",
                    "from_us": entry.from_us,
                    "to_us": entry.to_us,
                    "by": "",
                    "detail": "disk stalled",
                }
            )
        elif isinstance(entry, entries.ClockStep):
            made["clock_steps_us"].append({"t_us": line.t_us, "delta_us": entry.delta_us})
        elif isinstance(entry, entries.Seal):
            made["sealed_utc_us"], made["duration_us"] = line.utc_us, entry.duration_us
            made["seal"] = {"reason": entry.reason, "by": entry.actor, "mirror": entry.mirror, "paused_us": entry.paused_us}
            made["totals"] = entry.tracks
    return made
