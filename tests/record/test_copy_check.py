"""A readable copy is checked by whoever was given it: whole or not, by whom, and no word more."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning import keys as key_files
from provisioning.keys import Hierarchy, Identity, build
from recorder.record import layout
from recorder.record.copy_check import DERIVATIVE
from recorder.record.verdict import ProofLevel, Verdict
from tests.record.copying import readable_copy
from tests.record.ordering import signature
from tests.record.record_builder import Builder
from tests.record.test_verify_cli import courtroom_verify

MEDIA = "tracks/mic-judge/seg-000000.m4s"
Maker = Callable[..., Path]


@pytest.fixture(scope="module")
def root_pem(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_files.write(keys, tmp_path_factory.mktemp("copy-check") / "keys").root


@pytest.fixture
def make(finished: tuple[Builder, object], keys: Hierarchy, tmp_path: Path) -> Maker:
    def made(by: Identity | None = keys.court, level: ProofLevel = "sealed") -> Path:
        verdict = Verdict(level=level, record=str(finished[0].record_id), hearing=finished[0].hearing, signer_trusted=True)
        return readable_copy(tmp_path / "copy", finished[0], verdict, by)

    return made


def test_a_whole_copy_is_told_with_its_signer_and_its_record(make: Maker, finished: tuple[Builder, object], root_pem: Path) -> None:
    done = courtroom_verify(make(), "--ca", root_pem)
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.replace("│", " ").split())
    assert f"A readable copy of record {finished[0].record_id}, signed by CN=Court archive: whole" in said
    assert "what was recorded is proven by the record alone" in said
    assert "BROKEN" not in said


def test_without_an_authority_or_under_another_nobody_vouches(make: Maker, tmp_path: Path) -> None:
    copy = make()
    other = key_files.write(build("room-2", dt.datetime.now(dt.UTC)), tmp_path / "other").root
    for arguments in ((), ("--ca", other)):
        assert courtroom_verify(copy, *arguments).returncode == 3


def test_a_copy_that_nobody_signed_is_whole_by_its_list_alone(make: Maker, root_pem: Path) -> None:
    done = courtroom_verify(make(None), "--ca", root_pem, "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["level"], verdict["exit_status"]) == (3, "copy_unsigned", 3)


@pytest.mark.parametrize("level", ["broken", "unreadable"])
def test_a_copy_of_a_broken_record_has_not_the_status_of_proof(make: Maker, root_pem: Path, level: ProofLevel) -> None:
    assert courtroom_verify(make(level=level), "--ca", root_pem).returncode == 3


def media(copy: Path) -> None:
    (copy / MEDIA).write_bytes(b"sounD")


def added(copy: Path) -> None:
    (copy / "more.txt").write_text("more")


def taken(copy: Path) -> None:
    (copy / MEDIA).unlink()


def linked(copy: Path) -> None:
    (copy / "link").symlink_to(copy / MEDIA)


def unsigned(copy: Path) -> None:
    (copy / layout.SUMS_SIGNATURE).unlink()


def unlisted(copy: Path) -> None:
    (copy / layout.SUMS).unlink()


def other_source(copy: Path) -> None:
    place = copy / DERIVATIVE
    place.write_bytes(place.read_bytes().replace(b'"hearing":"hearing-1"', b'"hearing":"hearing-2"'))


def no_derivative(copy: Path) -> None:
    (copy / DERIVATIVE).write_text("[]")


@pytest.mark.parametrize("tamper", [media, added, taken, linked, unsigned, unlisted, other_source, no_derivative])
def test_whatever_is_done_to_a_copy_breaks_it(make: Maker, root_pem: Path, tamper: Callable[[Path], None]) -> None:
    copy = make()
    tamper(copy)
    done = courtroom_verify(copy, "--ca", root_pem, "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["level"]) == (1, "copy_broken")
    assert verdict["findings"]


def test_nobody_else_signs_for_the_one_whom_the_copy_names(make: Maker, keys: Hierarchy, root_pem: Path) -> None:
    copy = make()
    namesake = build("room-1", dt.datetime.now(dt.UTC)).court
    (copy / layout.SUMS_SIGNATURE).write_bytes(signature((copy / layout.SUMS).read_bytes(), namesake))
    assert courtroom_verify(copy, "--ca", root_pem).returncode == 3
    assert namesake.certificate != keys.court.certificate


@pytest.mark.parametrize("insisting", [("--hearing", "hearing-1"), ("--start-token", "token-1")])
def test_whoever_insists_on_something_of_a_record_is_given_no_word_about_a_copy(
    make: Maker, root_pem: Path, insisting: tuple[str, str]
) -> None:
    done = courtroom_verify(make(), "--ca", root_pem, *insisting)
    assert (done.returncode, done.stdout) == (64, "")
    assert "is a readable copy" in done.stderr


def test_what_is_said_of_a_copy_beside_a_journal_does_not_hide_that_record(sealed: Builder, root_pem: Path) -> None:
    (sealed.root / DERIVATIVE).write_text("{}")
    done = courtroom_verify(sealed.root, "--ca", root_pem, "--json")
    assert (done.returncode, json.loads(done.stdout)["level"]) == (1, "broken")
