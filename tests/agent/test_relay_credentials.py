"""Credentials for the TURN server: what coturn takes, each person's own, and good for a short time."""

import base64
import hashlib
import hmac
from pathlib import Path

import msgspec
import pytest

from agent.relay_credentials import STEP_S, RelayCredentials, credentials, good_until_s
from provisioning.turn_server import Turn
from recorder.contract.conference import IceServer, Invitation, PersonId

SECRET = "4f0c6d4be1a9a7d2c3b8"
UDP, TLS = "turn:turn.example.kz?transport=udp", "turns:turn.example.kz:443?transport=tcp"
NOW_S = 1_800_000_000


def invited(person: str) -> Invitation:
    return Invitation(token_sha256="0" * 64, person=person, name=person, role="party", from_utc_us=0, until_utc_us=1)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "turn.secret"
    path.write_text(f"{SECRET}\n")
    return path


def test_they_are_what_coturn_makes_of_the_same_secret() -> None:
    user, password = credentials(SECRET, "almaty-3.g1", NOW_S)
    assert user == f"{NOW_S}:almaty-3.g1"
    assert base64.b64decode(password) == hmac.new(SECRET.encode(), user.encode(), hashlib.sha1).digest()


@pytest.mark.parametrize("now_s", range(NOW_S, NOW_S + 2 * STEP_S, 61))
def test_they_are_good_for_a_quarter_to_half_an_hour(now_s: int) -> None:
    assert 900 <= good_until_s(now_s) - now_s <= 1_800


def test_each_person_has_his_own_and_they_change_as_time_goes_on(secret: Path) -> None:
    desk = RelayCredentials(Turn(urls=[UDP, TLS], secret=str(secret)), "almaty-3")
    people = [invited("g1"), invited("g2")]
    now = desk.relays(people, NOW_S)
    assert [(*one.page[0].urls, one.page[0].username.partition(":")[2]) for one in now.values()] == [
        (UDP, TLS, "almaty-3.g1"),
        (UDP, TLS, "almaty-3.g2"),
    ]
    assert len({one.page[0].credential for one in now.values()}) == 2
    assert desk.relays(people, NOW_S + 1) == now, "vks is told only what is new"
    assert desk.relays(people, NOW_S + STEP_S)["g1"].page != now["g1"].page


def test_whoever_looks_in_relays_under_a_name_that_no_person_has(secret: Path) -> None:
    found = RelayCredentials(Turn(urls=[UDP], secret=str(secret)), "almaty-3").of_look_ins(NOW_S)
    (server,) = found.page
    assert server.username.partition(":")[2] == "almaty-3.look-ins_"
    assert found.room
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("look-ins_", PersonId)
    assert not RelayCredentials(None, "almaty-3").of_look_ins(NOW_S).page


def test_the_room_asks_by_stun_how_it_is_seen_and_goes_by_the_relay_only_where_it_is_told_to(secret: Path) -> None:
    straight = RelayCredentials(Turn(urls=[TLS, UDP], secret=str(secret)), "almaty-3").relays([invited("g1")], NOW_S)["g1"]
    assert straight.room == [IceServer(urls=["stun:turn.example.kz:3478"])]
    relayed = RelayCredentials(Turn(urls=[UDP], secret=str(secret), for_room=TLS), "almaty-3").relays([invited("g1")], NOW_S)["g1"]
    assert [one.urls for one in relayed.room] == [[TLS]]
    assert relayed.room[0].credential == relayed.page[0].credential


def test_without_a_secret_nobody_has_any_until_it_is_there(tmp_path: Path) -> None:
    desk = RelayCredentials(Turn(urls=[UDP], secret=str(tmp_path / "turn.secret")), "almaty-3")
    assert desk.relays([invited("g1")], NOW_S) == {}
    (tmp_path / "turn.secret").write_text(SECRET)
    assert set(desk.relays([invited("g1")], NOW_S + 1)) == {"g1"}


def test_without_a_server_nobody_has_any() -> None:
    assert RelayCredentials(None, "almaty-3").relays([invited("g1")], NOW_S) == {}
