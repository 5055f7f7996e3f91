"""The join page in a real browser, at the real process: from the link to hearing and seeing somebody else."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from recorder.contract import conference as contract
from tests.lab import browser
from tests.vks.browsers import Browser, until
from tests.vks.test_service import CLERK, Agent, House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import signalling
from vks.door import STATIC

pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
DEVICES = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--lang=en")
STEPS = """(async () => {
  const find = async (what, get) => {
    for (let tries = 0; tries < 200; tries += 1) {
      const found = get();
      if (found) return found;
      await new Promise(done => setTimeout(done, 100));
    }
    throw new Error("not there: " + what + " in " + document.body.innerText);
  };
  const press = async words =>
    (await find(words, () => [...document.querySelectorAll("button")].find(one => one.innerText.includes(words)))).click();
  const sees = words => find(words, () => document.body.innerText.includes(words));
  const seen = [];
  %s
  return seen;
})()"""
JOINS = """
  await press("Check microphone and camera");
  await find("the meter moves", () => (document.querySelector("meter")?.value ?? 0) > 0);
  await press("Join the hearing");
  await sees("In the hearing");
  seen.push("hearing");
  await find("a picture", () => [...document.querySelectorAll(".tile:not(.own)")].some(
    tile => tile.innerText.includes("P2") && tile.querySelector("video").getVideoPlaybackQuality().totalVideoFrames > 0));
  seen.push("picture");
  await find("sound", () => { const sound = document.querySelector("audio:not([src])"); return !sound.paused && sound.currentTime > 0 });
  seen.push("sound");
  await press("Raise hand");
  await sees("Lower hand");
  seen.push("hand");
  await press("Leave");
  await press("Yes, leave");
  await sees("You have left the hearing");
  seen.push("left");
"""


async def held(house: House, *invitations: contract.Invitation) -> Agent:
    agent = await house.agent()
    await agent.hold(*invitations)
    await until(lambda: agent.stands, "the hearing is held")
    return agent


async def there_already(house: House, agent: Agent, token: str, hz: float) -> Browser:
    """P2, who is in the hearing before anybody else comes."""
    other = Browser(hz, 200)
    page = await house.come(token, "device-2")
    await page.first(signalling.Welcome)
    await agent.ask(contract.Admit(by=CLERK, person="p2"))
    await other.dial(page.answer)
    return other


async def test_somebody_joins_by_the_link_hears_sees_and_leaves(house: House, tmp_path: Path) -> None:
    (token, own), (others_token, others) = invited("p1"), invited("p2")
    agent = await held(house, own, others)
    other = await there_already(house, agent, others_token, 1_000)
    url = f"{house.url}/join/#{token}"
    browsing = asyncio.create_task(asyncio.to_thread(browser.ask, url, STEPS % JOINS, tmp_path / "page.png", DEVICES))
    try:
        await until(lambda: browsing.done() or agent.place("p1") == "lobby", "the lobby", timeout_s=60)
        await agent.ask(contract.Admit(by=CLERK, person="p1"))
        assert await browsing == ["hearing", "picture", "sound", "hand", "left"]
        await until(lambda: agent.place("p1") == "", "the person is gone")
    finally:
        await other.close()


async def test_whoever_has_not_been_admitted_waits_in_the_lobby_and_the_device_keeps_its_way_back(house: House) -> None:
    token, own = invited("p1")
    await held(house, own)
    steps = """
      await press("Join without a microphone");
      await sees("You are in the waiting room");
      seen.push(Object.keys(localStorage).filter(key => key.startsWith("courtroom.resume.")).length);
    """
    assert await asyncio.to_thread(browser.ask, f"{house.url}/join/#{token}", STEPS % steps, None, DEVICES) == [1]


async def test_who_leaves_leaves_nothing_by_which_the_next_one_at_this_device_is_in_the_hearing(house: House) -> None:
    token, own = invited("p1")
    await held(house, own)
    keys = """
      const certificates = () => new Promise(done => {
        indexedDB.open("courtroom", 1).onsuccess = ({ target }) => {
          const asked = target.result.transaction("keys").objectStore("keys").count();
          asked.onsuccess = () => { target.result.close(); done(asked.result) };
        };
      });
    """
    leaves = """
      await press("Check microphone and camera");
      await press("Join the hearing");
      await sees("You are in the waiting room");
      for (let tries = 0; tries < 100 && await certificates() === 0; tries += 1) await new Promise(done => setTimeout(done, 50));
      seen.push(await certificates());
      await press("Leave");
      await press("Yes, leave");
      await sees("You have left the hearing");
      const left = () => Object.keys(localStorage).filter(key => /resume|own|microphone|camera/.test(key));
      seen.push(left());
      for (let tries = 0; tries < 100 && await certificates() > 0; tries += 1) await new Promise(done => setTimeout(done, 50));
      seen.push(await certificates());
      await press("Come back");
      await sees("Check your microphone and camera");
      await press("Join without a microphone");
      await sees("Microphone is off");
    """
    async with browser.opened(DEVICES) as tab:
        await tab.go(f"{house.url}/join/#{token}")
        assert await tab.run(STEPS % (keys + leaves)) == [1, [], 0]


async def test_a_browser_without_devices_takes_part_in_silence_and_is_told_to_be_changed(house: House) -> None:
    token, own = invited("p1")
    await held(house, own)
    steps = """
      await press("Check microphone and camera");
      await sees("Use a current version of Chrome");
      await press("Join without a microphone");
      await sees("You are in the waiting room");
      await press("Microphone is off");
      await sees("Use a current version of Chrome");
      seen.push(window.failures);
    """
    without = """
      Object.defineProperty(navigator, "mediaDevices", { value: undefined });
      window.failures = [];
      addEventListener("error", event => failures.push(event.message));
      addEventListener("unhandledrejection", event => failures.push(String(event.reason)));
    """
    async with browser.opened(DEVICES) as tab:
        await tab.begin_pages_with(without)
        await tab.go(f"{house.url}/join/#{token}")
        assert await tab.run(STEPS % steps) == [[]]


@pytest.mark.parametrize(("name", "words"), [("NotAllowedError", "The camera is not allowed."), ("NotFoundError", "No camera was found.")])
async def test_without_the_camera_one_has_the_microphone_and_may_try_the_camera_again(house: House, name: str, words: str) -> None:
    token, own = invited("p1")
    await held(house, own)
    steps = f"""
      const whole = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async wanted => {{
        if (wanted.video) throw new DOMException("", "{name}");
        return whole(wanted);
      }};
      await press("Check microphone and camera");
      await sees("{words}");
      await find("the meter moves", () => (document.querySelector("meter")?.value ?? 0) > 0);
      navigator.mediaDevices.getUserMedia = whole;
      await press("Try again");
      await find("the camera", () => document.querySelector("video")?.getVideoPlaybackQuality().totalVideoFrames > 0);
      seen.push(document.querySelector("[role=alert]"), document.querySelector("meter") !== null);
    """
    async with browser.opened(DEVICES) as tab:
        await tab.go(f"{house.url}/join/#{token}")
        assert await tab.run(STEPS % steps) == [None, True]


async def test_whoever_goes_on_in_an_apps_own_browser_comes_back_to_the_hearing_by_opening_it_anew(house: House) -> None:
    token, own = invited("p1")
    await held(house, own)
    goes_on = """
      await sees("The page is open inside Telegram");
      await press("Continue here nevertheless");
      await press("Join without a microphone");
      await sees("You are in the waiting room");
    """
    async with browser.opened(DEVICES) as tab:
        await tab.begin_pages_with("window.TelegramWebviewProxy = {}")
        await tab.go(f"{house.url}/join/#{token}")
        await tab.run(STEPS % goes_on)
        await tab.go("about:blank")
        await tab.go(f"{house.url}/join/#{token}")
        await tab.run(STEPS % 'await sees("You are in the waiting room")')


async def test_a_link_that_was_withdrawn_or_forged_asks_nobody_to_try_it_again(house: House) -> None:
    await held(house)
    steps = """
      await press("Join without a microphone");
      await sees("The courtroom does not know this link now");
      seen.push(document.querySelector("h1").innerText, [...document.querySelectorAll("main button")].length);
    """
    shown = await asyncio.to_thread(browser.ask, f"{house.url}/join/#{invited('p1')[0]}", STEPS % steps, None, DEVICES)
    assert shown == ["You are not in the hearing", 0]


async def test_the_hearings_end_is_told_though_its_last_word_comes_after_the_end_of_media(house: House) -> None:
    token, own = invited("p1")
    agent = await held(house, own)
    slow = """
      const Whole = WebSocket;
      window.WebSocket = class extends Whole {
        set onmessage(heard) {
          super.onmessage = heard && (event => event.data.includes('"bye"') ? setTimeout(() => heard(event), 1_000) : heard(event));
        }
        set onclose(closed) { super.onclose = closed && (event => setTimeout(() => closed(event), 1_100)); }
      };
      window.peers = [];
      window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...given) { super(...given); peers.push(this); }
      };
    """
    waits = """
      await press("Check microphone and camera");
      await press("Join the hearing");
      await sees("You are in the waiting room");
      await find("media", () => peers.at(-1)?.connectionState === "connected");
    """
    async with browser.opened(DEVICES) as tab:
        await tab.begin_pages_with(slow)
        await tab.go(f"{house.url}/join/#{token}")
        await tab.run(STEPS % waits)
        await agent.hold(hearing="", state="idle")
        await tab.run(STEPS % 'await sees("The hearing is over. You can close this page.")')


async def test_a_link_that_is_too_early_says_when_it_opens_and_nothing_of_it_is_used_by_looking(house: House) -> None:
    token, early = invited("p1", from_us=1_800_000_000)
    await held(house, early)
    steps = 'await press("Join without a microphone"); await sees("It is too early. The link opens at"); seen.push(location.hash.length)'
    assert await asyncio.to_thread(browser.ask, f"{house.url}/join/#{token}", STEPS % steps, None, DEVICES) == [len(token) + 1]


async def test_the_page_is_complete_and_loads_nothing_from_elsewhere(house: House) -> None:
    async with house.http.get(f"{house.url}/join/") as response:
        html = await response.text()
    paths = [part.split('"')[0] for part in html.replace('src="', 'href="').split('href="')[1:]]
    own = [path for path in paths if path.startswith("/")]
    assert len(own) == 2
    assert [path for path in paths if path not in own] == ["data:,"]
    for path in own:
        async with house.http.get(f"{house.url}{path}") as response:
            assert response.status == 200, path
    assert "<style" not in html
    assert html.count("<script") == 1


async def test_opening_the_page_uses_no_link(house: House) -> None:
    token, own = invited("p1")
    agent = await held(house, own)
    await asyncio.to_thread(browser.ask, f"{house.url}/join/#{token}", STEPS % 'await sees("Check your microphone")', None, DEVICES)
    assert agent.stands is not None
    assert agent.stands.people == []
    async with aiohttp.ClientSession() as http, http.get(f"{house.url}/join/") as response:
        assert "no-referrer" in response.headers["Referrer-Policy"]
