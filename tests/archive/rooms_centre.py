"""A centre that knows uploads and nothing else, over plain HTTP: what ``Uploads`` must be wired to. Run as a process to be killed.

``python -m tests.archive.rooms_centre SETTINGS`` with a JSON file; the room is always ``room-1``.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.upstream import transfer
from agent.upstream.centre.notary import Notary
from agent.upstream.centre.s3_storage import S3Settings, S3Storage
from agent.upstream.centre.storage import DirectoryStorage, Storage, StorageError, WrongPartError
from agent.upstream.centre.uploads import RefusedError, Uploads
from agent.upstream.centre.workroom import Workroom
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities

ROOM = "room-1"


async def no_receipts(_record: str) -> Sequence[Receipt]:
    return ()


def application(uploads: Uploads, storage: Storage, log: Path) -> web.Application:
    async def answered(request: web.Request, kind: Any, call: Any) -> web.Response:
        with log.open("a") as file:
            file.write(f"{request.method} {request.path}\n")
        try:
            answer = await call(msgspec.json.decode(await request.read(), type=kind)) if kind is not None else await call()
        except RefusedError as error:
            return web.Response(status=error.problem.status, body=msgspec.json.encode(error.problem))
        return web.Response(body=msgspec.json.encode(answer))

    async def offer(request: web.Request) -> web.Response:
        return await answered(request, transfer.UploadOffer, lambda message: uploads.offer(ROOM, message))

    async def state(request: web.Request) -> web.Response:
        return await answered(request, None, lambda: uploads.state(ROOM, request.match_info["upload"]))

    async def addresses(request: web.Request) -> web.Response:
        return await answered(
            request, transfer.PartsWanted, lambda message: uploads.addresses(ROOM, request.match_info["upload"], message)
        )  # fmt: skip

    async def parts(request: web.Request) -> web.Response:
        return await answered(request, transfer.PartsDone, lambda message: uploads.parts(ROOM, request.match_info["upload"], message))

    async def put(request: web.Request) -> web.Response:
        assert isinstance(storage, DirectoryStorage)
        try:
            tag = await storage.put(request.match_info["token"], request.content.iter_chunked(65536))
        except WrongPartError as error:
            return web.Response(status=error.status, text=str(error))
        except StorageError as error:
            return web.Response(status=503, text=str(error))
        with log.open("a") as file:
            file.write(f"PUT part {tag}\n")
        return web.Response(headers={"ETag": tag})

    async def begun(_: web.Application) -> None:
        await uploads.start()

    async def ended(_: web.Application) -> None:
        await uploads.stop()

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.add_routes([
        web.post("/v1/uploads", offer),
        web.get("/v1/uploads/{upload}", state),
        web.post("/v1/uploads/{upload}/addresses", addresses),
        web.post("/v1/uploads/{upload}/parts", parts),
        web.put("/v1/parts/{token}", put),
    ])  # fmt: skip
    app.on_startup.append(begun)
    app.on_cleanup.append(ended)
    return app


def made(settings: dict[str, Any]) -> tuple[Uploads, Storage]:
    home = Path(settings["home"])
    storage: Storage = S3Storage(S3Settings(**settings["s3"])) if settings.get("s3") else DirectoryStorage(home / "storage")
    key = serialization.load_pem_private_key(Path(settings["key"]).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    notary = Notary(key=key, certificate=x509.load_pem_x509_certificate(Path(settings["certificate"]).read_bytes()), by="Centre")
    roots = Authorities(x509.load_pem_x509_certificates(Path(settings["roots"]).read_bytes()))

    async def authorities() -> Authorities:
        return roots

    uploads = Uploads(
        home / "uploads.sqlite", storage, Workroom(home / "work"), authorities=authorities, ledger=no_receipts, notary=notary,
        retry_s=(0.1, 1.0),
    )  # fmt: skip
    return uploads, storage


async def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())  # noqa: ASYNC240 - before anything runs
    uploads, storage = made(settings)
    runner = web.AppRunner(application(uploads, storage, Path(settings["log"])))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings["port"], reuse_address=True).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
