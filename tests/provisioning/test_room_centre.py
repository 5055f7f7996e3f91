"""The stanzas of ``room.toml`` about the centre and the schedule: safe where left out, each mistake with its place and its remedy."""

import datetime as dt
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provisioning import keys
from provisioning.problems import Problem
from provisioning.room_checks import Machine
from provisioning.room_file import check, load

NOW = dt.datetime(2026, 3, 1, 9, 0, tzinfo=dt.UTC)
CENTRE = """
[centre]
url = "https://centre.example.kz:8443"
key = "centre/room.key"
certificate = "centre/room.pem"
roots = "centre/roots.pem"
"""
OLD_ROOM = """\
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
driver = "test-pattern"
"""


def transport(room: str, days: int = 30) -> keys.Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, room)])
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:courtroom:room:{room}")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(9)
    builder = (
        builder.not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=days))
        .add_extension(uri, critical=False)
    )
    return keys.Identity(key, builder.sign(key, hashes.SHA256()))


def write(directory: Path, identity: keys.Identity) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "room.pem").write_bytes(identity.pem)
    (directory / "roots.pem").write_bytes(identity.pem)
    (directory / "room.key").write_bytes(identity.key_pem)
    (directory / "room.key").chmod(0o600)


@pytest.fixture(scope="module")
def hierarchy() -> keys.Hierarchy:
    return keys.build("almaty-3", NOW)


@pytest.fixture
def room(hierarchy: keys.Hierarchy, tmp_path: Path) -> Path:
    keys.write(hierarchy, tmp_path / "keys")
    (tmp_path / "records").mkdir()
    write(tmp_path / "centre", transport("almaty-3", 60))
    path = tmp_path / "room.toml"
    path.write_text('centre_roots = "keys/root.pem"\n' + OLD_ROOM + CENTRE)
    return path


def problems(room: Path) -> list[Problem]:
    return check(room, NOW, Machine(cores=2, hardware_encoder=False)).problems


def the_one(room: Path, severity: str, where: str, says: str) -> Problem:
    (problem,) = problems(room)
    assert (problem.severity, problem.where) == (severity, where), problem
    assert re.search(says, f"{problem.what} {problem.remedy}"), problem
    return problem


def edit(room: Path, old: str, new: str) -> Path:
    text = room.read_text()
    assert old in text
    room.write_text(text.replace(old, new, 1))
    return room


def test_a_room_without_these_stanzas_works_alone_starts_nothing_by_itself_opens_no_port_and_deletes_late(tmp_path: Path) -> None:
    (tmp_path / "room.toml").write_text(OLD_ROOM)
    config = load(tmp_path / "room.toml")
    assert config.centre is None
    assert not config.hearings.automatic
    assert config.metrics.port is None
    assert config.retention.days == 30


def test_an_enrolled_room_has_nothing_to_report(room: Path) -> None:
    assert problems(room) == []


def test_paths_count_from_the_file(room: Path) -> None:
    centre = load(room).centre
    assert centre is not None
    assert (centre.key, centre.roots) == (str(room.parent / "centre/room.key"), str(room.parent / "centre/roots.pem"))
    assert centre.receipt_roots == ""


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("https://centre", "http://centre", "centre.url", "https://"),
        ("https://centre.example.kz:8443", "https://", "centre.url", "names no host.*https://centre"),
        ("https://centre.example.kz:8443", "https://c:99999", "centre.url", "the port is wrong"),
        ("[centre]", '[centre]\narchive_url = "http://c"', "centre.archive_url", 'archive_url = "https://centre'),
        ("[centre]", '[centre]\narchive_url = "https://"', "centre.archive_url", "names no host"),
        ('key = "centre/room.key"\n', "", "centre", "'key' is missing.*courtroom-centre/transport.key"),
        ("\nroots =", "\nroot =", "centre", "'roots' is missing"),
        ("[centre]", "[hearings]\nautomatc = true\n[centre]", "hearings.automatc", "did you mean 'automatic'"),
        ("[centre]", "[hearings]\nlate_after_s = -1\n[centre]", "hearings.late_after_s", "at least 0"),
        ("[centre]", "[hearings]\ncountdown_s = 0\n[centre]", "hearings.countdown_s", "at least 10"),
        ("[centre]", "[hearings]\nlanguages = []\n[centre]", "hearings.languages", "empty list"),
        ("[centre]", '[hearings]\nlanguages = ["kz"]\n[centre]', "hearings.languages[1]", "known here: kk, ru, en"),
        ("[centre]", "[metrics]\nport = 80\n[centre]", "metrics.port", "at least 1024"),
        ("[centre]", "[retention]\ndays = -1\n[centre]", "retention.days", "at least 0"),
        ("[centre]", '[retention]\ndays = "thirty"\n[centre]', "retention.days", "a whole number"),
    ],
)
def test_each_mistake_is_told_with_its_place_and_its_remedy(room: Path, old: str, new: str, where: str, says: str) -> None:
    found = problems(edit(room, old, new))
    mistake = next((one for one in found if one.where.startswith(where) and re.search(says, f"{one.what} {one.remedy}")), None)
    assert mistake is not None, found
    assert mistake.severity == "error"
    assert mistake.line


def test_records_may_go_to_an_address_of_their_own(room: Path) -> None:
    centre = load(edit(room, "[centre]", '[centre]\narchive_url = "https://archive.example.kz:8443"')).centre
    assert centre is not None
    assert centre.archive_url == "https://archive.example.kz:8443"


@pytest.mark.parametrize(
    ("old", "new"),
    [("https://centre", "http://clerk:s3cret@centre"), ("[centre]", '[centre]\narchive_url = "http://clerk:s3cret@archive"')],
)
def test_a_password_in_the_centres_address_is_not_told(room: Path, old: str, new: str) -> None:
    found = problems(edit(room, old, new))
    assert found
    assert not any("s3cret" in one.text(room) for one in found)


def test_a_room_that_is_not_enrolled_yet_records_all_the_same(room: Path) -> None:
    for name in ("room.key", "room.pem"):
        (room.parent / "centre" / name).unlink()
    told = the_one(room, "warning", "centre.certificate", "No such file")
    assert f"`courtroom enrol almaty-3 --to {room.parent / 'centre'}`" in told.remedy
    assert load(room).centre is not None


def test_an_expired_certificate_of_the_connection_is_no_error(room: Path) -> None:
    write(room.parent / "centre", transport("almaty-3", 0))
    found = check(room, NOW + dt.timedelta(days=2), Machine(cores=2, hardware_encoder=False))
    assert found.ok
    assert [one.where for one in found.problems] == ["centre.certificate"]
    assert "recording goes on" in found.problems[0].what
    assert f"`courtroom enrol almaty-3 --transport-only --to {room.parent / 'centre'}`" in found.problems[0].remedy


def test_a_certificate_of_the_connection_is_told_only_where_its_renewal_is_late(room: Path) -> None:
    write(room.parent / "centre", transport("almaty-3", 29))  # thirty days, as the centre gives them

    def told(days: int) -> list[str]:
        found = check(room, NOW + dt.timedelta(days=days), Machine(cores=2, hardware_encoder=False)).problems
        return [problem.remedy for problem in found if problem.where == "centre.certificate"]

    assert told(0) == told(20) == []
    assert ["should have renewed it" in remedy for remedy in told(26)] == [True]


def test_another_rooms_certificate_is_told(room: Path) -> None:
    write(room.parent / "centre", transport("almaty-4", 60))
    the_one(room, "warning", "centre.certificate", "room almaty-4.*'almaty-3'")


def test_a_key_of_another_certificate_is_told(room: Path) -> None:
    (room.parent / "centre/room.key").write_bytes(transport("almaty-3").key_pem)
    the_one(room, "warning", "centre.key", "does not belong")


def test_a_key_of_the_connection_that_others_can_read_is_told(room: Path) -> None:
    (room.parent / "centre/room.key").chmod(0o644)
    the_one(room, "warning", "centre.key", "chmod 600")


def test_without_an_authority_for_acknowledgements_nothing_could_ever_be_deleted_and_that_is_told(room: Path) -> None:
    edit(room, 'centre_roots = "keys/root.pem"\n', "")
    the_one(room, "warning", "centre", "no acknowledgement can be believed")


@pytest.mark.parametrize(
    ("old", "new", "where", "remedy"),
    [
        ('centre_roots = "keys/root.pem"', 'centre_roots = "/etc/courtroom/keys/root.pem"', "centre_roots",
         "install -m 644 /etc/courtroom/keys/root.pem /etc/courtroom/roots.pem"),
        ("[centre]", '[centre]\nrevocations = "/etc/courtroom/keys/revoked.pem"', "centre.revocations", "/etc/courtroom/revoked.pem"),
        ("[centre]", '[centre]\nreceipt_roots = "/etc/courtroom/keys/ca.pem"', "centre.receipt_roots", "/etc/courtroom/ca.pem"),
        ('"centre/room.key"', '"/etc/courtroom/keys/transport.key"', "centre.key", "/var/lib/courtroom-centre"),
    ],
)  # fmt: skip
def test_what_the_delivery_cannot_look_into_is_told(room: Path, old: str, new: str, where: str, remedy: str) -> None:
    (told,) = [one for one in problems(edit(room, old, new)) if "cannot be read by the delivery" in one.what]
    assert (told.severity, told.where) == ("warning", where)
    assert remedy in told.remedy


def test_uploads_that_are_faster_during_a_hearing_are_told(room: Path) -> None:
    edit(room, "[centre]", "[centre]\nupload_mib_s = 2\nhearing_upload_mib_s = 5")
    the_one(room, "warning", "centre.hearing_upload_mib_s", "slower during a hearing")


@pytest.mark.parametrize("place", ["centre", "room"])
def test_a_revocation_list_that_says_nothing_now_is_told_with_its_line(tmp_path: Path, place: str) -> None:
    write(tmp_path / "centre", transport("almaty-3"))
    line = 'revocations = "revoked.pem"\n' if place == "centre" else 'centre_revocations = "revoked.pem"\n'
    document = OLD_ROOM + CENTRE + line if place == "centre" else line + OLD_ROOM + CENTRE
    config = tmp_path / "room.toml"
    config.write_text(document)

    def told() -> list[str]:
        found = check(config, NOW, Machine(cores=2, hardware_encoder=False)).problems
        return [problem.what for problem in found if problem.what.endswith("no record is deleted until then")]

    assert "cannot be read" in told()[0]
    (tmp_path / "revoked.pem").write_text("nothing")
    assert "no revocation list" in told()[0]
    authority = transport("authority")
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    listed = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject).last_update(NOW - dt.timedelta(days=9))
    for days, good in ((-2, False), (2, True)):
        made = listed.next_update(NOW + dt.timedelta(days=days)).sign(authority.key, hashes.SHA256())
        (tmp_path / "revoked.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        assert (told() == []) == good
