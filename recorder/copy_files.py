"""What stands beside the media in a readable copy: notes, page, master playlist, what it was made of, and the signature over all."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from recorder.copy_story import Story
from recorder.fragment_choice import LeftOut, summed
from recorder.player_page import player_page
from recorder.playlist import master_playlist
from recorder.readable import Choice, Copied, Reader
from recorder.record import canonical, entries, layout
from recorder.record.levels import rank
from recorder.record.verdict import PROVEN, Interval, Verdict
from recorder.seal import file_sha256


def choose_notes(story: Story, choice: Choice, copied: Copied) -> None:
    """Keep the notes of the chosen time that the level allows: what is said in what is left out may stand in a note of it."""
    chosen = [note for note in story.notes if choice.from_us <= note.at_us and (choice.to_us is None or note.at_us < choice.to_us)]
    kept = [note for note in chosen if rank(story.levels.of_session(note.at_us)) <= rank(choice.max_level)]
    copied.notes_left_out = len(chosen) - len(kept)
    story.notes = kept


def choose_reasons(story: Story, choice: Choice, copied: Copied, not_recorded: Sequence[Interval]) -> list[Interval]:
    """All that was not recorded, without the words (a pause's reason, a gap's detail) that are of a higher level, as notes are."""
    chosen = []
    for one in not_recorded:
        ends_us = (one.from_us, one.from_us if one.to_us is None else max(one.from_us, one.to_us - 1))
        is_higher = max(rank(story.levels.of_session(at_us)) for at_us in ends_us) > rank(choice.max_level)
        if is_higher and one.detail:
            copied.reasons_left_out += 1
        chosen.append(replace(one, detail="") if is_higher else one)
    return chosen


def write_notes(out: Path, notes: Sequence[entries.Note]) -> None:
    """The notes as WebVTT, each for five seconds from its time."""
    lines = ["WEBVTT", ""]
    for note in sorted(notes, key=lambda note: note.at_us):
        lines += [f"{_vtt(note.at_us)} --> {_vtt(note.at_us + 5_000_000)}", _cue(f"{note.author}: {note.text}"), ""]
    (out / "notes.vtt").write_text("\n".join(lines), encoding="utf-8")


def write_page(out: Path, story: Story, choice: Choice, copied: Copied, verdict: Verdict) -> None:
    """The page that plays the copy."""
    ends = [segment.t_us + segment.dur_us for segments in copied.segments.values() for segment in segments]
    ends += [one.to_us for one in copied.left_out]
    page = player_page(
        title=_title(story.genesis, verdict.hearing),
        case=verdict.case,
        first_us=copied.film_first_us,
        duration_us=max(ends, default=0),
        notes=[{"at_us": note.at_us, "author": note.author, "text": note.text} for note in story.notes],
        gaps=[msgspec.to_builtins(interval) for interval in choose_reasons(story, choice, copied, verdict.not_recorded)],
        left_out=[_shown(one, story) for one in summed(copied.left_out)],
        film_without=[{"from_us": from_us, "to_us": to_us} for from_us, to_us in copied.film_without],
        tracks=[{"name": track.name, "label": track.label, "playlist": track.playlist} for track in copied.tracks],
        source=source_of(verdict),
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def source_of(verdict: Verdict) -> dict[str, Any]:
    """What the page says of the record that the copy is of; ``unsigned`` in place of a level where a part of it is not proven."""
    found = [verdict.sentence()] if verdict.level == "unsealed" else []
    found += [f"{finding.place}: {finding.text}" for finding in (*verdict.errors, *verdict.unsigned)]
    return {"level": "unsigned" if verdict.level in PROVEN and verdict.unsigned else verdict.level, "found": found}


def write_master(out: Path, copied: Copied) -> None:
    """The master playlist."""
    names = [track.name for track in copied.tracks if track.kind == "audio"]
    default = "room-mix" if "room-mix" in names else (names[0] if names else None)
    (out / "master.m3u8").write_text(master_playlist(copied.tracks, default), encoding="utf-8")


def sign(
    out: Path, story: Story, choice: Choice, reader: Reader | None, copied: Copied, verdict: Verdict, arguments: Sequence[str]
) -> None:
    """Name the source and what it proved, list the files, and sign the list as the recipient (a ``clear`` record's copy has no signer)."""
    derivative = {
        "type": "courtroom-copy/1",
        "source": {
            "record": story.genesis.record,
            "sha256sums_sha256": verdict.sums_sha256 or None,
            "entries": verdict.entries,
            "head": verdict.head,
            "verdict": verdict.level,
            "sentence": verdict.sentence(),
            "signer": verdict.signer,
            "signer_trusted": verdict.signer_trusted,
            "signed_to": verdict.signed_to,
            "intact_to": verdict.intact_to,
            "anchored_to": verdict.anchored_to,
            "findings": [msgspec.to_builtins(finding) for finding in verdict.findings],
        },
        "hearing": verdict.hearing,
        "tool": {"name": "courtroom copy", "version": version("courtroom-agent"), "arguments": list(arguments)},
        "choice": {"tracks": sorted(choice.tracks), "from_us": choice.from_us, "to_us": choice.to_us, "max_level": choice.max_level},
        "orders": [
            {"number": given.order.number, "level": given.order.level, "order": given.order.order, "sha256": given.sha256}
            for given in story.orders
        ],
        "copied": [
            {"track": name, "from_us": min(one.t_us for one in made), "to_us": max(one.t_us + one.dur_us for one in made)}
            for name, made in sorted(copied.segments.items())
        ],
        "left_out": msgspec.to_builtins(copied.left_out),
        "notes_left_out": copied.notes_left_out,
        "reasons_left_out": copied.reasons_left_out,
        "damaged": copied.damaged,
        "by": reader.certificate.subject.rfc4514_string() if reader else None,
    }
    (out / "derivative.json").write_bytes(canonical.encode(canonical.normalised(derivative)) + b"\n")
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path.name != layout.SUMS)
    listed = "".join(f"{file_sha256(out / name)}  {name}\n" for name in files).encode()
    (out / layout.SUMS).write_bytes(listed)
    if reader is not None:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(listed).add_signer(reader.certificate, reader.key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        (out / layout.SUMS_SIGNATURE).write_bytes(builder.sign(serialization.Encoding.DER, options))


def _title(genesis: entries.Genesis, hearing: str) -> str:
    """What people call the hearing; of one that the record was bound to only since, nobody told the title."""
    is_its_own = genesis.hearing in {"", hearing}
    return (genesis.title if is_its_own else "") or hearing


def _shown(one: LeftOut, story: Story) -> dict[str, Any]:
    """A stretch for the page; no track is named where it is all of them."""
    everywhere = set(one.track.split(", ")) >= story.tracks.keys()
    return {
        "track": "" if everywhere else one.track,
        "from_us": one.from_us,
        "to_us": one.to_us,
        "level": one.level,
        "because": one.because,
    }


def _cue(text: str) -> str:
    """One line of a cue: nothing in it ends the line or the cue, or is markup (WebVTT, 4.2.2)."""
    plain = "".join(one if one.isprintable() else " " for one in text).replace("-->", "→")
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def _vtt(t_us: int) -> str:
    milliseconds = t_us // 1000
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}"
