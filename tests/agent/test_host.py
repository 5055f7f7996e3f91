"""Readings of the PC, from files as the kernel writes them; and of this one."""

import datetime as dt
from pathlib import Path

import pytest

from agent.host import HostReader
from agent.upstream.contract import ClockQuality
from provisioning import keys

CLOCK = ClockQuality(source="undisciplined")
PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"


def machine(base: Path, jiffies: str, waited_us: int, degrees: list[str]) -> None:
    (base / "proc/pressure").mkdir(parents=True, exist_ok=True)
    (base / "proc/stat").write_text(f"cpu  {jiffies}\ncpu0 {jiffies}\n")
    (base / "proc/pressure/io").write_text(PSI.format(waited_us))
    (base / "proc/meminfo").write_text("MemTotal:       8000 kB\nMemFree:        1000 kB\nMemAvailable:   2000 kB\n")
    for number, value in enumerate(degrees):
        zone = base / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "temp").write_text(value)


def test_shares_are_of_the_time_between_two_readings(tmp_path: Path) -> None:
    now_s = 0.0
    reader = HostReader(None, proc=tmp_path / "proc", sys=tmp_path / "sys", clock=lambda: now_s)
    machine(tmp_path, "100 0 100 700 100 0 0 0 0 0", 1_000_000, ["41000\n", "68500\n", "-274000\n", "asleep\n"])
    first = reader.read(CLOCK)
    assert (first.cpu_percent, first.io_pressure_percent) == (None, None), "one reading is no share"
    assert first.temperature_c == 68.5
    assert first.memory_free_percent == 25
    machine(tmp_path, "150 0 150 850 150 0 0 0 0 0", 3_000_000, [])
    now_s = 10.0
    second = reader.read(CLOCK)
    assert second.cpu_percent == pytest.approx(100 * 100 / 300)
    assert second.io_pressure_percent == pytest.approx(20.0)


def test_a_machine_without_sensors_tells_nothing_instead_of_zero(tmp_path: Path) -> None:
    facts = HostReader(tmp_path / "no.pem", proc=tmp_path, sys=tmp_path).read(CLOCK)
    assert [facts.cpu_percent, facts.io_pressure_percent, facts.temperature_c, facts.certificate_days_left, facts.clock_error_ms] == [
        None
    ] * 5


def test_an_expired_certificate_counts_below_zero_and_a_renewed_one_is_seen(tmp_path: Path) -> None:
    certificate = tmp_path / "room.pem"
    certificate.write_bytes(keys.build("lab", dt.datetime.now(dt.UTC)).device.pem)
    reader = HostReader(certificate)
    days = reader.read(CLOCK).certificate_days_left
    assert days == pytest.approx(keys.LEAF_DAYS, abs=2)
    certificate.write_bytes(keys.build("lab", dt.datetime.now(dt.UTC) - dt.timedelta(days=keys.LEAF_DAYS + 10)).device.pem)
    expired = reader.read(CLOCK).certificate_days_left
    assert expired is not None
    assert expired < 0
