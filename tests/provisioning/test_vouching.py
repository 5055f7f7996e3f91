"""``[vks.vouching]``: a mistake in it is told, and keeps nobody from the room."""

from pathlib import Path

import pytest

from provisioning.room_file import check, load
from tests.lab.persons import Persons
from tests.provisioning.test_room_checks import hierarchy as hierarchy  # noqa: PLC0414 - a fixture is used by its name
from tests.provisioning.test_room_checks import room as room  # noqa: PLC0414 - likewise
from vks import cli


def configured(room: Path, stanza: str) -> Path:
    room.write_text(f'{room.read_text()}\n[ingest]\nenabled = true\n[speaker]\ndevice = "default"\n[vks]\n{stanza}\n')
    return room


def test_an_authority_is_found_beside_the_configuration_and_read(room: Path) -> None:
    Persons(room.parent / "persons")
    configured(room, '[vks.vouching]\nca = "persons/roots.pem"')
    assert [problem for problem in check(room).problems if problem.where.startswith("vks")] == []
    own = load(room).vks
    assert own is not None
    assert [one.subject.rfc4514_string() for one in cli.roots_of(own)] == ["CN=Test persons,C=KZ"]


def test_without_an_authority_nobodys_signature_vouches(room: Path) -> None:
    own = load(configured(room, "")).vks
    assert own is not None
    assert cli.roots_of(own) == []


@pytest.mark.parametrize("content", [None, "nothing"])
def test_an_authority_that_cannot_be_used_is_told_and_the_conference_runs_without(
    room: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (room.parent / "roots.pem").write_text(content)
    configured(room, '[vks.vouching]\nca = "roots.pem"')
    found = [problem for problem in check(room).problems if problem.where.startswith("vks")]
    assert [(problem.where, problem.severity) for problem in found] == [("vks.vouching.ca", "warning")]
    own = load(room).vks
    assert own is not None
    assert cli.roots_of(own) == []
    assert "no signature vouches for anybody" in capsys.readouterr().err
