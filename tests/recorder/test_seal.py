import contextlib
import datetime as dt
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning import keys as key_files
from provisioning.keys import Hierarchy
from provisioning.room import Timestamp
from recorder.record import layout
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from recorder.seal import seal
from tests.record.record_builder import Builder
from tests.record.timestamp_authority import TimestampAuthority


@pytest.fixture(scope="module")
def keys() -> Hierarchy:
    return key_files.build("room-1", dt.datetime.now(dt.UTC))


@pytest.fixture
def directory(keys: Hierarchy, tmp_path: Path) -> Path:
    key_files.write(keys, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def builder(keys: Hierarchy, tmp_path: Path) -> Builder:
    builder = Builder(tmp_path / "records", keys)
    builder.record(2)
    return builder


@pytest.fixture
def authority(directory: Path) -> Iterator[TimestampAuthority]:
    with TimestampAuthority(directory) as server:
        yield server


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True)


def trusting(keys: Hierarchy) -> Outside:
    return Outside(authorities=Authorities([keys.root.certificate]))


def test_openssl_and_sha256sum_accept_a_sealed_record(builder: Builder, directory: Path) -> None:
    builder.close()
    root = builder.root
    signature = openssl(
        "cms", "-verify", "-binary", "-inform", "DER", "-in", root / layout.SUMS_SIGNATURE, "-content", root / layout.SUMS,
        "-CAfile", directory / "root.pem", "-out", "/dev/null",
    )  # fmt: skip
    assert signature.returncode == 0, signature.stderr
    checked = subprocess.run(["sha256sum", "--quiet", "--strict", "-c", layout.SUMS], cwd=root, check=False, capture_output=True)
    assert checked.returncode == 0, checked.stderr


def test_a_timestamp_is_got_and_holds_for_openssl_and_for_us(
    builder: Builder, keys: Hierarchy, directory: Path, authority: TimestampAuthority
) -> None:
    assert builder.close(Timestamp(url=authority.url, roots=str(directory / "root.pem"))).timestamped
    root = builder.root
    verified = openssl(
        "ts", "-verify", "-in", root / layout.SUMS_TIMESTAMP, "-data", root / layout.SUMS_SIGNATURE, "-CAfile", directory / "root.pem"
    )
    assert verified.returncode == 0, verified.stderr
    verdict = verify(root, trusting(keys))
    assert (verdict.level, verdict.findings) == ("sealed", [])
    assert verdict.timestamp_utc_us is not None


def test_a_foreign_timestamp_is_caught(builder: Builder, keys: Hierarchy, tmp_path: Path, directory: Path) -> None:
    """Case 20: a token by an authority that nobody trusts, and one of ours over another record."""
    stranger = tmp_path / "stranger"
    key_files.write(key_files.build("room-1", dt.datetime.now(dt.UTC)), stranger)
    with TimestampAuthority(stranger) as server:
        assert builder.close(Timestamp(url=server.url, roots="")).timestamped
    found = verify(builder.root, trusting(keys))
    assert (found.level, [finding.code for finding in found.errors]) == ("broken", ["timestamp_foreign"])
    other = Builder(tmp_path / "other", keys)
    other.record(1)
    with TimestampAuthority(directory) as server:
        other.close(Timestamp(url=server.url, roots=""))
    (builder.root / layout.SUMS_TIMESTAMP).write_bytes((other.root / layout.SUMS_TIMESTAMP).read_bytes())
    assert [finding.code for finding in verify(builder.root, trusting(keys)).errors] == ["timestamp_foreign"]


@pytest.mark.parametrize("answer", [b"", b"<html>please log in</html>", b"0\x03\x02\x01\x02"])
def test_an_authority_that_answers_nonsense_does_not_prevent_the_seal(
    builder: Builder, keys: Hierarchy, directory: Path, answer: bytes
) -> None:
    with TimestampAuthority(directory, garbage=answer) as server:
        done = builder.close(Timestamp(url=server.url, roots=""))
    assert not done.timestamped
    assert done.detail
    assert not (builder.root / layout.SUMS_TIMESTAMP).exists()
    assert verify(builder.root, trusting(keys)).level == "sealed"


def test_an_authority_that_is_not_there_does_not_prevent_the_seal(builder: Builder, keys: Hierarchy) -> None:
    assert not builder.close(Timestamp(url="http://127.0.0.1:9/tsa", roots="", timeout_s=1)).timestamped
    assert verify(builder.root, trusting(keys)).level == "sealed"


def test_an_authority_that_drips_is_given_up_in_time(builder: Builder, keys: Hierarchy) -> None:
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            while not ended.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=(listening,))
        dripping.start()
        began_s = time.monotonic()
        done = builder.close(Timestamp(url=f"http://127.0.0.1:{listening.getsockname()[1]}/", roots="", timeout_s=0.5))
        took_s = time.monotonic() - began_s
        ended.set()
        dripping.join()
    assert not done.timestamped
    assert took_s < 3
    assert verify(builder.root, trusting(keys)).level == "sealed"


def test_sealing_again_after_a_crash_in_its_middle_completes_it(builder: Builder, keys: Hierarchy) -> None:
    builder.close()
    (builder.root / layout.SUMS_SIGNATURE).rename(builder.root / (layout.SUMS_SIGNATURE + ".part"))
    (builder.root / layout.SUMS).write_bytes(b"half a li")
    seal(builder.root, builder.key, None)
    verdict = verify(builder.root, trusting(keys))
    assert (verdict.level, verdict.findings) == ("sealed", [])


def test_the_manifest_tells_the_hearing_and_no_secret(builder: Builder) -> None:
    builder.pause(3, reason="a break")
    builder.close()
    manifest = (builder.root / layout.MANIFEST).read_text()
    assert '"id":"hearing-1"' in manifest
    assert '"detail":"a break"' in manifest
    assert "token-1" not in manifest
