"""The recorder's unit on a system that really boots: started by systemd, closed in as it says, and back by itself after a power cut."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import vm_image
from tests.lab.vm import vm
from tests.lab.vm_room import CONFIG, KEYS, READY_S, SERVICE, VmRoom, say
from tests.vm import vivid_clip

pytestmark = [
    pytest.mark.long,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(vm_image.missing()), reason=f"no virtual machine: {vm_image.missing()}"),
]
EXPOSURE_MOST = 2.5
"""``systemd-analyze security`` on the running unit, 0 (closed) to 10."""
LOST_MOST_S = 2.0
"""Of a track by a power cut. Promised are 1 s and the disk's stall on a PC; this one is emulated, and its disk stalls with the host's."""
AWAY_SLACK_S = 30.0
"""Between the guest's first answer and the recorder's recovery, in either order."""
DEVICES = """
[encoding]
h264 = "libx264"
[[camera]]
id = "cam"
driver = "v4l2"
path = "/dev/v4l/by-path/platform-vivid.0-video-index0"
format = "yuyv422"
width = 320
height = 180
fps = 5
[[microphone]]
id = "card"
driver = "alsa"
device = "hw:CARD=Loopback,DEV=1"
channels = [ { id = "judge", number = 1 }, { id = "witness", number = 2 } ]
[mix]
enabled = false
[watch]
enabled = false
"""

# Stands for a time daemon: tells the kernel that its clock is disciplined (adjtimex(2): ADJ_MAXERROR and ADJ_STATUS, 10 ms).
_CLOCK = """\
import ctypes
import struct

ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(struct.pack("<I4xqqqqi", 0x14, 0, 0, 10_000, 10_000, 1), 208))
"""
_CLOCK_UNIT = """\
[Unit]
Before=courtroom-recorder.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /root/clock.py
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VmRoom]:
    with vm(tmp_path_factory.mktemp("boot")) as machine:
        it = VmRoom(machine, DEVICES)
        # As a PC's own devices are, these shall be there after each boot.
        machine.put("/etc/modules-load.d/lab.conf", b"vivid\nsnd-aloop\n")
        machine.put("/root/clock.py", _CLOCK.encode())
        machine.put("/etc/systemd/system/lab-clock.service", _CLOCK_UNIT.encode())
        machine.check("systemctl enable --quiet --now lab-clock")
        say(f"boot {machine.boot_s:.0f} s, installation {it.install_s:.0f} s")
        began_s = time.monotonic()
        # The first camera and the first card come after the recorder, as where they are plugged in later.
        machine.check(f"systemctl enable --quiet --now {SERVICE} && systemctl restart systemd-modules-load && udevadm settle")
        it.start()
        say(f"systemctl enable --now to all tracks live: {time.monotonic() - began_s:.0f} s")
        yield it


def main_pid(room: VmRoom) -> int:
    return int(room.machine.check(f"systemctl show --property=MainPID --value {SERVICE}"))


def test_the_unit_runs_and_answers_its_users_alone(room: VmRoom) -> None:
    assert room.machine.check(f"systemctl is-active {SERVICE}").strip() == "active"
    assert room.machine.run("systemctl --failed --no-legend").output.strip() == ""
    for user in ("root", "courtroom-recorder"):
        assert "idle" in room.machine.check(f"runuser --user {user} -- courtroom recorder status")
    for user in ("courtroom-vks", "nobody"):
        assert room.machine.run(f"runuser --user {user} -- courtroom recorder status").status != 0
    # The agent's and the videoconference's users reach the directories of the sockets, strangers do not.
    for user in ("courtroom-agent", "courtroom-vks"):
        assert "cam.sock" in room.machine.check(f"runuser --user {user} -- ls /run/courtroom/bus")
        assert "[room]" in room.machine.check(f"runuser --user {user} -- cat /etc/courtroom/room.toml")
        assert room.machine.run(f"runuser --user {user} -- cat /etc/courtroom/keys/device.key").status != 0
    assert room.machine.run("runuser --user nobody -- ls /run/courtroom").status != 0


def test_the_agent_runs_beside_the_recorder_under_its_own_unit(room: VmRoom) -> None:
    room.machine.check("systemctl start courtroom-agent")
    assert "idle" in room.machine.check("for n in $(seq 60); do courtroom hearing status && break; sleep 1; done")
    assert room.machine.check("systemctl is-active courtroom-agent").strip() == "active"
    room.machine.check("systemctl stop courtroom-agent")


def test_the_process_is_as_closed_as_the_unit_says(room: VmRoom) -> None:
    pid = main_pid(room)
    children = room.machine.check(f"cat /proc/{pid}/task/{pid}/children").split()
    assert len(children) == 2  # camera and sound card
    uid = room.machine.check("id --user courtroom-recorder").strip()
    for process in (str(pid), *children):
        said = dict(line.split(":\t", 1) for line in room.machine.check(f"cat /proc/{process}/status").splitlines() if ":\t" in line)
        assert said["Uid"].split() == [uid] * 4
        assert said["NoNewPrivs"] == "1"
        assert said["Seccomp"] == "2"
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(said[capabilities], 16) == 0
    analysed = room.machine.check(f"systemd-analyze security --no-pager {SERVICE}")
    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", analysed)
    assert exposure
    say(f"systemd-analyze security: {exposure[1]}")
    assert float(exposure[1]) <= EXPOSURE_MOST
    # Seen from inside: the system is read-only but for its own directories, and no disk can be opened.
    inside = f"nsenter --target {pid} --mount --"
    assert room.machine.run(f"{inside} touch /etc/courtroom/x /usr/x /root/x").status != 0
    assert room.machine.run(f"{inside} touch /srv/courtroom/x && rm /srv/courtroom/x").status == 0


def test_nobody_at_the_console_is_given_cameras_and_sound_cards(room: VmRoom) -> None:
    nodes = room.machine.check("ls /dev/video* /dev/snd/controlC* /dev/snd/pcmC*").split()
    assert len(nodes) >= 3
    for node in nodes:
        assert "uaccess" not in room.machine.check(f"udevadm info --query=property --property=CURRENT_TAGS {node}")
        assert room.machine.check(f"stat --format='%G %a' {node}").strip() == "courtroom-recorder 660"


def test_a_killed_core_is_back_within_seconds_and_leaves_no_child(room: VmRoom) -> None:
    before = main_pid(room)
    children = room.machine.check(f"cat /proc/{before}/task/{before}/children").split()
    room.machine.check(f"kill -KILL {before}")
    took_s = room.machine.wait(lambda: main_pid(room) not in {0, before}, "systemd starts it again", READY_S)
    room.wait_live()
    say(f"killed core: systemd had started it again after {took_s:.1f} s")
    assert all(room.machine.run(f"test -e /proc/{child}").status != 0 for child in children)


def test_a_restart_of_the_service_does_not_end_the_hearing(room: VmRoom) -> None:
    path = room.begin()
    room.recorded(2)
    room.machine.check(f"systemctl restart {SERVICE}")
    after = room.wait_live()
    assert (after.state, after.record) == ("open", path)
    assert room.stop() == path
    assert room.verify(path).status == 0


def test_the_key_as_a_credential_that_only_this_machine_decrypts(room: VmRoom) -> None:
    room.machine.check(
        f"mkdir -p -m 700 /etc/credstore /etc/credstore.encrypted && cp {KEYS}/device-chain.pem /etc/credstore/device-chain && "
        f"systemd-creds encrypt --name=device-key {KEYS}/device.key /etc/credstore.encrypted/device-key"
    )
    configured = room.machine.get(CONFIG).decode()
    by_file = re.search(r'kind = "file"\nkey = .*\nchain = .*\n', configured)
    assert by_file
    room.machine.put(CONFIG, configured.replace(by_file[0], 'kind = "credential"\n').encode())
    room.machine.check(f"chmod 0 {KEYS}/device.key && systemctl restart {SERVICE}")
    room.wait_live()
    path = room.begin()
    room.recorded(2)
    room.stop()
    assert room.verify(path).status == 0


def test_a_power_cut_while_recording_is_recovered_by_the_next_boot(room: VmRoom, tmp_path: Path) -> None:
    machine = room.machine
    began_s = time.monotonic()
    path = room.begin()
    room.recorded(10)
    before = room.wait(lambda _: True, "status")
    say(f"10 s of every track were on the disk {time.monotonic() - began_s:.0f} s after the order to start")
    machine.power_cut()
    machine.boot()
    boot_s = machine.boot_s
    after = room.wait_live()
    assert machine.check(f"systemctl is-active {SERVICE}").strip() == "active"
    assert (after.state, after.record, after.hearing) == ("open", path, before.hearing)
    say(f"power cut: boot {boot_s:.0f} s; the session was taken up without a hand")
    room.recorded(5)
    assert room.stop() == path
    verified = room.verify(path)
    assert verified.status == 0, verified.output
    assert "Sealed" in verified.output
    assert "recorder down: crash or power cut" in verified.output
    say(verified.output)
    record, keys = room.copy_out(path, tmp_path)
    lines = list(read_journal(record))
    (recovered,) = [entry for _, entry in lines if isinstance(entry, entries.Recovered)]
    assert not recovered.same_boot
    # UTC was known on both sides of the cut, so the record says how long the recorder was away.
    clocks = [entry.clock for _, entry in lines if isinstance(entry, entries.Clock)]
    assert {clock.source for clock in clocks} == {"kernel"}
    assert recovered.to_us is not None
    away_s = (recovered.to_us - recovered.from_us) / 1e6
    assert abs(away_s - boot_s) < AWAY_SLACK_S
    survived = [entry for line, entry in lines if isinstance(entry, entries.Frag) and line.seq <= recovered.last]
    written_us = {
        track: max(end_us(lines, fragment) for fragment in survived if fragment.track == track) for track in ("cam", "judge", "witness")
    }
    lost_s = {track: round((before.t_us - end) / 1e6, 2) for track, end in written_us.items()}
    torn_bytes = sum(torn.len for torn in recovered.torn)
    say(f"recovered: {away_s:.1f} s away; not yet on the disk at the cut, by track: {lost_s} s; torn {torn_bytes} bytes")
    # Counted from the last status, some milliseconds before the cut.
    assert max(lost_s.values()) < LOST_MOST_S
    assert recovered.damaged == []
    before_cut, after_cut = vivid_clip.clips(record, "cam", keys)
    assert len(before_cut) >= 45
    assert len(after_cut) >= 20
    assert "unexplained" not in verified.output, "the time from the recovery to the devices' first media has its entry"


def end_us(lines: list[tuple[entries.Line, entries.AnyEntry]], fragment: entries.Frag) -> int:
    """Where a fragment ends, in session time."""
    timescale = next(
        entry.timescale
        for _, entry in lines
        if isinstance(entry, entries.Init) and (entry.track, entry.part) == (fragment.track, fragment.part)
    )
    return (fragment.t0 + fragment.dur) * 1_000_000 // timescale
