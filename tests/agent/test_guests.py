"""Who was invited to a hearing here, as the agent's file keeps it."""

from pathlib import Path

import pytest

from agent.guests import KEPT_US, MOST, Guests, GuestsError

HOUR_US = 3_600_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guests.json"


def invite(guests: Guests, name: str, now_utc_us: int = 0) -> str:
    """Invite somebody for an hour; returns the person's id."""
    person, _ = guests.invite("h1", name, "party", now_utc_us, now_utc_us + HOUR_US, now_utc_us)
    return person


def test_nobody_is_given_the_id_of_somebody_who_was_withdrawn(path: Path) -> None:
    guests = Guests(path)
    assert invite(guests, "A. Party") == "g1"
    assert guests.withdraw("h1", "g1")
    assert invite(guests, "B. Party") == "g2", "whoever still holds g1's resume token must not come back as somebody else"
    assert guests.withdraw("h1", "g2")
    assert invite(Guests(path), "C. Party") == "g3", "a new start of the agent remembers"


def test_nobody_is_given_the_id_of_somebody_who_was_forgotten(path: Path) -> None:
    guests = Guests(path)
    assert invite(guests, "A. Party") == "g1"
    assert invite(guests, "B. Party", HOUR_US + KEPT_US) == "g2"
    assert [one.name for one in guests.of("h1")] == ["B. Party"]


def test_a_file_that_had_no_count_yet_gives_no_id_twice(path: Path) -> None:
    guests = Guests(path)
    assert invite(guests, "A. Party") == "g1"
    path.write_text(path.read_text().replace(',"made":1', ""))
    assert invite(Guests(path), "B. Party") == f"g{MOST + 2}"


@pytest.mark.parametrize("broken", [b"{", b'{"secret": "\xff"}'])
def test_a_file_that_cannot_be_read_is_told_and_not_taken_for_none(path: Path, broken: bytes) -> None:
    path.write_bytes(broken)
    with pytest.raises(GuestsError, match="set it aside"):
        Guests(path)
    assert path.read_bytes() == broken
