"""A record's way to the archive: 1 GiB to SeaweedFS by the room's uploader, against ``curl -T`` of the same files to the same server."""

import asyncio
import datetime as dt
import hashlib
import subprocess
import time
from pathlib import Path

from agent.archive.offer import make_offer
from agent.archive.pace import Pace
from agent.archive.upload import Uploader
from agent.upstream.centre.s3_storage import S3Settings, S3Storage
from agent.upstream.centre.storage import ADDRESS_S
from agent.upstream.client import Credentials, UpstreamClient
from bench.result import Result
from provisioning.keys import Hierarchy, build, write
from recorder.record.trust import Authorities
from tests.archive.conftest import Site
from tests.archive.seaweed import running
from tests.record.record_builder import Builder

SIZE_BYTES = 1024**3
FRAGMENT_BYTES = 2 * 1024**2
PER_SEGMENT = 16
ROUNDS = 5
_STOCK = hashlib.shake_128(b"media").digest(FRAGMENT_BYTES)


def upload(base: Path) -> list[Result]:
    """Both in turn, five times; the medians count.

    Ours is from the first look at the record (every part is hashed before it is offered) until the centre
    has noted the last part. Each part is bound to its SHA-256, which SeaweedFS checks; curl's are not. How long it then takes until the
    centre has read all of it back, verified and locked it, and the room has the acknowledgement, is told beside it.
    """
    keys = build("room-1", dt.datetime.now(dt.UTC))
    files = write(keys, base / "keys")
    authorities = Authorities([keys.root.certificate])
    ours, peer, whole = [], [], []
    record = _record(base / "records", keys)
    with running(_made(base / "seaweed"), most_gib=(2 * ROUNDS + 2) * SIZE_BYTES // 1024**3 + 1) as server:
        storage = S3Storage(S3Settings(**server.settings))
        for number in range(ROUNDS):
            # What the disk is still writing is nobody's time.
            subprocess.run(["sync"], check=True)
            peer.append(_curl(record.root, storage, number))
            subprocess.run(["sync"], check=True)
            site = Site(_made(base / f"centre{number}"), files, server.settings)
            site.centre()
            try:
                credentials = Credentials(files.device_key, files.chain, files.root)
                sent_s, acknowledged_s = asyncio.run(_send(record.root, site.base, credentials, authorities))
            finally:
                site.close()
            ours.append(sent_s)
            whole.append(acknowledged_s)
        storage.close()
    source = f"{SIZE_BYTES // 1024**2} MiB record, SeaweedFS on the same machine"
    middle = ROUNDS // 2
    return [
        Result("upload a record", sorted(ours)[middle], sorted(peer)[middle], "s", "curl -T of the same files", 1.2, source),
        Result(
            "upload, verify, lock and acknowledge a record", sorted(whole)[middle], sorted(peer)[middle], "s", "curl -T of the same files",
            None, source,
        ),
    ]  # fmt: skip


def _record(home: Path, keys: Hierarchy) -> Builder:
    builder = Builder(home, keys, tracks={"cam-judge": ("video", FRAGMENT_BYTES)}, media=_media, per_segment=PER_SEGMENT)
    builder.record(SIZE_BYTES / FRAGMENT_BYTES / 2)
    builder.close()
    return builder


def _media(track: str, n: int, size: int) -> bytes:
    """Bytes that are others in each fragment and cannot be compressed."""
    return hashlib.sha256(f"{track} {n}".encode()).digest() + _STOCK[32:size]


def _curl(root: Path, storage: S3Storage, number: int) -> float:
    """One curl for all files, which keeps its connection; seconds."""
    command = ["curl", "--silent", "--show-error", "--fail"]
    for file in make_offer(root).files:
        place = {"Bucket": "records", "Key": f"curl/{number}/{file.path}"}
        url = storage._client.generate_presigned_url("put_object", Params=place, ExpiresIn=ADDRESS_S)  # noqa: SLF001 - as ours are made
        command += ["--upload-file", str(root / file.path), url]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


async def _send(root: Path, base: str, credentials: Credentials, authorities: Authorities) -> tuple[float, float]:
    """Seconds until the archive has every part, and until it has acknowledged the record."""
    all_there: list[float] = []

    def told(done: int, total: int) -> None:
        if done == total and not all_there:
            all_there.append(time.monotonic())

    client = UpstreamClient(base, credentials)
    async with client, Uploader(client, base, centre_tls=None, pace=Pace(), authorities=lambda: authorities) as uploader:
        began = time.monotonic()
        await uploader.send(root, progress=told)
        return all_there[0] - began, time.monotonic() - began


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
