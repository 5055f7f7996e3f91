"""A room.toml that is wrong: told by each process in one way, and waited for where its unit says so."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioning import mending
from provisioning.mending import WAIT_S, WRONG_STATUS, load_or_wait

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_every_unit_waits_for_the_file_whose_mistake_its_process_told_once(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    command = re.findall(r"^ExecStart=\S+/courtroom (.+?) --config", text, flags=re.MULTILINE)[0].split()
    waited_s = float(re.findall(rf"^Environment={WAIT_S}=(.+)$", text, flags=re.MULTILINE)[0])
    assert waited_s >= 30
    config = tmp_path / "room.toml"
    config.write_text("[room\n", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", *command, "--config", str(config)],
        stderr=subprocess.PIPE, text=True, env=dict(os.environ, COLUMNS="500") | {WAIT_S: "60"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert f"{config}:1" in told
        began_s = time.monotonic()
        config.write_text("[room]\n", encoding="utf-8")
        assert process.wait(20) == WRONG_STATUS
        assert time.monotonic() - began_s < 20
        assert str(config) not in process.stderr.read(), "once"
    finally:
        process.kill()
        process.communicate()


class Clock:
    """Time that passes only where it is slept through; the file is another after so many seconds."""

    def __init__(self, config: Path, mended_s: float) -> None:
        self.now_s = 0.0
        self._config, self._mended_s = config, mended_s

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self._mended_s:
            self._config.write_text("id = 1\n", encoding="utf-8")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("wait_s", "mended_s", "ends_s"), [("", 5, 0), ("60", 5, 5), ("60", 500, 60)])
def test_a_file_is_waited_for_until_it_is_another_and_no_longer_than_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, wait_s: str, mended_s: float, ends_s: float
) -> None:
    config = tmp_path / "room.toml"
    if there:
        config.write_text("[room\n", encoding="utf-8")
    clock = Clock(config, mended_s)
    monkeypatch.setattr(mending, "time", clock)
    monkeypatch.delenv(WAIT_S, raising=False)
    if wait_s:
        monkeypatch.setenv(WAIT_S, wait_s)
    told: list[str] = []
    assert load_or_wait(config, told.append) is None
    assert clock.now_s == ends_s
    assert len(told) == 1


def test_a_file_that_is_mended_while_it_is_read_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "room.toml"
    config.write_text("[room\n", encoding="utf-8")
    clock = Clock(config, 500)
    monkeypatch.setattr(mending, "time", clock)
    monkeypatch.setenv(WAIT_S, "60")

    def mended(_: str) -> None:
        other = config.with_suffix(".new")
        other.write_text("[room]\n", encoding="utf-8")
        other.replace(config)

    assert load_or_wait(config, mended) is None
    assert clock.now_s == 0


def test_a_wait_that_is_no_number_is_named_and_costs_the_mistake_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "room.toml"
    config.write_text("[room\n", encoding="utf-8")
    monkeypatch.setenv(WAIT_S, "a minute")
    told: list[str] = []
    assert load_or_wait(config, told.append) is None
    assert [f"{config}:1" in told[0], f"{WAIT_S}='a minute'" in told[1]] == [True, True]
