"""A password goes to nobody but the device whose certificate is vouched for, and goes there whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from drivers.capabilities import SourceLostError
from drivers.microphones.rtsp_sound import LONGEST_ACCESS_BYTES
from drivers.registry import open_source
from tests.lab.rtsp_door import RtspDoor, rtsp_door
from tests.lab.tls import Authority, Pair

KINDS: list[dict[str, Any]] = [{"id": "bench"}, {"id": "table", "channels": [{"id": "judge", "number": 1}]}]


def lost(door: RtspDoor, device: dict[str, Any], home: Path, ca_file: Path, words: str = "secret word") -> SourceLostError:
    """How it fails to open a device's stream: always, for a door has none."""
    (home / "password").write_text(words)
    access = {"url": door.url, "user": "recorder", "password_file": str(home / "password"), "ca_file": str(ca_file)}
    with pytest.raises(SourceLostError) as failed:
        open_source({"driver": "rtsp", **device, **access})
    return failed.value


@pytest.mark.parametrize("device", KINDS, ids=["camera", "microphone"])
@pytest.mark.parametrize(
    "presented",
    [
        lambda _, home: Authority(home / "other").issue("bench", address="127.0.0.1"),
        lambda court, _: court.issue("bench", address="192.0.2.10"),
        lambda court, _: court.issue("bench", address="127.0.0.1", expired=True),
    ],
    ids=["of another authority", "of another name", "expired"],
)
def test_a_certificate_that_does_not_hold_gets_no_password(
    tmp_path: Path, device: dict[str, Any], presented: Callable[[Authority, Path], Pair]
) -> None:
    court = Authority(tmp_path / "court")
    with rtsp_door(presented(court, tmp_path)) as door:
        failed = lost(door, device, tmp_path, court.roots)
    assert door.credentials == []
    assert failed.cause == "error"
    assert "certificate" in failed.detail
    assert f"ca_file ({court.roots})" in failed.detail


@pytest.mark.parametrize("device", KINDS, ids=["camera", "microphone"])
def test_a_certificate_that_is_vouched_for_is_believed(tmp_path: Path, device: dict[str, Any]) -> None:
    court = Authority(tmp_path / "court")
    with rtsp_door(court.issue("bench", address="127.0.0.1")) as door:
        failed = lost(door, device, tmp_path, court.roots)
    assert door.credentials[0] == "recorder:secret word"
    assert failed.cause == "missing"
    assert "certificate" not in failed.detail


def test_what_is_not_in_tls_says_nothing_of_certificates(tmp_path: Path) -> None:
    with rtsp_door() as door:
        failed = lost(door, KINDS[0], tmp_path, tmp_path / "none.pem")
    assert door.credentials[0] == "recorder:secret word"
    assert "certificate" not in failed.detail


@pytest.mark.parametrize("device", KINDS, ids=["camera", "microphone"])
@pytest.mark.parametrize("sign", ["x", "%", "ж"])
def test_a_password_arrives_whole_or_is_refused(tmp_path: Path, device: dict[str, Any], sign: str) -> None:
    bytes_each = len(quote(sign, safe=""))
    longest = sign * ((LONGEST_ACCESS_BYTES - len("recorder:")) // bytes_each)
    with rtsp_door() as door:
        lost(door, device, tmp_path, tmp_path / "none.pem", longest)
        assert door.credentials[0] == f"recorder:{longest}"
        told = len(door.credentials)
        failed = lost(door, device, tmp_path, tmp_path / "none.pem", longest + sign)
        assert len(door.credentials) == told
    assert failed.cause == "error"
    assert str(tmp_path / "password") in failed.detail
    assert sign * 2 not in failed.detail
