"""Sound devices are named so that the name holds after the next start, and is of one device alone."""

from typing import Any

import pytest
import sounddevice
from hypothesis import given
from hypothesis import strategies as st

from drivers import discovery
from drivers.discovery import FoundPortAudio
from provisioning.card_number import lasting_name
from provisioning.devices_cli import survey

X18 = "Behringer X18: USB Audio (hw:1,0)"


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (["HDA Intel PCH: ALC257 Analog (hw:0,0)", "sysdefault", "default"], "Behringer X18: USB Audio"),
        (["Behringer X18: USB Audio (hw:2,0)"], X18),
        (["Behringer X18: USB Audio #1 (hw:1,1)"], X18),
        (["USB Audio: BEHRINGER X18: (hw:2,0)"], X18),
        ([], "Behringer X18: USB Audio"),
    ],
)
def test_the_card_s_number_is_left_out_where_no_other_device_is_called_so(others: list[str], named: str) -> None:
    assert lasting_name(X18, [*others, X18]) == named


def test_a_name_without_a_number_stays() -> None:
    assert lasting_name("default", ["default", "sysdefault"]) == "default"


@given(st.lists(st.lists(st.sampled_from(["USB", "usb", "Audio", "Audio:", "#1", "#10", "X"]), min_size=1), min_size=1, max_size=5))
def test_sounddevice_finds_the_same_device_by_it(words: list[list[str]]) -> None:
    full = [f"{' '.join(each)} (hw:{number},0)" for number, each in enumerate(words)]
    listed = [{"name": name, "hostapi": 0, "max_input_channels": 2} for name in full]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sounddevice, "query_devices", lambda: listed)
        patched.setattr(sounddevice, "query_hostapis", lambda _: {"name": "ALSA"})
        for index, name in enumerate(full):
            assert sounddevice._get_device_id(lasting_name(name, full), "input", raise_on_error=True) == index


def test_the_list_s_stanzas_have_the_name_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[FoundPortAudio]:
        devices: list[dict[str, Any]] = [
            {"name": X18, "inputs": 2, "outputs": 0},
            {"name": "Hall: PCM (hw:0,0)", "inputs": 0, "outputs": 2},
        ]
        return [FoundPortAudio(rate_hz=48_000, **device) for device in devices]

    monkeypatch.setattr(discovery, "portaudio", found)
    rows = [row for row in survey(discovery.ROOT) if row["kind"] == "portaudio"]
    assert [row["address"] for row in rows] == ["Behringer X18: USB Audio", "Hall: PCM"]
    assert 'device = "Behringer X18: USB Audio"\n' in rows[0]["stanza"]
    assert 'id = "behringer-x18-usb-audio"\n' in rows[0]["stanza"]
    assert rows[1]["stanza"] == '[speaker]\ndevice = "Hall: PCM"\n'
    assert rows[0]["found"]["name"] == X18
