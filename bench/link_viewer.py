"""The far end of a bad link: Chromium, and the small server of its page. Run in the viewer's namespace; prints what the browser counted."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.lab import browser

SETTLE_MS, MEASURED_MS = 4_000, 30_000
ANSWER_S = 120.0
MOST_HEARD_BYTES = 64 * 1024 * 1024
PAGE = Path(__file__).with_name("link_page.html")


async def watch(socket: str, heard: Path, *, speech: Path | None) -> Any:  # noqa: ANN401 - what the page's script gives
    """Connect to the room whose door is this socket, and measure; what was heard (float32, 48 kHz) is kept in ``heard``.

    Args:
        socket: the room's door; signalling does not go over the bad link.
        heard: where what was heard is kept.
        speech: what its microphone hears; None: it sends nothing.
    """

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE.read_text(encoding="utf-8"), content_type="text/html")

    async def offer(request: web.Request) -> web.Response:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as room,
            room.post("http://room/", data=await request.read()) as answer,
        ):
            return web.Response(text=await answer.text(), status=answer.status)

    async def keep(request: web.Request) -> web.Response:
        await asyncio.to_thread(heard.write_bytes, await request.read())
        return web.Response()

    application = web.Application(client_max_size=MOST_HEARD_BYTES)
    application.add_routes([web.get("/", page), web.post("/offer", offer), web.post("/heard", keep)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    asked = {"sends": speech is not None, "settleMs": SETTLE_MS, "measuredMs": MEASURED_MS}
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if speech is not None:
        flags.append(f"--use-file-for-fake-audio-capture={speech}")
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        return await asyncio.to_thread(browser.ask, url, f"measure({json.dumps(asked)})", flags=tuple(flags), answer_s=ANSWER_S)
    finally:
        await runner.cleanup()


def main(words: list[str]) -> None:
    """The process: the room's door, where to keep what is heard, and the speech to send if any."""
    speech = Path(words[2]) if len(words) > 2 else None
    print(json.dumps(asyncio.run(watch(words[0], Path(words[1]), speech=speech))))


if __name__ == "__main__":
    main(sys.argv[1:])
