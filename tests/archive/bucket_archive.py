"""A centre's archive in this process with a bucket, and a room that sends to it."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.offer import make_offer
from agent.upstream import transfer
from agent.upstream.centre.disk_room import Room, room_of
from agent.upstream.centre.notary import Notary
from agent.upstream.centre.s3_storage import S3Settings, S3Storage
from agent.upstream.centre.uploads import Uploads
from agent.upstream.centre.workroom import Workroom
from provisioning.keys import Hierarchy
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities

ROOM = "room-1"


class BucketArchive:
    """The archive, and the room's side of it."""

    def __init__(self, root: Path, keys: Hierarchy, settings: S3Settings) -> None:
        self.room: Room | None = None
        """What the centre's own disk has, where that is not to be the truth."""
        assert isinstance(keys.centre.key, ec.EllipticCurvePrivateKey)
        self.settings = settings
        self.storage = S3Storage(settings)
        self.trusted = keys

        async def authorities() -> Authorities:
            return Authorities([self.trusted.root.certificate])

        async def no_receipts(_record: str) -> Sequence[Receipt]:
            return ()

        work = Workroom(root / "work", lambda path: self.room or room_of(path))
        self.uploads = Uploads(
            root / "uploads.sqlite", self.storage, work, authorities=authorities, ledger=no_receipts,
            notary=Notary(key=keys.centre.key, certificate=keys.centre.certificate, by="Centre"), retry_s=(0.05, 0.1),
        )  # fmt: skip

    async def send(self, record: Path, upload: str, file: transfer.RecordFile, numbers: Sequence[int] = ()) -> list[int]:
        """Send those parts of a file that are missing; what the storage answered to each."""
        every = numbers or range(1, len(file.parts) + 1)
        wanted = transfer.PartsWanted(parts=[transfer.PartWanted(path=file.path, number=number) for number in every])
        answers = []
        for address in (await self.uploads.addresses(ROOM, upload, wanted)).addresses:
            at = (address.number - 1) * transfer.PART_BYTES
            data = (record / file.path).read_bytes()[: file.len][at : at + transfer.PART_BYTES]
            status, tag = await asyncio.to_thread(_put, address, data)
            answers.append(status)
            if status == 200:
                done = transfer.PartDone(path=address.path, number=address.number, etag=tag)
                await self.uploads.parts(ROOM, upload, transfer.PartsDone(parts=[done]))
        return answers

    async def sent(self, record: Path) -> transfer.UploadState:
        """Offer it, send what is missing, and wait for what the centre says of it."""
        offer = make_offer(record)
        state = await self.uploads.offer(ROOM, offer)
        for file in offer.files:
            await self.send(record, state.upload, file)
        return await self.judged(state.upload)

    async def judged(self, upload: str) -> transfer.UploadState:
        """How it stands when its verification is over, or waits."""
        deadline = time.monotonic() + 30
        while True:
            state = await self.uploads.state(ROOM, upload)
            if state.state != "verifying" or state.detail:
                return state
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    def tags(self, record: Path) -> list[list[dict[str, str]]]:
        """What the objects of a record are tagged with."""
        client, bucket = self.storage._client, self.settings.bucket
        listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{ROOM}/{record.name}/")["Contents"]
        return [client.get_object_tagging(Bucket=bucket, Key=each["Key"])["TagSet"] for each in listed]


@asynccontextmanager
async def bucket_archive(root: Path, keys: Hierarchy, settings: S3Settings) -> AsyncIterator[BucketArchive]:
    """One that runs; its tables are in ``root``."""
    await asyncio.to_thread(root.mkdir, exist_ok=True)
    made = BucketArchive(root, keys, settings)
    await made.uploads.start()
    try:
        yield made
    finally:
        await made.uploads.stop()
        made.storage.close()


def _put(address: transfer.PartAddress, data: bytes) -> tuple[int, str]:
    request = urllib.request.Request(address.url, data=data, method="PUT", headers=address.headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own
            return int(answer.status), str(answer.headers["ETag"])
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, ""
