"""The agent is killed while it writes: what it called durable is there, once, and facts and events tell the same."""

import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.agent.plans import opened


def rounds_of_kill(path: Path, rounds: int) -> None:
    random, durable, epochs = Random(7), 0, set()
    for _ in range(rounds):
        command = [sys.executable, "-m", "tests.agent.writes_until_killed", str(path)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for _ in range(random.randint(1, 40)):
                durable = int(process.stderr.readline())
            process.kill()
            durable = max([durable, *(int(line) for line in process.stderr.read().split("\n")[:-1])])
        store = opened(path)
        rows = store._db.execute("SELECT data FROM outbox ORDER BY seq").fetchall()
        numbers = [msgspec.json.decode(row[0])["number"] for row in rows]
        assert numbers == list(range(1, len(numbers) + 1))
        assert durable <= len(numbers) <= durable + 1
        assert len(store.facts.hearings) == len(numbers), "a fact without its event, or an event without its fact"
        epochs.add(store.outbox.epoch)
        store.close()
    assert len(epochs) == 1


def test_what_was_durable_survives_kill_9_and_facts_agree_with_events(tmp_path: Path) -> None:
    rounds_of_kill(tmp_path / "agent.db", 5)


@pytest.mark.long
def test_what_was_durable_survives_thirty_kills(tmp_path: Path) -> None:
    rounds_of_kill(tmp_path / "agent.db", 30)
