"""The check of the disks, on real ones: full, read-only, gone, hanging, lying."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.diagnostics import disk
from agent.diagnostics.check import Outcome
from agent.diagnostics.disk import PROBE_NAME, DiskCheck, probe
from recorder.record import layout
from tests.agent.diagnostics.contexts import config, context
from tests.lab.forbidden import forbid


def codes(outcome: Outcome) -> set[tuple[str, str]]:
    return {(one.result, one.code) for one in outcome.found}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    base = tmp_path / "small"
    base.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(base)], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount")
    try:
        yield base
    finally:
        subprocess.run(["umount", "-l", str(base)], check=True)


async def test_a_sound_disk_is_written_and_read_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    outcome = await DiskCheck().run(context(config(tmp_path)))
    assert codes(outcome) == {("good", "disk_good")}
    assert outcome.values["primary_write_mib_s"] > 0
    assert outcome.values["primary_read_mib_s"] > 0
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - an async test


async def test_planned_hearings_that_do_not_fit_are_told_before_they_begin(tmp_path: Path) -> None:
    plenty = await DiskCheck().run(context(config(tmp_path), planned_hours=1.0))
    assert plenty.result == "good"
    hours = plenty.values["primary_hours"]
    short = await DiskCheck().run(context(config(tmp_path), planned_hours=hours * 1.5))
    assert codes(short) == {("warning", "disk_short")}


@pytest.mark.root
async def test_a_full_disk_is_bad_and_says_so_once(small: Path) -> None:
    (small / "old").write_bytes(bytes(20 * 1024 * 1024))
    outcome = await DiskCheck().run(context(config(small)))
    assert codes(outcome) == {("bad", "disk_full")}
    assert len(outcome.found) == 1
    assert not (small / PROBE_NAME).exists()


@pytest.mark.root
async def test_a_disk_without_its_reserve_and_without_room_for_it_is_told(small: Path) -> None:
    (small / "old").write_bytes(bytes(23 * 1024 * 1024))
    assert ("bad", "disk_no_ballast") in codes(await DiskCheck().run(context(config(small))))


@pytest.mark.root
def test_a_read_only_disk_is_bad(small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    assert ("bad", "disk_refuses") in codes(asyncio.run(DiskCheck().run(context(config(small)))))


async def test_a_disk_that_is_not_mounted_is_bad(tmp_path: Path) -> None:
    outcome = await DiskCheck().run(context(config(tmp_path, tmp_path / "second")))
    assert ("bad", "disk_missing") in codes(outcome)


async def test_a_disk_that_gives_back_other_bytes_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: bytes(len(read(descriptor, size))))
    assert codes(await DiskCheck().run(context(config(tmp_path)))) == {("bad", "disk_differs")}


async def test_a_disk_that_hangs_is_bad_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(disk, "PROBE_S", 0.3)
    monkeypatch.setattr(os, "fsync", lambda _: hanging.wait(20))
    try:
        assert ("bad", "disk_hangs") in codes(await asyncio.wait_for(DiskCheck().run(context(config(tmp_path))), 5))
    finally:
        hanging.set()


async def test_a_slow_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "bytes_per_s", lambda *_: 1e12)
    assert ("bad", "disk_slow") in codes(await DiskCheck().run(context(config(tmp_path))))


def test_a_probe_follows_no_link_and_removes_what_an_earlier_one_left(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / PROBE_NAME).symlink_to(precious)
    assert probe(tmp_path, threading.Event(), 1024 * 1024).same
    assert precious.read_text() == "kept"


def test_a_probe_that_is_stopped_ends(tmp_path: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(InterruptedError):
        probe(tmp_path, stopped)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("closed", [None, "one/closed", "two/lost+found"])
async def test_a_mirror_without_a_sealed_records_copy_is_told_whatever_else_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str | None
) -> None:
    primary, mirror = tmp_path / "one", tmp_path / "two"
    for base, names in ((primary, ("a", "b")), (mirror, ("a",))):
        for name in names:
            (base / name).mkdir(parents=True)
            (base / name / layout.SUMS_SIGNATURE).touch()
    (mirror / "b").mkdir()
    if closed is not None:
        (tmp_path / closed).mkdir()
        forbid(monkeypatch, tmp_path / closed)
    outcome = await DiskCheck().run(context(config(primary, mirror)))
    behind = [one for one in outcome.found if one.code == "mirror_behind"]
    assert [one.values for one in behind] == [{"count": "1", "first": "b"}]
