"""Speech over a link that carries hardly any picture, from a real courtroom to Chromium and back."""

import os
from pathlib import Path

import pytest

from bench.bad_link import Link
from bench.links import GOAL_CONCEALED, GOAL_KBPS, GOAL_UNDERSTOOD, measured
from bench.speech import speech
from tests.lab import browser

pytestmark = [
    pytest.mark.long, pytest.mark.alone, pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(300),
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]  # fmt: skip


def test_speech_is_whole_and_understood_on_a_link_that_carries_hardly_any_picture(tmp_path: Path) -> None:
    seen = measured(tmp_path / "run", Link(kbps=GOAL_KBPS), "ours", speech(tmp_path))
    assert seen.counted["survived"]
    assert seen.concealed <= GOAL_CONCEALED
    assert min(seen.understood, seen.heard, seen.recorded) >= GOAL_UNDERSTOOD


def test_sound_that_a_bad_link_lost_is_whole_in_the_record(tmp_path: Path) -> None:
    seen = measured(tmp_path / "run", Link(loss_percent=5), "ours", speech(tmp_path))
    assert seen.counted["survived"]
    assert seen.recorded >= 0.95, "0.83 where nothing is asked for again"


@pytest.mark.parametrize(("kbps", "width"), [(0, 1280), (3000, 1280), (450, 480)])
def test_who_has_a_good_link_keeps_the_large_picture_and_who_has_not_the_small_one(tmp_path: Path, kbps: int, width: int) -> None:
    """Each visit begins small. What is shown is looked at in the end, half a minute after the first probe."""
    seen = measured(tmp_path / "run", Link(kbps=kbps), "ours", speech(tmp_path))
    assert seen.counted["width"] == width
    assert seen.stalled_s < 1
