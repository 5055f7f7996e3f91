"""A socket that cannot be made is the loss of a device with its cause, as any other is."""

from pathlib import Path
from typing import Any

import pytest

from recorder.contract import child
from tests.children.linked import linked

CAMERA = {"id": "cam", "driver": "test-pattern", "width": 64, "height": 48, "fps": 5}
SPEAKER = {"id": "room-out", "device": "none", "bitrate_bps": 48_000}
INGEST = {"id": "ingest", "max_tracks": 2, "track_bytes_per_s": 1_000_000}


@pytest.mark.parametrize(
    ("module", "device", "name"),
    [("ingest", INGEST, "ingest.sock"), ("speaker", SPEAKER, "room-out.sock"), ("capture", CAMERA, "bus/cam.low.sock")],
)
def test_a_child_whose_socket_cannot_be_made_tells_which_and_why(module: str, device: dict[str, Any], name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True)
    with linked(f"recorder.children.{module}", device, tmp_path) as running:
        lost = running.first(child.SourceLost)
        assert lost.cause == "error"
        assert lost.detail.endswith(f"the socket {tmp_path / name} cannot be made: Is a directory")
        assert running.ended.wait(5)
