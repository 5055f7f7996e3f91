import functools
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import snapshot
from recorder.journal_read import read_on
from recorder.journal_state import JournalState, Place
from recorder.recovery import Left, read_left, totals
from recorder.snapshot import Snapshots
from tests.recorder.committing import NAME, Writer, bytes_of, signer
from tests.recorder.power_cut import Files, fates, lay, stored
from tests.recorder.test_recovery import recording


def device_key() -> ec.EllipticCurvePublicKey:
    key = signer().chain[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def state_at(root: Path, last: int | None = None) -> JournalState:
    state = JournalState()
    read_on(root, state, last=last)
    return state


def told(left: Left | None) -> tuple[object, ...]:
    """All that a recovery tells, in a form that can be compared."""
    assert left is not None
    ledger = left.ledger
    tracks = {
        name: (t.next_n, t.next_seg, t.segment, t.part, t.off, t.total(), t.hash.hexdigest() if t.hash else "")
        for name, t in ledger.tracks.items()
    }
    place = (ledger.head, ledger.journal_number, ledger.journal_off, ledger.journal_prefix, dict(left.files.items()))
    # Lines whose sync failed stand in two files; they count in the first that has them.
    journal = msgspec.structs.replace(left.journal, place=Place())
    return (journal, tracks, place, left.torn, left.damaged, left.end.off)


@functools.cache
def written() -> Files:
    """A record of some segments, parts and checkpoints, not sealed."""
    before, log, _ = recording(failed_sync=True)
    return Files({path: file.full for path, file in stored(before, log, len(log.operations) - 8).items()})


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), failed_sync=st.booleans())
def test_reading_on_from_a_snapshot_tells_the_same_as_reading_everything(seed: int, failed_sync: bool) -> None:
    chance = Random(seed)
    before, log, _ = recording(failed_sync=failed_sync)
    with tempfile.TemporaryDirectory() as base:
        root = Path(base, NAME)
        files = stored(before, log, chance.randint(30, len(log.operations)))
        lay(root, fates(files, chance))
        synced = Path(base, "synced", NAME)
        lay(synced, {path: file.synced for path, file in files.items() if file.named})
        durable = state_at(synced).head.at
        state = state_at(synced, chance.randint(0, durable))
        snapshot.store(root, state, signer())
        left = read_left(root, device_key())
        assert left is not None
        assert left.from_snapshot
        assert told(left) == told(read_left(root))


def forged(text: bytes) -> bytes:
    return text.replace(b'"next_n":', b'"next_n":1', 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(forged(path.read_bytes())),
        lambda path: path.write_bytes(b"AAAA\n" + path.read_bytes().partition(b"\n")[2]),
        lambda path: path.write_bytes(b"\xff\n{}"),
        lambda path: path.unlink(),
    ],
)
def test_a_snapshot_that_is_not_whole_or_not_the_devices_is_passed_over(tmp_path: Path, spoil: object) -> None:
    root = tmp_path / NAME
    lay(root, written())
    snapshot.store(root, state_at(root, 20), signer())
    spoil(snapshot.snapshot_file(root))  # type: ignore[operator]
    left = read_left(root, device_key())
    assert left is not None
    assert not left.from_snapshot
    assert told(left) == told(read_left(root))


def test_a_snapshot_of_another_device_record_or_journal_is_passed_over(tmp_path: Path) -> None:
    root = tmp_path / NAME
    lay(root, written())
    state = state_at(root, 20)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    snapshot.store(root, state, signer())
    assert snapshot.load(root, device_key()) == state
    assert snapshot.load(root, stranger) is None
    other = tmp_path / "2026-01-01_room-1_another"
    lay(other, written())
    shutil.copy(snapshot.snapshot_file(root), snapshot.snapshot_file(other))
    assert snapshot.load(other, device_key()) is None
    journal = root / "journal.jsonl"
    data = bytearray(journal.read_bytes())
    data[state.place.line_off + 20] ^= 1
    journal.write_bytes(data)
    with pytest.raises(snapshot.OtherJournalError, match="entry 20, of which this device signed a snapshot"):
        snapshot.load(root, device_key())


def test_a_journal_that_was_cut_behind_its_signed_snapshot_is_found_out(tmp_path: Path) -> None:
    root = tmp_path / NAME
    lay(root, written())
    state = state_at(root, 20)
    snapshot.store(root, state, signer())
    journal = root / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[: state.place.line_off])
    repeated = read_left(root, device_key())
    assert repeated is not None
    assert not repeated.rewritten, "a further journal file has the line"
    (root / "journal-0002.jsonl").unlink()
    left = read_left(root, device_key())
    assert left is not None
    assert "the journal was cut or rewritten" in left.rewritten
    assert left.ledger.head.at == 19


def test_a_snapshot_of_an_earlier_version_is_told_as_such_and_not_as_a_forgery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / NAME
    lay(root, written())
    now = snapshot._text
    with monkeypatch.context() as earlier:
        earlier.setattr(snapshot, "_text", lambda record, body: now(record, body).replace(b"snapshot-v2", b"snapshot-v1"))
        snapshot.store(root, state_at(root, 20), signer())
    assert snapshot.load(root, device_key()) is None
    said = "".join(capsys.readouterr())
    assert "not signed by this device, or of an earlier version" in said
    assert "InvalidSignature" not in said


def test_a_snapshot_whose_numbers_are_not_the_journals_is_seen_by_what_follows(tmp_path: Path) -> None:
    root = tmp_path / NAME
    lay(root, written())
    state = state_at(root, 20)
    state.tracks["cam"].next_n += 1
    snapshot.store(root, state, signer())
    left = read_left(root, device_key())
    assert left is not None
    assert not left.from_snapshot
    assert left.ledger.tracks["cam"].next_n == state_at(root).tracks["cam"].next_n


def test_a_running_record_keeps_a_snapshot_of_what_is_durable(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    snapshots = Snapshots(lambda: writer.committer.disk.root, lambda: writer.reports[-1].head.at, signer(), period_s=0.001)
    writer.record(1)
    snapshots.start()
    seen, end_s = set[int](), time.monotonic() + 20
    while len(seen) < 2:
        assert time.monotonic() < end_s, "there is one while the record runs, and then a later one"
        writer.record(1)
        state = snapshot.load(writer.root, device_key())
        if state is not None:
            seen.add(state.head.at)
            assert state == state_at(writer.root, state.head.at)
    snapshots.close()
    snapshots.take()
    writer.seal()
    assert snapshot.snapshot_file(writer.root).parent.stat().st_mode & 0o777 == 0o700
    assert [path for path in bytes_of(writer.root) if "json" in path and "manifest" not in path] == ["journal.jsonl"]


def test_a_snapshot_goes_on_behind_a_recovery(tmp_path: Path) -> None:
    root = tmp_path / "records" / NAME
    lay(root, written())
    left = read_left(root)
    assert left is not None
    behind = msgspec.json.decode(msgspec.json.encode(left.journal), type=JournalState)
    writer = Writer(tmp_path / "unused")
    writer.flush()
    writer.committer.close()
    writer.t_us = 60_000_000
    writer.take_up(root)
    writer.record(3)
    read_on(root, behind)
    assert totals(behind) == totals(state_at(root))
    snapshot.store(root, behind, signer())
    assert told(read_left(root, device_key())) == told(read_left(root))
    writer.seal()


def test_the_snapshots_of_sealed_records_are_tidied_away(tmp_path: Path) -> None:
    for name in ("one", "two"):
        lay(tmp_path / name, written())
        snapshot.store(tmp_path / name, state_at(tmp_path / name), signer())
    snapshot.snapshot_file(tmp_path / "one").with_name("one.json.part").write_bytes(b"half")
    snapshot.tidy(tmp_path, {"two"})
    assert [path.name for path in (tmp_path / snapshot.FOLDER).iterdir()] == ["two.json"]
