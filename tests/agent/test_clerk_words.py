"""What the clerk reads, and when the room counts as empty."""

import json
import zoneinfo
from pathlib import Path
from typing import get_args

import pytest

from agent.actions import Prompt, PromptCode
from agent.prompt_words import asks, command, say
from agent.quiet import Quiet, read_floors
from tests.agent.statuses import sound, status, video

ALMATY = zoneinfo.ZoneInfo("Asia/Almaty")
ARGS: dict[str, int | str] = {
    "starts_utc_us": 1_795_000_000_000_000, "late_s": 420, "closes_in_s": 45, "next": "2026-18", "change": "moved", "detail": "no room",
}  # fmt: skip


@pytest.mark.parametrize("code", get_args(PromptCode))
def test_every_prompt_is_said_in_three_languages_with_all_that_the_clerk_needs(code: PromptCode) -> None:
    prompt = Prompt(code=code, hearing="2026-17", session="s-1", args=ARGS)
    said = {language: say(prompt, language, ALMATY) for language in ("kk", "ru", "en")}
    assert len(set(said.values())) == 3
    for text in said.values():
        assert "{" not in text
        assert ("2026-17" in text) == ("2026-17" in said["en"])
        assert ("2026-18" in text) == ("2026-18" in said["en"])


def test_times_are_the_courtrooms_and_changes_are_words() -> None:
    assert "(18:06)" in say(Prompt(code="start_due", hearing="H", args={"starts_utc_us": 1_795_007_200_000_000}), "en", ALMATY)
    assert "moved to another room" in say(Prompt(code="hearing_changed", hearing="H", args={"change": "moved"}), "en", ALMATY)
    assert "7 min late" in say(Prompt(code="late", hearing="H", args={"late_s": 420}), "en", ALMATY)


def test_what_only_tells_asks_nothing() -> None:
    assert asks(Prompt(code="forgotten_stop"))
    assert not asks(Prompt(code="recorder_unreachable"))


@pytest.mark.parametrize(
    ("prompt", "typed"),
    [
        (Prompt(code="not_started", hearing="H1"), 'courtroom hearing not-held H1 --reason "WHY" --by NAME'),
        (Prompt(code="bind_session", hearing="local:x", session="s-1"), "courtroom hearing bind HEARING --session s-1 --by NAME"),
        (Prompt(code="bind_session", session="s-1", args={"next": "H2"}), "courtroom hearing bind H2 --session s-1 --by NAME"),
        (Prompt(code="wrong_case", hearing="H1", session="s-1", args={"next": "H2"}), "courtroom hearing bind H2 --session s-1 --by NAME"),
    ],
)
def test_what_asks_for_more_than_yes_or_no_names_the_command_that_answers_it(prompt: Prompt, typed: str) -> None:
    assert (asks(prompt), command(prompt)) == (False, typed)


def test_microphones_that_give_digital_zero_are_no_empty_room_unless_the_baseline_says_that_it_sounds_so() -> None:
    dead, gated, one_late = Quiet({"judge": -55.0}), Quiet({"judge": -120.0}), Quiet()
    for at_s in range(900):
        zero = sound(rms_dbfs=-120.0)
        dead.feed(status(zero, video(units=at_s)), float(at_s))
        gated.feed(status(zero, video(units=at_s)), float(at_s))
        one_late.feed(status(sound(rms_dbfs=-120.0 if at_s % 60 else -75.0), sound("bar", rms_dbfs=-80.0)), float(at_s))
    assert dead.quiet_s(899.0) == 0.0, "a mixer that is dead hears nobody of those who speak"
    assert (gated.quiet_s(899.0), one_late.quiet_s(899.0)) == (899.0, 899.0)


def test_the_room_is_quiet_since_somebody_was_last_heard() -> None:
    quiet = Quiet({"judge": -55.0})
    assert quiet.quiet_s(0.0) is None
    for at_s in range(100):
        quiet.feed(status(sound(rms_dbfs=-30.0 if at_s == 40 else -50.0)), float(at_s))
    assert quiet.quiet_s(99.0) == 59.0
    assert quiet.quiet_s(110.0) is None, "an old word says nothing"


def test_silence_is_never_claimed_of_a_time_that_nobody_listened() -> None:
    quiet = Quiet()
    quiet.feed(status(sound(rms_dbfs=-100.0)), 0.0)
    quiet.feed(status(sound(rms_dbfs=-100.0)), 600.0)
    assert quiet.quiet_s(600.0) == 0.0, "the recorder was away meanwhile"
    for at_s in range(601, 700):
        quiet.feed(status(sound(rms_dbfs=-100.0), state="deliberation"), float(at_s))
    assert quiet.quiet_s(699.0) == 0.0, "levels are dropped then"
    quiet.feed(status(video()), 700.0)
    assert quiet.quiet_s(700.0) == 0.0, "without a microphone nothing can be said"


def test_a_microphone_without_a_baseline_counts_rather_as_heard() -> None:
    quiet = Quiet()
    for at_s in range(10):
        quiet.feed(status(sound(rms_dbfs=-58.0)), float(at_s))
    assert quiet.quiet_s(9.0) == 0.0


def test_a_baseline_that_is_broken_is_none(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"tracks": {"judge": {"floor_dbfs": -62.5}, "cam": {"brightness": 3}}}))
    assert read_floors(str(path)) == {"judge": -62.5}
    path.write_text("[]")
    assert read_floors(str(path)) == {}
    assert read_floors("") == read_floors(str(tmp_path / "none.json")) == {}
