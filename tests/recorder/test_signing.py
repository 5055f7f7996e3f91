import datetime as dt
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import keys as key_files
from provisioning.keys import Hierarchy, KeyFiles
from provisioning.room import CredentialKey, FileKey, TokenKey
from recorder.record.cms import check_detached
from recorder.seal import cms_signature
from recorder.signing import ECDSA, Signer, SigningError, open_signer

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "648219"


@pytest.fixture(scope="module")
def keys() -> Hierarchy:
    return key_files.build("room-1", dt.datetime.now(dt.UTC))


@pytest.fixture
def files(keys: Hierarchy, tmp_path: Path) -> KeyFiles:
    return key_files.write(keys, tmp_path / "keys")


def holds(signer: Signer, keys: Hierarchy) -> bool:
    public = keys.device.certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signer.sign(b"a head"), b"a head", ECDSA)
    return check_detached(cms_signature(b"a list", signer), b"a list").certificate == keys.device.certificate


def stanza(files: KeyFiles) -> FileKey:
    return FileKey(kind="file", key=str(files.device_key), chain=str(files.chain))


def test_a_key_file_signs_and_is_named_by_its_certificate(keys: Hierarchy, files: KeyFiles) -> None:
    signer = open_signer(stanza(files))
    assert holds(signer, keys)
    assert signer.key_id == keys.device.certificate.fingerprint(hashes.SHA256()).hex()
    assert [*signer.chain] == [keys.device.certificate, keys.issuing.certificate]


def test_a_systemd_credential_signs(keys: Hierarchy, files: KeyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "device-key").write_bytes(files.device_key.read_bytes())
    (tmp_path / "device-key").chmod(0o440)
    (tmp_path / "device-chain").write_bytes(files.chain.read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert holds(open_signer(CredentialKey(kind="credential")), keys)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(SigningError, match="CREDENTIALS_DIRECTORY"):
        open_signer(CredentialKey(kind="credential"))


def test_a_key_that_others_can_read_is_refused(files: KeyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.device_key.chmod(0o644)
    with pytest.raises(SigningError, match="chmod 600"):
        open_signer(stanza(files))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))  # as the unit has it, whatever kind of key room.toml names
    with pytest.raises(SigningError, match="chmod 600"):
        open_signer(stanza(files))


def test_what_does_not_fit_is_refused_in_one_sentence_with_its_remedy(files: KeyFiles, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "empty").chmod(0o600)
    (tmp_path / "long").write_bytes(files.chain.read_bytes() * 9)
    for wrong, words in (
        (FileKey(kind="file", key=str(tmp_path / "nowhere"), chain=str(files.chain)), "nowhere"),
        (FileKey(kind="file", key=str(tmp_path / "empty"), chain=str(files.chain)), "no unencrypted PEM key"),
        (FileKey(kind="file", key=str(files.court_key), chain=str(files.chain)), "P-256"),
        (FileKey(kind="file", key=str(files.centre_key), chain=str(files.chain)), "is not the key of"),
        (FileKey(kind="file", key=str(files.device_key), chain=str(tmp_path / "empty")), "empty"),
        (FileKey(kind="file", key=str(files.device_key), chain=str(tmp_path / "long")), "holds 18 certificates; leave the device's"),
    ):
        with pytest.raises(SigningError, match=words) as raised:
            open_signer(wrong)
        assert "\n" not in str(raised.value).strip()


@pytest.fixture
def token(keys: Hierarchy, files: KeyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenKey:
    """A SoftHSM token that holds the device's key."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(
        f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    pkcs8 = tmp_path / "device.p8"
    pkcs8.write_bytes(
        keys.device.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tool = ["softhsm2-util", "--module", SOFTHSM]
    subprocess.run([*tool, "--init-token", "--free", "--label", "room", "--so-pin", PIN, "--pin", PIN], check=True, capture_output=True)
    imported = ["--import", str(pkcs8), "--token", "room", "--label", "device", "--id", "01", "--pin", PIN]
    subprocess.run([*tool, *imported], check=True, capture_output=True)
    (tmp_path / "pin").write_bytes(f"\ufeff{PIN}\r\n".encode())  # as Windows writes it
    return TokenKey(
        kind="pkcs11", module=SOFTHSM, token="room", label="device", pin_file=str(tmp_path / "pin"), chain=str(files.chain)
    )  # fmt: skip


def in_process_of_its_own(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A PKCS#11 module is loaded and configured once a process, so each test of it has a process of its own."""
    import sys

    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=dict(os.environ), timeout=60)


TOKEN_CODE = """
import sys, base64
from provisioning.room import TokenKey
from recorder.signing import open_signer, SigningError
from recorder.seal import cms_signature
try:
    signer = open_signer(TokenKey.model_validate_json(sys.argv[1]))
except SigningError as error:
    sys.exit(str(error))
print(base64.b64encode(signer.sign(b"a head")).decode(), base64.b64encode(cms_signature(b"a list", signer)).decode())
"""


def test_a_token_signs_heads_and_seals_and_never_gives_its_key_out(keys: Hierarchy, token: TokenKey) -> None:
    import base64

    done = in_process_of_its_own(TOKEN_CODE, token.model_dump_json())
    assert done.returncode == 0, done.stderr
    head, seal = (base64.b64decode(text) for text in done.stdout.split())
    public = keys.device.certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(head, b"a head", ECDSA)
    assert check_detached(seal, b"a list").certificate == keys.device.certificate


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "another"}, "cannot use key 'another'"),
        ({"token": "absent"}, "token 'absent'"),
        ({"module": "/nowhere/lib.so"}, "/nowhere/lib.so"),
        ({"pin_file": "/nowhere/pin"}, "PIN file /nowhere/pin"),
    ],
)
def test_a_token_that_cannot_be_used_is_explained(token: TokenKey, change: dict[str, str], words: str) -> None:
    done = in_process_of_its_own(TOKEN_CODE, token.model_copy(update=change).model_dump_json())
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_with_another_key_than_the_certificates_is_refused(token: TokenKey, files: KeyFiles) -> None:
    done = in_process_of_its_own(TOKEN_CODE, token.model_copy(update={"chain": str(files.centre)}).model_dump_json())
    assert "does not belong to the certificate" in done.stderr
