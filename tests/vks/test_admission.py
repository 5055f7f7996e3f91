"""Links and what they open: forged, reused, early, expired, foreign and guessed ones open nothing."""

import base64
import hashlib
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract.conference import Invitation
from vks.admission import FAILURES, FORGET_US, MOST_SOURCES, RESUME_US, Admission, NotAdmittedError, Seat

HOUR_US = 3_600_000_000
TOKEN = secrets.token_urlsafe(32)
KEY = secrets.token_bytes(32)


def invited(person: str = "p1", token: str = TOKEN) -> Invitation:
    return Invitation(
        token_sha256=hashlib.sha256(token.encode()).hexdigest(), person=person, name="A. Party", role="party",
        from_utc_us=HOUR_US, until_utc_us=3 * HOUR_US,
    )  # fmt: skip


def admission(hearing: str = "h1", key: bytes = KEY) -> Admission:
    return Admission(hearing, [invited()], key)


def why(call: str, token: str, now_utc_us: int, at: Admission | None = None) -> str:
    at = at or admission()
    with pytest.raises(NotAdmittedError) as refused:
        at.join(token, "phone", "s", now_utc_us) if call == "join" else at.resume(token, "s", now_utc_us)
    return refused.value.why


def test_a_link_opens_its_seat_within_its_time_as_often_as_it_is_used() -> None:
    for device in ("phone", "tablet"):
        seat = admission().join(TOKEN, device, "s", HOUR_US)
        assert (seat.person, seat.name, seat.role, seat.device, seat.hearing) == ("p1", "A. Party", "party", device, "h1")
    assert why("join", TOKEN, HOUR_US - 1) == "early"
    assert why("join", TOKEN, 3 * HOUR_US) == "expired"
    assert why("join", TOKEN[:-1], HOUR_US) == "unknown"
    assert why("join", "x" * 100_000, HOUR_US) == "unknown"


def test_a_device_comes_back_to_its_seat_also_after_a_new_start() -> None:
    token = admission().resume_token(admission().join(TOKEN, "phone", "s", HOUR_US))
    assert admission().resume(token, "s", 2 * HOUR_US).device == "phone"
    assert why("resume", token, HOUR_US + RESUME_US) == "expired"


def test_a_resume_token_of_another_hearing_room_or_person_opens_nothing() -> None:
    token = admission().resume_token(admission().join(TOKEN, "phone", "s", HOUR_US))
    assert why("resume", token, HOUR_US, admission("h2")) == "unknown"
    assert why("resume", token, HOUR_US, admission(key=secrets.token_bytes(32))) == "unknown"
    assert why("resume", token, HOUR_US, Admission("h1", [invited("p2")], KEY)) == "unknown"


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_a_resume_token_can_be_changed(at: int, bit: int) -> None:
    token = admission().resume_token(admission().join(TOKEN, "phone", "s", HOUR_US))
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[at % len(raw)] ^= 1 << bit
    assert why("resume", base64.urlsafe_b64encode(raw).decode().rstrip("="), HOUR_US) == "unknown"


@given(st.text(max_size=2_000))
def test_no_text_is_more_than_an_unknown_token(text: str) -> None:
    assert why("resume", text, HOUR_US) == "unknown"
    assert why("join", text, HOUR_US) == "unknown"


def test_who_guesses_is_told_to_wait_and_nobody_else_suffers_behind_the_same_address_either() -> None:
    at = admission()
    for n in range(FAILURES):
        assert why("join", f"guess {n}", HOUR_US, at) == "unknown"
    assert why("join", "guess", HOUR_US + 1, at) == why("resume", "guess", HOUR_US + 1, at) == "too_many"
    seat = at.join(TOKEN, "phone", "s", HOUR_US + 1)
    assert at.resume(at.resume_token(seat), "s", HOUR_US + 1) == seat
    assert why("join", "guess", HOUR_US + FORGET_US, at) == "unknown"


def test_guessing_from_many_sources_takes_no_more_memory() -> None:
    at = admission()
    for n in range(MOST_SOURCES + 100):
        with pytest.raises(NotAdmittedError):
            at.join("guess", "phone", f"source {n}", HOUR_US)
    assert len(at._failures) == MOST_SOURCES


def test_the_seat_is_in_the_token_and_nothing_secret_is() -> None:
    token = admission().resume_token(
        Seat(hearing="h1", person="p1", name="A", role="party", device="d", until_utc_us=1)
    )  # fmt: skip
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b'"p1"' in raw
    assert KEY not in raw
    assert TOKEN.encode() not in raw
