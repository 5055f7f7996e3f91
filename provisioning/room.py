"""``room.toml``: what a courtroom consists of. The schema alone; reading and explaining mistakes is ``room_file.py``.

Every device has an ``id`` that names its tracks. Secrets never stand in the file: a password is read from ``password_file``.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from provisioning.videoconference import Vks
from recorder.record.layout import ID_PATTERN, is_id


def _id(text: str) -> str:
    if not is_id(text):  # the schema's own patterns cannot say "no two dots"
        raise ValueError(f"is '{text}', with two dots side by side; one is the most, for the name becomes that of files")
    return text


Id = Annotated[str, Field(pattern=f"^{ID_PATTERN}$"), AfterValidator(_id)]
TRUSTED_BY_THE_PC = "/etc/ssl/certs/ca-certificates.crt"  # Debian's package ca-certificates
LONGEST_TEXT = 4_096
"""The longest path of a file; what names devices and people is held to ``Label``. Much of it stands in a line of the record."""
Label = Annotated[str, Field(max_length=200)]
SOUND = "-sound"
"""Behind a camera's id: the track of its sound."""


def _address(url: str) -> str:
    """Refuse what only looks like an address. The reason never quotes it: a password may stand in it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is no address: {'the port is wrong' if 'port' in str(error).lower() else 'the host is wrong'}") from None
    if not host:
        raise ValueError("is no address: it names no host")
    return url


Url = Annotated[str, AfterValidator(_address)]
RtspUrl = Annotated[str, Field(pattern=r"^rtsps?://"), AfterValidator(_address)]
HttpsUrl = Annotated[str, Field(pattern=r"^https://"), AfterValidator(_address)]
OptionalHttpsUrl = Annotated[str, Field(pattern=r"^(?:https://|$)"), AfterValidator(lambda text: _address(text) if text else text)]
Language = Literal["kk", "ru", "en"]

OWN_TRACKS = {"room-mix": "the room mix", "room-out": "the loudspeakers"}
OWN_CHILDREN = OWN_TRACKS | {"ingest": "participants' media", "rungs": "small pictures for viewers", "watch": "sound and picture's proof"}
"""Names of the recorder's own children and tracks, whether the room has them now or not: a device of such a name would take its place."""


class Stanza(BaseModel):
    """Base of all tables: an unknown key is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=LONGEST_TEXT, allow_inf_nan=False)


class Room(Stanza):
    """``[room]``: which courtroom this is."""

    id: Id
    court: str = Field(pattern=r"\S", max_length=200)
    name: Label = ""
    timezone: str = "Asia/Almaty"


class Storage(Stanza):
    """``[storage]``: the disk that leads, the second disk, and how much is kept back for the last entries."""

    primary: str
    mirror: str | None = None
    ballast_mib: int = Field(default=64, ge=1, le=4096)
    warn_hours: float = Field(default=8, gt=0)
    memory_mib: int = Field(default=256, ge=16, le=8192)
    """How much finished media may wait in memory while a disk stalls before fragments are given up."""


class FileKey(Stanza):
    """``[signing]`` with ``kind = "file"``: a PEM key and its certificate chain, the device's first."""

    kind: Literal["file"]
    key: str
    chain: str


class CredentialKey(Stanza):
    """``kind = "credential"``: names under systemd's ``$CREDENTIALS_DIRECTORY``."""

    kind: Literal["credential"]
    key: str = "device-key"
    chain: str = "device-chain"


class TokenKey(Stanza):
    """``kind = "pkcs11"``: a key that never leaves its token."""

    kind: Literal["pkcs11"]
    module: str
    token: str
    label: str
    pin_file: str
    chain: str


Signing = Annotated[FileKey | CredentialKey | TokenKey, Field(discriminator="kind")]


class RecipientCertificate(Stanza):
    """``[[recipient]]``: who can decrypt (an RSA certificate of at least 2,048 bits), for which levels."""

    name: Label
    certificate: str
    levels: list[Literal["open", "closed", "secret", "identity"]] = ["open", "closed", "secret", "identity"]


class Timestamp(Stanza):
    """``[timestamp]``: an RFC 3161 authority asked at the seal. Its silence delays nothing: the record seals without."""

    url: Url
    roots: str
    timeout_s: float = Field(default=10, gt=0, le=120)


class Encoding(Stanza):
    """``[encoding]``: ``auto`` takes a hardware encoder where a trial encode proves that it works."""

    h264: Literal["auto", "libx264", "h264_qsv", "h264_nvenc", "h264_v4l2m2m"] = "auto"
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"] = "superfast"
    crf: int = Field(default=23, ge=10, le=40)
    gop_s: float = Field(default=4, gt=0, le=10)


class Device(Stanza):
    """What every device has."""

    id: Id
    label: Label = ""
    serial: Label = ""
    latency_us: int = Field(default=0, ge=-60_000_000, le=60_000_000)


class CameraDevice(Device):
    """What every camera has: whether a low rung may be made for viewers."""

    low_rung: bool = True


class V4l2Camera(CameraDevice):
    """A USB or capture-card camera, by ``/dev/v4l/by-path/…`` so that a replug finds the same one.

    ``record``: MJPEG is kept as delivered, or decoded and encoded as H.264; YUYV is always encoded, H.264 never.
    """

    driver: Literal["v4l2"]
    path: str
    format: Literal["yuyv422", "mjpeg", "h264"] = "yuyv422"
    record: Literal["as-delivered", "h264"] = "as-delivered"
    width: int = Field(default=1280, ge=16, le=7680, multiple_of=2)
    height: int = Field(default=720, ge=16, le=4320, multiple_of=2)
    fps: int = Field(default=25, ge=1, le=120)


class RtspCamera(CameraDevice):
    """A network camera over TCP. ``sub_url`` is its low stream for viewers; ``audio`` records its sound as ``<id>-sound``."""

    driver: Literal["rtsp"]
    url: RtspUrl
    sub_url: RtspUrl | None = None
    user: str = ""
    password_file: str = ""
    ca_file: str = TRUSTED_BY_THE_PC
    audio: bool = False


class PatternCamera(CameraDevice):
    """A moving test picture with wall clock and frame number, a flash each 5 s."""

    driver: Literal["test-pattern"]
    width: int = Field(default=1280, ge=160, le=3840, multiple_of=2)
    height: int = Field(default=720, ge=90, le=2160, multiple_of=2)
    fps: int = Field(default=25, ge=1, le=60)


Camera = Annotated[V4l2Camera | RtspCamera | PatternCamera, Field(discriminator="driver")]


class Channel(Stanza):
    """One microphone of a device: its track, where it hangs, and whether the room mix hears it."""

    id: Id
    label: Label = ""
    number: int = Field(ge=1, le=64)
    mix_gain_db: float = Field(default=0.0, ge=-60, le=20)
    in_mix: bool = True


class MicrophoneDevice(Device):
    """What every microphone device has: the channels to record, each a track."""

    channels: list[Channel] = Field(min_length=1)


class AlsaMicrophone(MicrophoneDevice):
    """An ALSA card by name: ``hw:CARD=…,DEV=…``, never by number. ``open_channels`` is how many the card wants opened (default: enough)."""

    driver: Literal["alsa"]
    device: str
    rate_hz: int = Field(default=48_000, ge=8_000, le=192_000)
    open_channels: int | None = Field(default=None, ge=1, le=64)


class PortAudioMicrophone(MicrophoneDevice):
    """A sound device by the name that ``courtroom devices`` prints."""

    driver: Literal["portaudio"]
    device: str
    rate_hz: int = Field(default=48_000, ge=8_000, le=192_000)


class RtspMicrophone(MicrophoneDevice):
    """Sound of an RTSP stream, recorded as delivered where MP4 holds the codec, else as FLAC."""

    driver: Literal["rtsp"]
    url: RtspUrl
    user: str = ""
    password_file: str = ""
    ca_file: str = TRUSTED_BY_THE_PC


class Aes67Microphone(MicrophoneDevice):
    """An AES67 stream by its SDP file."""

    driver: Literal["aes67"]
    sdp: str


class ToneMicrophone(MicrophoneDevice):
    """A test tone a channel, with a beep each 5 s together with the test picture's flash."""

    driver: Literal["test-tone"]
    rate_hz: Literal[48_000] = 48_000


Microphone = Annotated[
    AlsaMicrophone | PortAudioMicrophone | RtspMicrophone | Aes67Microphone | ToneMicrophone, Field(discriminator="driver")
]


class Mix(Stanza):
    """``[mix]``: the room mix of all channels with ``in_mix``, recorded as ``room-mix`` (Opus)."""

    enabled: bool = True
    bitrate_bps: int = Field(default=64_000, ge=16_000, le=256_000)


class Speaker(Stanza):
    """``[speaker]``: the loudspeakers; ``device`` is a PortAudio name or ``none`` (recorded as ``room-out``, played nowhere)."""

    device: str = "none"
    bitrate_bps: int = Field(default=48_000, ge=16_000, le=256_000)


FEWEST_TRACKS = 6
"""Of participants in a videoconference: one person's sound and camera, the shared screen, and stills of three identities."""


class Ingest(Stanza):
    """``[ingest]``: limits for participants' media."""

    enabled: bool = False
    max_tracks: int = Field(default=64, ge=1, le=200)
    track_bytes_per_s: int = Field(default=1_500_000, ge=1_000, le=1_000_000_000)
    user: str = ""
    """Only this system user may connect (default: the recorder's own)."""


class Watch(Stanza):
    """``[watch]``: proof of sound and picture. ``baseline`` is the file that ``courtroom baseline`` writes."""

    enabled: bool = True
    baseline: str = ""
    alarm_s: float = Field(default=8, ge=2, le=60)


class Centre(Stanza):
    """``[centre]``: whom the room tells everything, and whose schedule it follows. Without it the room works alone.

    ``key`` and ``certificate`` are the room's for this connection alone, never those that sign records; ``roots`` vouch for the centre's
    server. Caps are of uploads, MiB/s; 0 sends nothing.
    """

    url: HttpsUrl
    key: str
    certificate: str
    roots: str
    archive_url: OptionalHttpsUrl = ""
    """Where records are sent, where a centre of several fronts has one for them; empty: ``url``."""
    receipt_roots: str = ""
    """PEM file of the authorities that vouch for who signs receipts and acknowledgements; empty: ``centre_roots``."""
    revocations: str = ""
    """File of these authorities' revocation lists, read anew before each deletion; empty: ``centre_revocations``."""
    upload_mib_s: float = Field(default=10, ge=0, le=10_000)
    hearing_upload_mib_s: float = Field(default=1, ge=0, le=10_000)


class Hearings(Stanza):
    """``[hearings]``: how the room follows the schedule. Languages are those of what the clerk reads, the first is the room's own."""

    automatic: bool = False
    """Start at the planned time by itself; else the clerk is asked. The centre may say otherwise of a single hearing."""
    start_early_s: int = Field(default=0, ge=0, le=1_800)
    """By how much an automatic start may precede the plan."""
    late_after_s: int = Field(default=300, ge=0, le=86_400)
    """So long after its planned time a hearing that has not begun counts as late, and the centre is told."""
    close_after_empty_s: int = Field(default=600, ge=60, le=86_400)
    """So long nobody must be heard after the planned end before the clerk is told that the session will be closed."""
    countdown_s: int = Field(default=60, ge=10, le=3_600)
    """For so long he can then still say no."""
    languages: list[Language] = Field(default=["kk", "ru", "en"], min_length=1)
    clerks: list[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*\$?$")]] = []
    """System users of this PC who may give the clerk's orders (``courtroom hearing``) besides root and the agent's own."""


class Metrics(Stanza):
    """``[metrics]``: a port on 127.0.0.1 for Prometheus and for probes.

    Off by default: a port that nobody asked for is one more thing to attack, and the same answers are on the agent's unix socket.
    """

    port: int | None = Field(default=None, ge=1_024, le=65_535)


class Retention(Stanza):
    """``[retention]``: when a record may be deleted here. Never before the archive has acknowledged it, whatever stands here."""

    days: int = Field(default=30, ge=0, le=36_500)
    """So long after its acknowledgement a record stays."""
    free_gib: float = Field(default=50, ge=0)
    """Records are deleted, the oldest first, only while the disk has less room than this. 0: none is deleted by itself."""


class RoomConfig(Stanza):
    """The whole file."""

    room: Room
    storage: Storage
    signing: Signing
    recipient: list[RecipientCertificate] = []
    timestamp: Timestamp | None = None
    encoding: Encoding = Encoding()
    camera: list[Camera] = []
    microphone: list[Microphone] = []
    mix: Mix = Mix()
    speaker: Speaker | None = None
    ingest: Ingest = Ingest()
    vks: Vks | None = None
    watch: Watch = Watch()
    centre: Centre | None = None
    hearings: Hearings = Hearings()
    metrics: Metrics = Metrics()
    retention: Retention = Retention()
    centre_roots: str = ""
    """PEM file of the authorities that vouch for devices and receipts; ``courtroom verify`` uses it where --ca is not given."""
    centre_revocations: str = ""
    """File of their revocation lists, PEM or DER. Where one is named and is out of date or unreadable, no record is deleted."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> "RoomConfig":
        seen = dict(OWN_TRACKS)
        names = [(camera.id, f"camera '{camera.id}'") for camera in self.camera]
        names += [(f"{c.id}{SOUND}", f"the sound of camera '{c.id}'") for c in self.camera if isinstance(c, RtspCamera) and c.audio]
        names += [(ch.id, f"channel '{ch.id}' of microphone '{mic.id}'") for mic in self.microphone for ch in mic.channels]
        for name, place in names:
            if not is_id(name):
                raise ValueError(f"{place} would be the track '{name}', whose name is too long; give the camera a shorter id")
            if name in seen:
                raise ValueError(f"two tracks are called '{name}': {seen[name]} and {place}; rename one")
            if name.startswith("remote-"):
                raise ValueError(f"{place}: names that begin with 'remote-' belong to participants; rename it")
            seen[name] = place
        devices = [d.id for d in (*self.camera, *self.microphone)]
        for device in devices:
            if device in OWN_CHILDREN:
                raise ValueError(f"'{device}' is the recorder's own name for {OWN_CHILDREN[device]}; rename the device")
            if devices.count(device) > 1:
                raise ValueError(f"two devices are called '{device}'; rename one")
        if not devices:
            raise ValueError("no camera and no microphone; `courtroom devices` prints stanzas to paste")
        return self

    @model_validator(mode="after")
    def _participants_have_tracks(self) -> "RoomConfig":
        if self.vks is not None and self.ingest.max_tracks < FEWEST_TRACKS:
            raise ValueError(
                f"[ingest] max_tracks is {self.ingest.max_tracks}: a videoconference takes two for each who takes part, and four; "
                f"give at least {FEWEST_TRACKS}"
            )
        return self
