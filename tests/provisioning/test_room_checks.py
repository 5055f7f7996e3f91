"""What a configuration points to: files, keys that fit, certificates that hold, disks and a PC that can carry the load."""

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from agent.cli import application
from agent.upstream.centre.authority import Authority, Issuer
from agent.upstream.requests import request
from provisioning import keys, room_checks
from provisioning.problems import Problem
from provisioning.room_checks import Machine
from provisioning.room_file import Report, check

NOW = dt.datetime(2026, 3, 1, 9, 0, tzinfo=dt.UTC)
SMALL_PC = Machine(cores=2, hardware_encoder=False)
RAW_1080P = """
[[camera]]
id = "{name}"
driver = "test-pattern"
width = 1920
height = 1080
"""


@pytest.fixture(scope="module")
def hierarchy() -> keys.Hierarchy:
    return keys.build("almaty-3", NOW)


@pytest.fixture
def room(hierarchy: keys.Hierarchy, tmp_path: Path) -> Path:
    """A room in which nothing is wrong."""
    keys.write(hierarchy, tmp_path / "keys")
    (tmp_path / "records").mkdir()
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o600)
    path = tmp_path / "room.toml"
    path.write_text(
        """\
centre_roots = "keys/root.pem"
[room]
id = "almaty-3"
court = "Almaty city court"
[storage]
primary = "records"
[signing]
kind = "file"
key = "keys/device.key"
chain = "keys/device-chain.pem"
[[recipient]]
name = "court"
certificate = "keys/court.pem"
[[camera]]
id = "bench"
driver = "rtsp"
url = "rtsp://192.0.2.10/1"
user = "recorder"
password_file = "password"
[[microphone]]
id = "table"
driver = "alsa"
device = "hw:CARD=X18,DEV=0"
channels = [{ id = "judge", number = 1 }, { id = "witness", number = 2 }]
"""
    )
    return path


def judge(room: Path, *, now: dt.datetime = NOW, machine: Machine = SMALL_PC) -> Report:
    return check(room, now, machine)


def edit(room: Path, old: str, new: str) -> Path:
    text = room.read_text()
    assert old in text
    room.write_text(text.replace(old, new, 1))
    return room


def the_one(report: Report, severity: str, where: str, says: str) -> Problem:
    (problem,) = report.problems
    assert (problem.severity, problem.where) == (severity, where), problem
    assert re.search(says, f"{problem.what} {problem.remedy}"), problem
    return problem


def self_signed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, now: dt.datetime = NOW) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "almaty-3")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=99))
    return keys.Identity(key, builder.sign(key, hashes.SHA256())).pem


def test_a_sound_room_has_nothing_to_report(room: Path) -> None:
    assert judge(room).problems == []


def test_a_key_of_another_certificate_is_an_error(room: Path, hierarchy: keys.Hierarchy) -> None:
    (room.parent / "keys/device.key").write_bytes(hierarchy.centre.key_pem)
    assert the_one(judge(room), "error", "signing.key", "does not belong").line == 9


def test_a_certificate_that_is_not_for_signing_documents_is_an_error(room: Path, hierarchy: keys.Hierarchy) -> None:
    """As that of the room's TLS key: a verifier refuses what it signs."""
    assert isinstance(hierarchy.device.key, ec.EllipticCurvePrivateKey)
    assert isinstance(hierarchy.issuing.key, ec.EllipticCurvePrivateKey)
    authority = Authority(Issuer(hierarchy.issuing.key, hierarchy.issuing.certificate), hierarchy.root.certificate)
    transport = authority.transport(request(hierarchy.device.key, "almaty-3"), "almaty-3", NOW - dt.timedelta(hours=1))
    (room.parent / "keys/device-chain.pem").write_bytes(transport.public_bytes(serialization.Encoding.PEM) + hierarchy.issuing.pem)
    assert [problem.where for problem in judge(room).problems if "documentSigning" in problem.what] == ["signing.chain"]


def test_a_key_that_is_missing_is_told_once(room: Path) -> None:
    (room.parent / "keys/device.key").unlink()
    the_one(judge(room), "error", "signing.key", "No such file.*`courtroom keys make` or `courtroom enrol` makes it")


def test_a_key_that_others_can_read_is_a_warning(room: Path) -> None:
    (room.parent / "keys/device.key").chmod(0o644)
    the_one(judge(room), "warning", "signing.key", "chmod 600")


def test_a_password_that_others_can_read_is_a_warning(room: Path) -> None:
    (room.parent / "password").chmod(0o640)
    assert the_one(judge(room), "warning", "camera[1] 'bench'.password_file", "chmod 600").line == 19


def test_a_chain_in_the_wrong_order_is_an_error(room: Path, hierarchy: keys.Hierarchy) -> None:
    (room.parent / "keys/device-chain.pem").write_bytes(hierarchy.issuing.pem + hierarchy.device.pem)
    report = judge(room)
    assert not report.ok
    assert any("stands first" in problem.remedy for problem in report.problems)


def test_a_chain_without_its_middle_is_an_error(room: Path, hierarchy: keys.Hierarchy) -> None:
    (room.parent / "keys/device-chain.pem").write_bytes(hierarchy.device.pem)
    the_one(judge(room), "error", "signing.chain", "none of the authorities")


def test_a_look_alike_root_is_an_error(room: Path) -> None:
    (room.parent / "keys/root.pem").write_bytes(keys.build("almaty-3", NOW).root.pem)
    the_one(judge(room), "error", "signing.chain", "none of the authorities")


def test_a_signing_key_of_another_curve_is_an_error(room: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    (room.parent / "keys/device-chain.pem").write_bytes(self_signed(key))
    (room.parent / "keys/device.key").write_bytes(keys.Identity(key, x509.load_pem_x509_certificate(self_signed(key))).key_pem)
    edit(room, 'centre_roots = "keys/root.pem"\n', "")
    the_one(judge(room), "error", "signing.chain", "P-256")


def test_the_certificate_of_another_room_is_an_error(room: Path) -> None:
    edit(room, 'id = "almaty-3"', 'id = "almaty-4"')
    the_one(judge(room), "error", "signing.chain", "room almaty-3.*'almaty-4'")


def test_an_expired_device_certificate_is_an_error_and_one_about_to_expire_a_warning(room: Path) -> None:
    late = judge(room, now=NOW + dt.timedelta(days=keys.LEAF_DAYS, hours=1))
    assert {(p.severity, p.where) for p in late.problems} == {("error", "signing.chain"), ("error", "recipient[1] 'court'.certificate")}
    soon = judge(room, now=NOW + dt.timedelta(days=keys.LEAF_DAYS - 10))
    assert soon.ok
    assert len(soon.problems) == 2


def test_a_clock_before_the_certificates_begin_is_told_as_such(room: Path) -> None:
    report = judge(room, now=NOW - dt.timedelta(days=400))
    assert not report.ok
    assert all("check the clock" in problem.remedy for problem in report.problems)


@pytest.mark.parametrize("kind", ["rsa1024", "p256"])
def test_a_recipient_whose_key_cannot_hold_a_secret_is_an_error(room: Path, kind: str) -> None:
    weak_bits = 1024
    key = rsa.generate_private_key(65537, weak_bits) if kind == "rsa1024" else ec.generate_private_key(ec.SECP256R1())
    (room.parent / "keys/court.pem").write_bytes(self_signed(key))
    the_one(judge(room), "error", "recipient[1] 'court'.certificate", "RSA of at least 2048 bits")


def test_a_certificate_that_is_none_is_an_error(room: Path) -> None:
    (room.parent / "keys/court.pem").write_bytes(b"\x30\x82")
    the_one(judge(room), "error", "recipient[1] 'court'.certificate", "no certificate in PEM")


def test_no_recipient_is_a_warning_that_anyone_can_read_the_record(room: Path) -> None:
    edit(room, '[[recipient]]\nname = "court"\ncertificate = "keys/court.pem"\n', "")
    report = judge(room)
    assert report.ok
    the_one(report, "warning", "", "readable by anyone.*'clear'")


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ('["open", "closed", "secret"]', [("warning", "identity")]),
        ('["open"]', [("warning", "closed"), ("warning", "secret"), ("warning", "identity")]),
        ('["closed", "secret", "identity"]', [("error", "open")]),
    ],
)
def test_a_level_that_nobody_may_open_is_told(room: Path, levels: str, told: list[tuple[str, str]]) -> None:
    edit(room, 'name = "court"', f'name = "court"\nlevels = {levels}')
    report = judge(room)
    assert [p.where for p in report.problems] == ["recipient"] * len(told)
    for problem, (severity, level) in zip(report.problems, told, strict=True):
        assert problem.severity == severity
        assert f"'{level}'" in problem.what
        assert "cannot be recorded" in problem.what


def test_recipients_who_may_open_all_levels_together_are_enough(room: Path) -> None:
    edit(room, 'name = "court"', 'name = "court"\nlevels = ["open", "closed"]')
    room.write_text(room.read_text() + '[[recipient]]\nname = "archive"\ncertificate = "keys/court.pem"\nlevels = ["secret", "identity"]\n')
    assert judge(room).problems == []


@pytest.mark.parametrize("query", ["?user=admin&password=s3cret", "?channel=1&token=s3cret", "/user=admin_password=s3cret_channel=1.sdp"])
def test_a_secret_in_an_addresss_query_or_path_is_a_warning(room: Path, query: str) -> None:
    edit(room, 'url = "rtsp://192.0.2.10/1"', f'url = "rtsp://192.0.2.10/1{query}"\nsub_url = "rtsp://192.0.2.10/2{query}"')
    report = judge(room)
    assert [(p.severity, p.where) for p in report.problems] == [("warning", f"camera[1] 'bench'.{key}") for key in ("url", "sub_url")]
    assert not any("s3cret" in p.text(room) for p in report.problems)


def test_a_query_without_secrets_is_none(room: Path) -> None:
    edit(room, 'url = "rtsp://192.0.2.10/1"', 'url = "rtsp://192.0.2.10/cam/realmonitor?channel=1&subtype=0"')
    assert judge(room).problems == []


def test_a_mirror_on_the_same_disk_is_a_warning(room: Path) -> None:
    (room.parent / "mirror").mkdir()
    edit(room, 'primary = "records"\n', 'primary = "records"\nmirror = "mirror"\n')
    assert the_one(judge(room), "warning", "storage.mirror", "same device").line == 7


def test_a_mirror_on_another_disk_is_none(room: Path) -> None:
    other = Path("/dev/shm")  # another file system on every Linux
    if other.stat().st_dev == room.parent.stat().st_dev:
        pytest.skip("the tests' directory is on /dev/shm itself")
    edit(room, 'primary = "records"\n', f'primary = "records"\nmirror = "{other}"\n')
    assert judge(room).problems == []


def test_a_directory_that_does_not_exist_yet_may_be_a_disk_that_is_not_mounted(room: Path) -> None:
    edit(room, 'primary = "records"', 'primary = "disk2/records"')
    the_one(judge(room), "warning", "storage.primary", "mount it first")


def test_two_raw_full_hd_cameras_are_too_much_for_two_cores(room: Path) -> None:
    room.write_text(room.read_text() + RAW_1080P.format(name="left") + RAW_1080P.format(name="right"))
    the_one(judge(room), "warning", "camera[3] 'right'", "hardware encoder")
    assert judge(room, machine=Machine(cores=2, hardware_encoder=True)).problems == []
    assert judge(room, machine=Machine(cores=4, hardware_encoder=False)).problems == []


def test_one_raw_full_hd_camera_is_not_too_much(room: Path) -> None:
    room.write_text(room.read_text() + RAW_1080P.format(name="left"))
    assert judge(room).problems == []


def test_a_software_encoder_by_choice_is_judged_as_such(room: Path) -> None:
    room.write_text(
        room.read_text() + '[encoding]\nh264 = "libx264"\n' + RAW_1080P.format(name="left") + RAW_1080P.format(name="right")
    )  # fmt: skip
    assert judge(room, machine=Machine(cores=2, hardware_encoder=True)).problems != []


@pytest.mark.parametrize(
    ("old", "new", "severity", "where", "says"),
    [
        ("rtsp://192", "rtsp://me:secret@192", "error", "camera[1] 'bench'.url", "password stands in the address"),
        ('user = "recorder"\n', "", "error", "camera[1] 'bench'.password_file", "without 'user'"),
        ('password_file = "password"\n', "", "error", "camera[1] 'bench'.user", "without 'password_file'"),
        ("hw:CARD=X18,DEV=0", "hw:1,0", "warning", "microphone[1] 'table'.device", "another card"),
        ("number = 2", "number = 1", "error", "", ""),
        ('device = "hw', 'open_channels = 1\ndevice = "hw', "error", "microphone[1] 'table'.open_channels", "channel 2"),
        ("court = ", 'timezone = "Asia/Almata"\ncourt = ', "error", "room.timezone", "did you mean 'Asia/Almaty'"),
        ('[[microphone]]\nid = "table"\ndriver = "alsa"\ndevice = "hw:CARD=X18,DEV=0"',
         '[[microphone]]\nid = "table"\ndriver = "aes67"\nsdp = "net.sdp"', "error", "microphone[1] 'table'.sdp", "No such file"),
        ("[signing]", '[timestamp]\nurl = "ftp://t"\nroots = "keys/root.pem"\n[signing]', "error", "timestamp.url", "http"),
        ("[signing]", '[timestamp]\nurl = "http://t"\nroots = "no.pem"\n[signing]', "error", "timestamp.roots", "No such file"),
        ("[signing]", '[watch]\nbaseline = "no.json"\n[signing]', "warning", "watch.baseline", "courtroom baseline"),
        ("[signing]", '[watch]\nbaseline = "password"\n[signing]', "warning", "watch.baseline", "is no baseline"),
    ],
)  # fmt: skip
def test_what_would_fail_later_is_told_now(room: Path, old: str, new: str, severity: str, where: str, says: str) -> None:
    report = judge(edit(room, old, new))
    if where:
        the_one(report, severity, where, says)
    else:  # a channel named twice is told at both places
        assert [p.where.rsplit(".", 1)[0] for p in report.problems] == [
            "microphone[1] 'table'.channels[1] 'judge'", "microphone[1] 'table'.channels[2] 'witness'"
        ]  # fmt: skip


@pytest.mark.parametrize("stanza", ["[speaker]", '[[microphone]]\nid = "b"\ndriver = "portaudio"\nchannels = [{ id = "c", number = 1 }]'])
def test_a_sound_device_whose_name_has_the_card_s_number_in_it_is_warned_of(room: Path, stanza: str) -> None:
    text = room.read_text()
    place = "speaker.device" if "speaker" in stanza else "microphone[2] 'b'.device"
    room.write_text(f'{text}\n{stanza}\ndevice = "Interface: USB Audio (hw:1,0)"\n')
    the_one(judge(room), "warning", place, '"Interface: USB Audio"')
    room.write_text(f'{text}\n{stanza}\ndevice = "Interface: USB Audio"\n')
    assert not [problem for problem in judge(room).problems if problem.where == place]


def test_a_card_that_two_microphones_would_open_is_refused(room: Path) -> None:
    second = '[[microphone]]\nid = "b"\ndriver = "alsa"\ndevice = "hw:CARD=X18,DEV=0"\nchannels = [{ id = "c", number = 3 }]\n'
    room.write_text(f"{room.read_text()}\n{second}")
    the_one(judge(room), "error", "microphone[2] 'b'.device", "can be opened once.*one .*microphone")


def test_whatever_the_room_points_to_and_is_not_there_is_told_with_what_makes_it(room: Path) -> None:
    for file in (room.parent / "keys").iterdir():
        file.unlink()
    (room.parent / "password").unlink()
    found = judge(room).problems
    assert {problem.where for problem in found} >= {"signing.key", "signing.chain", "recipient[1] 'court'.certificate", "centre_roots"}
    assert all(problem.remedy for problem in found), found


def test_a_key_that_this_user_may_not_read_is_to_be_given_to_the_recorder(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root, which tests may run as, reads everything: the refusal is played."""
    monkeypatch.setattr(
        room_checks, "unreadable", lambda path: f"{path} cannot be read: Permission denied" if "device.key" in path else None
    )
    the_one(judge(room), "error", "signing.key", f"Permission denied.*chown courtroom-recorder {room.parent}/keys/device.key")


@pytest.mark.parametrize(("speaker", "where"), [("", "vks"), ('[speaker]\ndevice = "none"\n', "speaker.device")])
def test_a_videoconference_that_the_courtroom_cannot_hear_is_told(room: Path, speaker: str, where: str) -> None:
    room.write_text(f"{room.read_text()}\n[ingest]\nenabled = true\n{speaker}[vks]\n")
    the_one(judge(room), "warning", where, "not in the courtroom.*courtroom devices")
    room.write_text(
        room.read_text().replace("[vks]", "[vks]" if speaker else '[speaker]\ndevice = "default"\n[vks]').replace("none", "default")
    )
    assert judge(room).problems == []


def test_a_v4l2_camera_by_index_or_not_there_is_a_warning(room: Path) -> None:
    room.write_text(room.read_text() + '[[camera]]\nid = "usb"\ndriver = "v4l2"\npath = "/dev/video97"\n')
    report = judge(room)
    assert report.ok
    assert ["by-path" in p.remedy for p in report.problems] == [True, False]


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run() -> Run:
    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(application(), ["check-config", *arguments])
        return done.exit_code, done.output

    return run


def test_the_command_says_0_for_a_usable_room_and_1_for_another(run: Run, tmp_path: Path) -> None:
    files = keys.make(tmp_path / "keys", "demo")
    text = keys.stanzas(files).replace("[signing]", '[room]\nid = "demo"\ncourt = "c"\n[storage]\nprimary = "/tmp"\n[signing]', 1)
    path = tmp_path / "room.toml"
    path.write_text(text + RAW_1080P.format(name="one"))
    assert run(str(path))[0] == 0
    path.write_text(text + RAW_1080P.format(name="one").replace("driver", "drover"))
    status, output = run(str(path))
    assert status == 1
    assert "room.toml:" in output
    assert "drover" in output


def test_json_holds_every_problem_for_programs(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_text('[room]\nid = "A"\n')
    status, output = run("--json", str(path))
    told = json.loads(output)
    assert status == 1
    assert told["ok"] is False
    assert {"severity", "line", "where", "what", "remedy"} <= set(told["problems"][0])
    assert len(told["problems"]) >= 4


def test_the_command_is_installed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent.cli", "check-config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "No such file" in done.stdout


def test_a_mistake_in_one_table_hides_none_in_the_others(room: Path) -> None:
    """A technician mends all at once: what the form's mistakes stand in is left out, and the rest is judged as ever."""
    (room.parent / "keys/device.key").unlink()
    wall = '[[camera]]\nid = "wall"\ndriver = "rtsp"\nurl = "rtsp://192.0.2.11/1"\nuser = "recorder"\npassword_file = "no-such"\n'
    edit(room, 'password_file = "password"\n', 'password_file = "password"\nlatency_ms = "one"\n' + wall)
    edit(room, 'primary = "records"', 'primary = "records"\nmirror = "records/second"\nballast_mib = "much"')
    told = {problem.where: problem.line for problem in judge(room).problems if problem.severity == "error"}
    assert set(told) == {
        "storage.mirror", "storage.ballast_mib", "signing.key", "camera[1] 'bench'.latency_ms", "camera[2] 'wall'.password_file",
    }  # fmt: skip
    assert all(told.values())


def test_what_may_come_of_a_table_that_was_left_out_is_not_said(room: Path) -> None:
    edit(room, 'driver = "alsa"', 'driver = "also"')
    assert [problem.where for problem in judge(room).problems] == ["microphone[1] 'table'.driver"]


@pytest.mark.parametrize("place", ["/proc/records", "/proc/sys/records/court"])
def test_a_place_in_which_nobody_can_make_a_directory_is_an_error(room: Path, place: str) -> None:
    the_one(
        judge(edit(room, 'primary = "records"', f'primary = "{place}"')),
        "error",
        "storage.primary",
        "nothing can be made in /proc|cannot be written",
    )


def test_a_token_is_explained_by_a_tokens_example(room: Path) -> None:
    edit(room, 'kind = "file"\nkey = "keys/device.key"', 'kind = "pkcs11"')
    said = {problem.where: problem.remedy for problem in judge(room).problems}
    assert "libsofthsm2.so" in said["signing.module"]
    assert "whip" not in said["signing.token"]
    assert {"signing.label", "signing.pin_file"} <= set(said)
