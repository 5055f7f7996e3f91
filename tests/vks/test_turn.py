"""Somebody on the internet comes to a room that takes no connection, whatever his network and the room's let through."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import browser, coturn, network
from tests.vks.far_scene import DOOR_PORT, JOINS, LEAVES, Scene, far_scene
from tests.vks.hearing import BY, HZ, clerk, has_tone, sealed
from tests.vks.test_looking_in import ENDS, LOOKS, look_in, phases
from tests.vks.test_pages import STEPS
from vks.door import STATIC

WHY_NOT = network.missing()
pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "there is a network"),
    pytest.mark.skipif(coturn.missing(), reason="coturn is not installed (scripts/setup-debian test)"),
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
TLS_ALONE = (f"tcp dport {DOOR_PORT}", "tcp dport 443")
"""A hotel's network: web pages, and nothing else."""
BY_TCP = (f"turn:{network.TURN}", f"turns:{network.TURN}:443")
OTHER_ADDRESS = f"{network.NETWORK}.11"
GOES_AND_COMES_BACK = """
  const soon = async get => { while (!get()) await new Promise(done => setTimeout(done, 10)) };
  await soon(() => document.body.innerText.includes("The connection is lost"));
  await soon(() => frames() === 0);
  await soon(() => frames() > 0);
  seen.push(Date.now());
  await find("sound again", hears);
"""


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The scene; a parameter is more of ``[vks.turn]``."""
    with far_scene(tmp_path, getattr(request, "param", "")) as it:
        yield it


async def assert_heard_and_seen(scene: Scene) -> None:
    """Somebody hears and sees the hearing, and is recorded."""
    browsing = await scene.come(JOINS + LEAVES)
    await scene.recorded(browsing)
    record, found = await scene.gone(browsing)
    assert found == ["picture", "sound"]
    assert any(has_tone(sound, HZ) for sound in scene.sounds(record))
    assert scene.pictures(record) > 20
    assert not scene.secrets_in_logs()


async def test_a_participant_on_the_internet_is_heard_and_seen(scene: Scene) -> None:
    await assert_heard_and_seen(scene)


@pytest.mark.long
async def test_a_participant_whose_network_lets_no_udp_out_comes_by_tls(scene: Scene) -> None:
    scene.net.browser.lets_out(*TLS_ALONE)
    await assert_heard_and_seen(scene)


@pytest.mark.long
@pytest.mark.parametrize("scene", [f'for_room = "{url}?transport=tcp"' for url in BY_TCP], ids=["TCP", "TLS"], indirect=True)
async def test_a_room_whose_network_lets_no_udp_out_goes_by_the_relay_itself(scene: Scene) -> None:
    scene.net.room.lets_out("meta l4proto tcp")
    scene.net.browser.lets_out(*TLS_ALONE)
    await assert_heard_and_seen(scene)


@pytest.mark.long
@pytest.mark.parametrize("allowed", [(), TLS_ALONE], ids=["open network", "TLS alone"])
async def test_a_participant_whose_address_changes_is_back(
    scene: Scene, allowed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    if allowed:
        scene.net.browser.lets_out(*allowed)
    browsing = await scene.come(JOINS + GOES_AND_COMES_BACK + LEAVES)
    await scene.recorded(browsing)
    moved_s = time.time()
    scene.net.browser.moves_to(OTHER_ADDRESS)
    await scene.recorded(browsing)
    record, found = await scene.gone(browsing)
    before, after = scene.sounds(record)
    assert has_tone(before, HZ)
    assert has_tone(after, HZ)
    with capsys.disabled():
        network_is, after_s = "TLS alone" if allowed else "open network", found[-1] / 1_000 - moved_s
        sys.stdout.write(f"\nafter a change of address, {network_is}: pictures again in {after_s:.1f} s\n")


@pytest.mark.long
@pytest.mark.parametrize("allowed", [(), TLS_ALONE], ids=["open network", "TLS alone"])
async def test_the_situation_centre_looks_in_on_a_room_that_takes_no_connection(scene: Scene, allowed: tuple[str, ...]) -> None:
    if allowed:
        scene.net.browser.lets_out(*allowed)
    await scene.begin()
    name, link = await asyncio.to_thread(look_in, scene.site)

    async def looks() -> tuple[object, object]:
        async with browser.opened(("--lang=en",), scene.home) as tab:
            await tab.go(link)
            found = await tab.run(STEPS % LOOKS)
            await clerk(scene.site, "stop-look-in", name, *BY)
            return found, await tab.run(STEPS % ENDS)

    assert await asyncio.to_thread(scene.net.browser.run, asyncio.run, looks()) == (["picture", "sound"], [0])
    await asyncio.to_thread(scene.site.until, lambda: phases(scene.site) == [("began", ""), ("ended", "A. Clerk")], "the centre to know")
    await sealed(scene.site)
    assert not scene.secrets_in_logs()
