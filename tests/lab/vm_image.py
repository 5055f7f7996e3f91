"""A Debian 12 system to boot in a virtual machine: Debian's kernel, systemd, and what the agent needs, made once and kept in ``build/vm``.

The image holds the Debian packages of ``scripts/debian-packages.txt`` and the Python packages of ``requirements.lock`` in
``/opt/courtroom``, but nothing of this repository: that is installed in the running machine. A change of this recipe makes a new image.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / "build" / "vm"
DISK_GIB = 8
"""Apparent size; the file is sparse."""
_GUEST = Path(__file__).with_name("vm_guest.py")
_LOCK = REPOSITORY / "requirements.lock"
_DEBIAN_PACKAGES = REPOSITORY / "scripts" / "debian-packages.txt"
_TOOLS = ("qemu-system-x86_64", "qemu-img", "debootstrap", "mkfs.ext4", "unshare")
_OF_THE_LAB = (
    "systemd-sysv", "dbus", "udev", "kmod", "procps", "linux-image-amd64", "initramfs-tools", "e2fsprogs", "python3", "tzdata",
    "v4l-utils", "alsa-utils", "linux-headers-amd64", "v4l2loopback-dkms",
)  # fmt: skip
_GUEST_UNIT = """\
[Unit]
Description=Commands of the host
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/vm_guest.py
Restart=always
RestartSec=0.2
[Install]
WantedBy=multi-user.target
"""
_SETTINGS = {
    "etc/hostname": "courtroom-lab\n",
    "etc/hosts": "127.0.0.1 localhost courtroom-lab\n",
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
    # Under emulation each module more in the initrd is time: these are all that this machine boots from.
    "etc/initramfs-tools/conf.d/lab": "MODULES=list\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n",
    "etc/systemd/system/lab-guest.service": _GUEST_UNIT,
    # vivid: one input that is a webcam, no output and no radio. snd-aloop: a sound card whose playback is its capture. v4l2loopback: a
    # camera that shows, in any format, what a program writes into it; it can be captured from only while somebody writes.
    "etc/modprobe.d/lab.conf": """\
options vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0
options snd-aloop id=Loopback
options v4l2loopback devices=1 video_nr=42 card_label=Loop exclusive_caps=1
""",
    # What the unit said before a power cut shall be read after it.
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nForwardToConsole=no\n",
}
_INSIDE = """
set -eu
for kernel in /lib/modules/*; do dkms autoinstall -k "${kernel##*/}"; modinfo -k "${kernel##*/}" v4l2loopback >/dev/null; done
update-initramfs -u -k all
systemctl enable --quiet lab-guest.service
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer e2scrub_reap.service
passwd --quiet --delete root
python3 -m venv /opt/courtroom
/opt/courtroom/bin/python -m pip --isolated --quiet --disable-pip-version-check install --no-index --find-links /mnt --require-hashes \\
  --requirement /mnt/requirements.lock
"""


@dataclass(frozen=True, slots=True)
class VmImage:
    """What QEMU boots from. The disk is shared: write to a copy or an overlay."""

    kernel: Path
    initrd: Path
    disk: Path


def missing() -> str:
    """Why no virtual machine can be made here; empty where one can."""
    tools = [tool for tool in _TOOLS if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None]
    if tools:
        return f"{', '.join(tools)} not installed (scripts/setup-debian long)"
    return "" if os.geteuid() == 0 else "making the virtual machine's disk needs root (chroot)"


def image() -> VmImage:
    """The image, made where it is not there yet (some minutes); all others are removed.

    Raises:
        subprocess.CalledProcessError: a tool failed; its words are on standard error.
    """
    files = (Path(__file__), _GUEST, _LOCK, _DEBIAN_PACKAGES)
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    place = CACHE / key
    made = VmImage(place / "vmlinuz", place / "initrd.img", place / "disk.img")
    if place.is_dir():
        return made
    for old in CACHE.glob("*"):
        if old.name not in {"debs", "wheels"}:
            shutil.rmtree(old)
    unfinished = CACHE / f"{key}.unfinished"
    unfinished.mkdir(parents=True)
    _make(unfinished, unfinished / "root")
    unfinished.rename(place)
    return made


def _make(place: Path, root: Path) -> None:
    debs, wheels = CACHE / "debs", CACHE / "wheels"
    debs.mkdir(exist_ok=True)
    packages = (*_OF_THE_LAB, *_names(_DEBIAN_PACKAGES))
    mirror = _mirror()
    _run("debootstrap", "--variant=minbase", f"--cache-dir={debs}", f"--include={','.join(packages)}", "bookworm", str(root), *mirror)
    # The host's pip knows where packages come from; the chroot has no network of its own.
    _run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes", "--dest", str(wheels),
         "-r", str(_LOCK))  # fmt: skip
    for name, text in _SETTINGS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(_GUEST, root / "usr/local/lib/vm_guest.py")
    shutil.copy(_LOCK, wheels / "requirements.lock")
    # Mounts live in a namespace of their own and vanish with it.
    script = f'mount --bind -o ro "{wheels}" "{root}/mnt"; mount -t proc proc "{root}/proc"; exec chroot "{root}" /bin/sh -c "$0"'
    _run("unshare", "--mount", "--propagation", "private", "/bin/sh", "-euc", script, _INSIDE)
    shutil.copy(root / "vmlinuz", place / "vmlinuz")
    shutil.copy(root / "initrd.img", place / "initrd.img")
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    disk = place / "disk.img"
    with disk.open("wb") as file:
        file.truncate(DISK_GIB << 30)
    # Tables are written now: a kernel thread that does it later would disturb what is measured.
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", str(root), str(disk))
    shutil.rmtree(root)


def _names(listing: Path) -> list[str]:
    """The packages of a list: the first word of each line that is no comment."""
    lines = (line.partition("#")[0].split() for line in listing.read_text(encoding="utf-8").splitlines())
    return [words[0] for words in lines if words]


def _mirror() -> list[str]:
    """Where this machine's apt gets Debian from; empty where it does not say, and debootstrap chooses."""
    listings = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for listing in listings:
        if not listing.is_file():
            continue
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if words[:1] in (["URIs:"], ["deb"]):
                addresses = [word for word in words[1:] if word.startswith(("http://", "https://"))]
                if addresses and "debian" in addresses[0]:
                    return addresses[:1]
    return []


def _run(*command: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "TMPDIR": "/tmp"}
    environment["PATH"] = f"{environment.get('PATH', '')}:/usr/sbin:/sbin"
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)


if __name__ == "__main__":
    print(image())
