"""What a copy's page, and who prints a verdict, say of a record that is proven but for a part that nobody had signed."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from recorder.copy_files import source_of
from recorder.player_page import player_page
from recorder.record.cli import show
from recorder.record.verdict import UNSIGNED_STRETCH, Finding, ProofLevel, Verdict

STRETCH = Finding(UNSIGNED_STRETCH, "doubt", "entries 20 to 60", "20.0 s were signed by nobody")
TOLD = "entries 20 to 60: 20.0 s were signed by nobody"


@pytest.mark.parametrize(
    ("level", "told"), [("sealed", "unsigned"), ("anchored", "unsigned"), ("signed_only", "signed_only"), ("unsealed", "unsealed")]
)
def test_the_page_warns_of_what_is_not_proven_and_names_it(level: ProofLevel, told: str) -> None:
    source = source_of(Verdict(level=level, findings=[STRETCH]))
    assert (source["level"], source["found"][-1]) == (told, TOLD)
    page = player_page(title="", case="", first_us=0, duration_us=1, notes=[], gaps=[], left_out=[], tracks=[], source=source)
    found = re.search(r"const words = (\{.*?\n\});", page, re.DOTALL)
    assert found is not None
    assert all(words["source"][told] for words in json.loads(found[1]).values()), "it has words for it in each language"


@pytest.mark.parametrize("level", ["sealed", "anchored"])
def test_of_a_record_that_is_proven_it_says_nothing(level: ProofLevel) -> None:
    assert source_of(Verdict(level=level)) == {"level": level, "found": []}


def test_a_verdict_is_green_only_where_all_is_proven() -> None:
    for findings, colour in (([], "32m"), ([STRETCH], "33m")):
        console = Console(force_terminal=True, color_system="standard", width=200)
        with console.capture() as printed:
            show(console, Path("record"), Verdict(level="sealed", findings=findings))
        assert colour in printed.get().splitlines()[0]
