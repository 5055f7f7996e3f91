"""What a copy's page and ``derivative.json`` say of the hearing is what a verification of the record says of it."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recorder import copy_files
from recorder.copy_story import read_story
from recorder.player_page import player_page
from recorder.readable import Choice, Copied
from recorder.record import entries, layout
from recorder.record.copy_check import check_copy
from recorder.record.journal import Head
from recorder.record.verify import Outside, verify
from tests.lab import browser
from tests.record.record_builder import Builder
from tests.record.test_bindings import bind


@dataclass
class Words:
    """What the copy of a record says, without its media."""

    builder: Builder
    outside: Outside
    out: Path
    choice: Choice = field(default_factory=Choice)

    def __post_init__(self) -> None:
        self.out.mkdir()
        verdict = verify(self.builder.root, self.outside)
        story = read_story(self.builder.root, Head(verdict.entries - 1, verdict.head))
        copied = Copied()
        copy_files.write_page(self.out, story, self.choice, copied, verdict)
        copy_files.sign(self.out, story, self.choice, None, copied, verdict, [])

    @property
    def page(self) -> str:
        return (self.out / "index.html").read_text(encoding="utf-8")

    @property
    def heading(self) -> tuple[str, str]:
        """The page's title and case."""
        found = re.search(r"<h1>(.*?)</h1><p>.*?</span> (.*?)</p>", self.page)
        assert found is not None
        return html.unescape(found[1]), html.unescape(found[2])

    @property
    def story(self) -> dict[str, Any]:
        """What the page's script shows."""
        found = re.search(r'<script type="application/json" id="story">(.*?)</script>', self.page)
        assert found is not None
        told: dict[str, Any] = json.loads(found[1])
        return told

    @property
    def derivative(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.out / "derivative.json").read_text())
        return told


TITLE = "Ақтөбе — court № 2"


def unbound(builder: Builder) -> None:
    """Leave the record with the hearing that it began with."""


def bound_while_it_ran(builder: Builder) -> None:
    builder.entry(entries.Bind(hearing="hearing-7", case="9-9/26", actor="Clerk", reason="another hearing was called"))


@pytest.mark.parametrize(
    ("began_with", "act", "since", "hearing", "heading"),
    [
        ("hearing-1", unbound, (), "hearing-1", (TITLE, "2-44/26")),
        ("", bound_while_it_ran, (), "hearing-7", (TITLE, "9-9/26")),
        ("hearing-1", bound_while_it_ran, (), "hearing-7", ("hearing-7", "9-9/26")),
        ("hearing-1", bound_while_it_ran, ("hearing-8", "hearing-9"), "hearing-9", ("hearing-9", "7599-26")),
        ("", unbound, ("hearing-8",), "hearing-8", (TITLE, "7599-26")),
    ],
)
def test_a_copy_is_of_the_hearing_that_the_record_was_bound_to_last(
    begun: Callable[..., Builder],
    outside: Outside,
    tmp_path: Path,
    began_with: str,
    act: Callable[[Builder], None],
    since: tuple[str, ...],
    hearing: str,
    heading: tuple[str, str],
) -> None:
    builder = begun(hearing=began_with)
    builder.record(2)
    act(builder)
    builder.record(2)
    builder.close()
    bind(builder, *since)
    words = Words(builder, outside, tmp_path / "copy")
    assert words.derivative["hearing"] == hearing
    assert check_copy(words.out, None, 0, workers=1).hearing == hearing
    assert words.heading == heading


def test_a_copy_lists_all_that_was_not_recorded_as_the_verifier_does(
    begun: Callable[..., Builder], outside: Outside, tmp_path: Path
) -> None:
    """What an entry says, what only the media's times show, and what the disk lost in a crash."""
    builder = begun()
    builder.record(2)
    builder.pause(3, "privileged", "counsel confers")
    builder.record(2)
    builder.wait(6)
    builder.record(3)
    builder.put(*builder.fragments())
    segment = max((builder.root / layout.TRACKS / "cam-judge").glob("seg-*"))
    segment.write_bytes(segment.read_bytes()[:-4000])
    builder.recover()
    builder.record(2)
    builder.close()
    words = Words(builder, outside, tmp_path / "copy")
    listed = {(gap["track"], gap["cause"]) for gap in words.story["gaps"]}
    assert listed == {(one.track, one.cause) for one in verify(builder.root, outside).not_recorded}
    assert {"privileged", "unexplained", "damaged", "recorder_down"} == {cause for _, cause in listed}


def test_why_nothing_was_recorded_is_told_to_nobody_who_may_not_have_what_was_said_then(
    begun: Callable[..., Builder], outside: Outside, tmp_path: Path
) -> None:
    builder = begun()
    builder.record(2)
    builder.pause(3, reason="a break for lunch")
    builder.record(2)
    builder.set_level("secret")
    builder.record(2)
    builder.pause(3, reason="witness A is from Abai street")
    builder.record(2)
    builder.close()
    closed = Words(builder, outside, tmp_path / "closed")
    told = [(gap["cause"], gap["detail"]) for gap in closed.story["gaps"]]
    assert told == [("off_record", "a break for lunch (order order 7)"), ("off_record", "")]
    assert closed.derivative["reasons_left_out"] == 1
    assert not [path for path in closed.out.iterdir() if "Abai street" in path.read_text(encoding="utf-8")]
    secret = Words(builder, outside, tmp_path / "secret", Choice(max_level="secret"))
    assert "Abai street" in secret.story["gaps"][1]["detail"]
    assert secret.derivative["reasons_left_out"] == 0


@pytest.mark.lab
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is missing")
def test_a_page_shows_until_when_nothing_was_recorded_only_where_that_is_known(tmp_path: Path) -> None:
    gaps = [
        {"track": "", "cause": "privileged", "from_us": 10_000_000, "to_us": 20_000_000, "detail": "", "by": "", "declared": True},
        {"track": "", "cause": "recorder_down", "from_us": 30_000_000, "to_us": None, "detail": "", "by": "", "declared": True},
        {"track": "cam", "cause": "unplugged", "from_us": 40_000_000, "to_us": None, "detail": "", "by": "", "declared": True},
    ]
    source = {"level": "sealed", "found": []}
    page = player_page(title="", case="", first_us=0, duration_us=90_000_000, notes=[], gaps=gaps, left_out=[], tracks=[], source=source)
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    shown = browser.ask(f"file://{tmp_path}/index.html", "[...document.querySelectorAll('#gaps li')].map(e => e.textContent)")
    assert shown == ["0:00:10 – 0:00:20  all: privileged", "0:00:30 – …  all: recorder down", "0:00:40 – 0:01:30  cam: unplugged"]
