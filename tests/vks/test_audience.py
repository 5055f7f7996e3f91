"""The large audience, by a real Janus: what is public arrives there, and nothing else; what is lost comes back by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.lab import janus
from tests.vks.audience_scene import Scene, audience_scene
from tests.vks.browsers import until
from tests.vks.test_display import PARTY
from tests.vks.test_service import House
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name

pytestmark = [pytest.mark.lab, pytest.mark.skipif(janus.missing(), reason="janus is not installed (scripts/setup-debian test)")]


@pytest.fixture
async def scene(tmp_path: Path, house: House) -> AsyncIterator[Scene]:
    async with audience_scene(tmp_path, house) as it:
        yield it


async def test_whoever_watches_there_sees_and_hears_the_floor(scene: Scene) -> None:
    await scene.on_air()
    viewer = await scene.watch()
    await until(lambda: viewer.sees(PARTY) and viewer.hears(1_000), "the party")
    assert scene.told == ["audience_on", "audience_began"]
    assert (await scene.switch(on=False)).code == ""
    await until(lambda: scene.shim.asked[-1].method == "DELETE", "what was published is deleted")
    assert scene.told == ["audience_on", "audience_began", "audience_ended", "audience_off"]
