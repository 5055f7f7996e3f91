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
from recorder.readable import Choice, Copied
from recorder.record import entries
from recorder.record.copy_check import check_copy
from recorder.record.journal import Head
from recorder.record.verify import Outside, verify
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
        copy_files.write_page(self.out, story, copied, verdict)
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
