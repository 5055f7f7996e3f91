"""What is malformed is refused at every operation by one clear problem, and no answer shows the inside."""

from collections.abc import Iterator

import msgspec
import pytest
import requests

from agent.upstream import contract, transfer
from agent.upstream.centre.front import BODY_BYTES, MESSAGE_BYTES
from agent.upstream.operations import OPERATIONS, Operation
from agent.upstream.requests import new_key, request
from tests.lab.centre import Centre
from tests.lab.events import hearing

MALFORMED = (b"", b"{", b"\xff\xfe", b"null", b"[]", b'"', b"{}" * 2, b'{"a":' * 50_000, b"1e999", b'{"room":"\\ud800"}')


@pytest.fixture(scope="module")
def sessions(shared: Centre) -> Iterator[dict[str, requests.Session]]:
    """A connection of each caller."""
    room = shared.enrol("malformed-1").credentials
    found = {"anyone": requests.Session(), "room": requests.Session()}
    found["room"].cert = (str(room.certificate), str(room.key))
    for role in ("case_system", "situation_centre", "custodian"):
        pair = shared.role(role)
        found[role] = requests.Session()
        found[role].cert = (str(pair.certificate), str(pair.key))
    for session in found.values():
        session.verify, session.trust_env = str(shared.home.roots), False
    yield found
    for session in found.values():
        session.close()


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.body is not None], ids=lambda each: each.id)
def test_malformed_json_is_refused_at_every_operation(shared: Centre, sessions: dict[str, requests.Session], operation: Operation) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    for body in MALFORMED:
        response = sessions[min(operation.callers)].request(operation.method, shared.url + path, data=body, timeout=20)
        is_long = len(body) > MESSAGE_BYTES.get(operation.id, BODY_BYTES)
        assert response.status_code in ({413} if is_long else {400, 422}), (body[:20], response.text)
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = msgspec.json.decode(response.content, type=transfer.Problem)
        assert problem.status == response.status_code
        assert problem.detail


def test_a_whole_number_may_be_written_with_a_point(shared: Centre, sessions: dict[str, requests.Session]) -> None:
    body = msgspec.json.encode(hearing("point", "malformed-1", starts_utc_us=1_605_209_000_000_000))
    put = sessions["case_system"].put(
        shared.url + "/v1/hearings/point", data=body.replace(b"1605209000000000", b"1605209000000000.0"), timeout=20
    )
    assert put.status_code == 200, put.text
    planned = [msgspec.json.decode(line, type=contract.Change).hearing for line in _lines(shared, sessions, "/v1/hearings")]
    assert 1_605_209_000_000_000 in {each.starts_utc_us for each in planned}
    half = sessions["case_system"].put(
        shared.url + "/v1/hearings/point", data=body.replace(b"1605209000000000", b"1605209000000000.5"), timeout=20
    )
    assert half.status_code == 422


@pytest.mark.parametrize("per_s", [1, 1_000])
def test_times_in_seconds_or_milliseconds_are_refused_and_the_unit_is_told(
    shared: Centre, sessions: dict[str, requests.Session], per_s: int
) -> None:
    """It would be a hearing of 1970, which nobody holds and nobody misses."""
    starts = 1_796_360_400 * per_s
    body = msgspec.json.encode(hearing("unit", "malformed-1", starts_utc_us=starts, ends_utc_us=starts + 3_600 * per_s))
    put = sessions["case_system"].put(shared.url + "/v1/hearings/unit", data=body, timeout=20)
    assert put.status_code == 422
    assert "microseconds since 1970 are wanted" in put.json()["detail"]
    many = sessions["case_system"].post(shared.url + "/v1/hearings", data=b'{"hearings":[' + body + b"]}", timeout=20)
    assert many.status_code == 422


def test_a_command_for_a_room_that_is_none_is_refused(shared: Centre, sessions: dict[str, requests.Session]) -> None:
    body = msgspec.json.encode(contract.Refresh(number=0))
    response = sessions["situation_centre"].post(shared.url + "/v1/rooms/nowhere/commands", data=body, timeout=20)
    assert (response.status_code, response.json()["title"]) == (404, "There is no such room.")


def test_no_answer_shows_the_inside(shared: Centre, sessions: dict[str, requests.Session]) -> None:
    """What a refusal repeats of a secret or of the program would be there for whoever asks."""
    secret = "a-secret-of-more-than-twenty-letters"
    wrong = transfer.Enrolment(
        room="malformed-1", secret=secret, transport_request=request(new_key(), "x"), signing_request=request(new_key(), "x")
    )
    response = sessions["anyone"].post(shared.url + "/v1/enrol", data=msgspec.json.encode(wrong), timeout=20)
    assert response.status_code == 403
    assert secret not in response.text
    assert secret not in shared.log
    assert "aiohttp" not in response.headers.get("Server", "").lower()


def _lines(it: Centre, sessions: dict[str, requests.Session], path: str) -> list[bytes]:
    return sessions["case_system"].get(it.url + path, timeout=20).content.splitlines()
