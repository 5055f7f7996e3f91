"""Devices that are reached by the network: who vouches for them, and passwords that would not arrive."""

from pathlib import Path

import pytest

from drivers.microphones import rtsp_sound
from provisioning.network_checks import LONGEST_ACCESS_BYTES, check_network_device
from provisioning.problems import Finding
from provisioning.room import RtspCamera, RtspMicrophone
from provisioning.room_file import load
from tests.lab.tls import Authority

CHANNELS = [{"id": "judge", "number": 1}]


def found(device: RtspCamera | RtspMicrophone) -> list[Finding]:
    return list(check_network_device(("camera", 0), device))


def camera(**keys: str) -> RtspCamera:
    return RtspCamera.model_validate({"id": "bench", "driver": "rtsp", "url": "rtsps://192.0.2.10/1"} | keys)


def test_an_authority_that_is_named_is_enough(tmp_path: Path) -> None:
    assert found(camera(ca_file=str(Authority(tmp_path).roots))) == []


@pytest.mark.parametrize("url", ["rtsps://192.0.2.10/1", "rtsp://192.0.2.10/1"])
def test_an_authority_that_cannot_be_read_is_an_error_also_of_the_small_stream(tmp_path: Path, url: str) -> None:
    (finding,) = (
        finding
        for finding in found(camera(url=url, sub_url="rtsps://192.0.2.10/2", ca_file=str(tmp_path / "none.pem")))
        if finding.place[-1] == "ca_file"
    )
    assert (finding.place, finding.severity) == (("camera", 0, "ca_file"), "error")
    assert "No such file" in finding.what


def test_a_microphones_authority_that_holds_no_certificate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    device = {"id": "table", "driver": "rtsp", "url": "rtsps://192.0.2.10/1", "channels": CHANNELS, "ca_file": str(tmp_path / "empty.pem")}
    (finding,) = found(RtspMicrophone.model_validate(device))
    assert "holds no PEM certificate" in finding.what
    assert "chown" not in finding.remedy


def test_an_authority_for_an_address_that_is_not_in_tls_is_a_warning(tmp_path: Path) -> None:
    (finding,) = found(camera(url="rtsp://192.0.2.10/1", ca_file=str(Authority(tmp_path).roots)))
    assert (finding.place, finding.severity) == (("camera", 0, "ca_file"), "warning")
    assert found(camera(url="rtsp://192.0.2.10/1")) == []


@pytest.mark.parametrize("clear", ["url", "sub_url"])
def test_an_address_in_clear_beside_one_in_tls_is_a_warning(tmp_path: Path, clear: str) -> None:
    urls = {"url": "rtsps://192.0.2.10/1", "sub_url": "rtsps://192.0.2.10/2"}
    authority = str(Authority(tmp_path).roots)
    assert found(camera(**urls, ca_file=authority)) == []
    urls[clear] = urls[clear].replace("rtsps", "rtsp")
    (finding,) = found(camera(**urls, ca_file=authority))
    assert (finding.place, finding.severity) == (("camera", 0, clear), "warning")
    assert "password" in finding.what


def test_an_authority_is_named_from_the_files_own_directory(tmp_path: Path) -> None:
    room = tmp_path / "room.toml"
    room.write_text(
        '[room]\nid = "almaty-3"\ncourt = "C"\n[storage]\nprimary = "records"\n[signing]\nkind = "credential"\n'
        '[[camera]]\nid = "bench"\ndriver = "rtsp"\nurl = "rtsps://192.0.2.10/1"\nca_file = "ca.pem"\n'
    )
    (device,) = load(room).camera
    assert isinstance(device, RtspCamera)
    assert device.ca_file == str(tmp_path / "ca.pem")


def test_a_password_in_another_coding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes("пароль\n".encode("cp1251"))
    (finding,) = found(camera(url="rtsp://192.0.2.10/1", user="court", password_file=str(tmp_path / "password")))
    assert (finding.place, finding.severity) == (("camera", 0, "password_file"), "error")
    assert "no UTF-8" in finding.what


@pytest.mark.parametrize("url", ["rtsp://192.0.2.10/1", "rtsps://192.0.2.10/1"])
def test_a_password_that_would_be_cut_is_an_error_and_one_that_fits_is_none(tmp_path: Path, url: str) -> None:
    password = tmp_path / "password"
    access = {"url": url, "user": "c@urt", "password_file": str(password), "ca_file": str(Authority(tmp_path).roots)}
    if url.startswith("rtsp:"):
        del access["ca_file"]
    fits = "%" * 39 + "xx"
    password.write_text(f"{fits}\n")
    assert len("c%40urt:") + len(fits.replace("%", "%25")) == LONGEST_ACCESS_BYTES == rtsp_sound.LONGEST_ACCESS_BYTES
    assert found(camera(**access)) == []
    password.write_bytes(f"\ufeff{fits}\r\n".encode())  # as Windows writes it
    assert found(camera(**access)) == []
    password.write_text(f"{fits}x\n")
    (finding,) = found(camera(**access))
    assert (finding.place, finding.severity) == (("camera", 0, "password_file"), "error")
    assert "128 bytes" in finding.what
    assert "shorter password" in finding.remedy
