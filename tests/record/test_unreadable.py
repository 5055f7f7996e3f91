"""What cannot be read is no verdict, and what is no regular file is never opened: neither hangs nor fells the verifier."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning import keys as key_files
from provisioning.keys import Hierarchy
from recorder.record import file_check, layout
from recorder.record.verify import Outside, verify
from tests.record.record_builder import Builder
from tests.record.test_verify_cli import courtroom_verify

SMALL = [layout.DEVICE_CHAIN, layout.MANIFEST, layout.SUMS, layout.SUMS_SIGNATURE, layout.ANCHORS, layout.JOURNAL]
MEDIA = "tracks/mic-judge/seg-000000.m4s"
FORBIDDEN = PermissionError(errno.EACCES, "Permission denied")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("put", [fifo, endless])
@pytest.mark.parametrize("name", [*SMALL, layout.SUMS_TIMESTAMP, MEDIA, "keys/mic-judge-00.cms", "journal-0002.jsonl"])
def test_pipes_and_devices_break_the_record_and_are_not_opened(
    sealed: Builder, outside: Outside, name: str, put: Callable[[Path], None]
) -> None:
    (sealed.root / name).unlink(missing_ok=True)
    put(sealed.root / name)
    verdict = verify(sealed.root, outside)
    assert verdict.level == "broken"
    assert ("not_a_file", name) in {(finding.code, finding.place) for finding in verdict.errors}


@pytest.mark.parametrize("name", [*SMALL, MEDIA, "keys/mic-judge-00.cms"])
def test_what_may_not_be_read_is_named_and_is_not_called_broken(
    sealed: Builder, outside: Outside, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = file_check.open_regular

    def open_regular(path: Path) -> int:
        if path == sealed.root / name:
            raise FORBIDDEN
        return allowed(path)

    monkeypatch.setattr(file_check, "open_regular", open_regular)
    verdict = verify(sealed.root, outside)
    assert (verdict.level, verdict.exit_status) == ("unreadable", 64)
    assert [(finding.place, finding.text) for finding in verdict.errors] == [(name, "cannot be read: Permission denied")]


def test_a_directory_that_may_not_be_read_is_not_an_empty_one(sealed: Builder, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("tracks/mic-judge"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return allowed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    verdict = verify(sealed.root, outside)
    assert (verdict.level, [finding.place for finding in verdict.errors]) == ("unreadable", ["tracks/mic-judge"])


def test_what_is_broken_beside_what_cannot_be_read_is_broken(sealed: Builder, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    (sealed.root / "extra").write_bytes(b"x")
    allowed = file_check.open_regular

    def open_regular(path: Path) -> int:
        if path == sealed.root / MEDIA:
            raise FORBIDDEN
        return allowed(path)

    monkeypatch.setattr(file_check, "open_regular", open_regular)
    assert verify(sealed.root, outside).level == "broken"


@pytest.mark.parametrize(("name", "most_bytes"), [(layout.ANCHORS, file_check.LIST_BYTES), (layout.DEVICE_CHAIN, file_check.SMALL_BYTES)])
def test_a_list_that_no_recorder_wrote_is_not_held_in_memory(sealed: Builder, outside: Outside, name: str, most_bytes: int) -> None:
    os.truncate(sealed.root / name, most_bytes + 1)
    verdict = verify(sealed.root, outside)
    assert verdict.level == "broken"
    assert ("file_too_large", name) in {(finding.code, finding.place) for finding in verdict.errors}


def test_no_traceback_and_no_interrupt_has_the_status_of_a_verdict(sealed: Builder, keys: Hierarchy, tmp_path: Path) -> None:
    root = key_files.write(keys, tmp_path / "keys").root
    (Path(os.fsdecode(os.fsencode(sealed.root) + b"/\xff\x1b"))).write_bytes(b"x")
    for arguments in ((), ("--json",)):
        done = courtroom_verify(sealed.root, "--ca", root, *arguments)
        assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can become nobody")
def test_somebody_without_the_right_to_read_is_told_so(sealed: Builder, tmp_path: Path) -> None:
    (sealed.root / "tracks/mic-judge").chmod(0o700)
    for parent in [sealed.root, *sealed.root.parents[:-1]]:
        if parent.is_relative_to(tmp_path.parent.parent):
            parent.chmod(0o755)
    code = f"from recorder.record.verify import verify; print(verify(__import__('pathlib').Path({str(sealed.root)!r})).level)"
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Permission" in done.stderr or "ModuleNotFound" in done.stderr:
        pytest.skip("nobody may not run this Python")
    assert done.stdout.strip() == "unreadable", done.stderr
