"""The description of the centre's operations is the one that the code has, and whatever a client makes of it is answered clearly."""

import asyncio
import warnings
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from agent.upstream import openapi, transfer
from tests.lab.centre import Centre

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"
WAIT_S = 20.0
warnings.filterwarnings("ignore", category=DeprecationWarning, module="schemathesis")
schema = schemathesis.openapi.from_dict(openapi.document())


def test_the_file_is_what_the_operations_are() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.text()


@pytest.fixture(scope="module")
def callers(shared: Centre) -> dict[str, tuple[str, str]]:
    """A certificate and a key for each kind of caller."""
    files = shared.enrol("fuzzed-1")
    found = {"room": (str(files.transport), str(files.transport_key))}
    for role in ("case_system", "situation_centre"):
        credentials = shared.role(role)
        found[role] = (str(credentials.certificate), str(credentials.key))
    return found


@schema.parametrize()
@settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_to_an_operation_is_answered_by_its_message_or_by_a_problem(
    case: Any, shared: Centre, callers: dict[str, tuple[str, str]]
) -> None:
    wanted = case.operation.definition.raw["description"].removeprefix("For: ").removesuffix(".").replace(" ", "_").split("_or_")
    caller = next((name for name in callers if name in wanted), "room")
    case.query = {**(case.query or {}), "wait": "0"} if "wait" in str(case.operation.definition.raw.get("parameters", "")) else case.query
    with requests.Session() as session:
        session.cert, session.verify, session.trust_env = callers[caller], str(shared.home.roots), False
        response = session.request(**case.as_transport_kwargs(base_url=shared.url), timeout=WAIT_S)
    assert response.status_code < 500 or response.status_code == 503, (response.status_code, response.text)
    if response.status_code >= 400:
        problem = msgspec.json.decode(response.content, type=transfer.Problem)
        assert problem.title
        assert "Traceback" not in response.text


def test_the_centre_lives_after_all_that(shared: Centre) -> None:
    assert asyncio.run(shared.lines("/v1/hearings", dict)) is not None
    assert "Traceback" not in shared.log
