"""``courtroom level``."""

import re
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from cryptography import x509
from rich.console import Console

from recorder import readable
from recorder.level_order import Given, Wish, behind, give_order
from recorder.media_keys import RecipientKey
from recorder.readable import CopyError
from recorder.record import layout
from recorder.record.cli import CA_HELP, say, verified
from recorder.record.levels import LEVELS, PartSpan
from recorder.record.order import OrderError
from recorder.record.output import rendered
from recorder.record.trust import TrustError
from recorder.record.verdict import SPOILT, Verdict

_SHOWN = 20
_TIME = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,7})(?:\.(\d{1,6}))?", re.ASCII)


def level(
    record: Annotated[Path, typer.Argument(help="The sealed record's directory.")],
    to_level: Annotated[str, typer.Option("--level", help="open, closed, secret or identity.")],
    actor: Annotated[str, typer.Option(help="Who ordered it; it stands in the order.")],
    order: Annotated[str, typer.Option(help="Reference of the court's order.")],
    key: Annotated[Path, typer.Option(help="Private key (PEM) of a recipient of the record, who could open all that the order speaks of.")],
    cert: Annotated[Path | None, typer.Option(help="The recipient's certificate (default: beside the key, ending in .pem).")] = None,
    from_time: Annotated[str, typer.Option("--from", help="Session time: 00:12:30, 12:30 or 750.5 (seconds).")] = "0",
    to_time: Annotated[str | None, typer.Option("--to", help="Session time up to which; left out: to the end.")] = None,
    track: Annotated[list[str] | None, typer.Option(help="Only this track (may be repeated); none: all, and the notes.")] = None,
    room: Annotated[Path | None, typer.Option(help="room.toml, whose recipients say who may open which level.")] = None,
    recipient: Annotated[list[Path] | None, typer.Option(help="Certificate of somebody who may open the level (may be repeated).")] = None,
    ca: Annotated[Path | None, typer.Option(help=CA_HELP)] = None,
    even_if_broken: Annotated[bool, typer.Option("--even-if-broken", help="Give the order beside a record that is broken, too.")] = False,
) -> None:
    """Set the level of an interval of a sealed record by a signed order beside the seal.

    While a session runs, `courtroom recorder level` sets the level of what follows; this command is for afterwards. Nothing in the record
    changes: the order is written under orders/ and signed with the key. `courtroom verify` lists it, and every copy made from then on
    obeys it; a later order stands over an earlier one.

    The record is verified first, as `courtroom verify` does: beside one that is broken, or cannot be read, no order is given without
    --even-if-broken.

    Raising a level leaves the interval out of later copies. It cannot take keys, or copies, back from whoever has them already.

    The track of a language channel is a mix, in which a sound lies up to two seconds later than it was said: a raised interval is raised
    there so much longer, by an order of its own.

    Lowering the level of whole parts of a track also wraps their keys anew, for those who may open the new level and did not have them.
    A record says who its recipients are, but not which levels each may open: --room takes that from room.toml, --recipient names
    certificates. Of both only the record's own recipients count. Where an interval covers a piece of a part, no key is wrapped, for it
    would open more than the order says; make a copy of that piece.

    Exit status: 0 given; 1 not given; 2 the command line is wrong; 70 given, but what there is to say of it could not be written.
    """
    if to_level not in LEVELS:
        raise typer.BadParameter(f"'{to_level}' is none of {', '.join(LEVELS)}", param_hint="--level")
    for name, text in (("--actor", actor), ("--order", order)):
        if not text.strip():
            raise typer.BadParameter("is empty; it stands in the order, for whoever asks why", param_hint=name)
    wish = Wish(
        level=LEVELS[LEVELS.index(to_level)],
        tracks=tuple(track or ()),
        from_us=_time_us(from_time, "--from"),
        to_us=None if to_time is None else _time_us(to_time, "--to"),
        actor=actor,
        order=order,
    )
    try:
        reader = readable.load_reader(key, cert)
        admitted = _admitted(room, recipient or [])
        verdict = _checked(record, ca, even_if_broken=even_if_broken)
        given = give_order(record, wish, reader.certificate, reader.key, admitted, time.time_ns() // 1000)
    except (CopyError, OrderError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or record}: {error.strerror}; no order was given, and what is left of it belongs to nothing: try again")
    told = [given]
    if (late := behind(given, wish)) is not None:
        try:
            told.append(give_order(record, late, reader.certificate, reader.key, admitted, time.time_ns() // 1000))
        except (OrderError, OSError) as error:
            until, tracks = _clock(given.mixes.behind_to_us), ", ".join(late.tracks)
            _fail(
                f"order {given.order.number} is given. Up to {until} {tracks} may still have what was said in it, and the order about that "
                f"is not given: {error}"
            )
    text = rendered(lambda console: _tell_all(console, record, told, verdict, named=bool(room or recipient)), soft_wrap=True)
    place = record / layout.order_file(given.order.number)
    say(text, f"the order is given, as {place}; what there is to say of it", "do not give it again")


def _checked(record: Path, ca: Path | None, *, even_if_broken: bool) -> Verdict:
    """Verify the record: whoever signs an order beside it is taken to have found it sound.

    Raises:
        OrderError: it is none, or is broken.
    """
    try:
        verdict = verified(record, ca)
    except TrustError as error:
        raise OrderError(str(error)) from error
    if verdict.level == "not_a_record":
        raise OrderError(f"{record} is no record: {verdict.errors[0].text}; name the directory of a sealed record")
    if verdict.level in SPOILT and not even_if_broken:
        first = verdict.errors[0]
        raise OrderError(
            f"no order is given beside {record}: {verdict.sentence()} First: {first.place}: {first.text}. Use another copy of "
            "the record (its mirror); --even-if-broken gives the order beside this one; see `courtroom verify`"
        )
    return verdict


def _tell_all(console: Console, record: Path, told: list[Given], verdict: Verdict, *, named: bool) -> None:
    if verdict.level in SPOILT:
        console.print(f"✗ The record is {verdict.level}: {verdict.errors_found} finding(s); see `courtroom verify`.", highlight=False)
    for given in told:
        _tell(console, record, given, named=named)


def _tell(console: Console, record: Path, given: Given, *, named: bool) -> None:
    order = given.order
    tracks = ", ".join(order.tracks) or "all tracks"
    console.print(
        f"{record / layout.order_file(order.number)}: {tracks} from {_clock(order.from_us)} to {_clock(order.to_us)} are '{order.level}'",
        highlight=False,
    )
    if given.raised:
        console.print(
            "· Raised: every copy made from now on leaves it out. Whoever holds its keys, or a copy, keeps them.", highlight=False
        )
    _tell_mixes(console, given)
    if given.wrapped:
        console.print(f"· Wrapped anew for {', '.join(given.admitted)}: {_parts(given.wrapped)}.", highlight=False)
    elif given.lowered and not named:
        console.print(
            "· Lowered, but nobody new can open it: name who may, by --room or --recipient, in another order of the same kind.",
            highlight=False,
        )
    elif given.lowered:
        console.print("· Lowered; of those named nobody is a recipient of the record who did not hold the keys already.", highlight=False)
    if given.strangers:
        console.print(f"· No recipient of this record, so without effect: {', '.join(given.strangers)}.", highlight=False)
    if given.pieces:
        console.print("· Of these parts it lowers a piece, so no key is wrapped: it would open more than the order says.", highlight=False)
        for part in given.pieces[:_SHOWN]:
            whole = f"--from {_clock(part.from_us or 0)} --to {_clock(part.to_us)} --track {part.track}"
            console.print(f"    {part.track}, part {part.number}: the whole part is {whole}", highlight=False)
        if len(given.pieces) > _SHOWN:
            console.print(f"    … and {len(given.pieces) - _SHOWN} more", highlight=False)
        console.print("  For the piece alone make a copy: `courtroom copy`.", highlight=False)


def _tell_mixes(console: Console, given: Given) -> None:
    order, mixes = given.order, given.mixes
    if mixes.behind:
        console.print(
            f"· {', '.join(mixes.behind)} may have it for two seconds more, for a mix lies later than what was said: an order of its own "
            "follows.",
            highlight=False,
        )
    if mixes.unnamed:
        tracks = " ".join(f"--track {track}" for track in mixes.unnamed)
        console.print(
            f"· What was said there is in {', '.join(mixes.unnamed)} too, of which this order does not speak. The order that does:",
            f"    --level {order.level} --from {_clock(order.from_us)} --to {_clock(order.to_us)} {tracks}",
            sep="\n", highlight=False,
        )  # fmt: skip
    if mixes.before:
        tracks = " ".join(f"--track {track}" for track in mixes.before)
        console.print(
            f"· {', '.join(mixes.before)} may begin with what was said before it, when the level was '{mixes.before_level}'. The order "
            "that closes that:",
            f"    --level {mixes.before_level} --from {_clock(order.from_us)} --to {_clock(mixes.before_to_us)} {tracks}",
            sep="\n", highlight=False,
        )  # fmt: skip


def _admitted(room: Path | None, certificates: list[Path]) -> list[RecipientKey]:
    """Who may open which level, as the command line says."""
    found = []
    if room is not None:
        from provisioning.room_file import ConfigError, load  # noqa: PLC0415 - whoever has no room.toml need not read its schema

        try:
            configured = load(room).recipient
        except ConfigError as error:
            raise OrderError(str(error)) from error
        found += [RecipientKey(one.name, _certificate(Path(one.certificate)), frozenset(one.levels)) for one in configured]
    found += [RecipientKey(path.stem, _certificate(path), frozenset(LEVELS)) for path in certificates]
    return found


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise OrderError(f"cannot read {path}: {error.strerror}; name a recipient's certificate") from error
    except ValueError as error:
        raise OrderError(f"{path} is no PEM certificate: {error}; name a recipient's certificate") from error


def _time_us(text: str, option: str) -> int:
    """Session time in microseconds from hours, minutes and seconds, or from seconds alone."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"'{text}' is no session time; write 00:12:30, 12:30 or 750.5", param_hint=option)
    hours, minutes, seconds, fraction = (part or "0" for part in match.groups())
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole * 1_000_000 + int(fraction.ljust(6, "0"))


def _clock(t_us: int) -> str:
    """Session time to the microsecond, in the form that the options take."""
    seconds, us = divmod(t_us, 1_000_000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{us:06d}"


def _parts(parts: list[PartSpan]) -> str:
    named = [f"{part.track} part {part.number}" for part in parts[:_SHOWN]]
    return ", ".join(named) + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(message, style="red", highlight=False, markup=False)
    raise typer.Exit(1)
