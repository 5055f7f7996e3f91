"""What `courtroom centre` refuses, in one line that says what to do, and what it writes."""

import pytest

from agent.upstream.centre import admin
from tests.lab.centre import Centre
from tests.lab.events import hearing


def test_a_hearing_that_ends_before_it_begins_is_refused_from_a_file_too(shared: Centre) -> None:
    with pytest.raises(admin.AdminError, match="'cli-2' ends before it begins; none of the file was taken"):
        shared.plan(hearing("cli-1", "cli"), hearing("cli-2", "cli", starts_utc_us=1_000_000, ends_utc_us=1_000_000))
    assert shared.ask(admin.PutSchedule(hearings=[hearing("cli-1", "cli")]))["changed"] == 1
