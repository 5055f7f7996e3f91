"""``[vks.turn]``: every mistake is told with its place and its remedy, and none of them keeps the room from recording."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.problems import Problem
from provisioning.room_file import check, load
from tests.provisioning.test_room_checks import hierarchy as hierarchy  # noqa: PLC0414 - a fixture is used by its name
from tests.provisioning.test_room_checks import room as room  # noqa: PLC0414 - likewise

UDP, TLS = "turn:turn.example.kz:3478?transport=udp", "turns:turn.example.kz:443?transport=tcp"
Problems = Callable[[str], list[Problem]]


@pytest.fixture
def problems(room: Path) -> Problems:
    """What a check finds under ``[vks]`` of a room that is right otherwise."""
    text = room.read_text()

    def found(stanza: str) -> list[Problem]:
        room.write_text(f'{text}\n[speaker]\ndevice = "default"\n[vks]\n[vks.turn]\n{stanza}\n')
        return [problem for problem in check(room).problems if problem.where.startswith("vks")]

    return found


@pytest.fixture
def secret(room: Path) -> Path:
    path = room.parent / "turn.secret"
    path.write_text("4f0c6d4be1a9a7d2c3b8\n")
    path.chmod(0o600)
    return path


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("more", ["", f'for_room = "{TLS}"'])
def test_a_server_with_its_secret_is_right(problems: Problems, more: str) -> None:
    urls = [UDP, TLS, "turn:[2001:db8::1]", "turn:192.0.2.1:80?transport=tcp"]
    assert problems(f'urls = {urls}\nsecret = "turn.secret"\n{more}') == []


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    ("stanza", "place", "words"),
    [
        (f'urls = ["{UDP}", "turn.example.kz:3478"]', "vks.turn.urls[2]", "write turn:HOST:3478?transport=udp"),
        ('urls = ["https://turn.example.kz"]', "vks.turn.urls[1]", "is no address of a TURN server"),
        ('urls = ["turn:turn.example.kz:99999"]', "vks.turn.urls[1]", "is no address of a TURN server"),
        ('urls = ["turns:turn.example.kz?transport=udp"]', "vks.turn.urls[1]", "which no browser has"),
        (f'urls = ["{UDP}"]\nfor_room = "turn.example.kz"', "vks.turn.for_room", "is no address of a TURN server"),
        ("urls = []", "vks.turn.urls", "urls = ["),
        (f'urls = ["{TLS}"]', "vks.turn", "name in for_room by which address"),
        (f'urls = ["{UDP}"]\nusername = "room"', "vks.turn.username", "is not known here"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_right(problems: Problems, stanza: str, place: str, words: str) -> None:
    (problem,) = problems(f'{stanza}\nsecret = "turn.secret"')
    assert (problem.where, problem.severity) == (place, "error")
    assert words in f"{problem.what} {problem.remedy}"
    assert problem.line


def test_a_server_without_a_secret_is_told_how_it_is_named(problems: Problems) -> None:
    (problem,) = problems(f'urls = ["{UDP}"]')
    assert problem.where == "vks.turn.secret"
    assert "/etc/courtroom/turn.secret" in problem.remedy


@pytest.mark.parametrize("content", [None, "", "short\n", "two words that are long\n", "секрет" * 9])
def test_a_file_without_a_secret_is_told_and_the_room_is_used_all_the_same(room: Path, problems: Problems, content: str | None) -> None:
    if content is not None:
        (room.parent / "turn.secret").write_text(content)
    (problem,) = problems(f'urls = ["{UDP}"]\nsecret = "turn.secret"')
    assert (problem.where, problem.severity) == ("vks.turn.secret", "warning")
    assert "openssl rand -hex 32" in problem.remedy
    assert load(room).vks is not None


def test_a_secret_that_others_can_read_is_told(secret: Path, problems: Problems) -> None:
    secret.chmod(0o644)
    (problem,) = problems(f'urls = ["{UDP}"]\nsecret = "turn.secret"')
    assert "can be read by other users" in problem.what
    assert "chmod 600" in problem.remedy
