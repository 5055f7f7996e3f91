"""A certificate that is not accepted is told at the centre, and in words where it was shown."""

from pathlib import Path

import pytest

from agent.upstream.client import Credentials, UpstreamClient, UpstreamError
from tests.lab.centre import Centre, centre
from tests.lab.events import beat
from tests.lab.tls import Authority
from tests.lab.waiting import until


async def refused(at: Centre, credentials: Credentials) -> str:
    with pytest.raises(UpstreamError) as error:
        async with UpstreamClient(at.url, credentials) as client:
            await client.beat(beat())
    return str(error.value)


async def test_a_certificate_of_another_authority_is_told_at_both_ends_and_at_the_centre_seldom(tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with centre(tmp_path) as at:
        pair = other.issue("stranger", urn="urn:courtroom:room:room-1")
        said = await refused(at, Credentials(key=pair.key, certificate=pair.certificate, roots=at.home.roots))
        assert "perhaps it does not know the authority of this room's certificate" in said
        await until(lambda: "a caller's certificate is not accepted" in at.log, "the line of the caller's certificate")
        for _ in range(5):
            await refused(at, Credentials(key=pair.key, certificate=pair.certificate, roots=at.home.roots))
        assert at.log.count("certificate is not accepted") == 1
