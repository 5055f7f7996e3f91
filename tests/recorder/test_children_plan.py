"""Which processes a room's devices ask for."""

import pytest

from provisioning.room import RoomConfig
from recorder.children_plan import RUNGS, plans


def rungs_of(camera: dict[str, object]) -> list[str]:
    room = {"room": {"id": "r", "court": "c"}, "storage": {"primary": "/p"}, "signing": {"kind": "file", "key": "k", "chain": "c"}}
    made = plans(RoomConfig.model_validate({**room, "camera": [{"id": "cam", **camera}]}), [])
    return [name for plan in made if plan.module == RUNGS for name in plan.device["cameras"]]


@pytest.mark.parametrize(
    ("camera", "made"),
    [
        ({"driver": "rtsp", "url": "rtsp://c/main"}, True),
        ({"driver": "rtsp", "url": "rtsp://c/main", "sub_url": "rtsp://c/sub"}, False),
        ({"driver": "rtsp", "url": "rtsp://c/main", "low_rung": False}, False),
        ({"driver": "v4l2", "path": "/dev/v", "format": "h264"}, True),
        ({"driver": "v4l2", "path": "/dev/v", "format": "mjpeg"}, True),
        ({"driver": "v4l2", "path": "/dev/v", "format": "mjpeg", "record": "h264"}, False),
        ({"driver": "v4l2", "path": "/dev/v"}, False),
        ({"driver": "test-pattern"}, False),
    ],
)
def test_viewers_of_a_camera_without_a_small_stream_get_one(camera: dict[str, object], made: bool) -> None:
    assert rungs_of(camera) == (["cam"] if made else [])
