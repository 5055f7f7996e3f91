"""Debian's Chromium without a window, driven by Playwright: opens a page, runs scripts in it, takes a picture of it."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Error, Page, async_playwright

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1000,1200",
)
"""Beside those that Playwright gives itself."""
_START_S = 60.0
ANSWER_S = 30.0
_POLL_S = 0.1


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
    return asyncio.run(_ask(url, script, picture, flags, home, answer_s))


async def _ask(url: str, script: str, picture: Path | None, flags: tuple[str, ...], home: Path | None, answer_s: float) -> Any:
    async with opened(flags, home, answer_s) as tab:
        await tab.go(url)
        value = await tab.run(script)
        if picture is not None:
            await tab.page.screenshot(path=picture)
        return value


class Tab:
    """A page that stays open.

    Attributes:
        page: Playwright's, for all that this class has no words for.
    """

    def __init__(self, page: Page, answer_s: float) -> None:
        self.page = page
        self._answer_s = answer_s

    async def begin_pages_with(self, script: str) -> None:
        """Run this in each page from now on before anything of its own: a browser that lacks something, or is slow."""
        await self.page.add_init_script(script)

    async def go(self, url: str) -> None:
        """Open an address and wait until the page is loaded."""
        await self.page.goto(url, timeout=_START_S * 1_000)

    async def run(self, script: str) -> Any:
        """What an expression or a promise gives; it runs as if somebody had just pressed something.

        Raises:
            AssertionError: it threw.
            TimeoutError: it gave nothing within ``answer_s``.
        """
        try:
            async with asyncio.timeout(self._answer_s):
                return await self.page.evaluate(script)
        except Error as error:
            raise AssertionError(error.message) from error

    async def until(self, condition: str, what: str, timeout_s: float = 60.0) -> Any:
        """Wait until an expression is true; gives its value. A failure says what the page shows instead."""
        end_s = time.monotonic() + timeout_s
        while not (value := await self.run(condition)):
            shown = await self.run("document.body.innerText")
            assert time.monotonic() < end_s, f"waited {timeout_s:g} s in vain for {what}; the page shows: {shown}"
            await asyncio.sleep(_POLL_S)
        return value


@asynccontextmanager
async def opened(
    flags: tuple[str, ...] = (), home: Path | None = None, answer_s: float = ANSWER_S, device: Mapping[str, Any] | None = None
) -> AsyncIterator[Tab]:
    """A browser of its own with one empty page.

    ``flags``, ``home`` and ``answer_s`` are those of ``ask``; ``device`` is its screen, in terms of Playwright's ``Browser.new_context``.
    """
    environment: dict[str, str | float | bool] = {**os.environ, **({} if home is None else {"HOME": str(home)})}
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*FLAGS, *flags], env=environment, timeout=_START_S * 1_000
        )
        try:
            context = await browser.new_context(**(device or {"no_viewport": True}))
            yield Tab(await context.new_page(), answer_s)
        finally:
            await browser.close()
