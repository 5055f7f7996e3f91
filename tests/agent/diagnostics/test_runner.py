"""The run of all checks: none stops another, none outlives its deadline, none disturbs a hearing; the report is told in three languages."""

import asyncio
import re
import string
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.diagnostics import words
from agent.diagnostics.check import Context, Found, Outcome
from agent.diagnostics.registry import CHECKS
from agent.diagnostics.report import Report
from agent.diagnostics.runner import HearingRunsError, run_checks
from agent.upstream import contract
from tests.agent.diagnostics.contexts import config, context, status

ROOT = Path(__file__).parents[3]


class Good:
    name, version, deadline_s = "clock", 1, 1.0

    async def run(self, _: Context) -> Outcome:
        return Outcome([Found("good", "clock_good", {"source": "chrony", "error": "1.0"})], {"error_ms": 1.0})


class Fails:
    name, version, deadline_s = "smart", 1, 1.0

    async def run(self, _: Context) -> Outcome:
        raise KeyError("surprise")


class Hangs:
    name, version = "disk", 1

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s

    async def run(self, _: Context) -> Outcome:
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                if time.monotonic() > self.until_s:
                    raise

    until_s = 0.0


async def test_a_failing_and_a_hanging_check_stop_no_other(tmp_path: Path) -> None:
    began_s = time.monotonic()
    report = await run_checks([Hangs(0.3), Fails(), Good()], context(config(tmp_path)))
    assert time.monotonic() - began_s < 2
    assert [(one.name, one.outcome.result) for one in report.done] == [("disk", "bad"), ("smart", "unknown"), ("clock", "good")]
    assert [one.outcome.found[0].code for one in report.done] == ["check_hangs", "check_failed", "clock_good"]
    assert (report.worst, report.exit_status) == ("bad", 2)


async def test_a_check_that_refuses_to_end_is_left_behind(tmp_path: Path) -> None:
    stubborn = Hangs(0.2)
    stubborn.until_s = time.monotonic() + 1
    report = await asyncio.wait_for(run_checks([stubborn, Good()], context(config(tmp_path))), 3)
    assert [one.outcome.result for one in report.done] == ["bad", "good"]
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.sleep(1)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def test_nothing_is_run_while_a_hearing_is_recorded(tmp_path: Path) -> None:
    for state in ("open", "off_record", "deliberation", "closing"):
        with pytest.raises(HearingRunsError, match="when it is closed"):
            await run_checks([Good()], context(config(tmp_path), now=status([], state=state)))


async def test_a_hearing_that_begins_stops_the_checks_at_once(tmp_path: Path) -> None:
    began_s = time.monotonic()
    it = replace(context(config(tmp_path)), status=lambda: status([], state="open" if time.monotonic() - began_s > 0.3 else "idle"))
    report = await run_checks([Hangs(60), Good()], it)
    assert time.monotonic() - began_s < 3
    assert [one.outcome.found[0].code for one in report.done] == ["check_stopped", "clock_good"]


async def test_the_report_is_the_same_bytes_for_the_same_findings_and_fits_the_contract(tmp_path: Path) -> None:
    report = await run_checks([Good(), Fails()], context(config(tmp_path)), lambda: 1_795_000_000_000_000)
    again = Report(room=report.room, utc_us=report.utc_us, done=list(report.done))
    assert report.signing_text() == again.signing_text()
    assert report.signing_text().startswith(b"courtroom-diagnostics-v1\n{")
    done = contract.DiagnosticsDone(hearing="", reason="operator", checks=report.results())
    assert all(isinstance(one, contract.CheckResult) for one in done.checks)
    changed = Report(room=report.room, utc_us=report.utc_us, done=report.done[:1])
    assert changed.signing_text() != report.signing_text()


async def test_people_read_it_in_their_language_with_what_to_do(tmp_path: Path) -> None:
    report = await run_checks([Good(), Fails()], context(config(tmp_path)), lambda: 1_795_000_000_000_000)
    assert "Clock: good. chrony: at most 1.0 ms off." in report.words("en")
    assert "Часы: хорошо." in report.words("ru")
    assert "Сағат: жақсы." in report.words("kk")
    assert "→ Look into the agent's log" in report.words("en")


def test_every_code_has_its_words_in_three_languages_with_the_same_gaps() -> None:
    for table in (words.DETAILS, words.REMEDIES, words.CHECK_NAMES, words.RESULT_NAMES, words.SUMMARY):
        for code, said in table.items():
            assert set(said) == {"kk", "ru", "en"}, code
            gaps = {language: {name for _, name, _, _ in string.Formatter().parse(text) if name} for language, text in said.items()}
            assert gaps["kk"] == gaps["ru"] == gaps["en"], code


def test_every_code_that_a_check_can_find_has_words_and_what_is_not_good_a_remedy() -> None:
    found = set()
    for source in (ROOT / "agent/diagnostics").glob("*.py"):
        text = source.read_text(encoding="utf-8")
        found |= set(re.findall(r'Found\(\s*(.+?), "([a-z_]+)"', text))
        found |= {('"bad"', code) for one in re.findall(r'"bad", "(\w+)" if [^"]+ else "(\w+)"', text) for code in one}
    codes = {code for _, code in found}
    assert {"disk_slow", "device_missing", "device_unreached", "check_hangs", "clock_apart"} <= codes, "the search itself finds codes"
    assert codes <= set(words.DETAILS)
    assert set(words.DETAILS) <= codes, "words that nothing says"
    told = {code for result, code in found if result != '"good"'} - {"smart_none"}  # nothing is to be done on a network disk
    assert told <= set(words.REMEDIES)


def test_the_registered_checks_have_names_for_people_and_a_deadline() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.name in words.CHECK_NAMES
        assert 0 < check.deadline_s <= 60
        assert check.version >= 1
