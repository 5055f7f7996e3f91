"""``courtroom verify``: says in plain words what a record proves."""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer
import typer.core
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from recorder.record import canonical
from recorder.record.anchors import LedgerError, parse_ledger
from recorder.record.copy_check import CopyLevel, CopyVerdict, check_copy, is_copy
from recorder.record.file_check import LIST_BYTES, read_given
from recorder.record.output import rendered, write_out
from recorder.record.own_roots import DEFAULT_CA, ROOM_TOML, own_roots
from recorder.record.shown import shown
from recorder.record.trust import Authorities, TrustError, load_certificates, load_revocation_lists
from recorder.record.verdict import PROVEN, Finding, ProofLevel, Severity, Verdict
from recorder.record.verify import Outside
from recorder.record.verify import verify as verify_record

CA_HELP = f"PEM file of the authorities that vouch for devices (default: {DEFAULT_CA}, else centre_roots of {ROOM_TOML})."
USAGE_STATUS = 64
"""Exit status where the command line, or a file that it names, cannot be used (EX_USAGE): it must not look like a verdict."""
FAILED_STATUS = 70
"""Exit status where the verifier itself fails, or what it found cannot be written (EX_SOFTWARE)."""
_INTERRUPTED_STATUS = 130
_COLOUR: dict[ProofLevel, str] = {
    "sealed": "green",
    "anchored": "green",
    "signed_only": "yellow",
    "unsealed": "yellow",
    "broken": "red",
    "not_a_record": "red",
    "unreadable": "red",
}
_COPY_COLOUR: dict[CopyLevel, str] = {
    "copy_whole": "green",
    "copy_unvouched": "yellow",
    "copy_unsigned": "yellow",
    "copy_broken": "red",
    "unreadable": "red",
}
_MARK: dict[Severity, str] = {"error": "[bold red]✗[/]", "doubt": "[yellow]?[/]", "note": "[dim]·[/]"}
_SHOWN = 40
_V = TypeVar("_V")


class UsageCommand(typer.core.TyperCommand):
    """A command whose usage errors have a status of their own: typer's 2 means "not a record"."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's, which is typer's own affair
        """Read the command line."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            error.exit_code = USAGE_STATUS
            raise


def verify(
    record: Annotated[Path, typer.Argument(help="The directory of the record, or of a readable copy of one.", readable=False)],
    ca: Annotated[Path | None, typer.Option(help=CA_HELP)] = None,
    ledger: Annotated[Path | None, typer.Option(help="Receipts that the centre holds, one JSON object a line.")] = None,
    crl: Annotated[list[Path] | None, typer.Option(help="Revocation list, PEM or DER; may be given more than once.")] = None,
    tsa_ca: Annotated[Path | None, typer.Option(help="PEM file of the timestamp authority's root (default: --ca).")] = None,
    hearing: Annotated[str | None, typer.Option(help="Insist that the record is of this hearing.")] = None,
    start_token: Annotated[str | None, typer.Option(help="Insist that the session was started with this token.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="How many cores to use; 0: all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Verify a record: is it complete and unchanged, who signed it, what was not recorded, and why.

    Of a readable copy (`courtroom copy`) it says whether it is whole, who made it, and of which record. A copy proves no more than that: an
    option that insists on something of the record is refused.

    Every file is read once; no key is needed and nothing is changed. What each verdict means, and what it cannot prove, is told in
    docs/record-format.md; docs/verify-by-hand.md does the same with openssl and sha256sum.

    Exit status: 0 sealed, by a device that an authority vouches for; 3 intact, but not sealed, or without an authority to check the signer
    by, or in part signed by nobody before a crash, or a copy of a broken record; 1 broken; 2 not a record; 64 the command line is wrong, or
    an option's file or one of the record cannot be read, so nothing is judged; 70 the verifier failed, or its verdict could not be written.
    """
    try:
        outside = _outside(ca, ledger, crl or [], tsa_ca, hearing, start_token)
    except OSError as error:
        _refuse(f"{error.filename} cannot be read: {error.strerror}; name a file that is there and may be read")
    except (TrustError, LedgerError) as error:
        _refuse(str(error))
    if _is_missing(record):
        _refuse(f"{record} does not exist; name the directory of a record")
    copied = is_copy(record)
    if copied and (ledger, tsa_ca, hearing, start_token) != (None,) * 4:
        _refuse(f"{record} is a readable copy: --ledger, --tsa-ca, --hearing and --start-token need the record itself; verify that")
    try:
        verdict = run_check_copy(record, outside.authorities, workers) if copied else run_verify(record, outside, workers)
        text = msgspec.json.encode(plain(verdict)).decode() + "\n" if as_json else rendered(lambda to: show(to, record, verdict))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED_STATUS) from None
    except Exception:  # noqa: BLE001 - whatever it is, it is no verdict, and must not look like one
        Console(stderr=True).print_exception()
        raise typer.Exit(FAILED_STATUS) from None
    say(text, "the verdict")
    raise typer.Exit(verdict.exit_status)


verify.command_class = UsageCommand  # type: ignore[attr-defined]


def show(console: Console, record: Path, verdict: Verdict | CopyVerdict) -> None:
    """Print a verdict for people."""
    if isinstance(verdict, CopyVerdict):
        _show_copy(console, record, verdict)
        return
    colour = _COLOUR["unsealed" if verdict.level in PROVEN and verdict.unsigned else verdict.level]
    console.print(Panel(shown(verdict.sentence()), title=shown(record.resolve().name), border_style=colour, style=f"bold {colour}"))
    if verdict.record:
        _show_facts(console, verdict)
    _show_findings(console, verdict.findings)
    if verdict.record:
        _show_intervals(console, verdict)
    if verdict.orders:
        _show_orders(console, verdict)
    for binding in verdict.bindings:
        when = f"{dt.datetime.fromtimestamp(binding.utc_us / 1e6, dt.UTC):%Y-%m-%d %H:%M}"
        what = " ".join(filter(None, (binding.hearing, binding.case)))
        reason = f": {binding.reason}" if binding.reason else ""
        console.print(f"Bound after the seal to {shown(what)} by {shown(binding.actor)}, {when} UTC{shown(reason)}", highlight=False)


def _show_findings(console: Console, findings: Sequence[Finding]) -> None:
    for finding in findings[:_SHOWN]:
        console.print(f" {_MARK[finding.severity]} {shown(finding.place)}: {shown(finding.text)} [dim]({finding.code})[/]", highlight=False)
    if len(findings) > _SHOWN:
        console.print(f"   … and {len(findings) - _SHOWN} more; --json lists ten of each kind", highlight=False)


def _show_copy(console: Console, root: Path, verdict: CopyVerdict) -> None:
    colour = "yellow" if (verdict.level, verdict.exit_status) == ("copy_whole", 3) else _COPY_COLOUR[verdict.level]
    console.print(Panel(shown(verdict.sentence()), title=shown(root.resolve().name), border_style=colour, style=f"bold {colour}"))
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("hearing", verdict.hearing),
        ("the record was, when it was copied", verdict.source_sentence),
        ("left out of it", f"{verdict.left_out} stretches or notes" if verdict.left_out else "nothing of this choice"),
        ("damaged", f"{verdict.damaged} fragments or files of the record, left out" if verdict.damaged else "nothing"),
        ("read", f"{verdict.files} files, {verdict.bytes_read / 1e6:.1f} MB"),
    ):
        facts.add_row(f"[dim]{name}[/]", shown(value))
    if verdict.level not in {"copy_broken", "unreadable"}:  # what such a copy says of itself is nobody's word
        console.print(facts, highlight=False)
    _show_findings(console, verdict.findings)


def say(text: str, what: str, remedy: str = "write it elsewhere") -> None:
    """Write to standard output, or end the command with the status of one that failed."""
    try:
        write_out(text)
    except OSError as error:
        told = f"{what} could not be written to standard output: {error.strerror}; {remedy}"
        Console(stderr=True, soft_wrap=True).print(told, style="red", highlight=False, markup=False)
        raise typer.Exit(FAILED_STATUS) from None


def _is_missing(place: Path) -> bool:
    """Whether nothing is there; what may not be looked at is something."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _refuse(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(message, style="red", highlight=False, markup=False)
    raise typer.Exit(USAGE_STATUS)


def plain(verdict: Verdict | CopyVerdict) -> dict[str, Any]:
    """A verdict as plain values, with its sentence and exit status."""
    # The name of a file need not be Unicode, JSON must be.
    fields: dict[str, Any] = canonical.normalised(msgspec.to_builtins(verdict))  # type: ignore[assignment]
    return fields | {"sentence": verdict.sentence(), "exit_status": verdict.exit_status}


def authorities_of(ca: Path | None, crl: Sequence[Path] = ()) -> Authorities | None:
    """Who vouches for devices: the given file, or those of the room whose PC this is, or nobody.

    Raises:
        TrustError: a file holds something else, or revocation lists stand without an authority that signed them.
        OSError: a file cannot be read.
    """
    if ca is None:
        ca = own_roots()
    if ca is not None:
        return Authorities(load_certificates(ca), [one for path in crl for one in load_revocation_lists(path)])
    if crl:
        raise TrustError(f"--crl {crl[0]} counts for nothing without the authority that signed it: give it by --ca")
    return None


def _outside(
    ca: Path | None, ledger: Path | None, crl: list[Path], tsa_ca: Path | None, hearing: str | None, start_token: str | None
) -> Outside:
    return Outside(
        authorities=authorities_of(ca, crl),
        ledger=parse_ledger(read_given(ledger, LIST_BYTES)) if ledger is not None else None,
        timestamp_roots=load_certificates(tsa_ca) if tsa_ca is not None else (),
        hearing=hearing,
        start_token=start_token,
    )


def run_verify(record: Path, outside: Outside, workers: int) -> Verdict:
    """Verify, and show on a terminal how far it is."""
    return _with_bar(lambda progress: verify_record(record, outside, workers=workers, progress=progress))


def verified(record: Path, ca: Path | None) -> Verdict:
    """What ``courtroom verify`` finds, for a command that signs something about the record.

    Raises:
        TrustError: the authorities cannot be read.
    """
    try:
        authorities = authorities_of(ca)
    except (OSError, TrustError) as error:
        raise TrustError(f"the authorities cannot be read: {error}") from error
    return run_verify(record, Outside(authorities=authorities), workers=0)


def run_check_copy(root: Path, authorities: Authorities | None, workers: int) -> CopyVerdict:
    """Check a readable copy, and show on a terminal how far it is."""
    now_us = time.time_ns() // 1000
    return _with_bar(lambda progress: check_copy(root, authorities, now_us, workers=workers, progress=progress))


def _with_bar(work: Callable[[Callable[[int, int], None]], _V]) -> _V:
    console = Console(stderr=True)
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("verify", total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def _show_facts(console: Console, verdict: Verdict) -> None:
    unsigned = verdict.level == "unsealed" and verdict.signed_to < 0
    doubt = "nothing in it is signed by it" if unsigned else "nobody here vouches for it"
    signer = f"{verdict.signer}{'' if verdict.signer_trusted else f'  ({doubt})'}"
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("hearing", "  ".join(filter(None, (verdict.hearing, verdict.case, verdict.title)))),
        ("court, room", f"{verdict.court}, {verdict.room}"),
        ("signed by", signer),
        ("entries", f"{verdict.entries}; signed to {verdict.signed_to}, intact to {verdict.intact_to}"),
        ("length", session_time(verdict.duration_us or 0)),
        ("tracks", ", ".join(f"{track.track} ({track.fragments})" for track in verdict.tracks)),
        ("read", f"{verdict.files} files, {verdict.bytes_read / 1e6:.1f} MB"),
    ):
        facts.add_row(f"[dim]{name}[/]", shown(value))
    console.print(facts, highlight=False)


def _show_intervals(console: Console, verdict: Verdict) -> None:
    if not verdict.not_recorded:
        console.print("No interval without recording is declared or found.", highlight=False)
        return
    table = Table(title="Not recorded", title_justify="left")
    for column in ("from", "to", "length", "track", "reason", "by"):
        table.add_column(column)
    for interval in verdict.not_recorded:
        reason = interval.cause.replace("_", " ") + (f": {interval.detail}" if interval.detail else "")
        table.add_row(
            session_time(interval.from_us),
            session_time(interval.to_us) if interval.to_us is not None else "…",
            f"{(interval.to_us - interval.from_us) / 1e6:.1f} s" if interval.to_us is not None else "unknown",
            shown(interval.track) or "all",
            shown(reason),
            shown(interval.by),
            style="" if interval.declared else "yellow",
        )
    console.print(table)


def _show_orders(console: Console, verdict: Verdict) -> None:
    """A paragraph an order: in a table of as many columns no time is left whole on a narrow terminal."""
    console.print("Levels by orders after the seal (a later one stands over an earlier one)", style="italic", highlight=False)
    for order in verdict.orders:
        given = f"{dt.datetime.fromtimestamp(order.utc_us / 1e6, dt.UTC):%Y-%m-%d %H:%M} UTC by the signer's clock"
        what = f"{shown(', '.join(order.tracks)) or 'all tracks'}: {order.level}, by order of {shown(order.actor)}, {shown(order.order)}"
        console.print(f" {order.number}. {session_time(order.from_us)} to {session_time(order.to_us)}", highlight=False)
        console.print(f"    {what}; signed by {shown(order.signed_by)}, {given}", highlight=False)


def session_time(t_us: int) -> str:
    """Session time for people: hours, minutes, seconds, milliseconds."""
    seconds, milliseconds = divmod(t_us // 1000, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"
