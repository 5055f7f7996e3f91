"""The commands of docs/archive.md, run as they stand there."""

import base64
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import place, store
from agent.archive.offer import files_by_seal, sums_sha256
from provisioning.keys import Hierarchy, KeyFiles
from recorder.record import layout
from recorder.record.handover import Handover, handover_text
from tests.archive.conftest import acknowledged
from tests.record.record_builder import Builder

PAGE = Path(__file__).parents[2] / "docs" / "archive.md"
FILES, ACKNOWLEDGEMENT, HANDOVER = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(params=[((), "anchored"), (("Дана Ким", "Әлия Оспанова"), "anchored in part")], ids=["centre", "station"])
def builder(request: pytest.FixtureRequest, make_record: Callable[..., Builder], keys: Hierarchy) -> Builder:
    made = make_record(seconds=2)
    made.receipt(journal=False)
    people, verdict = request.param
    store(made.root, acknowledged(made, keys.centre, people=people, verdict=verdict))
    return made


def handed(builder: Builder, keys: Hierarchy) -> Path:
    sizes, files_sha256 = files_by_seal(builder.root)
    bare = Handover(
        room="room-1", record=str(builder.record_id), sums_sha256=sums_sha256(builder.root), files_sha256=files_sha256,
        bytes=sum(sizes.values()), files=len(sizes), people=("Дана Ким", "Әлия Оспанова"), utc_us=time.time_ns() // 1000, sig="",
        certificate=base64.b64encode(keys.device.certificate.public_bytes(serialization.Encoding.DER)).decode(),
    )  # fmt: skip
    assert isinstance(keys.device.key, ec.EllipticCurvePrivateKey)
    sig = base64.b64encode(keys.device.key.sign(handover_text(bare), ec.ECDSA(hashes.SHA256()))).decode()
    path = builder.root.with_name("handover.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(bare, sig=sig)), indent=2) + b"\n")
    return path


def run(block: str, builder: Builder, root: Path, work: Path, handover: Path | None = None) -> subprocess.CompletedProcess[str]:
    work.mkdir(exist_ok=True)
    environment = {
        "PATH": "/usr/bin:/bin", "RECORD": str(builder.root), "ACK": str(place(builder.root)), "ROOT": str(root), "WORK": str(work),
        "HANDOVER": str(handover or ""), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    command = ["bash", "-euo", "pipefail", "-c", block]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)


def test_an_honest_acknowledgement_and_handover_hold(builder: Builder, keys: Hierarchy, key_files: KeyFiles, tmp_path: Path) -> None:
    handover = handed(builder, keys)
    for block in (FILES, ACKNOWLEDGEMENT, HANDOVER):
        done = run(block, builder, key_files.root, tmp_path / "work", handover)
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert block == FILES or "Verified OK" in done.stdout


@pytest.mark.parametrize("member", ["record", "room", "sums_sha256", "files_sha256", "bytes", "verdict", "counter", "utc_us", "by", "sig"])
def test_an_acknowledgement_of_which_anything_was_changed_does_not(
    builder: Builder, key_files: KeyFiles, tmp_path: Path, member: str
) -> None:
    path = place(builder.root)
    text = path.read_text()
    changed = re.sub(rf'("{member}": "?)(.)', lambda found: found[1] + ("1" if found[2] != "1" else "2"), text)
    assert changed != text
    path.write_text(changed)
    assert run(ACKNOWLEDGEMENT, builder, key_files.root, tmp_path / "work").returncode != 0


@pytest.mark.parametrize("signer", ["device", "tsa"])
def test_an_acknowledgement_by_a_room_or_by_a_certificate_for_something_else_does_not(
    builder: Builder, keys: Hierarchy, key_files: KeyFiles, tmp_path: Path, signer: str
) -> None:
    store(builder.root, acknowledged(builder, getattr(keys, signer)))
    assert run(ACKNOWLEDGEMENT, builder, key_files.root, tmp_path / "work").returncode != 0


def test_a_file_that_came_since_and_a_handover_of_other_people_do_not(
    builder: Builder, keys: Hierarchy, key_files: KeyFiles, tmp_path: Path
) -> None:
    handover = handed(builder, keys)
    handover.write_text(handover.read_text().replace("Дана", "Анна"))
    assert run(HANDOVER, builder, key_files.root, tmp_path / "work", handover).returncode != 0
    with (builder.root / layout.ANCHORS).open("ab") as file:
        file.write(b"{}\n")
    assert run(FILES, builder, key_files.root, tmp_path / "work").returncode != 0
