"""The clock's quality: chrony's own words, a real chronyd, and what is left where chrony is not there or hangs."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.centre_clock import Difference, is_believed
from agent.clock_quality import CHRONYC_S, UNDISCIPLINED, ClockWatch, kernel_quality, parse_tracking
from agent.upstream.contract import ClockQuality

# As chronyc 4.3 printed them, and the example of chronyc(1) in the same form.
EXAMPLE = "CB00710F,192.0.2.15,3,1485494607.5,0.000006523,-0.000006747,0.000035822,-3.225,-0.000,0.129,0.013639022,0.001100737,64.2,Normal"
ITSELF = "7F7F0101,,5,1795444621.899713791,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal"
LOST = "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised"
PATHS = "/usr/sbin:/usr/bin"


def test_the_bound_is_the_one_that_the_manual_gives() -> None:
    assert parse_tracking(EXAMPLE + "\n") == ClockQuality(source="chrony", stratum=3, error_us=round(6.523 + 1100.737 + 13639.022 / 2))


def test_a_clock_that_follows_nobody_has_no_bound() -> None:
    assert parse_tracking(LOST) == UNDISCIPLINED
    assert parse_tracking(ITSELF).error_us is None


@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon", EXAMPLE.rsplit(",", 1)[0], EXAMPLE.replace(",3,", ",three,")])
def test_what_is_no_tracking_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_tracking(text)


def test_the_kernels_word_names_its_holder_and_never_a_bound_that_nobody_vouches_for(tmp_path: Path) -> None:
    (tmp_path / "synchronized").touch()
    assert kernel_quality(tmp_path / "synchronized") in {UNDISCIPLINED, ClockQuality(source="timesyncd"), ClockQuality(source="unknown")}


async def test_without_chrony_the_kernel_is_asked() -> None:
    quality = await ClockWatch(["no-such-chronyc"]).read()
    assert quality.source == kernel_quality().source


async def test_a_chronyc_that_hangs_is_ended_and_holds_nobody_up() -> None:
    watch = ClockWatch(["sleep", "1000"])
    began_s = time.monotonic()
    reading = asyncio.create_task(watch.read())
    await asyncio.sleep(0)
    assert watch.latest.source == kernel_quality().source
    await reading
    assert CHRONYC_S <= time.monotonic() - began_s < CHRONYC_S + 3


async def test_what_was_read_is_kept_for_ten_seconds_and_told_for_thirty(tmp_path: Path) -> None:
    now_s = 100.0
    said = tmp_path / "said"
    said.write_text(EXAMPLE)
    watch = ClockWatch(["cat", str(said)], lambda: now_s)
    assert (await watch.read()).source == "chrony"
    said.write_text(LOST)
    now_s += 9.9
    assert (await watch.read()).source == "chrony"
    now_s += 0.2
    assert await watch.read() == UNDISCIPLINED
    said.write_text(EXAMPLE)
    now_s += 10
    assert (await watch.read()).source == "chrony"
    now_s += 31
    assert watch.latest.source == kernel_quality().source, "an old word is not passed on"


@pytest.fixture
def chronyd() -> Iterator[list[str]]:
    daemon, client = shutil.which("chronyd", path=PATHS), shutil.which("chronyc", path=PATHS)
    if daemon is None or client is None:
        pytest.skip("chrony is not installed: make setup-debian")
    with tempfile.TemporaryDirectory(prefix="courtroom-chrony-", dir="/tmp") as directory:
        socket, config = Path(directory) / "chronyd.sock", Path(directory) / "chrony.conf"
        config.write_text(
            f"local stratum 5\nport 0\ncmdport 0\nbindcmdaddress {socket}\npidfile {directory}/pid\ndriftfile {directory}/drift\n"
        )
        process = subprocess.Popen([daemon, "-x", "-d", "-u", "root", "-f", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            end_s = time.monotonic() + 10
            while not socket.exists():
                assert process.poll() is None, process.stdout.read() if process.stdout else ""
                assert time.monotonic() < end_s
                time.sleep(0.02)
            yield [client, "-h", str(socket), "-n", "-c", "tracking"]
        finally:
            process.terminate()
            process.communicate()


@pytest.mark.root
async def test_a_real_chronyd_is_understood(chronyd: list[str]) -> None:
    assert await ClockWatch(chronyd).read() == ClockQuality(source="chrony, by its own clock", stratum=5)


def test_a_clock_is_believed_where_somebody_disciplines_it_or_the_centre_bears_it_out() -> None:
    near, far = Difference(ahead_us=59_000_000, error_us=0), Difference(ahead_us=-3_600_000_000, error_us=50_000)
    assert is_believed(ClockQuality(source="timesyncd"), None)
    assert is_believed(ClockQuality(source="chrony", error_us=10), far)
    for source in ("undisciplined", "unknown"):
        assert [is_believed(ClockQuality(source=source), one) for one in (None, far, near)] == [False, False, True]
