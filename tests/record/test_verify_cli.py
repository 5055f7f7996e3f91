import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from provisioning import keys as key_files
from provisioning.keys import Hierarchy
from recorder.record import canonical, layout
from recorder.record.checkpoint import Receipt
from tests.record.record_builder import Builder


@pytest.fixture(scope="module")
def root_pem(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_files.write(keys, tmp_path_factory.mktemp("cli") / "keys").root


def courtroom_verify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli", "verify", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "200"})


def test_it_says_sealed_and_anchored_and_lists_the_pause(finished: tuple[Builder, list[Receipt]], root_pem: Path) -> None:
    done = courtroom_verify(finished[0].root, "--ca", root_pem)
    assert done.returncode == 0, done.stderr
    assert f"anchored to entry {finished[1][-1].at}" in done.stdout
    assert "witness is sworn in" in done.stdout


def test_a_broken_record_is_told_with_place_and_status(sealed: Builder, root_pem: Path) -> None:
    (sealed.root / "tracks/mic-judge/seg-000000.m4s").write_bytes(b"")
    done = courtroom_verify(sealed.root, "--ca", root_pem, "--json")
    assert done.returncode == 1
    verdict = json.loads(done.stdout)
    assert (verdict["level"], verdict["exit_status"]) == ("broken", 1)
    assert {"code", "severity", "place", "text"} == set(verdict["findings"][0])
    assert "BROKEN" in courtroom_verify(sealed.root, "--ca", root_pem).stdout


def test_without_an_authority_or_a_seal_the_status_is_three(
    finished: tuple[Builder, list[Receipt]], sealed: Builder, root_pem: Path
) -> None:
    assert courtroom_verify(finished[0].root).returncode == 3
    (sealed.root / layout.SUMS_SIGNATURE).unlink()
    assert courtroom_verify(sealed.root, "--ca", root_pem).returncode == 3


def test_what_is_no_record_has_status_two(tmp_path: Path) -> None:
    assert courtroom_verify(tmp_path).returncode == 2


def test_a_ledger_is_read_and_one_that_cannot_be_read_is_no_verdict(
    finished: tuple[Builder, list[Receipt]], root_pem: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(b"".join(canonical.encode(receipt) + b"\n" for receipt in finished[1]))
    assert courtroom_verify(finished[0].root, "--ca", root_pem, "--ledger", ledger).returncode == 0
    ledger.write_text("no receipts here")
    done = courtroom_verify(finished[0].root, "--ca", root_pem, "--ledger", ledger)
    assert done.returncode == 64
    assert "line 1 of the ledger" in done.stderr
    assert courtroom_verify(finished[0].root, "--ca", tmp_path / "nowhere").returncode == 64


def test_a_revocation_list_without_its_authority_is_not_passed_over(finished: tuple[Builder, list[Receipt]], tmp_path: Path) -> None:
    done = courtroom_verify(finished[0].root, "--crl", tmp_path / "list.pem")
    assert done.returncode == 64
    assert "give it by --ca" in done.stderr or "list.pem" in done.stderr  # a room's own authority may stand in /etc


@pytest.mark.parametrize("option", ["--ca", "--crl", "--tsa-ca", "--ledger"])
def test_a_pipe_in_place_of_an_options_file_is_not_waited_for(
    finished: tuple[Builder, list[Receipt]], root_pem: Path, tmp_path: Path, option: str
) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link.pem"
    os.mkfifo(pipe)
    link.symlink_to(root_pem)
    first = () if option == "--ca" else ("--ca", link)  # a link that a person names is followed
    done = courtroom_verify(finished[0].root, *first, option, pipe)
    assert done.returncode == 64
    assert "is no regular file" in done.stderr
    assert "pipe" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--no-such",), ("--workers", "-1"), ("--workers", "many")])
def test_a_wrong_command_line_is_no_verdict(finished: tuple[Builder, list[Receipt]], arguments: tuple[str, ...]) -> None:
    done = courtroom_verify(*arguments, *((finished[0].root,) if arguments else ()))
    assert (done.returncode, done.stdout) == (64, "")
    assert "Usage:" in done.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_verdict_that_cannot_be_written_is_none(finished: tuple[Builder, list[Receipt]], root_pem: Path, form: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "agent.cli", "verify", str(finished[0].root), "--ca", str(root_pem), *form]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 70
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_whoever_reads_no_further_does_not_change_the_verdict(
    finished: tuple[Builder, list[Receipt]], root_pem: Path, form: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "agent.cli", "verify", str(finished[0].root), "--ca", str(root_pem), *form]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, check=False, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_title_that_the_terminal_cannot_write_does_not_change_the_verdict(
    finished: tuple[Builder, list[Receipt]], root_pem: Path
) -> None:
    command = [sys.executable, "-m", "agent.cli", "verify", str(finished[0].root), "--ca", str(root_pem)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u049b" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything")
def test_a_record_that_may_not_be_opened_is_not_called_none(sealed: Builder) -> None:
    code = "import sys, agent.cli; sys.argv = ['courtroom', 'verify', '.']; agent.cli.main()"
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        for parent in [sealed.root, *sealed.root.parents[:-1]]:
            if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
                parent.chmod(0o755)
    sealed.root.chmod(0o311 if os.geteuid() else 0o711)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=sealed.root)
    sealed.root.chmod(0o755)
    if "ModuleNotFound" in done.stderr or "can't open" in done.stderr or "Permission denied: '/root" in done.stderr:
        pytest.skip("nobody may not run this Python")
    assert done.returncode == 64, done.stderr
    assert "Not judged" in done.stdout


def test_the_count_of_what_is_wrong_is_the_count_of_all_of_it(sealed: Builder, root_pem: Path) -> None:
    for number in range(15):
        (sealed.root / f"stray-{number}").write_text("x")
    (sealed.root / layout.MANIFEST).unlink()
    done = courtroom_verify(sealed.root, "--ca", root_pem, "--json")
    verdict = json.loads(done.stdout)
    strays = [finding for finding in verdict["findings"] if finding["code"] == "file_unlisted"]
    assert (strays[-1]["place"], strays[-1]["text"][:6]) == ("15 places", "5 more")
    others = [finding for finding in verdict["findings"] if finding["severity"] == "error" and finding not in strays]
    assert verdict["errors_found"] == 15 + len(others)
    assert f"{15 + len(others)} thing(s)" in verdict["sentence"]


@pytest.mark.parametrize("foreign", [False, True])
def test_a_ledger_that_says_nothing_of_the_record_does_not_pass_without_a_word(
    finished: tuple[Builder, list[Receipt]], root_pem: Path, tmp_path: Path, foreign: bool
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    others = [msgspec.structs.replace(receipt, record="0" * 8) for receipt in finished[1]] if foreign else []
    ledger.write_bytes(b"".join(canonical.encode(receipt) + b"\n" for receipt in others))
    done = courtroom_verify(finished[0].root, "--ca", root_pem, "--ledger", ledger, "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, [(one["code"], one["severity"]) for one in verdict["findings"]]) == (0, [("ledger_silent", "doubt")])
    with_its_own = [*others, *finished[1]]
    ledger.write_bytes(b"".join(canonical.encode(receipt) + b"\n" for receipt in with_its_own))
    assert json.loads(courtroom_verify(finished[0].root, "--ca", root_pem, "--ledger", ledger, "--json").stdout)["findings"] == []


@pytest.mark.parametrize(("name", "data"), [("nope.pem", None), ("empty.pem", b""), ("text.pem", b"no certificate")])
def test_a_file_of_authorities_that_holds_none_is_told_in_plain_words(
    finished: tuple[Builder, list[Receipt]], tmp_path: Path, name: str, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = courtroom_verify(finished[0].root, "--ca", tmp_path / name)
    assert done.returncode == 64
    assert f"{name} cannot be read" in done.stderr or f"{name} holds no PEM certificate" in done.stderr
    assert not any(word in done.stderr for word in ("Errno", "http", "Malformed"))


def test_a_path_where_nothing_is_is_a_mistake_and_no_verdict(tmp_path: Path) -> None:
    done = courtroom_verify(tmp_path / "nope")
    assert (done.returncode, done.stdout) == (64, "")
    assert "does not exist" in done.stderr
    (tmp_path / "file").write_text("x")
    done = courtroom_verify(tmp_path / "file")
    assert done.returncode == 2
    assert "is no directory" in done.stdout
