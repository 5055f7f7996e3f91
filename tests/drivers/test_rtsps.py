"""A password goes to nobody but the device whose certificate is vouched for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.capabilities import SourceLostError
from drivers.registry import open_source
from tests.lab.rtsp_door import RtspDoor, rtsp_door
from tests.lab.tls import Authority, Pair

KINDS: list[dict[str, Any]] = [{"id": "bench"}, {"id": "table", "channels": [{"id": "judge", "number": 1}]}]


def lost(door: RtspDoor, device: dict[str, Any], home: Path, ca_file: Path) -> SourceLostError:
    """How it fails to open a device's stream: always, for a door has none."""
    (home / "password").write_text("secret word")
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
