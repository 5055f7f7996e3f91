"""What the centre does beside answering outlives what befalls it: a keeper that fails, an error that nobody expected."""

import asyncio
from pathlib import Path

import msgspec
from structlog.testing import capture_logs

from agent.upstream import contract
from agent.upstream.backoff import Backoff
from agent.upstream.centre.background import keep_on
from agent.upstream.centre.custodian import Custodian
from agent.upstream.centre.sqlite_backend import sqlite_backend
from recorder.record.checkpoint import Receipt
from tests.lab.fronts import CERTIFICATE, sign
from tests.lab.waiting import until


async def test_what_fails_is_told_and_begins_again_until_it_is_cancelled() -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise LookupError(f"number {begun}")
        await asyncio.Event().wait()

    with capture_logs() as logs:
        task = asyncio.create_task(keep_on("the work", work, Backoff(draw=lambda: 0.0)))
        await until(lambda: begun == 4, "the fourth begin")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert [(entry["part"], entry["log_level"]) for entry in logs] == [("the work", "error")] * 3


async def test_a_custodian_waits_for_a_keeper_that_cannot_be_read_and_then_copies_on(tmp_path: Path) -> None:
    (tmp_path / "custodian").mkdir()
    copied = tmp_path / "custodian" / "ledger.jsonl"
    backend, database = sqlite_backend(tmp_path / "centre.sqlite", sign, CERTIFICATE)

    async def countersigned(at: int) -> None:
        await backend.ledger.countersign("room", contract.Head(record="r", at=at, sha256=f"{at:064x}"))

    def counters() -> list[int]:
        return [msgspec.json.decode(line, type=Receipt).counter for line in copied.read_bytes().splitlines()] if copied.exists() else []

    with capture_logs() as logs:
        task = asyncio.create_task(Custodian(backend.ledger, copied.parent).run())
        try:
            await countersigned(1)
            await until(lambda: counters() == [1], "the first copy")
            await database.do(lambda connection: connection.execute("ALTER TABLE receipt RENAME TO away"))
            await until(lambda: bool(logs) or task.done(), "the trouble to be told")
            await database.do(lambda connection: connection.execute("ALTER TABLE away RENAME TO receipt"))
            await countersigned(2)
            await until(lambda: counters() == [1, 2], "what came after")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            database.close()
    assert [entry["event"] for entry in logs] == ["the second custodian does not get the ledger"]
