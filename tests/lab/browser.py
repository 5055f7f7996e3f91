"""Debian's Chromium without a window, asked over its DevTools protocol: opens a page, runs scripts in it, takes a picture of it."""

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
ANSWER_S = 30.0
_POLL_S = 0.05


def missing() -> bool:
    """Whether Debian's chromium is not installed."""
    return shutil.which("chromium") is None


def trust(home: Path, roots: Path) -> None:
    """Have a browser of this home directory trust an authority, as an administrator does."""
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    for words in (("-N", "--empty-password"), ("-A", "-n", "Test root", "-t", "C,,", "-i", str(roots))):
        subprocess.run(["certutil", "-d", f"sql:{database}", *words], check=True, capture_output=True)


def ask(
    url: str,
    script: str,
    picture: Path | None = None,
    flags: tuple[str, ...] = (),
    home: Path | None = None,
    answer_s: float = ANSWER_S,
) -> Any:
    """Open ``url`` and return what ``script`` (an expression or a promise) gives there; keep a PNG of the page in ``picture``.

    ``flags`` are Chromium's own, beside those that every page needs; ``home`` is where it looks for whom to trust; the script may take
    ``answer_s``.
    """
    value, shot = asyncio.run(_ask(url, script, flags, home, answer_s))
    if picture is not None:
        picture.write_bytes(shot)
    return value


async def _ask(url: str, script: str, flags: tuple[str, ...], home: Path | None, answer_s: float) -> tuple[Any, bytes]:
    async with opened(flags, home, answer_s) as tab:
        await tab.go(url)
        value = await tab.run(script)
        shown = await tab.call("Page.captureScreenshot", {"format": "png"})
        return value, base64.b64decode(shown["data"])


class Tab:
    """A page that stays open.

    Args:
        socket: its DevTools connection.
        answer_s: how long it may take to answer.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, answer_s: float) -> None:
        self._socket = socket
        self._answer_s = answer_s
        self._number = 0

    async def begin_pages_with(self, script: str) -> None:
        """Run this in each page from now on before anything of its own: a browser that lacks something, or is slow."""
        await self.call("Page.enable", {})
        await self.call("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    async def go(self, url: str) -> None:
        """Open an address and wait for the page itself: until it is there, scripts would run in the empty document before it."""
        await self.call("Page.navigate", {"url": url})
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s:
            answer = await self.call("Runtime.evaluate", {"expression": 'location.href + " " + document.readyState'})
            if answer.get("result", {}).get("value") == f"{url} complete":
                return
            await asyncio.sleep(_POLL_S)
        raise TimeoutError("the page did not load")

    async def run(self, script: str) -> Any:
        """What an expression or a promise gives; it runs as if somebody had just pressed something.

        Raises:
            AssertionError: it threw.
        """
        answer = await self.call(
            "Runtime.evaluate", {"expression": script, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def until(self, condition: str, what: str, timeout_s: float = 60.0) -> Any:
        """Wait until an expression is true; gives its value. A failure says what the page shows instead."""
        end_s = time.monotonic() + timeout_s
        while not (value := await self.run(condition)):
            shown = await self.run("document.body.innerText")
            assert time.monotonic() < end_s, f"waited {timeout_s:g} s in vain for {what}; the page shows: {shown}"
            await asyncio.sleep(2 * _POLL_S)
        return value

    async def call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One call of the protocol; what the page tells by itself meanwhile is dropped."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=self._answer_s)
            if message.get("id") == self._number:
                result: dict[str, Any] = message.get("result", {})  # an error: there is no document yet
                return result


@asynccontextmanager
async def opened(flags: tuple[str, ...] = (), home: Path | None = None, answer_s: float = ANSWER_S) -> AsyncIterator[Tab]:
    """A browser of its own with one empty page; ``flags``, ``home`` and ``answer_s`` are as with ``ask``."""
    environment = os.environ | ({} if home is None else {"HOME": str(home)})
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = ["chromium", *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        null = asyncio.subprocess.DEVNULL
        # A session of its own, so that the browser's helpers end with it.
        browser = await asyncio.create_subprocess_exec(*command, stdout=null, stderr=null, env=environment, start_new_session=True)
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                target = await _target(session, port)
                async with session.ws_connect(target, max_msg_size=0) as socket:
                    yield Tab(socket, answer_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            await browser.wait()


async def _port(file: Path) -> int:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        if lines := await asyncio.to_thread(_lines, file):
            return int(lines[0])
        await asyncio.sleep(_POLL_S)
    raise TimeoutError("the browser did not start")


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="ascii").splitlines() if file.exists() else []


async def _target(session: aiohttp.ClientSession, port: int) -> str:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        async with session.get(f"http://127.0.0.1:{port}/json") as response:
            for target in await response.json():
                if target["type"] == "page" and target["url"] == "about:blank":
                    return str(target["webSocketDebuggerUrl"])
        await asyncio.sleep(_POLL_S)
    raise TimeoutError("the browser has no page")
