"""What a key signs after the centre revoked it is not taken into the archive; what others saw before is."""

import asyncio
import datetime as dt
import time
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.pace import Pace
from agent.archive.upload import Uploader, UploadStoppedError
from agent.upstream import contract
from agent.upstream.centre import admin
from agent.upstream.enrolment import RoomFiles, enrol
from provisioning.keys import build
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities, load_certificates
from recorder.signing import KeySigner
from tests.lab.centre import Centre
from tests.lab.events import beat
from tests.record.record_builder import Builder


def made(base: Path, files: RoomFiles) -> Builder:
    """A sealed record of an enrolled room."""
    key = serialization.load_pem_private_key(files.signing_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    keys = build("lost-1", dt.datetime.now(dt.UTC))
    builder = Builder(base, keys, signer=KeySigner(key, load_certificates(files.chain)), room="lost-1", record_id=uuid.uuid4())
    builder.record(2)
    builder.close()
    return builder


async def sent(it: Centre, files: RoomFiles, root: Path) -> Acknowledgement | None:
    """Send a record to the archive."""
    credentials, trusted = files.credentials, Authorities(load_certificates(it.home.roots))
    async with (
        it.client(files) as client,
        Uploader(client, it.url, centre_tls=credentials.context(), pace=Pace(), authorities=lambda: trusted) as uploader,
    ):
        return await uploader.send(root, progress=lambda _done, _total: None)


def test_a_record_signed_by_a_revoked_key_is_refused_unless_others_saw_it_before(shared: Centre, tmp_path: Path) -> None:
    files = shared.enrol("lost-1")
    seen, unseen = made(tmp_path / "seen", files), made(tmp_path / "unseen", files)

    async def told() -> Receipt:
        head = seen.ledger.head
        async with shared.client(files) as client:
            said = contract.Head(record=str(seen.record_id), at=head.at, sha256=head.sha256)
            receipt = (await client.beat(beat(said))).receipt
            assert receipt is not None
            return receipt

    receipt = asyncio.run(told())
    while time.time() < receipt.utc_us // 1_000_000 + 1:  # a revocation list counts whole seconds
        time.sleep(0.01)
    shared.ask(admin.Revoke(name="lost-1"))
    again = asyncio.run(enrol(shared.url, shared.token("lost-1"), "lost-1", tmp_path / "again"))
    assert asyncio.run(sent(shared, again, seen.root)) is not None
    with pytest.raises(UploadStoppedError, match="revoked"):
        asyncio.run(sent(shared, again, unseen.root))
