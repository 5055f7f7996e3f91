"""The page for a centre's people: it names every setting with its default, and its commands and examples are such."""

import re
import subprocess
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from agent.cli import application
from agent.upstream.centre.authority import LIST_DAYS, OWN_DAYS, ROOT_LIST_DAYS, SIGNING_DAYS, TRANSPORT_DAYS
from agent.upstream.centre.callers import ROLES
from agent.upstream.centre.settings import S3, CentreHome, Settings

PAGE = (Path(__file__).parents[2] / "docs/centre.md").read_text(encoding="utf-8")
SETTINGS = PAGE.split("## centre.toml")[1].split("```")[0]
EXPIRY = PAGE.split("## What expires")[1].split("## Backup")[0]


def test_every_setting_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| (`.+?) \|", SETTINGS, flags=re.MULTILINE)
    named = {key.strip("[]") for row in rows for key in re.findall(r"`([^`]+)`", row)}
    assert named == set(Settings.model_fields)


def test_the_defaults_are_those_of_the_code() -> None:
    assert f"| {Settings().late_after_s} |" in SETTINGS
    assert f"| {Settings().silent_after_s}, at least 20 |" in SETTINGS
    assert f"| `{Settings().name}` |" in SETTINGS
    assert f"| `{Settings().host}`, `{Settings().port}` |" in SETTINGS


def test_the_example_of_a_storage_is_one() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    S3.model_validate(tomllib.loads(example[1])["s3"])


def test_every_command_is_one() -> None:
    commands = set(re.findall(r"courtroom centre ([a-z][a-z-]+)", PAGE))
    assert {"init", "run", "token", "revoke", "look-in"} <= commands
    for command in commands:
        done = CliRunner().invoke(application(), ["centre", command, "--help"])
        assert done.exit_code == 0, f"{command}: {done.output}"
    assert all(f"`{role}`" in PAGE for role in ROLES)


def test_what_expires_is_said_with_the_days_of_the_code() -> None:
    days = dict(re.findall(r"^\| (\w+).*? \| (\d+) days \|", EXPIRY.replace("the listener", "listener"), flags=re.MULTILINE))
    assert days["listener"] == days["roles"] == str(OWN_DAYS)
    assert days["the"] == str(SIGNING_DAYS)
    revocation = PAGE.split("## Revocation")[1].split("## What expires")[0]
    assert f"is good for {LIST_DAYS} days" in revocation
    assert f"of the root is good for {ROOT_LIST_DAYS} days" in revocation
    assert re.search(rf"for the connection \| {TRANSPORT_DAYS} days", EXPIRY)
    assert re.search(rf"sign records \| {SIGNING_DAYS} days", EXPIRY)


def test_the_listeners_certificate_can_be_made_anew_as_it_says(tmp_path: Path) -> None:
    home = tmp_path / "centre"
    name = "centre.court.example"
    made = CliRunner().invoke(application(), ["centre", "init", str(home), "--reached-by", name])
    assert made.exit_code == 0, made.output
    before = (home / "server.pem").read_bytes()
    line = re.search(r"`courtroom (centre renew DIRECTORY server)`", EXPIRY)
    assert line is not None
    renewed = CliRunner().invoke(application(), line[1].replace("DIRECTORY", str(home)).split())
    assert renewed.exit_code == 0, renewed.output
    assert (home / "server.pem").read_bytes() != before
    CentreHome(home).server.context()
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-purpose", "sslserver"]
    done = subprocess.run(
        [*verify, "-verify_hostname", name, "server.pem"], cwd=home, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
