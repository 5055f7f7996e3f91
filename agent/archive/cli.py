"""``courtroom archive``: sealed records to an archive without a network, by a disk and signed receipts."""

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import typer.core
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from agent.archive import retention
from agent.archive import station as stations
from agent.archive.acknowledgement import intermediates, write_durably
from agent.archive.amount import amount
from agent.archive.handover import HandoverError, check_room, copy_record, handover_file, missing_bytes, receipt_file, two_people
from agent.archive.handover import Progress as Told
from agent.archive.offer import OfferError, sealed_files
from agent.archive.reasons import read as read_reasons
from agent.archive.records import Records, SealedRecord
from agent.archive.vouchers import revocations_of
from agent.upstream.transfer import files_sha256
from provisioning.revocations import load_revocations
from provisioning.room import RoomConfig
from provisioning.room_file import ConfigError, load
from recorder.contract.client import ControlClient, ControlError
from recorder.contract.control import CertifyHandover
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.anchors import LedgerError, parse_ledger
from recorder.record.cli import USAGE_STATUS
from recorder.record.shown import shown
from recorder.record.trust import Authorities, TrustError, load_certificates

By = Annotated[list[str] | None, typer.Option("--by", help="One of the two people; give it twice. Asked for where it is missing.")]
Ca = Annotated[Path | None, typer.Option(help="PEM file of the authorities that are trusted (default: as room.toml says).")]
Crl = Annotated[
    list[Path] | None, typer.Option(help="Revocation list, PEM or DER; may be given more than once (default: as room.toml says).")
]
Config = Annotated[Path, typer.Option("--config", "-c", help="The room's configuration (room.toml).")]
ROOM_TOML = Path("/etc/courtroom/room.toml")
ROOTS = Path("/etc/courtroom/roots.pem")
"""Where `courtroom keys make` and the pages put the authorities that all may read."""


class _CopyByDefault(typer.core.TyperGroup):
    """What is no command's name belongs to ``copy``: ``courtroom archive --to DIR``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["copy", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_CopyByDefault, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def archive() -> None:
    """Bring sealed records to an archive that no network reaches. Two people do each step together, and both confirm it.

    1. In the room:  courtroom archive --to /media/disk

    2. At the archive:  courtroom archive receive /media/disk --into ARCHIVE --key KEY --certificate CERTIFICATE

    3. In the room again:  courtroom archive accept /media/disk

    `courtroom archive status` tells which records the archive has. Only after the third step may the room delete its own copy of a record,
    when room is needed. docs/archive.md tells what each file on the disk proves, and how to check it by hand.
    """


@app.command()
def copy(
    to: Annotated[Path, typer.Option("--to", help="A directory on the disk that will be carried.", show_default=False)],
    record: Annotated[list[str] | None, typer.Argument(help="Records by name (default: all that the archive does not have).")] = None,
    by: By = None,
    config: Config = ROOM_TOML,
    run_dir: Annotated[Path, typer.Option("--run", help="Directory of the sockets.", envvar="COURTROOM_RUN")] = Path("/run/courtroom"),
    ca: Ca = None,
    crl: Crl = None,
) -> None:
    """Copy records to a disk (the word 'copy' may be left out). Every byte is read back from the disk and compared by hash.

    What was broken off is gone on with. Beside each record <record>.handover.json says what goes, and who carries it: the room's device
    signs it, so the recorder must be running.
    """
    with _clear_errors():
        records = _records(_room(config), ca, crl)
        chosen = _chosen(records, record)
        if not chosen:
            _say("The archive has all records of this room. There is nothing to carry.")
            return
        needed = missing_bytes([one.root for one in chosen], to)
        check_room(needed, to)
        _say(f"{len(chosen)} records, {amount(sum(one.bytes for one in chosen))}, go to {to}:")
        for one in chosen:
            _say(f"  {one.name}  {amount(one.bytes)}")
        people = _confirmed(by, f"take these {len(chosen)} records to the archive")
        for one in chosen:
            delivered = _copied(one, to)
            sizes = sealed_files(to / one.name)
            signed = _signed(
                run_dir,
                CertifyHandover(
                    record=one.record, sums_sha256=one.sums_sha256, files_sha256=files_sha256(delivered), bytes=sum(sizes.values()),
                    files=len(sizes), people=list(people),
                ),
            )  # fmt: skip
            for place in (to / one.name, *one.copies):
                write_durably(handover_file(place), signed)
            _say(f"{one.name}: on the disk, read back and compared")
        _say(f"Done. {people[0]} and {people[1]} take the disk to the archive. These records stay here until its receipts have come back.")


@app.command()
def receive(
    directory: Annotated[Path, typer.Argument(help="The directory on the disk.", show_default=False)],
    into: Annotated[Path, typer.Option(help="The archive's own directory of records.", show_default=False)],
    key: Annotated[Path, typer.Option(help="The station's signing key (PEM, P-256).", show_default=False)],
    certificate: Annotated[Path, typer.Option(help="Its certificate, for signing documents.", show_default=False)],
    by: By = None,
    ca: Annotated[Path, typer.Option(help="PEM file of the authorities that vouch for rooms' devices and the station.")] = ROOTS,
    crl: Annotated[list[Path] | None, typer.Option(help="Revocation list, PEM or DER; may be given more than once.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="Receipts that the centre holds, one JSON object a line.")] = None,
) -> None:
    """At the archive: take records from a disk, verify them, and sign a receipt for each (<record>.receipt.json on the disk).

    A record for which no room's device signed, or that does not verify, is not taken, and why is said; the others are. Exit status 1 then.
    """
    failed = False
    with _clear_errors():
        loaded = stations.load_signer(key, certificate)
        try:
            receipts = parse_ledger(ledger.read_bytes()) if ledger is not None else []
        except (OSError, LedgerError) as error:
            raise HandoverError(f"{ledger}: {error}") from error
        if not into.is_dir():
            raise HandoverError(f"{into} is no directory: where does the archive keep its records?")
        post = stations.Station(into=into, authorities=_trusted(ca, crl), key=loaded[0], certificate=loaded[1], ledger=receipts)
        roots = stations.records_on(directory)
        between = [one for root in roots for one in intermediates(root)]
        stations.check_signer(post.certificate, post.authorities, between, time.time_ns() // 1000)
        needed = 0
        for root in roots:
            with suppress(HandoverError):  # what cannot be read is told of in its turn
                needed += missing_bytes([root], into)
        check_room(needed, into)
        for root in roots:
            _say(f"  {root.name}")
        people = _confirmed(by, f"answer for the receipts of these {len(roots)} records")
        for root in roots:
            try:
                with _bar(f"taking {root.name}") as told:
                    ack = post.take(root, people, told)
            except HandoverError as error:
                _cry(str(error))
                failed = True
            else:
                _say(f"{root.name}: {ack.verdict}; receipt {ack.counter} is {receipt_file(root)}")
                place = post.place_of(root.name, ack.sums_sha256)
                if place.name != root.name:
                    _say(f"  the archive has it under another seal too; this one lies in {place}: compare both by `courtroom verify`")
    if failed:
        raise typer.Exit(1)


@app.command()
def accept(
    receipts: Annotated[list[Path], typer.Argument(help="Receipts, or directories where they are.", show_default=False)],
    by: By = None,
    config: Config = ROOM_TOML,
    ca: Ca = None,
    crl: Crl = None,
) -> None:
    """In the room: check the archive's receipts against the records here, and keep each as RECORD.ack.json beside its record.

    A receipt counts only if an authority vouches for its signer, two people stand in it, and it is about a record of this room, by hash.
    Accepting one again changes nothing.
    """
    failed = False
    with _clear_errors():
        records = _records(_room(config), ca, crl)
        found = records.look()
        files = stations.receipts_in(receipts)
        people = _confirmed(by, f"bring {len(files)} receipts back from the archive")
        for file in files:
            try:
                record, ack = stations.accepted(file, found, records.authorities)
            except HandoverError as error:
                _cry(str(error))
                failed = True
                continue
            late = "" if ack.files_sha256 == record.files_sha256 else "; files came to it since: carry it once more"
            if stations.is_news(record, ack):
                records.store(record, ack)
                _note(records, record, ack, people)
                _say(f"{record.name}: in the archive, acknowledged by {ack.by}{late}")
            else:
                _say(f"{record.name}: known already{late}")
    if failed:
        raise typer.Exit(1)


@app.command()
def status(config: Config = ROOM_TOML, ca: Ca = None, crl: Crl = None) -> None:
    """List the records here: which the archive has, which it does not and why, what keeps the others here, and what was deleted."""
    with _clear_errors():
        room = _room(config)
        records = _records(room, ca, crl)
        reasons, free_bytes = read_reasons(records.bases[0]), int(room.retention.free_gib * 1024**3)
        by_record = reasons.by_record if reasons is not None else {}
        need_bytes = retention.need_bytes(records.answering(), free_bytes)
        table = Table()
        for column in ("record", "size", "disks", "archive"):
            table.add_column(column, overflow="fold")
        found = records.look()
        for one in found:
            stays = retention.why_it_stays(
                one, now_us=time.time_ns() // 1000, keep_days=room.retention.days, free_bytes=free_bytes, need_bytes=need_bytes
            )  # fmt: skip
            table.add_row(one.name, amount(one.bytes), str(len(one.copies)), _standing(one, by_record.get(one.name, ""), stays))
        for name, why in records.broken.items():
            table.add_row(shown(name), "", "", shown(why), style="red")
        gone = {tombstone.name: tombstone for base in records.answering() for tombstone in retention.tombstones(base, _cry)}
        for tombstone in gone.values():
            words = f"deleted here on {_day(tombstone.deleted_utc_us)}; {tombstone.acknowledgement.by} has it"
            table.add_row(tombstone.name, amount(tombstone.bytes), "0", shown(words), style="dim")
        Console().print(table)
        missing = [one for one in found if one.standing != "delivered"]
        _say(f"{len(missing)} records, {amount(sum(one.bytes for one in missing))}, are still to be delivered.")
        for why in reasons.of_all if reasons is not None else ["the delivery has not said yet what it does; does courtroom-delivery run?"]:
            _say(why)


def _standing(one: SealedRecord, told: str, stays: str) -> str:
    """Where a record is; ``told``: what the delivery says of it, ``stays``: what keeps it here by [retention]."""
    ack, why = one.acknowledgement, one.why or told
    if ack is None:
        if handover_file(one.root).exists():
            return "on its way: copied to a disk, no receipt yet" + (f" ({shown(why)})" if why else "")
        return "not delivered" + (f" ({shown(why)})" if why else "")
    words = f"delivered on {_day(ack.utc_us)} to {shown(ack.by)}"
    if one.standing != "delivered":
        return f"{words}; files came since, which the archive does not have" + (f" ({shown(told)})" if told else "")
    return "; ".join(filter(None, (words, shown(told) or stays)))


def _room(config: Path) -> RoomConfig:
    try:
        return load(config)
    except ConfigError as error:
        raise HandoverError(str(error)) from error


def _records(room: RoomConfig, ca: Path | None, crl: Sequence[Path] | None) -> Records:
    roots = (room.centre.receipt_roots if room.centre is not None else "") or room.centre_roots
    listed = [path] if (path := revocations_of(room)) is not None else []
    bases = [Path(room.storage.primary), *([Path(room.storage.mirror)] if room.storage.mirror else [])]
    records = Records(bases, _trusted(ca or (Path(roots) if roots else ROOTS), crl or listed))
    if bases[0] not in records.answering():
        raise HandoverError(f"{bases[0]} cannot be read, and there are the records of this room: do you have the right to?")
    return records


def _chosen(records: Records, names: Sequence[str] | None) -> list[SealedRecord]:
    found = records.look()
    for name, why in records.broken.items():
        _cry(f"{name}: {why}" if any(one.name == name for one in found) else f"{name} is left out: {why}")
    found = list({one.name: one for one in reversed(found)}.values())[::-1]  # of copies that differ one at a time is carried
    if not names:
        return [one for one in found if one.standing != "delivered"]
    by_name = {one.name: one for one in found} | {one.record: one for one in found}
    wanted = [name.rstrip("/").rpartition("/")[2] for name in names]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise HandoverError(f"there is no sealed record {unknown[0]} here; `courtroom archive status` lists them")
    return [by_name[name] for name in dict.fromkeys(wanted)]


def _copied(record: SealedRecord, to: Path) -> dict[str, str]:
    """Copy a record from the disk that is right; where that is damaged, from the other one."""
    for number, root in enumerate(record.copies, 1):
        try:
            with _bar(f"copying {record.name}") as told:
                return copy_record(root, to / record.name, told)
        except HandoverError as error:
            if number == len(record.copies):
                raise
            _cry(f"{error}; it is copied from the other disk")
    raise AssertionError  # a record has a copy


def _signed(run_dir: Path, request: CertifyHandover) -> bytes:
    """The recorder's signature under what goes; the device's key is nowhere else."""
    try:
        with ControlClient(run_dir) as client:
            signed = client.do(request).signed
    except (ControlError, OSError) as error:
        raise HandoverError(f"{request.record} is copied, but the handover is not signed: {error}") from error
    return msgspec.json.format(signed.encode(), indent=2) + b"\n"


def _confirmed(by: Sequence[str] | None, what: str) -> tuple[str, str]:
    """The two people, each of whom said yes by typing his own name."""
    names = list(by or [])
    while len(names) < 2:
        names.append(str(typer.prompt(f"Who does it with you? Name of the {'first' if not names else 'second'} person")))
    people = two_people(names)
    for person in people:
        typed = str(typer.prompt(f"{person}: you {what}. Type your name to confirm"))
        if " ".join(typed.split()).casefold() != person.casefold():
            raise HandoverError(f"{person} did not confirm; nothing was done")
    return people


def _note(records: Records, record: SealedRecord, ack: Acknowledgement, people: tuple[str, str]) -> None:
    """Who brought receipts back: a line of ``handovers.jsonl`` beside the records."""
    line = {
        "accepted": record.record, "files_sha256": ack.files_sha256, "by": ack.by, "people": people,
        "utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    with (records.answering()[0] / "handovers.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


def _trusted(ca: Path, crl: Sequence[Path] | None) -> Authorities:
    try:
        return Authorities(load_certificates(ca), [one for path in crl or [] for one in load_revocations(path)])
    except (OSError, TrustError) as error:
        raise _UsageError(f"the authorities cannot be read (--ca, --crl): {error}") from error


class _UsageError(HandoverError):
    """A file that an option names cannot be used."""


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except (HandoverError, OfferError) as error:
        _cry(str(error))
        raise typer.Exit(USAGE_STATUS if isinstance(error, _UsageError) else 1) from None
    except OSError as error:
        _cry(f"{error.filename or 'a disk'}: {error.strerror or error}")
        raise typer.Exit(1) from None


@contextmanager
def _bar(what: str) -> Iterator[Told]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _day(utc_us: int) -> str:
    return f"{dt.datetime.fromtimestamp(utc_us / 1e6, dt.UTC):%Y-%m-%d}"


def _say(text: str) -> None:
    Console().print(shown(text), highlight=False, soft_wrap=True)


def _cry(text: str) -> None:
    Console(stderr=True).print("\n".join(shown(line) for line in text.splitlines()), style="red", highlight=False, soft_wrap=True)
