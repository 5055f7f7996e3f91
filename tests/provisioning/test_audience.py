"""``[vks.audience]``: every mistake is told with its place and its remedy, and none of them keeps the room from recording."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.problems import Problem
from provisioning.room_file import check, load
from tests.provisioning.test_room_checks import hierarchy as hierarchy  # noqa: PLC0414 - a fixture is used by its name
from tests.provisioning.test_room_checks import room as room  # noqa: PLC0414 - likewise

WHIP = "https://sfu.example.kz/whip/almaty-3"
Problems = Callable[[str], list[Problem]]


@pytest.fixture
def problems(room: Path) -> Problems:
    """What a check finds under ``[vks]`` of a room that is right otherwise."""
    text = room.read_text()

    def found(whip: str) -> list[Problem]:
        room.write_text(f'{text}\n[speaker]\ndevice = "default"\n[vks]\n[vks.audience]\nwhip = "{whip}"\ntoken = "whip.token"\n')
        return [problem for problem in check(room).problems if problem.where.startswith("vks")]

    return found


@pytest.fixture
def token(room: Path) -> Path:
    path = room.parent / "whip.token"
    path.write_text("eyJhbGciOiJIUzI1NiJ9.e30.c2ln\n")
    path.chmod(0o600)
    return path


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("whip", [WHIP, "https://192.0.2.7:7443/whip", "http://127.0.0.1:8080/whip", "http://[::1]/whip"])
def test_a_server_with_its_token_is_right(room: Path, problems: Problems, whip: str) -> None:
    assert problems(whip) == []
    vks = load(room).vks
    assert vks is not None
    assert vks.audience is not None
    assert vks.audience.token == str(room.parent / "whip.token")


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("whip", "words"),
    [
        ("http://sfu.example.kz/whip", "is not encrypted"),
        ("ftp://sfu.example.kz/whip", "is not encrypted"),
        ("sfu.example.kz/whip", "is no address of a WHIP endpoint"),
        ("https://token@sfu.example.kz/whip", "the token stands in its own file"),
        ("https://sfu.example.kz:port/whip", "is no address"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_right(problems: Problems, whip: str, words: str) -> None:
    (problem,) = problems(whip)
    assert (problem.where, problem.severity) == ("vks.audience.whip", "error")
    assert words in problem.what
    assert problem.line


@pytest.mark.parametrize("content", [None, "", "two words\n", "жетон\n"])
def test_a_file_without_a_token_is_told_and_the_room_is_used_all_the_same(room: Path, problems: Problems, content: str | None) -> None:
    if content is not None:
        (room.parent / "whip.token").write_text(content, encoding="utf-8")
    (problem,) = problems(WHIP)
    assert (problem.where, problem.severity) == ("vks.audience.token", "warning")
    assert load(room).vks is not None


def test_a_token_that_others_can_read_is_told(token: Path, problems: Problems) -> None:
    token.chmod(0o644)
    (problem,) = problems(WHIP)
    assert (problem.where, problem.severity) == ("vks.audience.token", "warning")
    assert problem.remedy == f"chown courtroom-agent {token}; chmod 600 {token}"
