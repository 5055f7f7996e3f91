"""The second custodian's file: whole whatever befalls its disk, and of one ledger alone."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.upstream import contract
from agent.upstream.centre.backend import Backend
from agent.upstream.centre.custodian import Custodian
from agent.upstream.centre.sqlite_backend import sqlite_backend
from recorder.record.anchors import parse_ledger
from tests.lab.fronts import CERTIFICATE, sign


@asynccontextmanager
async def centre(path: Path) -> AsyncIterator[Backend]:
    backend, database = sqlite_backend(path, sign, CERTIFICATE)
    try:
        yield backend
    finally:
        database.close()


async def countersign(backend: Backend, *at: int, record: str = "r") -> None:
    for each in at:
        await backend.ledger.countersign("room", contract.Head(record=record, at=each, sha256=f"{each:064x}"))


def counters(file: Path) -> list[int]:
    return [receipt.counter for receipt in parse_ledger(file.read_bytes())]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "custodian"
    made.mkdir()
    return made


async def test_after_a_restore_from_a_copy_all_that_is_given_comes_into_a_file_of_its_own(tmp_path: Path, directory: Path) -> None:
    async with centre(tmp_path / "c.sqlite") as backend:
        await countersign(backend, 1)
    shutil.copy(tmp_path / "c.sqlite", tmp_path / "copy.sqlite")
    async with centre(tmp_path / "c.sqlite") as backend:
        await countersign(backend, 2, 3)
        await Custodian(backend.ledger, directory).copy()
    before = (directory / "ledger.jsonl").read_bytes()
    async with centre(tmp_path / "copy.sqlite") as backend:
        await Custodian(backend.ledger, directory).copy()  # the ledger is shorter now
        await countersign(backend, 1, 2, 3, 4, record="other")
        for _ in range(2):
            await Custodian(backend.ledger, directory).copy()
        given = await backend.ledger.after(0, 100)
    assert (directory / "ledger.jsonl").read_bytes() == before
    assert parse_ledger((directory / "ledger-2.jsonl").read_bytes()) == list(given)
    assert not (directory / "ledger-3.jsonl").exists()


async def test_a_ledger_that_is_another_at_the_same_counter_is_noticed(tmp_path: Path, directory: Path) -> None:
    for name in ("one", "two"):
        async with centre(tmp_path / f"{name}.sqlite") as backend:
            await countersign(backend, 1, 2, record=name)
            await Custodian(backend.ledger, directory).copy()
    assert [counters(directory / name) for name in ("ledger.jsonl", "ledger-2.jsonl")] == [[1, 2], [1, 2]]


async def test_a_disk_that_was_away_gets_what_it_missed(tmp_path: Path, directory: Path) -> None:
    away, under, mount_point = tmp_path / "away", tmp_path / "under", tmp_path / "mount-point"
    shutil.copytree(directory, mount_point)
    async with centre(tmp_path / "c.sqlite") as backend:
        custodian = Custodian(backend.ledger, directory)
        await countersign(backend, 1, 2, 3)
        await custodian.copy()
        shutil.move(directory, away)
        shutil.move(mount_point, directory)  # what is at its mount point while it is unmounted
        await countersign(backend, 4, 5)
        await custodian.copy()
        shutil.move(directory, under)
        shutil.move(away, directory)
        await countersign(backend, 6)
        await custodian.copy()
    assert counters(directory / "ledger.jsonl") == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("torn", [b'{"at":1,"certi', b'{"at":1,"certificate":"\xff\xfe', b"\x00" * 100, b"\x00" * 200_000 + b"}\n{"])
async def test_a_torn_line_is_cut_off_and_comes_again(tmp_path: Path, directory: Path, torn: bytes) -> None:
    file = directory / "ledger.jsonl"
    async with centre(tmp_path / "c.sqlite") as backend:
        await countersign(backend, 1, 2, 3)
        await Custodian(backend.ledger, directory).copy()
        os.truncate(file, file.read_bytes().rfind(b"\n", 0, -1) + 1)
        with file.open("ab") as damaged:
            damaged.write(torn)
        await Custodian(backend.ledger, directory).copy()
    assert counters(file) == [1, 2, 3]


async def test_what_somebody_else_wrote_behind_receipts_is_left_as_it_is(tmp_path: Path, directory: Path) -> None:
    """As a later version of this program may, which is taken back."""
    file = directory / "ledger.jsonl"
    async with centre(tmp_path / "c.sqlite") as backend:
        await countersign(backend, 1, 2)
        await Custodian(backend.ledger, directory).copy()
        with file.open("ab") as end:
            end.write(b'{"counter":3,"of":"another form"}\n')
        before = file.read_bytes()
        await countersign(backend, 3)
        for _ in range(2):
            await Custodian(backend.ledger, directory).copy()
    assert file.read_bytes() == before
    assert counters(directory / "ledger-2.jsonl") == [1, 2, 3]
