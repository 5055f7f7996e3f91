"""``courtroom archive``: sealed records to an archive without a network, by a disk and a signed receipt."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import typer.core
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from agent.archive import station as stations
from agent.archive.handover import HandoverError, copy_record, people
from agent.archive.handover import Progress as Told
from recorder.record.anchors import LedgerError, parse_ledger
from recorder.record.cli import DEFAULT_CA, USAGE_STATUS
from recorder.record.trust import Authorities, TrustError, load_certificates, load_revocation_list

By = Annotated[str, typer.Option("--by", help="Who does it: a person's name.", show_default=False)]
With = Annotated[str, typer.Option("--with", help="Who is there too: another person's name.", show_default=False)]
Ca = Annotated[Path, typer.Option(help="PEM file of the authorities that are trusted.")]
Crl = Annotated[list[Path] | None, typer.Option(help="Revocation list, PEM or DER; may be given more than once.")]


class _CopyByDefault(typer.core.TyperGroup):
    """What is no command's name belongs to ``copy``: ``courtroom archive --to DIR RECORD``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["copy", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_CopyByDefault, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def archive() -> None:
    """Bring sealed records to an archive that no network reaches. Two people do each step together.

    1. In the room:  courtroom archive --to /media/disk RECORD... --by NAME --with NAME

    2. At the archive:  courtroom archive station --dir /media/disk --into ARCHIVE --key K --certificate C --by NAME --with NAME

    3. In the room again:  courtroom archive receive /media/disk/*.receipt.json --records RECORDS --by NAME --with NAME

    Only after the third step may the room delete its own copy of a record, and only when room is needed.
    """


@app.command()
def copy(
    record: Annotated[list[Path], typer.Argument(help="Directories of sealed records.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="A directory on the disk that will be carried.", show_default=False)],
    by: By,
    with_: With,
) -> None:
    """Copy sealed records to a disk (also without the word 'copy'). Every byte is read back from the disk and compared by hash.

    Again with the same disk, records that are there are only compared. Who carried what is noted in handovers.jsonl beside the records.
    """
    with _clear_errors():
        who = people(by, with_)
        for root in record:
            with _bar(f"copying {root.name}") as told:
                handover = copy_record(root, to, who, told)
            _say(f"{handover.name}: {handover.files} files, {handover.bytes / 1e6:.1f} MB on {to}, read back and compared")
        _say("Take the disk to the archive station. These records stay here until its receipts have come back.")


@app.command()
def station(
    directory: Annotated[Path, typer.Option("--dir", help="The directory on the disk.", show_default=False)],
    into: Annotated[Path, typer.Option(help="The archive's own directory: records are copied there first.", show_default=False)],
    key: Annotated[Path, typer.Option(help="The station's signing key (PEM, P-256).", show_default=False)],
    certificate: Annotated[Path, typer.Option(help="Its certificate, for signing documents.", show_default=False)],
    by: By,
    with_: With,
    ca: Ca = DEFAULT_CA,
    crl: Crl = None,
    ledger: Annotated[Path | None, typer.Option(help="Receipts that the centre holds, one JSON object a line.")] = None,
) -> None:
    """Take records from a disk into the archive, verify them there, and sign a receipt for each: RECORD.receipt.json on the disk.

    A record that does not verify is not taken, and why is said; the others are. Exit status 1 then.
    """
    failed = False
    with _clear_errors():
        who = people(by, with_)
        loaded = stations.load_signer(key, certificate)
        try:
            receipts = parse_ledger(ledger.read_bytes()) if ledger is not None else []
        except (OSError, LedgerError) as error:
            raise HandoverError(str(error)) from error
        if not into.is_dir():
            raise HandoverError(f"{into} is no directory: where does the archive keep its records?")
        post = stations.Station(into=into, authorities=_trusted(ca, crl), key=loaded[0], certificate=loaded[1], ledger=receipts)
        for root in stations.records(directory):
            try:
                with _bar(f"taking {root.name}") as told:
                    ack = post.take(root, who, told)
            except HandoverError as error:
                _cry(str(error))
                failed = True
            else:
                _say(f"{root.name}: {ack.verdict}; receipt {ack.counter} is {stations.receipt_file(root)}")
    if failed:
        raise typer.Exit(1)


@app.command()
def receive(
    file: Annotated[list[Path], typer.Argument(help="Receipts that the station laid on the disk.", show_default=False)],
    records: Annotated[Path, typer.Option(help="The directory of this room's records.", show_default=False)],
    by: By,
    with_: With,
    ca: Ca = DEFAULT_CA,
    crl: Crl = None,
) -> None:
    """Check a station's receipts against the records here, and store each as RECORD.ack.json beside its record.

    A receipt counts only if an authority vouches for its signer and it is about these very bytes.
    """
    failed = False
    with _clear_errors():
        who = people(by, with_)
        authorities = _trusted(ca, crl)
        for one in file:
            try:
                root, ack = stations.receive(one, records, authorities, who)
            except HandoverError as error:
                _cry(str(error))
                failed = True
            else:
                _say(f"{root.name}: in the archive, acknowledged by {ack.by}")
    if failed:
        raise typer.Exit(1)


def _trusted(ca: Path, crl: list[Path] | None) -> Authorities:
    try:
        return Authorities(load_certificates(ca), [load_revocation_list(path) for path in crl or []])
    except (OSError, TrustError) as error:
        raise HandoverError(f"the authorities cannot be read (--ca, --crl): {error}") from error


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except HandoverError as error:
        _cry(str(error))
        raise typer.Exit(USAGE_STATUS if "--" in str(error) else 1) from None


@contextmanager
def _bar(what: str) -> Iterator[Told]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _say(text: str) -> None:
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def _cry(text: str) -> None:
    Console(stderr=True).print(text, style="red", highlight=False, markup=False, soft_wrap=True)
