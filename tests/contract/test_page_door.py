"""What both doors of participants' pages do alike."""

import contextlib

import pytest
from aiohttp.test_utils import make_mocked_request

from recorder.contract.page_door import MOST_PER_SOURCE, Sources, is_own_origin

HERE, THERE = "192.0.2.7", "192.0.2.8"


def test_a_source_has_so_many_connections_and_another_its_own() -> None:
    sources = Sources()
    with contextlib.ExitStack() as stack:
        assert all(stack.enter_context(sources.one_more(HERE)) for _ in range(MOST_PER_SOURCE))
        with sources.one_more(HERE) as taken, sources.one_more(THERE) as taken_there:
            assert (taken, taken_there) == (False, True)
        with sources.one_more(HERE) as taken:
            assert not taken, "a refusal makes no room"
    with sources.one_more(HERE) as taken:
        assert taken, "who has gone makes room"


def test_a_connection_that_fails_makes_room() -> None:
    sources = Sources()
    for _ in range(MOST_PER_SOURCE + 1):
        with contextlib.suppress(ConnectionError), sources.one_more(HERE) as taken:
            assert taken
            raise ConnectionError


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("https://court.example", True),
        (None, True),
        ("https://evil.example", False),
        ("https://court.example.evil", False),
        ("null", False),
    ],
)
def test_a_page_of_another_site_is_known_by_its_origin(origin: str | None, *, own: bool) -> None:
    headers = {"Host": "court.example"} | ({} if origin is None else {"Origin": origin})
    assert is_own_origin(make_mocked_request("GET", "/api/connect", headers=headers)) == own
