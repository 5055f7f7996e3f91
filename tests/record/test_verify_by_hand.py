"""The commands of docs/verify-by-hand.md, run as they stand there."""

import datetime as dt
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from provisioning import keys as key_files
from provisioning.keys import DOCUMENT_SIGNING, Hierarchy, _leaf, _p256
from provisioning.room import Timestamp
from recorder.record import canonical, layout
from recorder.record.checkpoint import Receipt
from recorder.record.verdict import Verdict
from tests.record.copying import readable_copy
from tests.record.ordering import Ordered, edited, recipient
from tests.record.record_builder import Builder, signed_receipt
from tests.record.timestamp_authority import TimestampAuthority

PAGE = Path(__file__).parents[2] / "docs" / "verify-by-hand.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stamped(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Builder, Path]:
    """A sealed record with pause, receipts and timestamp, and the directory of the keys."""
    base = tmp_path_factory.mktemp("by-hand")
    files = key_files.write(keys, base / "keys")
    builder = Builder(base / "records", keys, recipients=[recipient("court", keys.court)])
    builder.record(3)
    builder.receipt()
    builder.pause(5)
    builder.record(2)
    with TimestampAuthority(base / "keys") as server:
        builder.close(Timestamp(url=server.url, roots=str(files.root)))
    builder.receipt(journal=False)
    ordered = Ordered(builder, keys.court, keys.court)
    ordered.order(from_us=1_000_000, to_us=2_000_000)
    ordered.order(level="closed", tracks=("mic-judge",), order="No 12/4")
    return builder, files.root


def run(root: Path, authority: Path, work: Path, copy: Path | None = None) -> list[subprocess.CompletedProcess[str]]:
    """Run all blocks; they share files in the work directory, nothing else."""
    work.mkdir(exist_ok=True)
    environment = {"PATH": "/usr/bin:/bin", "RECORD": str(root), "ROOT": str(authority), "TSA": str(authority), "WORK": str(work)}
    environment |= {} if copy is None else {"COPY": str(copy)}
    return [
        subprocess.run(["bash", "-euo", "pipefail", "-c", block], check=False, capture_output=True, text=True, env=environment, timeout=60)
        for block in BLOCKS
    ]


def test_every_command_accepts_an_honest_record(stamped: tuple[Builder, Path], tmp_path: Path) -> None:
    done = run(stamped[0].root, stamped[1], tmp_path / "work")
    assert len(done) >= 9
    for block, result in zip(BLOCKS, done, strict=True):
        assert result.returncode == 0, (block, result.stdout, result.stderr)
    said = "".join(result.stdout + result.stderr for result in done)
    assert "CMS Verification successful" in said
    assert said.count("Verified OK") == 2
    assert "Verification: OK" in said
    assert "Time stamp" in said
    assert "witness is sworn in" in said
    assert "No 12/4" in said


@pytest.mark.parametrize("change", [None, "tracks/mic-judge/seg-000000.m4s", "more.txt", "SHA256SUMS"])
def test_a_readable_copy_is_checked_by_the_last_of_them(
    stamped: tuple[Builder, Path], keys: Hierarchy, tmp_path: Path, change: str | None
) -> None:
    copy = readable_copy(tmp_path / "copy", stamped[0], Verdict(level="sealed", record=str(stamped[0].record_id)), keys.court)
    if change is not None:
        with (copy / change).open("a") as file:
            file.write("0")
    done = run(stamped[0].root, stamped[1], tmp_path / "work", copy)[-1]
    assert (done.returncode == 0) == (change is None), done.stderr
    if change is None:
        assert "Court archive" in done.stdout
        assert f"record {stamped[0].record_id}\n" in done.stdout


def add_file(root: Path) -> None:
    (root / "more.txt").write_text("more")


def change_media(root: Path) -> None:
    path = root / layout.segment_file("cam-judge", 0)
    path.write_bytes(b"x" + path.read_bytes()[1:])


def change_list(root: Path) -> None:
    path = root / layout.SUMS
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))


def change_reason(root: Path) -> None:
    path = root / layout.JOURNAL
    path.write_bytes(path.read_bytes().replace(b"witness is sworn in", b"coffee"))


def change_receipt(root: Path) -> None:
    path = root / layout.ANCHORS
    path.write_bytes(path.read_bytes().replace(b'"counter":', b'"counter":1'))


def change_device(root: Path) -> None:
    path = root / layout.JOURNAL
    path.write_bytes(re.sub(rb'("device_certificate_sha256":")..', rb"\g<1>00", path.read_bytes()))


def change_order(root: Path) -> None:
    path = root / layout.order_file(1)
    path.write_bytes(edited(path.read_bytes(), to_us=1_500_000))


def take_order_away(root: Path) -> None:
    (root / layout.order_file(1)).unlink()


@pytest.mark.parametrize(
    ("change", "caught_by"),
    [
        (add_file, {1}),
        (change_media, {0}),
        (change_list, {0}),
        (change_reason, {0, 4}),
        (change_receipt, {6}),
        (change_device, {0, 2, 4}),
        (change_order, {9}),
        (take_order_away, {9}),
    ],
)
def test_each_of_them_refuses_what_it_is_there_to_refuse(
    stamped: tuple[Builder, Path], tmp_path: Path, change: Callable[[Path], None], caught_by: set[int]
) -> None:
    root = tmp_path / "record"
    shutil.copytree(stamped[0].root, root)
    run(stamped[0].root, stamped[1], tmp_path / "work")
    change(root)
    failed = {number for number, result in enumerate(run(root, stamped[1], tmp_path / "work")) if result.returncode}
    assert failed >= caught_by, failed


def test_a_receipt_of_a_rooms_own_device_is_refused(stamped: tuple[Builder, Path], keys: Hierarchy, tmp_path: Path) -> None:
    """Also where the authority itself issued the device's certificate."""
    root = tmp_path / "record"
    shutil.copytree(stamped[0].root, root)
    names = [x509.UniformResourceIdentifier("urn:courtroom:room:room-1")]
    device = _leaf(_p256(), "room-1", keys.root, dt.datetime.now(dt.UTC), 10, usage=[DOCUMENT_SIGNING], names=names)
    path = root / layout.ANCHORS
    genuine = msgspec.json.decode(path.read_bytes().splitlines()[-1], type=Receipt)
    path.write_bytes(canonical.encode(signed_receipt(genuine, device)) + b"\n")
    failed = run(root, stamped[1], tmp_path / "work")[6]
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "a room's own device")


def test_a_record_outlives_the_certificates_of_who_signed_it(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    old = key_files.build("room-1", now - dt.timedelta(days=30), days=20)
    builder = Builder(tmp_path / "records", old, utc_us=int((now - dt.timedelta(days=25)).timestamp() * 1e6))
    builder.record(3)
    builder.receipt()
    builder.record(1)
    builder.close()
    root = tmp_path / "root.pem"
    root.write_bytes(old.root.pem)
    assert [result.stderr for result in run(builder.root, root, tmp_path / "work")[:7] if result.returncode] == []
