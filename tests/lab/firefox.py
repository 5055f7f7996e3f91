"""Debian's Firefox without a window, asked over WebDriver BiDi (W3C): opens a page and runs scripts in it. For Chromium: ``browser.py``."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

PREFERENCES = {
    "media.navigator.streams.fake": True,  # a tone and a moving picture in place of devices
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "intl.accept_languages": "en",
    "intl.locale.requested": "en-US",
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "media.gmp-manager.updateEnabled": False,
}
_START_S = 60.0
_POLL_S = 0.1


def missing() -> bool:
    """Whether Debian's firefox-esr is not installed."""
    return shutil.which("firefox-esr") is None


class Tab:
    """A page that stays open.

    Args:
        socket: its BiDi connection.
        answer_s: how long it may take to answer.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, answer_s: float) -> None:
        self._socket = socket
        self._answer_s = answer_s
        self._number = 0
        self._context = ""

    async def begin(self) -> None:
        """Open a session, and know its one page."""
        await self.call("session.new", {"capabilities": {}})
        self._context = (await self.call("browsingContext.getTree", {}))["contexts"][0]["context"]

    async def go(self, url: str) -> None:
        """Open an address and wait for the page."""
        await self.call("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})

    async def run(self, script: str) -> Any:
        """What an expression or a promise gives, as JSON can say it; it runs as if somebody had just pressed something.

        Raises:
            AssertionError: it threw.
        """
        given = f"(async () => JSON.stringify(await ({script})))()"
        answer = await self.call(
            "script.evaluate",
            {"expression": given, "target": {"context": self._context}, "awaitPromise": True, "userActivation": True},
        )
        if answer["type"] == "exception":
            raise AssertionError(answer["exceptionDetails"]["text"])
        value = answer["result"].get("value")
        return None if value is None else json.loads(value)

    async def call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One command; what the browser tells by itself meanwhile is dropped.

        Raises:
            AssertionError: it was refused.
        """
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=self._answer_s)
            if message.get("id") == self._number:
                assert message["type"] == "success", message
                result: dict[str, Any] = message["result"]
                return result


@asynccontextmanager
async def opened(answer_s: float) -> AsyncIterator[Tab]:
    """A browser of its own with one empty page."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        (Path(profile) / "user.js").write_text("".join(lines), encoding="ascii")
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank"]
        null = asyncio.subprocess.DEVNULL
        environment = os.environ | {"HOME": profile}
        # A session of its own, so that the browser's helpers end with it.
        running = await asyncio.create_subprocess_exec(*command, stdout=null, stderr=null, env=environment, start_new_session=True)
        try:
            url = await _door(Path(profile) / "WebDriverBiDiServer.json")
            async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
                tab = Tab(socket, answer_s)
                await tab.begin()
                yield tab
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            await running.wait()


async def _door(file: Path) -> str:
    """Where it listens, once it says so."""
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        if text := await asyncio.to_thread(_text, file):
            said = json.loads(text)
            return f"ws://{said['ws_host']}:{said['ws_port']}/session"
        await asyncio.sleep(_POLL_S)
    raise TimeoutError("the browser did not start")


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii") if file.exists() else ""
