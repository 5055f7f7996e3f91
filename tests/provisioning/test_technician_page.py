"""The technician's page: its room.toml is one, and it explains every alarm that the recorder can raise."""

import re
import tomllib
from pathlib import Path

from provisioning.room import RoomConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/technician.md").read_text(encoding="utf-8")


def test_the_example_of_room_toml_is_one() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    room = RoomConfig.model_validate(tomllib.loads(example[1]))
    assert [camera.driver for camera in room.camera] == ["rtsp", "v4l2"]
    assert room.watch.baseline


def test_every_alarm_that_the_recorder_raises_is_explained() -> None:
    raised = set()
    for source in (ROOT / "recorder").rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        raised |= set(re.findall(r'(?:_alarm|trouble|_tell|_feed)\(\s*(?:track, )?"([a-z_]+)"', text))
    assert {"source_lost", "disk_full", "silent", "frozen"} <= raised, "the search itself finds alarms"
    explained = set(re.findall(r"`([a-z_]+)`", PAGE.split("## 5. Alarms")[1].split("## 6.")[0]))
    assert raised <= explained
