"""What was said lies later in the mix of a language channel: a level order does not leave it behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import keys as key_files
from provisioning.keys import Hierarchy
from recorder.record.levels import Levels
from recorder.record.order import read_order
from recorder.seal import read_journal
from tests.record.ordering import Ordered, ordered

KK = "remote-channel-kk"
S = 1_000_000


@pytest.fixture(scope="module")
def whole(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Ordered:
    """Not to be changed."""
    return ordered(tmp_path_factory.mktemp("mixed"), keys, keys.court, tracks={"mic-judge": ("audio", 200), KK: ("audio", 200)})


@pytest.fixture
def it(whole: Ordered, tmp_path: Path) -> Ordered:
    return whole.copied(tmp_path / "record")


def test_what_an_interval_held_is_raised_in_the_mix_for_as_long_as_it_may_be_late(it: Ordered, keys: Hierarchy, tmp_path: Path) -> None:
    key = key_files.write(keys, tmp_path / "keys").court_key
    done = command(it, key, "--level", "secret", "--from", "9", "--to", "9.5")
    assert done.returncode == 0, done.stderr
    assert f"{KK} may have it for two seconds more" in done.stdout
    assert f"{KK} from 00:00:09.500000 to 00:00:11.500000 are 'secret'" in done.stdout
    levels = levels_of(it)
    assert [levels.at(KK, at_s * S) for at_s in (8, 9, 10, 11)] == ["open", "secret", "secret", "secret"]
    assert [levels.at("mic-judge", at_s * S) for at_s in (8, 9, 10, 11)] == ["open", "secret", "open", "open"]
    assert levels.at(KK, 11_600_000) == "open"
    whole = command(it, key, "--level", "secret", "--from", "8")
    assert "two seconds more" not in whole.stdout, "there is nothing behind the end"


def test_an_order_that_does_not_name_the_mix_is_told_of_it(it: Ordered) -> None:
    assert it.order(tracks=("mic-judge",), from_us=9 * S, to_us=10 * S).mixes.unnamed == (KK,)
    assert it.order(tracks=("mic-judge",), from_us=5 * S, to_us=6 * S).mixes.unnamed == (), "it is secret there"


def test_a_lowered_interval_may_begin_with_what_was_said_before_it(it: Ordered) -> None:
    mixes = it.order(level="open", from_us=6 * S, to_us=7 * S).mixes
    assert (mixes.before, mixes.before_level, mixes.before_to_us) == ((KK,), "secret", 7 * S)
    assert it.order(level="open", from_us=4 * S, to_us=8 * S).mixes.before == (), "what was said before it was open"


def levels_of(it: Ordered) -> Levels:
    levels = Levels()
    for line, entry in read_journal(it.root):
        levels.take(line, entry)
    for number, path in enumerate(sorted((it.root / "orders").glob("*.json")), 1):
        levels.obey(read_order(path.read_bytes(), number))
    return levels


def command(it: Ordered, key: Path, *words: str) -> subprocess.CompletedProcess[str]:
    wish = ["--actor", "Judge", "--order", "No 12/3", "--key", str(key)]
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", "level", str(it.root), *wish, *words], check=False, capture_output=True, text=True, timeout=60
    )
