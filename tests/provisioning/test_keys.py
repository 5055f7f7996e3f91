"""Keys that a first installation makes: private, never overwritten, and good for openssl alone."""

import datetime as dt
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from typer.testing import CliRunner

from provisioning import keys, keys_cli
from provisioning.room import RoomConfig

NOW = dt.datetime(2026, 3, 1, 9, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def hierarchy() -> keys.Hierarchy:
    return keys.build("almaty-3", dt.datetime.now(dt.UTC))


@pytest.fixture
def files(hierarchy: keys.Hierarchy, tmp_path: Path) -> keys.KeyFiles:
    return keys.write(hierarchy, tmp_path / "keys")


def openssl(*arguments: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_only_the_owner_can_read_private_keys_whatever_the_umask(files: keys.KeyFiles) -> None:
    private = [path for path in files.root.parent.iterdir() if path.suffix == ".key"]
    assert len(private) == 6
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_keys_are_never_overwritten(hierarchy: keys.Hierarchy, files: keys.KeyFiles) -> None:
    before = files.device_key.read_bytes()
    with pytest.raises(keys.KeysError, match="never overwritten"):
        keys.write(hierarchy, files.root.parent)
    assert files.device_key.read_bytes() == before


def test_the_root_is_laid_where_the_delivery_can_read_it_too_if_the_directory_is_closed_to_it(
    hierarchy: keys.Hierarchy, tmp_path: Path
) -> None:
    files = keys.write(hierarchy, tmp_path / "keys", closed=tmp_path / "keys")
    assert files.public_root == tmp_path / "roots.pem"
    assert files.public_root.read_bytes() == files.root.read_bytes()
    assert stat.S_IMODE(files.public_root.stat().st_mode) == 0o644
    assert f'centre_roots = "{tmp_path / "roots.pem"}"' in keys.stanzas(files)
    with pytest.raises(keys.KeysError, match=str(tmp_path / "roots.pem")):
        keys.write(hierarchy, tmp_path / "more", closed=tmp_path / "more")
    assert not list((tmp_path / "more").iterdir())


def test_elsewhere_nothing_is_laid_beside_the_directory(files: keys.KeyFiles) -> None:
    assert [path.name for path in files.root.parent.parent.iterdir()] == ["keys"]
    assert f'centre_roots = "{files.root}"' in keys.stanzas(files)


def test_a_link_laid_in_the_way_is_not_followed(hierarchy: keys.Hierarchy, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "device.key").symlink_to(victim)
    with pytest.raises(keys.KeysError):
        keys.write(hierarchy, tmp_path)
    assert not victim.exists()


def test_device_certificate_names_its_room_and_its_purposes(hierarchy: keys.Hierarchy) -> None:
    certificate = hierarchy.device.certificate
    assert certificate.subject.rfc4514_string() == "CN=almaty-3"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:courtroom:room:almaty-3"]
    assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    purposes = {oid.dotted_string for oid in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value}
    assert purposes == {"1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36"}


def test_kinds_and_sizes_of_keys_are_what_the_record_needs(hierarchy: keys.Hierarchy) -> None:
    for identity in (hierarchy.root, hierarchy.issuing, hierarchy.device, hierarchy.centre):
        assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
        assert identity.key.curve.name == "secp256r1"
    assert isinstance(hierarchy.court.key, rsa.RSAPrivateKey)
    assert hierarchy.court.key.key_size >= 3072


def test_openssl_accepts_every_chain(files: keys.KeyFiles) -> None:
    for leaf in (files.centre, files.court, files.tsa):
        openssl("verify", "-CAfile", files.root, leaf)
    openssl("verify", "-CAfile", files.root, "-untrusted", files.chain, files.chain)


def test_openssl_verifies_a_detached_cms_signature_of_the_device(files: keys.KeyFiles, hierarchy: keys.Hierarchy, tmp_path: Path) -> None:
    content = tmp_path / "SHA256SUMS"
    content.write_bytes(b"0" * 64 + b"  journal.jsonl\n")
    assert isinstance(hierarchy.device.key, ec.EllipticCurvePrivateKey)
    signed = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(content.read_bytes())
        .add_signer(hierarchy.device.certificate, hierarchy.device.key, hashes.SHA256())
        .add_certificate(hierarchy.issuing.certificate)
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])
    )
    signature = tmp_path / "SHA256SUMS.p7s"
    signature.write_bytes(signed)
    command: list[str | Path] = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        signature,
        "-content",
        content,
        "-CAfile",
        files.root,
    ]
    openssl(*command, "-out", "/dev/null")
    content.write_bytes(b"1" * 64 + b"  journal.jsonl\n")
    with pytest.raises(AssertionError):
        openssl(*command, "-out", "/dev/null")


def test_what_is_enveloped_to_the_court_only_the_court_key_opens(files: keys.KeyFiles, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"media key")
    openssl("cms", "-encrypt", "-aes256", "-binary", "-outform", "DER", "-in", secret, "-out", tmp_path / "k.cms", files.court)
    opened = openssl("cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "k.cms", "-inkey", files.court_key, "-recip", files.court)
    assert opened == "media key"


def test_openssl_answers_timestamp_requests_with_the_configuration(files: keys.KeyFiles, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"SHA256SUMS.p7s")
    openssl("ts", "-query", "-data", data, "-sha256", "-cert", "-out", tmp_path / "q.tsq")
    openssl(
        "ts", "-reply", "-config", files.tsa_config, "-queryfile", tmp_path / "q.tsq", "-out", tmp_path / "a.tsr", cwd=files.root.parent
    )
    openssl("ts", "-verify", "-in", tmp_path / "a.tsr", "-data", data, "-CAfile", files.root)
    data.write_bytes(b"another")
    with pytest.raises(AssertionError):
        openssl("ts", "-verify", "-in", tmp_path / "a.tsr", "-data", data, "-CAfile", files.root)


@pytest.mark.parametrize("room", ["", "Almaty 3", "../etc", "a" * 49, "-a", "a/b"])
def test_a_name_that_no_room_can_have_is_refused(room: str) -> None:
    with pytest.raises(keys.KeysError, match="cannot name a room"):
        keys.build(room, NOW)


def test_command_prints_lines_that_a_room_file_takes(tmp_path: Path) -> None:
    done = CliRunner().invoke(keys_cli.app, ["make", str(tmp_path / "k"), "--room", "almaty-3"])
    assert done.exit_code == 0, done.output
    import tomllib

    text = done.stdout + '\n[room]\nid = "almaty-3"\ncourt = "c"\n[storage]\nprimary = "/srv"\n'
    text += '[[microphone]]\ndriver = "test-tone"\nid = "m"\nchannels = [{id = "judge", number = 1}]\n'
    room = RoomConfig.model_validate(tomllib.loads(text))
    assert room.centre_roots == str(tmp_path / "k" / "root.pem")
    assert Path(room.recipient[0].certificate).exists()


def test_command_refuses_a_directory_that_already_holds_keys(tmp_path: Path) -> None:
    arguments = ["make", str(tmp_path), "--room", "almaty-3"]
    assert CliRunner().invoke(keys_cli.app, arguments).exit_code == 0
    again = CliRunner().invoke(keys_cli.app, arguments)
    assert again.exit_code == 1
    assert "never overwritten" in again.output.replace("\n", " ")
