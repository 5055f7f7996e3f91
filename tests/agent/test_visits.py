"""By which links a room visits another, and what is kept of a visit."""

import stat
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest

from agent.visits import Visits, VisitsError, visit_by

TOKEN = "t0ken-_" + "x" * 36


@pytest.mark.parametrize(
    ("root", "scheme"),
    [
        ("192.0.2.7:8443", "https"), ("[2001:db8::7]:8443", "https"), ("centre.example/r/lab", "https"), ("127.0.0.1:8443", "http"),
        ("[::1]:8443", "http"),
    ],
)  # fmt: skip
def test_a_link_leads_to_the_room_that_gave_it(root: str, scheme: str) -> None:
    visit = visit_by(f" {scheme}://{root}/join/#{TOKEN}\n", "")
    assert (visit.root, visit.token) == (f"{scheme}://{root}", TOKEN)


@pytest.mark.parametrize(
    "link",
    [
        "", TOKEN, f"https://centre.example/join/{TOKEN}", f"https://a@centre.example/join/#{TOKEN}", f"ftp://centre.example/join/#{TOKEN}",
        f"https://centre.example/join/#{TOKEN} --by", f"https:///join/#{TOKEN}", f"http://centre.example/join/#{TOKEN}",
        f"http://127.0.0.1.example/join/#{TOKEN}", f"https://centre.example/?/join/#{TOKEN}",
    ],
)  # fmt: skip
def test_what_is_no_link_or_would_go_unencrypted_is_refused_without_its_token_in_the_words(link: str) -> None:
    with pytest.raises(VisitsError) as refused:
        visit_by(link, "")
    assert TOKEN not in str(refused.value)


def test_each_visit_has_a_name_and_a_device_of_its_own() -> None:
    link = f"https://centre.example/join/#{TOKEN}"
    first, second = visit_by(link, ""), visit_by(link, "")
    assert first.id != second.id
    assert first.device != second.device


def test_a_visit_is_kept_until_it_is_dropped_and_read_by_the_agent_alone(tmp_path: Path) -> None:
    path = tmp_path / "visit.json"
    visit = visit_by(f"https://centre.example/join/#{TOKEN}", "PEM")
    Visits(path, "boot-1").keep(visit)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Visits(path, "boot-1")
    assert again.now == visit
    again.keep(msgspec.structs.replace(visit, resume="r"))
    again.drop()
    assert Visits(path, "boot-1").now is None
    again.drop()


def test_a_pc_that_was_switched_on_anew_dials_nowhere_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "visit.json"
    Visits(path, "boot-1").keep(visit_by(f"https://centre.example/join/#{TOKEN}", ""))
    assert Visits(path, "boot-2").now is None
    assert Visits(path, "boot-1").now is None, "nor afterwards"


def test_a_visit_that_could_not_be_kept_for_sure_is_none_after_a_new_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "visit.json"

    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("agent.whole_file._sync", fail)
    visits = Visits(path, "boot-1")
    with pytest.raises(VisitsError, match="look after the disk"):
        visits.keep(visit_by(f"https://centre.example/join/#{TOKEN}", ""))
    assert visits.now is None
    assert Visits(path, "boot-1").now is None


def test_a_refused_visit_that_may_come_back_after_a_new_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = Visits(tmp_path / "visit.json", "boot-1")
    monkeypatch.setattr("agent.whole_file._sync", Mock(side_effect=OSError(5, "Input/output error")))
    monkeypatch.setattr(Path, "unlink", Mock(side_effect=OSError(30, "Read-only file system")))
    with pytest.raises(VisitsError, match=r"cannot be written: Input/output error.*cannot be removed: Read-only file system") as refused:
        visits.keep(visit_by(f"https://centre.example/join/#{TOKEN}", ""))
    assert "may visit again" in str(refused.value)
    assert visits.now is None


def test_a_visit_whose_newest_way_back_is_not_kept_goes_on_also_after_a_new_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "visit.json"
    visits, visit = Visits(path, "boot-1"), visit_by(f"https://centre.example/join/#{TOKEN}", "")
    visits.keep(visit)
    monkeypatch.setattr("agent.whole_file._sync", Mock(side_effect=OSError(5, "Input/output error")))
    with pytest.raises(VisitsError, match="cannot be written"):
        visits.keep(msgspec.structs.replace(visit, resume="r"))
    assert visits.now == visit
    again = Visits(path, "boot-1").now
    assert again is not None
    assert again.id == visit.id


@pytest.mark.parametrize("damaged", [b'{"token": 1}', b"{", b'"\xff"', b'{"of": "another version"}'])
def test_a_file_that_cannot_be_read_keeps_no_agent_from_its_work_and_is_set_aside(
    tmp_path: Path, damaged: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "visit.json"
    path.write_bytes(damaged)
    assert Visits(path, "boot-1").now is None
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert not path.exists()
    assert "the visit is over" in "".join(capsys.readouterr())
