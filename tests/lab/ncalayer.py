"""NCALayer as a page meets it: a WebSocket of this PC that signs by the person's key. Written from its published protocol (module basics).

It says its version first; it answers a request by ``status`` and ``body``, whose ``result`` is missing where the person closed its window.
"""

import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from tests.lab.persons import Key
from tests.lab.tls import Pair

PORT = 13_579
TRUSTED = "--ignore-certificate-errors"
"""The browser's flag: who installs NCALayer has his system trust its certificate."""


class NCALayer:
    """The program.

    Args:
        key: whose key the person chooses; None: the person closes the window.
    """

    def __init__(self, key: Key | None) -> None:
        self.key = key
        self.asked: list[dict[str, Any]] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One page."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"result": {"version": "1.4"}})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json(self._answer(json.loads(message.data)))
        return socket

    def _answer(self, said: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(said)
        if said["module"] != "kz.gov.pki.knca.basics":
            return {"success": False, "errorCode": "MODULE_NOT_FOUND"}
        how = said["args"]["signingParams"]
        if said["method"] != "sign" or said["args"]["format"] != "cms" or how["decode"] is not True or how["digested"]:
            return {"status": False, "code": "INVALID_SIGNING_PARAMS", "message": "of the test"}
        if self.key is None:
            return {"status": True, "body": {}}
        text = base64.b64decode(said["args"]["data"], validate=True)
        return {"status": True, "body": {"result": [self.key.sign(text, detached=not how["encapsulate"])]}}


@asynccontextmanager
async def ncalayer(key: Key | None, own: Pair) -> AsyncIterator[NCALayer]:
    """The program, running; ``own`` is its certificate for 127.0.0.1."""
    program = NCALayer(key)
    application = web.Application()
    application.router.add_get("/", program.serve)
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    try:
        await web.TCPSite(runner, "127.0.0.1", PORT, ssl_context=context).start()
        yield program
    finally:
        await runner.cleanup()
