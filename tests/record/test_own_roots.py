"""Whom `courtroom verify` believes on a room's PC, where nobody is named to it."""

from pathlib import Path

import pytest

from provisioning.keys import Hierarchy
from recorder.record.cli import authorities_of
from recorder.record.own_roots import own_roots
from recorder.record.trust import Authorities


def test_the_authorities_that_the_room_names_are_believed(tmp_path: Path) -> None:
    room = tmp_path / "room.toml"
    room.write_text('centre_roots = "roots.pem"\n[room]\nid = "a"\n')
    assert own_roots(tmp_path / "ca.pem", room) is None
    (tmp_path / "roots.pem").write_text("")
    assert own_roots(tmp_path / "ca.pem", room) == tmp_path / "roots.pem"
    (tmp_path / "elsewhere").mkdir()
    elsewhere = (tmp_path / "roots.pem").rename(tmp_path / "elsewhere" / "roots.pem")
    room.write_text(f'centre_roots = "{elsewhere}"\n')
    assert own_roots(tmp_path / "ca.pem", room) == elsewhere


def test_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "room.toml").write_text('centre_roots = "roots.pem"\n')
    (tmp_path / "ca.pem").write_text("")
    assert own_roots(tmp_path / "ca.pem", tmp_path / "room.toml") == tmp_path / "ca.pem"


@pytest.mark.parametrize("text", [None, "", "[room]\n", "centre_roots = 7\n", "centre_roots = \n", "\ud800"])
def test_elsewhere_nobody_is_believed(tmp_path: Path, text: str | None) -> None:
    room = tmp_path / "room.toml"
    if text is not None:
        room.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert own_roots(tmp_path / "ca.pem", room) is None


def test_the_verifier_asks_for_them(keys: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roots.pem").write_bytes(keys.root.pem)
    monkeypatch.setattr("recorder.record.cli.own_roots", lambda: tmp_path / "roots.pem")
    assert isinstance(authorities_of(None), Authorities)
    monkeypatch.setattr("recorder.record.cli.own_roots", lambda: None)
    assert authorities_of(None) is None
