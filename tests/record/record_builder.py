"""Builds records for tests: invented media in real boxes, real keys, the recorder's own ledger, recovery and seal."""

import base64
import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.keys import Hierarchy, Identity
from provisioning.room import Timestamp
from recorder import media_keys
from recorder.checkpointer import checkpoint
from recorder.contract import child
from recorder.ledger import CloseItem, EntryItem, FragmentItem, InitItem, Item, KeyItem, Ledger, Round
from recorder.media_keys import RecipientKey
from recorder.record import canonical, entries, layout
from recorder.record.checkpoint import Receipt, receipt_text
from recorder.record.entries import Entry
from recorder.record.journal import LINE_FIELDS, Chain, Times
from recorder.recovery import read_left, recovered
from recorder.seal import Sealed, seal
from recorder.signing import KeySigner
from recorder.storage import record_name
from tests.record.boxed_media import FRAGMENT_HEAD_BYTES, boxed, boxed_header

RECORD = uuid.UUID("7d9f1c1e-52a4-4f0e-9c2b-3f6f8f3b9a10")
TIMESCALE = 1000
FRAGMENT_US = 500_000
TRACKS: dict[str, tuple[entries.TrackKind, int]] = {"cam-judge": ("video", 9000), "mic-judge": ("audio", 2000)}


def signer_of(identity: Identity, *others: Identity) -> KeySigner:
    assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
    return KeySigner(identity.key, [identity.certificate, *(other.certificate for other in others)])


def fake_media(track: str, n: int, size: int) -> bytes:
    """Bytes that differ everywhere, the same in each run."""
    return hashlib.shake_128(f"{track} {n}".encode()).digest(size)


@dataclass
class Builder:
    """One record in the making. Time passes only by ``record`` and ``wait``."""

    base: Path
    keys: Hierarchy
    hearing: str = "hearing-1"
    room: str = "room-1"
    start_token: str = "token-1"
    signer: KeySigner | None = None
    utc_us: int = field(default_factory=lambda: int(dt.datetime.now(dt.UTC).timestamp() * 1e6) - 600_000_000)
    mono_us: int = 5_000_000_000
    record_id: uuid.UUID = RECORD
    clock: entries.ClockState = field(default_factory=lambda: entries.ClockState(source="kernel", offset_us=3, error_us=2000))
    tracks: dict[str, tuple[entries.TrackKind, int]] = field(default_factory=lambda: dict(TRACKS))
    media: Callable[[str, int, int], bytes] = fake_media
    per_segment: int = 8
    recipients: list[RecipientKey] = field(default_factory=list)
    """To whom media keys are wrapped; none: the files of wrapped keys hold invented bytes."""
    level: entries.Level = "open"

    def __post_init__(self) -> None:
        self.origin_mono_us = self.mono_us
        self.boot = "boot-1"
        self.key = self.signer or signer_of(self.keys.device, self.keys.issuing)
        self.root = self.base / record_name(self.room, self.record_id, self.utc_us)
        self.root.mkdir(parents=True)
        (self.root / layout.DEVICE_CHAIN).write_bytes(
            b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.key.chain)
        )
        self.ledger = Ledger()
        self.counter = 100
        self.n = 0
        self.part = 0
        self.paused_us: dict[str, int] = {}
        self.genesis = entries.Genesis(
            record=str(self.record_id), hearing=self.hearing, case="2-44/26", title="Ақтөбе — court № 2", court="Court", room=self.room,
            actor="clerk", start_token=self.start_token, previous_head=entries.FIRST_PREV, device_certificate_sha256=self.key.key_id,
            boot=self.boot, agent_version="0", config_sha256="0" * 64, origin_mono_us=self.origin_mono_us, clock=self.clock,
            sources=[], recipients=[self._named(recipient) for recipient in self.recipients], media="cenc-aes-ctr",
        )  # fmt: skip
        self.put(EntryItem(self.genesis, self.times))
        self.begin_parts()

    @property
    def times(self) -> Times:
        return Times(self.mono_us, self.utc_us, self.t_us)

    @property
    def t_us(self) -> int:
        return self.mono_us - self.origin_mono_us

    def put(self, *items: Item) -> Round:
        """Plan and write a round, as the committer does."""
        done = self.ledger.plan(items)
        for write in (*done.keys, *done.media, done.journal):
            path = self.root / write.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if path.exists() else "wb") as file:
                file.seek(write.off)
                file.write(write.data)
        return done

    def entry(self, *new: Entry) -> None:
        self.put(*(EntryItem(entry, self.times) for entry in new))

    def begin_parts(self) -> None:
        for track, (kind, _) in self.tracks.items():
            self.put(KeyItem(track, self.part, self._wrapped(track), self.times))
            init = entries.Init(
                track=track, part=self.part, file=layout.init_file(track, self.part), len=0, sha256="", kind=kind, codec="avc1",
                timescale=TIMESCALE, key=layout.key_file(track, self.part), level=self.level,
            )  # fmt: skip
            self.put(InitItem(init, boxed_header(TIMESCALE, f"{track} {self.part}"), self.times))

    def set_level(self, level: entries.Level) -> None:
        """What follows is of this level, in new parts, as the recorder does it."""
        self.level = level
        self.put(CloseItem(self.times))
        self.entry(entries.LevelChange(level=level, actor="judge", order="order 9", from_us=self.t_us))
        self.part += 1
        self.begin_parts()

    def _wrapped(self, track: str) -> bytes:
        if not self.recipients:
            return f"wrapped key of {track}".encode()
        return media_keys.wrap(media_keys.new_key(str(self.record_id), track, self.part), self.recipients, self.level)

    @staticmethod
    def _named(recipient: RecipientKey) -> entries.Recipient:
        return entries.Recipient(name=recipient.name, certificate_sha256=recipient.certificate.fingerprint(hashes.SHA256()).hex())

    def wait(self, seconds: float) -> None:
        self.mono_us += int(seconds * 1e6)
        self.utc_us += int(seconds * 1e6)

    def fragments(self) -> list[Item]:
        made: list[Item] = []
        for track, (_, size) in self.tracks.items():
            message = child.Fragment(
                track=track, part=self.part, t0=self.t_us * TIMESCALE // 1_000_000, dur=FRAGMENT_US * TIMESCALE // 1_000_000,
                timescale=TIMESCALE, key=True, new_segment=self.n % self.per_segment == 0,
            )  # fmt: skip
            body = self.media(track, self.n, size - FRAGMENT_HEAD_BYTES)
            made.append(FragmentItem(message, boxed(message.t0, message.dur, body), self.times))
        self.n += 1
        return made

    def record(self, seconds: float, *, signed: bool = True) -> None:
        """Half a second of all tracks at a time, a checkpoint each second; not ``signed``: none."""
        for index in range(int(seconds * 1_000_000) // FRAGMENT_US):
            made = self.fragments()
            self.wait(FRAGMENT_US / 1e6)
            self.put(*made)
            if signed and index % 2:
                self.checkpoint()

    def checkpoint(self) -> None:
        self.entry(checkpoint(self.key, str(self.record_id), self.ledger.head))

    def pause(self, seconds: float, state: entries.PausedState = "off_record", reason: str = "witness is sworn in") -> None:
        from_us = self.t_us
        self.put(CloseItem(self.times))
        self.entry(entries.Pause(state=state, actor="clerk", reason=reason, order="order 7", from_us=from_us))
        for _ in range(int(seconds // 9)):
            self.wait(9)
            self.entry(entries.Alive(state=state))
        self.wait(seconds % 9)
        self.entry(entries.Resume(state=state, actor="clerk", from_us=from_us, to_us=self.t_us))
        self.paused_us[state] = self.paused_us.get(state, 0) + self.t_us - from_us

    def receipt(self, identity: Identity | None = None, *, store: bool = True, journal: bool = True, utc_us: int | None = None) -> Receipt:
        """The centre saw the head; its receipt is stored as the recorder does it."""
        signer = identity or self.keys.centre
        head = self.ledger.head
        self.counter += 1
        bare = Receipt(
            record=str(self.record_id), room=self.room, at=head.at, head=head.sha256, counter=self.counter,
            utc_us=self.utc_us + 200_000 if utc_us is None else utc_us, sig="", certificate="",
        )  # fmt: skip
        receipt = signed_receipt(bare, signer)
        line = canonical.encode(receipt)
        if store:
            with (self.root / layout.ANCHORS).open("ab") as file:
                file.write(line + b"\n")
            if journal:
                self.wait(0.3)
                self.entry(entries.Receipt(at=receipt.at, receipt_sha256=hashlib.sha256(line).hexdigest()))
        return receipt

    def crash(self, torn_journal: bytes = b"", torn_media: bytes = b"") -> None:
        """What a power cut leaves: bytes behind the last line, media that no line speaks of."""
        if torn_journal:
            with (self.root / layout.JOURNAL).open("ab") as file:
                file.write(torn_journal)
        if torn_media:
            segment = max((self.root / layout.TRACKS / next(iter(self.tracks))).glob("seg-*.m4s"))
            with segment.open("ab") as file:
                file.write(torn_media)

    def recover(self, down_s: float = 20, *, same_boot: bool = False, utc_trusted: bool = True) -> None:
        """The recorder comes back: its own recovery says what it found."""
        self.wait(down_s)
        if not same_boot:
            self.boot, self.mono_us = "boot-2", 30_000_000
        left = read_left(self.root)
        assert left is not None
        entry, clock = recovered(left, Times(self.mono_us, self.utc_us, 0), self.boot, utc_trusted=utc_trusted)
        self.origin_mono_us = clock.origin_mono_us
        self.ledger = Ledger.resumed(left.ledger, left.files)
        self.entry(entry)
        self.put(CloseItem(self.times))
        self.part += 1
        self.n = max((track.next_n for track in left.tracks.values()), default=0)
        self.begin_parts()

    def close(self, timestamp: Timestamp | None = None) -> Sealed:
        """Seal as the recorder does."""
        self.put(CloseItem(self.times))
        duration_us = self.t_us
        self.entry(
            entries.Seal(
                reason="end of the hearing", actor="clerk", duration_us=duration_us, tracks=self.ledger.totals(), paused_us=self.paused_us,
                mirror="none",
            )
        )  # fmt: skip
        self.checkpoint()
        return seal(self.root, self.key, timestamp)


def signed_receipt(receipt: Receipt, signer: Identity) -> Receipt:
    """The receipt, whatever it says, as this signer gives it."""
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    certificate = signer.certificate.public_bytes(serialization.Encoding.DER)
    named = msgspec.structs.replace(receipt, certificate=base64.b64encode(certificate).decode())
    signature = signer.key.sign(receipt_text(named), ec.ECDSA(hashes.SHA256()))
    return msgspec.structs.replace(named, sig=base64.b64encode(signature).decode())


Change = Callable[[dict[str, Any]], dict[str, Any] | None]


def rewrite(builder: Builder, change: Change, *, reseal: bool = True, sign: bool = True) -> None:
    """What whoever holds the device's key can do: change or drop entries, sign all heads anew, seal anew. Without it: the first."""
    chain, lines = Chain(), []
    for raw in (builder.root / layout.JOURNAL).read_bytes().splitlines():
        fields = change(canonical.decode(raw))
        if fields is None:
            continue
        times = Times(fields["mono_us"], fields["utc_us"], fields["t_us"])
        entry: Entry = msgspec.convert({name: value for name, value in fields.items() if name not in LINE_FIELDS}, entries.AnyEntry)
        if sign and isinstance(entry, entries.Checkpoint):
            entry = checkpoint(builder.key, str(builder.record_id), chain.head)
        lines.append(chain.line(entry, times))
    (builder.root / layout.JOURNAL).write_bytes(b"".join(lines))
    if reseal:
        seal(builder.root, builder.key, None)
