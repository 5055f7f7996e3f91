"""A start after a crash late in a long hearing: how soon the room is ready, and how soon it records again."""

import os
import time
from pathlib import Path

import pytest

from provisioning.room import FileKey
from recorder import snapshot
from recorder.clock import utc_us
from recorder.record import entries, layout
from recorder.signing import open_signer
from tests.lab.room import Room, room
from tests.recorder.long_record import SIZES, long_record
from tests.recorder.test_snapshot import state_at

READY_S = 3.0
RECORDS_S = 5.0
SNAPSHOT_LINES = len(SIZES) * 2 * 60
"""How far a snapshot may be behind."""


def took_up(it: Room, record: Path) -> tuple[float, float]:
    """Start the recorder; seconds until it answers, and until new media is on the disk."""
    before = len(list((record / layout.TRACKS).iterdir()))
    began_s = time.monotonic()
    it.start()
    status = it.wait(lambda _: True, "an answer", timeout_s=120)
    ready_s = time.monotonic() - began_s
    assert status.state == "open"
    assert Path(status.record) == record
    while len(list((record / layout.TRACKS).iterdir())) == before:
        assert time.monotonic() - began_s < 120
        time.sleep(0.01)
    return ready_s, time.monotonic() - began_s


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("hours", [float(os.environ.get("LONG_HEARING_H", "8"))])
def test_a_start_after_a_crash_does_not_take_longer_for_a_long_hearing(tmp_path: Path, hours: float) -> None:
    it = Room(tmp_path)
    try:
        signer = open_signer(FileKey(kind="file", key=str(it.keys.device_key), chain=str(it.keys.chain)))
        it.primary.mkdir(mode=0o700)
        record = long_record(it.primary, signer, hours, utc_us(), "another boot")
        state = state_at(record)
        snapshot.store(record, state_at(record, state.head.at - SNAPSHOT_LINES), signer)
        ready_s, records_s = took_up(it, record)
        it.recorded(1)
        print(f"{hours} h, {state.head.at} lines: ready after {ready_s:.2f} s, recorded after {records_s:.2f} s")  # noqa: T201 - the figures
        began_s = time.monotonic()
        it.stop()
        print(f"sealed after {time.monotonic() - began_s:.1f} s")  # noqa: T201 - likewise
        assert ready_s <= READY_S
        assert records_s <= RECORDS_S
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert [type(entry) for _, entry in _seals(record)] == [entries.Seal]
    finally:
        it.close()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_recorder_that_runs_for_more_than_a_minute_is_taken_up_by_its_snapshot_once_and_again(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        for _ in range(2):
            it.recorded(snapshot.PERIOD_S + 5)
            it.kill()
            it.start()
            it.wait_live("cam", "judge")
            it.recorded(1)
        assert it.log.read_text(encoding="utf-8").count("by_snapshot=True") == 2
        assert not it.wait(lambda _: True, "status").alarms
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert not snapshot.snapshot_file(record).exists()


def _seals(record: Path) -> list[tuple[object, object]]:
    from recorder.seal import read_journal

    return [(line, entry) for line, entry in read_journal(record) if isinstance(entry, entries.Seal)]
