"""What the schema cannot know of a ``room.toml``: whether the files exist, the keys fit, and the machine can carry the load."""

import datetime as dt
import difflib
import os
import tempfile
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from provisioning.audience import AudienceTokenError, read_token
from provisioning.card_number import without_card_number
from provisioning.certificate_checks import check_centre, check_recipient, check_signing
from provisioning.named_files import no_authorities, openable, unreadable
from provisioning.network_checks import check_network_device
from provisioning.problems import Finding
from provisioning.room import (
    Aes67Microphone,
    AlsaMicrophone,
    FileKey,
    PatternCamera,
    PortAudioMicrophone,
    RoomConfig,
    RtspCamera,
    RtspMicrophone,
    TokenKey,
    V4l2Camera,
)
from provisioning.toml_places import Place
from provisioning.turn_server import TurnSecretError, read_secret
from provisioning.unit_places import check_places, writable
from recorder.baseline_file import REMEDY, BaselineError, read_floors
from recorder.record.levels import LEVELS

FULL_HD_PIXELS_PER_S = 1920 * 1080 * 25
"""One raw 1080p25 camera: 0.34 of a core by libx264 superfast, 0.54 with both rungs for viewers; two cores carry one beside the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the judgement needs to know of a PC."""

    cores: int
    hardware_encoder: bool
    units: Mapping[str, list[str]] = field(default_factory=dict)
    """Where the installed systemd units may write (``unit_places.writable``)."""

    @staticmethod
    def here() -> "Machine":
        """This PC. A render node or an encoder device promises hardware; only the recorder's trial encode proves it."""
        promising = ("/dev/dri/renderD128", "/dev/dri/renderD129", "/dev/nvidia0", "/dev/video11")
        hardware = any(Path(path).exists() for path in promising)
        return Machine(cores=os.cpu_count() or 1, hardware_encoder=hardware, units=writable())


MAKES_KEYS = "`courtroom keys make` or `courtroom enrol` makes it"


def check_config(config: RoomConfig, now: dt.datetime, machine: Machine) -> list[Finding]:
    """All findings about a configuration whose form is right."""
    return [
        *_room(config),
        *_storage(config),
        *check_places(config.storage, machine.units),
        *check_signing(config, now),
        *_key_files(config),
        *_agents_secrets(config),
        *_vouching(config),
        *_recipients(config, now),
        *_other_files(config),
        *check_centre(config, now),
        *_uploads(config),
        *_loudspeakers(config),
        *_cameras(config, machine),
        *_microphones(config),
    ]


def _room(config: RoomConfig) -> Iterator[Finding]:
    known = zoneinfo.available_timezones()
    zone = config.room.timezone
    if known and zone not in known:
        close = difflib.get_close_matches(zone, sorted(known), n=1)
        remedy = f"did you mean '{close[0]}'?" if close else "names are as in /usr/share/zoneinfo, such as Asia/Almaty"
        yield Finding(place=("room", "timezone"), what=f"'{zone}' is no time zone", remedy=remedy)


def _storage(config: RoomConfig) -> Iterator[Finding]:
    devices: dict[str, int] = {}
    for key, path in (("primary", config.storage.primary), ("mirror", config.storage.mirror)):
        if path is None:
            continue
        place: Place = ("storage", key)
        existing = next(parent for parent in (Path(path), *Path(path).parents) if parent.exists())
        if not existing.is_dir():
            yield Finding(
                place=place, what=f"{existing} is no directory", remedy="name a directory for the records, on a disk of their own"
            )
            continue
        if not os.access(existing, os.W_OK | os.X_OK):
            yield Finding(place=place, what=f"{existing} cannot be written by this user", remedy="the recorder's user must own it")
        elif (reason := _takes_no_directory(existing)) is not None:
            yield Finding(place=place, what=f"nothing can be made in {existing}: {reason}", remedy="name a directory on a disk for records")
        elif existing != Path(path):
            remedy = "the recorder makes it; if a disk belongs there, mount it first, or records go to the disk below"
            yield Finding(place=place, what=f"{path} does not exist", remedy=remedy, severity="warning")
        devices[key] = existing.stat().st_dev
    if len(devices) == 2 and devices["primary"] == devices["mirror"]:
        yield Finding(
            place=("storage", "mirror"),
            what="is on the same device as primary: when that disk fails, both copies are lost",
            remedy="mount a second disk there",
            severity="warning",
        )


def _takes_no_directory(parent: Path) -> str | None:
    """Why no directory can be made there, or None: one is made and removed, for /proc, a full disk and a worn one look writable, too."""
    try:
        with tempfile.TemporaryDirectory(prefix=".check-config-", dir=parent):
            return None
    except OSError as error:
        return error.strerror or str(error)


def mirror_mistakes(config: RoomConfig) -> Iterator[Finding]:
    """Whether the mirror is the primary directory, lies in it, or holds it, also by links and bind mounts: then there is no second copy."""
    if config.storage.mirror is None:
        return
    primary, mirror = Path(config.storage.primary), Path(config.storage.mirror)
    what = None
    if _identity(primary) & _identity(mirror):
        what = "is the same directory as primary"
    elif _identity(primary) & _above(mirror):
        what = "lies inside primary"
    elif _identity(mirror) & _above(primary):
        what = "holds primary"
    if what:
        remedy = "name a directory of its own, on a second disk; or leave mirror out"
        yield Finding(place=("storage", "mirror"), what=f"{what}, so that it is no second copy", remedy=remedy)


def _identity(path: Path) -> set[object]:
    """What tells a directory from others: its path without links and, where it exists, its place on its disk."""
    real = os.path.realpath(path)
    try:
        stat = os.stat(real)  # noqa: PTH116 - of the resolved path
    except OSError:
        return {real}
    return {real, (stat.st_dev, stat.st_ino)}


def _above(path: Path) -> set[object]:
    return {one for parent in Path(os.path.realpath(path)).parents for one in _identity(parent)}


def _key_files(config: RoomConfig) -> Iterator[Finding]:
    private: list[tuple[Place, str, str]] = []
    password = "write the device's password into it"  # noqa: S105 - words, not a password
    if isinstance(config.signing, FileKey):
        private.append((("signing", "key"), config.signing.key, MAKES_KEYS))
    if isinstance(config.signing, TokenKey):
        private.append((("signing", "pin_file"), config.signing.pin_file, "write the token's PIN into it"))
        reason = unreadable(config.signing.module) if "/" in config.signing.module else None
        if reason:
            yield Finding(place=("signing", "module"), what=reason, remedy="the token's maker ships this library")
    for index, camera in enumerate(config.camera):
        if isinstance(camera, RtspCamera) and camera.password_file:
            private.append((("camera", index, "password_file"), camera.password_file, password))
    for index, microphone in enumerate(config.microphone):
        if isinstance(microphone, RtspMicrophone) and microphone.password_file:
            private.append((("microphone", index, "password_file"), microphone.password_file, password))
    for place, path, made_by in private:
        reason = unreadable(path)
        if reason:
            yield Finding(place=place, what=reason, remedy=openable(path, made_by))
        elif Path(path).stat().st_mode & 0o077:
            what = f"{path} can be read by other users of this PC"
            yield Finding(place=place, what=what, remedy=f"chmod 600 {path}", severity="warning")


def _agents_secrets(config: RoomConfig) -> Iterator[Finding]:
    """What the agent alone reads for vks. Warnings alone: without it the room records, and is joined by whoever finds a straight way."""
    if config.vks is not None and config.vks.turn is not None:
        path = Path(config.vks.turn.secret)
        remedy = f"openssl rand -hex 32 > {path}; the same stands in turnserver.conf as static-auth-secret (docs/videoconference.md)"
        yield from _agents_secret(("vks", "turn", "secret"), path, read_secret, remedy)
    if config.vks is not None and config.vks.audience is not None:
        path = Path(config.vks.audience.token)
        remedy = f"write the token that the media server gives its publishers into {path} (docs/videoconference.md)"
        yield from _agents_secret(("vks", "audience", "token"), path, read_token, remedy)


def _agents_secret(place: Place, path: Path, read: Callable[[Path], str], remedy: str) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
        read(path)
    except PermissionError:
        return  # the agent's user reads it, and nobody else should
    except OSError as error:
        yield Finding(place=place, what=f"{path} cannot be read: {error.strerror}", remedy=remedy, severity="warning")
        return
    except (TurnSecretError, AudienceTokenError) as error:
        yield Finding(place=place, what=str(error), remedy=remedy, severity="warning")
        return
    if mode & 0o077:
        what = f"{path} can be read by other users of this PC"
        yield Finding(place=place, what=what, remedy=f"chown courtroom-agent {path}; chmod 600 {path}", severity="warning")


def _vouching(config: RoomConfig) -> Iterator[Finding]:
    if config.vks is None or config.vks.vouching is None:
        return
    if what := no_authorities(config.vks.vouching.ca):
        yield Finding(place=("vks", "vouching", "ca"), what=what, remedy="until it is right, the clerk alone vouches", severity="warning")


def _recipients(config: RoomConfig, now: dt.datetime) -> Iterator[Finding]:
    if not config.recipient:
        yield Finding(
            place=(),
            what="no [[recipient]]: the record will be readable by anyone who holds the disk, and says 'clear'",
            remedy="add a [[recipient]] with the certificate of the court or its archive",
            severity="warning",
        )
        return
    for index, recipient in enumerate(config.recipient):
        yield from check_recipient(("recipient", index), recipient, now)
    admitted = {level for recipient in config.recipient for level in recipient.levels}
    for level in LEVELS:
        if level not in admitted:
            yield Finding(
                place=("recipient",),
                what=f"nobody may open level '{level}': a session of this level cannot be recorded, nor one be set to it",
                remedy=f'add "{level}" to the levels of a recipient; one without levels may open all',
                severity="error" if level == "open" else "warning",
            )


def _other_files(config: RoomConfig) -> Iterator[Finding]:
    files: list[tuple[Place, str, str]] = []
    if config.timestamp:
        files.append((("timestamp", "roots"), config.timestamp.roots, "ask the timestamp authority for its root's certificate (PEM)"))
        if urlsplit(config.timestamp.url).scheme not in {"http", "https"}:
            what = f"'{config.timestamp.url}' is no http or https address"
            yield Finding(place=("timestamp", "url"), what=what, remedy='as in url = "http://tsa.example.kz/"')
    if config.centre_roots:
        files.append((("centre_roots",), config.centre_roots, MAKES_KEYS))
    for index, microphone in enumerate(config.microphone):
        if isinstance(microphone, Aes67Microphone):
            files.append((("microphone", index, "sdp"), microphone.sdp, "take the stream's SDP file from the device that sends it"))
    for place, path, made_by in files:
        reason = unreadable(path)
        if reason:
            yield Finding(place=place, what=reason, remedy=openable(path, made_by))
    if config.watch.baseline:
        reason = unreadable(config.watch.baseline)
        if reason:
            yield Finding(place=("watch", "baseline"), what=reason, remedy="`courtroom baseline` writes it", severity="warning")
            return
        try:
            read_floors(config.watch.baseline)
        except BaselineError as error:
            yield Finding(place=("watch", "baseline"), what=str(error), remedy=REMEDY, severity="warning")


def _loudspeakers(config: RoomConfig) -> Iterator[Finding]:
    if config.vks is None or (config.speaker is not None and config.speaker.device != "none"):
        return
    place: Place = ("vks",) if config.speaker is None else ("speaker", "device")
    what = "no loudspeakers are named: participants are heard by each other and in the record, and not in the courtroom"
    remedy = 'name them as `courtroom devices` does: [speaker] with device = "…"'
    yield Finding(place=place, what=what, remedy=remedy, severity="warning")


def _uploads(config: RoomConfig) -> Iterator[Finding]:
    centre = config.centre
    if centre is not None and centre.hearing_upload_mib_s > centre.upload_mib_s:
        what = f"is more than upload_mib_s ({centre.upload_mib_s:g}), which holds then too"
        remedy = "uploads should be slower during a hearing, whose cameras and participants need the network"
        yield Finding(place=("centre", "hearing_upload_mib_s"), what=what, remedy=remedy, severity="warning")


def _cameras(config: RoomConfig, machine: Machine) -> Iterator[Finding]:
    raw: list[tuple[int, int]] = []
    for index, camera in enumerate(config.camera):
        place: Place = ("camera", index)
        if isinstance(camera, RtspCamera):
            yield from check_network_device(place, camera)
            continue
        if isinstance(camera, PatternCamera) or camera.format != "h264":
            raw.append((index, camera.width * camera.height * camera.fps))
        if isinstance(camera, V4l2Camera):
            yield from _v4l2(place, camera.path)
    load = sum(pixels for _, pixels in raw) / FULL_HD_PIXELS_PER_S
    hardware = machine.hardware_encoder if config.encoding.h264 == "auto" else config.encoding.h264 != "libx264"
    if len(raw) > 1 and load > max(1.0, machine.cores / 2) and not hardware:
        yield Finding(
            place=("camera", raw[-1][0]),
            what=f"{len(raw)} cameras to be encoded here are as much work as {load:.1f} at 1080p25; "
            f"{machine.cores} cores without a hardware encoder carry {max(1.0, machine.cores / 2):.0f}",
            remedy="take smaller pictures, fewer a second, cameras that deliver H.264, or a PC with a hardware encoder",
            severity="warning",
        )


def _v4l2(place: Place, path: str) -> Iterator[Finding]:
    if not path.startswith(("/dev/v4l/by-path/", "/dev/v4l/by-id/")):
        what = f"{path} may be another camera after the next start or replug"
        remedy = "take its name under /dev/v4l/by-path; `courtroom devices` prints it"
        yield Finding(place=(*place, "path"), what=what, remedy=remedy, severity="warning")
    if not Path(path).exists():
        what = f"{path} is not there now"
        yield Finding(place=(*place, "path"), what=what, remedy="`courtroom devices` lists what this PC has", severity="warning")


def _card_number(place: Place, device: str) -> Iterator[Finding]:
    """PortAudio takes any part of a name, so that the number, which another card may have after a start, can be left out."""
    plain = without_card_number(device)
    if plain != device:
        what = f"{device} has the card's number in it, which may be another after the next start: then nothing is found"
        remedy = f'leave it out, where no other device is called so: "{plain}"'
        yield Finding(place=place, what=what, remedy=remedy, severity="warning")


def _microphones(config: RoomConfig) -> Iterator[Finding]:
    cards: set[str] = set()
    if config.speaker is not None:
        yield from _card_number(("speaker", "device"), config.speaker.device)
    for index, microphone in enumerate(config.microphone):
        place: Place = ("microphone", index)
        if isinstance(microphone, PortAudioMicrophone):
            yield from _card_number((*place, "device"), microphone.device)
        if isinstance(microphone, AlsaMicrophone) and microphone.device.startswith("hw:"):
            if microphone.device in cards:
                once = f"{microphone.device} is opened by another microphone already, and a card can be opened once"
                yield Finding(place=(*place, "device"), what=once, remedy="put all its channels in one [[microphone]]")
            cards.add(microphone.device)
        if isinstance(microphone, RtspMicrophone):
            yield from check_network_device(place, microphone)
        if isinstance(microphone, AlsaMicrophone):
            if microphone.device.startswith(("hw:", "plughw:")) and microphone.device.split(":", 1)[1][:1].isdigit():
                what = f"{microphone.device} may be another card after the next start"
                remedy = "take its name, as in hw:CARD=…,DEV=0; `courtroom devices` prints it"
                yield Finding(place=(*place, "device"), what=what, remedy=remedy, severity="warning")
            highest = max(channel.number for channel in microphone.channels)
            if microphone.open_channels is not None and microphone.open_channels < highest:
                what = f"opens {microphone.open_channels} channels, but channel {highest} is to be recorded"
                yield Finding(place=(*place, "open_channels"), what=what, remedy=f"at least {highest}, or leave it out")
        counts = Counter(channel.number for channel in microphone.channels)
        for position, channel in enumerate(microphone.channels):
            if counts[channel.number] > 1:
                what = f"channel {channel.number} of this device is named {counts[channel.number]} times"
                yield Finding(place=(*place, "channels", position, "number"), what=what, remedy="each channel is one microphone")
