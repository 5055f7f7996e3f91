"""Which STUN and TURN servers that somebody else names are asked."""

import pytest
from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

from recorder.contract.conference import IceServer
from vks.connection import Connection, OfferError
from vks.ice import is_ice_url, named

NO_ICE_URLS = [
    "", "x", "turn:a:b", "turn:", "stun:[::1]:3478", "stun:a:0", "stun:a:65536", "stun:a:99999", "turn:a:99999?transport=tcp", "turns:a:0",
    f"stun:a:{'9' * 5_000}", "stun:a?transport=udp", "turn:a?transport=x", "stun:a\n", "stun:\x00", "stun:а", "stun:a:٣", "https://a/",
]  # fmt: skip
ICE_URLS = ["stun:a", "stun:a.example:1", "stun:192.0.2.1:65535", "turn:a", "turn:a:3478?transport=udp", "turns:a:5349?transport=tcp"]


@pytest.mark.parametrize("url", ICE_URLS)
def test_what_is_a_server_s_address_aiortc_takes(url: str) -> None:
    assert is_ice_url(url)
    parse_stun_turn_uri(url)


@pytest.mark.parametrize("url", NO_ICE_URLS)
def test_what_is_none_is_passed_over(url: str) -> None:
    assert not is_ice_url(url)
    assert named([IceServer(urls=[url])]) == []
    taken = named([IceServer(urls=[url, "turn:a"], username="user", credential="pass")])
    assert taken == [RTCIceServer(urls=["turn:a"], username="user", credential="pass")]


async def test_an_offer_by_a_server_that_is_none_is_no_offer() -> None:
    connection = Connection([RTCIceServer(urls=["turn:a:b"])])
    with pytest.raises(OfferError, match="malformed"):
        await connection.offer([("audio", "sendonly")])
    await connection.close()
