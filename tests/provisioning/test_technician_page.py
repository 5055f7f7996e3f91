"""The technician's page: its room.toml is one, and it explains every alarm that the recorder can raise."""

import re
import tomllib
from pathlib import Path

from agent.upstream.centre import page_words
from agent.upstream.centre.authority import SIGNING_DAYS, TRANSPORT_DAYS
from provisioning.certificate_checks import SOON
from provisioning.keys import CLOSED_DIRECTORY, LEAF_DAYS
from provisioning.room import RoomConfig
from provisioning.transport_key import CENTRE_DIRECTORY
from recorder import trial_write
from recorder.disk_pair import ALARM
from recorder.room_disks import NOT_COMPLETED
from recorder.session_look import SESSION_CODES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/technician.md").read_text(encoding="utf-8")


def test_the_example_of_room_toml_is_one() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    room = RoomConfig.model_validate(tomllib.loads(example[1]))
    assert [camera.driver for camera in room.camera] == ["rtsp", "v4l2"]
    assert room.watch.baseline


def test_the_example_names_no_file_of_the_delivery_where_it_cannot_look_and_loudspeakers_where_there_are_participants() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    room = RoomConfig.model_validate(tomllib.loads(example[1]))
    assert room.centre is not None
    for path in (room.centre_roots, room.centre.key, room.centre.certificate, room.centre.roots, room.centre.receipt_roots):
        assert Path(path).parent != CLOSED_DIRECTORY
    assert Path(room.centre.certificate).parent == CENTRE_DIRECTORY, "the agent renews it there alone"
    assert room.vks is not None
    assert room.speaker is not None
    assert room.speaker.device != "none"


def test_what_expires_is_said_with_the_days_of_the_code() -> None:
    expiry = PAGE.split("### What expires, and when")[1].split("## 8.")[0]
    for file, days in (("transport.pem", TRANSPORT_DAYS), ("device-chain.pem", SIGNING_DAYS), ("court.pem", LEAF_DAYS)):
        assert re.search(rf"^\| `{file}`.*? \| {days} days \|", expiry, flags=re.MULTILINE), file
    assert f"warns {SOON.days} days before" in expiry


def test_every_alarm_that_the_recorder_raises_is_explained_and_has_words_on_the_centres_page() -> None:
    raised = set(SESSION_CODES) | set(ALARM.values()) | set(trial_write.ALARM.values()) | {NOT_COMPLETED}
    for source in (ROOT / "recorder").rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        raised |= set(re.findall(r'(?:alarm|trouble|_tell|_feed|_leave)\(\s*(?:track, )?"([a-z_]+)"', text))
        raised |= set(re.findall(r'partial\(\w+\.alarm, "([a-z_]+)"', text))
    assert {"source_lost", "disk_full", "silent", "frozen", "too_many_tracks", "thread_failed"} <= raised, "the search itself finds alarms"
    section = PAGE.split("## 5. Alarms")[1].split("## 6.")[0]
    explained = {code for row in re.findall(r"^\| (`[^|]+)\|", section, re.MULTILINE) for code in re.findall(r"`([a-z_]+)`", row)}
    assert raised == explained
    assert explained <= page_words._ALARMS.keys()
    assert all(set(words) == set(page_words.LANGUAGES) for words in page_words._ALARMS.values())
