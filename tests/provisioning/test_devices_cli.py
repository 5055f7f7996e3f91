import errno
import json
import struct
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.cli import application
from drivers import discovery
from drivers.discovery import FoundCamera, FoundCard, FoundPortAudio, PictureFormat
from provisioning import device_stanzas as stanzas
from provisioning.room import RoomConfig

REST = """
[room]
id = "hall-1"
court = "District court"
[storage]
primary = "/srv/records"
[signing]
kind = "file"
key = "key.pem"
chain = "chain.pem"
"""
USB_STREAM = """Some USB mixer : USB Audio

Playback:
  Interface 1
    Altset 1
    Channels: 2
    Rates: 44100
Capture:
  Status: Stop
  Interface 2
    Altset 1
    Format: S24_3LE
    Channels: 8
    Rates: 44100, 48000, 96000
"""


def accepted(*parts: str) -> RoomConfig:
    return RoomConfig.model_validate(tomllib.loads(REST + "\n".join(parts)))


@pytest.fixture
def other_pc(tmp_path: Path) -> Path:
    card = tmp_path / "proc/asound/card1"
    card.mkdir(parents=True)
    (tmp_path / "proc/asound/pcm").write_text(
        "00-03: HDMI 0 : HDMI 0 : playback 1\n01-00: USB Audio : USB Audio : playback 1 : capture 1\n"
    )
    (card / "id").write_text("Mixer\n")
    (card / "stream0").write_text(USB_STREAM)
    (tmp_path / "dev/v4l/by-path").mkdir(parents=True)
    (tmp_path / "dev/video0").touch()
    (tmp_path / "dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0").symlink_to("../../video0")
    (tmp_path / "sys/class/video4linux/video0").mkdir(parents=True)
    (tmp_path / "sys/class/video4linux/video0/name").write_text('Cam "HD" \\ Ж\n')
    return tmp_path


class Kernel:
    """Answers V4L2's questions as linux/videodev2.h lays them out."""

    def __init__(self, capabilities: int) -> None:
        self.capabilities = capabilities

    def __call__(self, _handle: int, request: int, buffer: bytearray) -> int:
        index = struct.unpack_from("<I", buffer)[0]
        number = request & 0xFF
        assert request >> 16 & 0x3FFF == len(buffer), "the request number carries the size of its structure"
        if number == 0:
            struct.pack_into("<II", buffer, 84, self.capabilities | 0x80000000, self.capabilities)
        elif number == 2 and index < 2:
            buffer[44:48] = (b"YUYV", b"MJPG")[index]
        elif number == 74 and index == 0:
            pixels = bytes(buffer[4:8])
            struct.pack_into("<III", buffer, 8, 1, *((640, 480) if pixels == b"YUYV" else (1920, 1080)))
        elif number == 75 and index == 0:
            struct.pack_into("<III", buffer, 16, 1, 1, 30)
        else:
            raise OSError(errno.EINVAL, "no more")
        return 0


def test_a_camera_s_formats_are_read_from_the_kernel(other_pc: Path) -> None:
    (camera,) = discovery.cameras(other_pc, Kernel(1))
    assert camera.path == "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0"
    assert camera.formats == [
        PictureFormat(codec="yuyv422", width=640, height=480, fps=30),
        PictureFormat(codec="mjpeg", width=1920, height=1080, fps=30),
    ]
    (device,) = accepted(stanzas.camera(camera, stanzas.Ids())).camera
    assert device.label == 'Cam "HD" \\ Ж'


def test_a_metadata_node_is_no_camera(other_pc: Path) -> None:
    assert discovery.cameras(other_pc, Kernel(0x00800000)) == []


def test_a_usb_card_is_offered_by_name_with_all_its_capture_channels(other_pc: Path) -> None:
    (card,) = discovery.cards(other_pc)
    assert card == FoundCard(device="hw:CARD=Mixer,DEV=0", name="USB Audio", channels=[8], rates_hz=[44100, 48000, 96000])
    (microphone,) = accepted(stanzas.card(card, stanzas.Ids())).microphone
    assert [channel.number for channel in microphone.channels] == list(range(1, 9))


def test_the_command_prints_the_other_pc_s_devices_and_stanzas_that_room_toml_takes(other_pc: Path) -> None:
    shown = CliRunner().invoke(application(), ["devices", "--json", "--root", str(other_pc)])
    assert shown.exit_code == 0, shown.output
    rows = json.loads(shown.output)["devices"]
    assert [row["kind"] for row in rows] == ["camera", "alsa"]
    assert len(accepted(*(row["stanza"] for row in rows)).microphone) == 1
    table = CliRunner().invoke(application(), ["devices", "--root", str(other_pc)])
    assert 'device = "hw:CARD=Mixer,DEV=0"' in table.output


def test_a_pc_without_devices_is_told_so_and_gets_stanzas_that_work(tmp_path: Path) -> None:
    shown = CliRunner().invoke(application(), ["devices", "--root", str(tmp_path)])
    assert shown.exit_code == 0
    assert "no camera and no sound device" in shown.output
    start = shown.output.index("[[camera]]")
    config = accepted(shown.output[start:])
    assert len(config.camera) == len(config.microphone) == 1


def test_this_machine_can_be_listed() -> None:
    shown = CliRunner().invoke(application(), ["devices", "--json"])
    assert shown.exit_code == 0, shown.output
    for row in json.loads(shown.output)["devices"]:
        accepted(row["stanza"], stanzas.TEST_STANZAS)


names = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)


@given(st.lists(names, min_size=1, max_size=6))
@example(["Remote", "Remote", "Remote 1", "remote-remote-"])
def test_any_name_of_a_device_makes_a_stanza_that_room_toml_takes(given_names: list[str]) -> None:
    ids = stanzas.Ids()
    parts = [stanzas.card(FoundCard(device=f"hw:{name}", name=name, channels=[3]), ids) for name in given_names]
    parts += [stanzas.portaudio(FoundPortAudio(name=name, inputs=2, outputs=0, rate_hz=44100), name, ids) for name in given_names]
    parts += [stanzas.camera(FoundCamera(path=f"/dev/{name}", name=name), ids) for name in given_names]
    config = accepted(*parts)
    assert [camera.label for camera in config.camera] == given_names
