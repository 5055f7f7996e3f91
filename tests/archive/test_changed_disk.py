"""A disk that was carried and changed on its way: what a thief or a forger of it gains."""

import base64
import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive import handover as handovers
from agent.archive.acknowledgement import place, sign
from agent.archive.handover import handover_file, receipt_file
from agent.archive.offer import hash_file
from provisioning.keys import Hierarchy, build
from recorder.record import layout
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.handover import Handover, handover_text
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from tests.archive.closed import CARRIERS, Closed, Make, good, in_archive


def change_media(closed: Closed, root: Path) -> None:
    del closed
    path = root / layout.segment_file("cam-judge", 0)
    path.write_bytes(b"x" + path.read_bytes()[1:])


def change_media_and_list(closed: Closed, root: Path) -> None:
    before = hash_file(root, layout.segment_file("cam-judge", 0), (root / layout.segment_file("cam-judge", 0)).stat().st_size)
    change_media(closed, root)
    path = root / layout.segment_file("cam-judge", 0)
    after = hash_file(root, layout.segment_file("cam-judge", 0), path.stat().st_size)
    sums = root / layout.SUMS
    sums.write_text(sums.read_text().replace(before, after))


def drop_handover(closed: Closed, root: Path) -> None:
    del closed
    handover_file(root).unlink()


def change_people(closed: Closed, root: Path) -> None:
    del closed
    path = handover_file(root)
    path.write_text(path.read_text().replace(CARRIERS[1], "Somebody Else"))


def add_receipt(closed: Closed, root: Path) -> None:
    del closed
    (root / layout.ANCHORS).write_bytes(b"{}\n")


def put_link(closed: Closed, root: Path) -> None:
    del closed
    path = root / layout.MANIFEST
    path.unlink()
    path.symlink_to("/etc/passwd")


def rename(closed: Closed, root: Path) -> None:
    del closed
    other = root.with_name(root.name[:-1] + "f")
    root.rename(other)
    handover_file(root).rename(handover_file(other))


def sign_anew(closed: Closed, root: Path) -> None:
    """By a thief who has made himself a room of the same name."""
    thief = build("room-1", dt.datetime.now(dt.UTC))
    told = handovers.load_handover(handover_file(root))
    assert isinstance(thief.device.key, ec.EllipticCurvePrivateKey)
    forged = _sign_handover(told, thief)
    handover_file(root).write_bytes(msgspec.json.encode(forged))
    del closed


def _sign_handover(told: Handover, keys: Hierarchy) -> Handover:
    bare = msgspec.structs.replace(
        told, certificate=base64.b64encode(keys.device.certificate.public_bytes(serialization.Encoding.DER)).decode()
    )
    assert isinstance(keys.device.key, ec.EllipticCurvePrivateKey)
    signature = keys.device.key.sign(handover_text(bare), ec.ECDSA(hashes.SHA256()))
    return msgspec.structs.replace(bare, sig=base64.b64encode(signature).decode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_media, "is not what SHA256SUMS says"),
        (change_media_and_list, "its seal is not the one"),
        (drop_handover, "nobody signed for this record"),
        (change_people, "was changed"),
        (add_receipt, "not those that"),
        (put_link, "holds no links"),
        (rename, "is for record"),
        (sign_anew, "vouches"),
    ],
)
def test_the_archive_takes_nothing_from_a_disk_that_somebody_changed(
    closed: Closed, make_record: Make, change: Callable[[Closed, Path], None], why: str
) -> None:
    root = make_record(seconds=1).root
    good(closed.copy())
    change(closed, closed.disk / root.name)
    result = closed.receive()
    assert result.exit_code == 1
    assert why in result.output
    assert in_archive(closed) == []


@pytest.mark.parametrize("change", [change_media, add_receipt])
def test_one_that_was_changed_keeps_no_other_from_being_taken_and_is_taken_from_a_disk_that_is_right(
    closed: Closed, make_record: Make, change: Callable[[Closed, Path], None]
) -> None:
    first, second = make_record(seconds=1).root, make_record(seconds=1).root
    good(closed.copy())
    change(closed, closed.disk / first.name)
    assert closed.receive().exit_code == 1
    assert in_archive(closed) == [second.name]
    shutil.rmtree(closed.disk)
    closed.disk.mkdir()
    good(closed.copy())
    good(closed.receive())
    assert in_archive(closed) == [first.name, second.name]


def test_a_changed_disk_cannot_spoil_what_the_archive_has(closed: Closed, make_record: Make, authorities: Authorities) -> None:
    builder = make_record()
    good(closed.copy())
    good(closed.receive())
    root = closed.disk / builder.root.name
    (root / layout.ORDERS).mkdir()
    (root / layout.order_file(1)).write_bytes(b"{}\n")
    assert closed.receive().exit_code == 1
    assert verify(closed.into / builder.root.name, Outside(authorities=authorities)).level == "sealed"
    assert not (closed.into / builder.root.name / layout.ORDERS).exists()


@pytest.mark.parametrize(
    ("signer", "change", "why"),
    [
        ("centre", {"room": "room-2"}, "about room room-2"),
        ("centre", {"record": "00000000-0000-4000-8000-000000000000"}, "not here"),
        ("centre", {"sums_sha256": "0" * 64}, "about SHA256SUMS"),
        ("centre", {"verdict": "unsealed"}, "not sealed"),
        ("centre", {"people": ()}, "two different people"),
        ("centre", {"people": ("Dana Kim", "Dana Kim")}, "two different people"),
        ("device", {}, "signed by a room"),
        ("tsa", {}, "not for signing documents"),
    ],
)
def test_the_room_takes_no_receipt_that_proves_nothing(
    closed: Closed, make_record: Make, keys: Hierarchy, signer: str, change: dict[str, object], why: str
) -> None:
    builder = make_record()
    good(closed.copy())
    good(closed.receive())
    path = receipt_file(closed.disk / builder.root.name)
    identity = getattr(keys, signer)
    forged = sign(
        msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Acknowledgement), **change), identity.key, identity.certificate
    )
    path.write_bytes(msgspec.json.encode(forged))
    result = closed.accept()
    assert result.exit_code == 1
    assert why in result.output
    assert not place(builder.root).exists()
    path.write_bytes(b"\xff{}")
    assert "holds no acknowledgement" in closed.accept().output


def test_a_station_of_another_authority_takes_nothing(closed: Closed, make_record: Make, tmp_path: Path) -> None:
    make_record()
    good(closed.copy())
    other = tmp_path / "other.pem"
    other.write_bytes(build("room-1", dt.datetime.now(dt.UTC)).root.pem)
    assert "vouches" in closed.receive(ca=other).output
