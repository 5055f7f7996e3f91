"""A child that was taken over can spoil its own tracks, and nothing else; and what it did not give is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.contract import control
from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.room import Room, room

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@contextmanager
def lying(base: Path, what: str, storage: str = "", liar: str = "cam", *, opens: bool = False) -> Iterator[tuple[Room, Path]]:
    """A session that records beside a lying child."""
    environment = {"LIE": what, "LIAR": liar}
    with room(base, program="tests.lab.lying_child", environment=environment, storage=storage, watch=liar == "watch") as it:
        awaited = {"judge", "witness", "room-mix", *(["cam"] if opens else [])}
        it.wait(lambda status: {c.track for c in status.channels if c.live} >= awaited, "the devices")
        yield it, it.begin()


def microphones(status: control.Status, seconds: float) -> bool:
    return all(c.written_us > seconds * 1_000_000 for c in status.channels if c.track in {"judge", "witness", "room-mix"})


def gaps(record: Path, track: str) -> list[entries.Gap]:
    return [entry for _, entry in read_journal(record) if isinstance(entry, entries.Gap) and entry.track == track]


@pytest.mark.parametrize("what", ["others_end", "others_media", "others_open", "path", "flood", "memory"])
def test_a_child_that_lies_is_killed_and_every_other_track_is_whole(tmp_path: Path, what: str) -> None:
    extra = "memory_mib = 64\n" if what == "memory" else ""
    with lying(tmp_path, what, storage=extra) as (it, record):
        it.wait(lambda status: microphones(status, 4), "four seconds of the microphones")
        it.stop()
        done = it.verify(record)
        assert done.returncode == 0, done.stdout
        for track in ("judge", "witness", "room-mix"):
            assert not gaps(record, track)
            sounds = readback.sounds(record, track, it.keys.court_key, it.keys.court)
            assert sum(len(sound.samples) / sound.rate_hz for sound in sounds) > 3.5
        assert gaps(record, "cam"), "what it did not give is told"
        if what != "memory":
            assert "not its own" in it.log.read_text() or "says more than" in it.log.read_text()
    assert not list(tmp_path.rglob("*PWNED*"))


@pytest.mark.parametrize("what", ["others_end", "others_media"])
def test_a_watch_that_was_taken_over_touches_no_track(tmp_path: Path, what: str) -> None:
    with lying(tmp_path, what, liar="watch") as (it, record):
        it.wait(lambda status: any((a.code, a.track) == ("source_lost", "watch") for a in status.alarms), "the end of the liar")
        it.recorded(3)
        it.stop()
        done = it.verify(record)
        assert done.returncode == 0, done.stdout
        for track in ("judge", "witness", "room-mix"):
            assert not gaps(record, track)
        assert all(b"forged" not in segment.read_bytes() for segment in record.rglob("*.m4s"))
        assert "the watch has no word for" in it.log.read_text()


def test_a_child_that_lives_and_gives_nothing_is_told_and_the_record_names_the_whole_time(tmp_path: Path) -> None:
    with lying(tmp_path, "silent", opens=True) as (it, record):
        it.wait(lambda status: microphones(status, 4), "four seconds of the microphones")
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
    told = gaps(record, "cam")
    assert [gap.cause for gap in told] == ["no_media"]
    assert told[0].from_us < 500_000


def test_media_that_comes_too_late_does_not_break_the_seal(tmp_path: Path) -> None:
    with lying(tmp_path, "late") as (it, record):
        it.wait(lambda status: microphones(status, 3), "three seconds of the microphones")
        it.stop()
        done = it.verify(record)
    assert done.returncode == 0, done.stdout
