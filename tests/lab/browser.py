"""Debian's Chromium without a window, asked over its DevTools protocol: opens a page, runs a script in it, takes a picture of it."""

import asyncio
import base64
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    "--window-size=1000,1200",
)
_START_S = 30.0
_ANSWER_S = 30.0


def missing() -> bool:
    """Whether Debian's chromium is not installed."""
    return shutil.which("chromium") is None


def ask(url: str, script: str, picture: Path | None = None, flags: tuple[str, ...] = (), answer_s: float = _ANSWER_S) -> Any:
    """Open ``url`` and return what ``script`` (an expression or a promise) gives there; keep a PNG of the page in ``picture``.

    ``flags`` are Chromium's own, beside those that every page needs; the script may take ``answer_s``.
    """
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = ["chromium", *FLAGS, *flags, f"--user-data-dir={profile}", url]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = _port(Path(profile) / "DevToolsActivePort")
            value, shot = asyncio.run(_ask(port, url, script, answer_s))
        finally:
            browser.kill()
            browser.wait()
    if picture is not None:
        picture.write_bytes(shot)
    return value


def _port(file: Path) -> int:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        if file.exists() and (lines := file.read_text(encoding="ascii").splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError("the browser did not start")


async def _ask(port: int, url: str, script: str, answer_s: float) -> tuple[Any, bytes]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=answer_s)) as session:
        target = await _page(session, port, url)
        async with session.ws_connect(target, max_msg_size=0) as socket:
            await _loaded(socket, url)
            answer = await _call(socket, 2, "Runtime.evaluate", {"expression": script, "awaitPromise": True, "returnByValue": True})
            shot = await _call(socket, 3, "Page.captureScreenshot", {"format": "png"})
            if "exceptionDetails" in answer:
                raise AssertionError(answer["exceptionDetails"])
            return answer["result"].get("value"), base64.b64decode(shot["data"])


async def _page(session: aiohttp.ClientSession, port: int, url: str) -> str:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        async with session.get(f"http://127.0.0.1:{port}/json") as response:
            for target in await response.json():
                if target["type"] == "page" and target["url"] == url:
                    return str(target["webSocketDebuggerUrl"])
        await asyncio.sleep(0.05)
    raise TimeoutError("the browser has no such page")


async def _loaded(socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
    """Wait for the page itself: until it is there, scripts would run in the empty document before it."""
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        answer = await _call(socket, 1, "Runtime.evaluate", {"expression": 'location.href + " " + document.readyState'})
        if answer.get("result", {}).get("value") == f"{url} complete":
            return
        await asyncio.sleep(0.05)
    raise TimeoutError("the page did not load")


async def _call(socket: aiohttp.ClientWebSocketResponse, number: int, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    await socket.send_json({"id": number, "method": method, "params": parameters})
    while True:
        message = await socket.receive_json()
        if message.get("id") == number:
            result: dict[str, Any] = message.get("result", {})  # an error: there is no document yet
            return result
