"""``courtroom copy``."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from recorder import copy_files, readable
from recorder.film_pieces import film_pieces
from recorder.fragment_choice import summed
from recorder.readable import LEVELS, Choice, Copied, CopyError, Reader, Story
from recorder.record.cli import CA_HELP, say, session_time, verified
from recorder.record.journal import Head
from recorder.record.output import rendered
from recorder.record.shown import shown
from recorder.record.trust import TrustError
from recorder.record.verdict import SPOILT, Verdict

FILM = "hearing.mp4"
MOST_S = 1e9
"""More seconds than any session has."""
_SHOWN = 10


def copy(
    record: Annotated[Path, typer.Argument(help="The record's directory.")],
    out: Annotated[Path, typer.Argument(help="Directory to make; it must not exist.")],
    key: Annotated[Path | None, typer.Option(help="A recipient's private key (PEM); not needed for a record in the clear.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The recipient's certificate (default: beside the key, ending in .pem).")] = None,
    track: Annotated[list[str] | None, typer.Option(help="Only this track (may be repeated).")] = None,
    from_s: Annotated[float, typer.Option("--from", min=0, help="From this second of the session on, and what belongs to it.")] = 0,
    to_s: Annotated[float | None, typer.Option("--to", min=0, help="Up to this second, and what belongs to it.")] = None,
    max_level: Annotated[str, typer.Option(help="Highest level to copy: open, closed, secret. Identity is never copied.")] = "closed",
    ca: Annotated[Path | None, typer.Option(help=CA_HELP)] = None,
    even_if_broken: Annotated[
        bool, typer.Option("--even-if-broken", help="Copy what is left of a broken record; the copy says that it is of one.")
    ] = False,
) -> None:
    """Make a readable copy of a record: playlists and media that any player opens, signed by whoever makes it, naming its source.

    What is of a higher level, by the journal or by the orders given since (`courtroom level`), is left out, and listed. An order that does
    not hold lets no copy be made.

    With --from and --to the copy begins and ends at the nearest seams outside: sound is cut between fragments (half a second), pictures are
    only from keyframe to keyframe. It lists from when to when it has each track.

    The record is verified first, as `courtroom verify` does, and stays as it is; what it proved stands in the copy. Of a broken record no
    copy is made; with --even-if-broken media whose hash does not fit the journal is named and left out, and the exit status is 1.
    It is 70 where the copy is made, but what there is to say of it could not be written.
    """
    if max_level not in LEVELS[:-1]:
        raise typer.BadParameter(f"'{max_level}' is none of {', '.join(LEVELS[:-1])}")
    if not all(math.isfinite(given) and given < MOST_S for given in (from_s, to_s or 0)):
        raise typer.BadParameter("--from and --to are seconds of the session")
    choice = Choice(
        tracks=frozenset(track or []),
        from_us=round(from_s * 1e6),
        to_us=None if to_s is None else round(to_s * 1e6),
        max_level=LEVELS[LEVELS.index(max_level)],
    )
    try:
        reader = readable.load_reader(key, cert) if key is not None else None
        verdict = checked(record, ca, even_if_broken=even_if_broken)
        copied = _copy(Console(stderr=True), record, out, reader, choice, verdict)
    except CopyError as error:
        words = Console(stderr=True)
        for text in str(error).splitlines():
            words.print(shown(text), style="red", highlight=False)
        raise typer.Exit(1) from None
    say(
        rendered(lambda console: _tell(console, out, copied, verdict)),
        f"the copy is made, as {out}; what there is to say of it",
        "see its page",
    )
    raise typer.Exit(1 if copied.damaged or verdict.level in SPOILT else 0)


def _tell(console: Console, out: Path, copied: Copied, verdict: Verdict) -> None:
    if verdict.level in SPOILT:
        console.print(
            f"✗ the record is {verdict.level}, and the copy says so: {verdict.errors_found} finding(s)", style="red", highlight=False
        )
    elif verdict.level == "unsealed":
        console.print("? the record is not sealed, and the copy says so", style="yellow", highlight=False)
    for finding in verdict.unsigned:
        console.print(f"? not proven, and the copy says so: {shown(finding.place)}: {shown(finding.text)}", style="yellow", highlight=False)
    for line in copied.damaged:
        console.print(f"✗ {shown(line)}", style="red", highlight=False)
    for one in summed(copied.left_out):
        why = f"level {one.level}" if one.because == "level" else f"level {one.level}, not encrypted to this key"
        console.print(f"· left out: {one.track}, {session_time(one.from_us)} to {session_time(one.to_us)}, {why}", highlight=False)
    if copied.notes_left_out:
        console.print(f"· left out: {copied.notes_left_out} note(s) of a higher level", highlight=False)
    if copied.reasons_left_out:
        console.print(f"· left out: why nothing was recorded, {copied.reasons_left_out} time(s), of a higher level", highlight=False)
    for from_us, to_us in copied.film_without:
        why = "the camera's pictures were no H.264 then; they are in its playlist"
        console.print(f"· {FILM} shows nothing from {session_time(from_us)} to {session_time(to_us)}: {why}", highlight=False)
    console.print(f"{shown(str(out))}: {len(copied.tracks)} tracks; open index.html, {FILM} or master.m3u8", highlight=False)


def checked(record: Path, ca: Path | None, *, even_if_broken: bool) -> Verdict:
    """Verify the record: whoever signs a copy of it answers for what it is a copy of.

    Raises:
        CopyError: it is none, or is broken.
    """
    try:
        verdict = verified(record, ca)
    except TrustError as error:
        raise CopyError(str(error)) from error
    if verdict.level in {"sealed", "anchored", "signed_only", "unsealed"} or (
        verdict.level in SPOILT and verdict.entries and even_if_broken
    ):
        return verdict
    found = [f"  {finding.place}: {finding.text}" for finding in verdict.errors]
    if len(found) > _SHOWN:
        found[_SHOWN:] = [f"  … and {len(found) - _SHOWN} more: see `courtroom verify`"]
    remedy = "ask for another copy of the record (its mirror); --even-if-broken copies what is left of this one, and says so in the copy"
    raise CopyError("\n".join([f"no copy is made of {record}: {verdict.sentence()}", *found, remedy if verdict.entries else ""]))


def _copy(console: Console, record: Path, out: Path, reader: Reader | None, choice: Choice, verdict: Verdict) -> Copied:
    story = readable.read_story(record, Head(verdict.entries - 1, verdict.head))
    try:
        if out.exists() or out.is_symlink():
            raise CopyError(f"{out} exists; a copy never overwrites anything: name another directory")
        if out.resolve().is_relative_to(record.resolve()):
            raise CopyError(f"{out} lies in the record, where nothing may be added: name another directory")
        out.mkdir(parents=True)
    except OSError as error:
        raise CopyError(f"{out} cannot be made: {error.strerror}; name another directory") from error
    try:
        return _fill(console, out, story, reader, choice, verdict, record)
    except OSError as error:
        shutil.rmtree(out, ignore_errors=True)
        raise CopyError(f"the copy cannot be written: {error.filename or out}: {error.strerror}") from error
    except BaseException:
        # A copy that is not whole is not signed, and must not lie about as if it were one.
        shutil.rmtree(out, ignore_errors=True)
        raise


def _fill(console: Console, out: Path, story: Story, reader: Reader | None, choice: Choice, verdict: Verdict, record: Path) -> Copied:
    with Progress(
        "copying", BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("copy", total=readable.total_bytes(story))
        copied = readable.copy_media(record, out, story, choice, reader, lambda size: bar.advance(task, size))
    copy_files.choose_notes(story, choice, copied)
    copy_files.write_notes(out, story.notes)
    copy_files.write_master(out, copied)
    with console.status("making one file of it"):
        _film(out, story, copied)
    copy_files.write_page(out, story, choice, copied, verdict)
    copy_files.sign(out, story, choice, reader, copied, verdict, sys.argv[1:])
    return copied


def _film(out: Path, story: Story, copied: Copied) -> None:
    """One camera and the room mix as one file, made by a child: only children hold codecs."""
    chosen = film_pieces(copied.tracks, copied.segments, story.tracks)
    copied.film_first_us, copied.film_without = chosen.first_us, chosen.without
    pieces = {"video": chosen.video, "audio": chosen.audio}
    plan = out / "film.json"
    plan.write_text(
        json.dumps({kind: [{"header": s.header, "file": s.file, "t_us": s.t_us} for s in found] for kind, found in pieces.items()}),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "recorder.children.film", str(plan), str(out / FILM)], capture_output=True, text=True, check=False
    )
    plan.unlink()
    if done.returncode != 0:
        raise CopyError(f"{FILM} could not be made: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason given'}")
