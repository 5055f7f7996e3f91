"""Records where the services may not write are warned of."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from provisioning.problems import Finding
from provisioning.room import Storage
from provisioning.room_checks import Machine
from provisioning.room_file import check
from provisioning.unit_places import PLACE, UNITS, check_places, opened_by, writable

SYSTEMD = Path(__file__).parents[2] / "systemd"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A PC on which the units are installed as scripts/install-room does."""
    home = tmp_path / "root/usr/lib/systemd/system"
    home.mkdir(parents=True)
    for unit in SYSTEMD.glob("*.service"):
        shutil.copy(unit, home)
    return tmp_path / "root"


def drop_in(root: Path, unit: str, text: str, name: str = "override.conf") -> None:
    home = root / f"etc/systemd/system/{unit}.service.d"
    home.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(f"[Service]\n{text}\n")


def found(root: Path, primary: str, mirror: str | None = None) -> list[Finding]:
    return list(check_places(Storage(primary=primary, mirror=mirror), writable(root)))


def test_the_services_open_one_place_as_they_are_installed(root: Path) -> None:
    assert writable(root) == {unit: [PLACE] for unit in UNITS}
    assert found(root, f"{PLACE}/primary", f"{PLACE}/mirror") == []


def test_a_place_that_no_service_opens_is_warned_of_until_both_do(root: Path) -> None:
    (finding,) = found(root, f"{PLACE}/primary", "/data/mirror")
    assert (finding.place, finding.severity) == (("storage", "mirror"), "warning")
    assert "courtroom-recorder and courtroom-delivery may not write" in finding.what
    assert "ReadWritePaths=-/data/mirror" in finding.remedy
    assert PLACE in finding.remedy
    drop_in(root, "courtroom-recorder", "ReadWritePaths=-/data")
    (finding,) = found(root, "/data/primary")
    assert "where courtroom-delivery may not write" in finding.what
    drop_in(root, "courtroom-delivery", "ReadWritePaths=-/data")
    assert found(root, "/data/primary", f"{PLACE}/mirror") == []


def test_a_drop_in_opens_nothing_of_a_home_directory(root: Path) -> None:
    drop_in(root, "courtroom-recorder", "ReadWritePaths=/home/records")
    (finding,) = found(root, "/home/records")
    assert "lies in /home, of which courtroom-recorder and courtroom-delivery see nothing" in finding.what
    assert "systemctl edit" not in finding.remedy


def test_a_link_is_judged_by_where_it_leads(root: Path, tmp_path: Path) -> None:
    (tmp_path / "away").symlink_to("/data")
    (tmp_path / "there").symlink_to(PLACE)
    drop_in(root, "courtroom-recorder", f"ReadWritePaths={tmp_path}/away")
    assert len(found(root, f"{tmp_path}/away/primary")) == 1
    assert found(root, f"{tmp_path}/there/primary") == []


def test_a_pc_without_the_services_is_not_warned_of(tmp_path: Path) -> None:
    assert writable(tmp_path) == {}
    assert found(tmp_path, "/data/primary") == []


@pytest.mark.parametrize(
    ("lines", "opened"),
    [
        (["ProtectSystem=strict", "ReadWritePaths=-/a +/b \\\n  '/c d'", "ReadWritePaths=/e"], ["/a", "/b", "/c d", "/e"]),
        (["ProtectSystem=strict", "ReadWritePaths=/a", "ReadWritePaths=", "ReadWritePaths=/b"], ["/b"]),
        (["ProtectSystem=strict", "#ReadWritePaths=/a"], []),
        (["ProtectSystem=strict", "ReadWritePaths=/a 'b"], ["/a", "'b"]),
        (["ProtectSystem=strict", "ProtectSystem=no"], None),
        ([], None),
    ],
)
def test_what_is_opened_is_read_as_systemd_reads_it(lines: list[str], opened: list[str] | None) -> None:
    assert opened_by(lines) == opened


def test_drop_ins_are_read_by_their_names_and_one_of_the_administrators_hides_another(root: Path) -> None:
    drop_in(root, "courtroom-recorder", "ReadWritePaths=", "10-nothing.conf")
    drop_in(root, "courtroom-recorder", "ReadWritePaths=/a", "20-a.conf")
    shipped = root / "usr/lib/systemd/system/courtroom-recorder.service.d"
    shipped.mkdir()
    (shipped / "20-a.conf").write_text("[Service]\nReadWritePaths=/shipped\n")
    assert writable(root)["courtroom-recorder"] == ["/a"]


def test_the_configurations_check_tells_it(tmp_path: Path) -> None:
    room = tmp_path / "room.toml"
    room.write_text('[room]\nid = "a"\ncourt = "C"\n[storage]\nprimary = "records"\n[signing]\nkind = "credential"\n[[camera]]\nid = "p"\n')
    room.write_text(room.read_text() + 'driver = "test-pattern"\n')
    machine = Machine(cores=2, hardware_encoder=False, units={"courtroom-recorder": [PLACE]})
    told = check(room, dt.datetime.now(dt.UTC), machine).problems
    assert any(problem.where == "storage.primary" and "courtroom-recorder" in problem.what for problem in told)
