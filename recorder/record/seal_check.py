"""Checks what the seal wrote beside the journal: the signature, the chain of certificates, the timestamp, the manifest."""

import base64
import datetime as dt
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

from recorder.record import canonical, layout
from recorder.record.anchors import Anchored
from recorder.record.checkpoint import signing_text
from recorder.record.cms import CmsError, check_detached
from recorder.record.file_check import LIST_BYTES, read_small
from recorder.record.journal_reader import JournalReader
from recorder.record.replay import Replay
from recorder.record.trust import Authorities, TrustError, name, read_device_chain, rooms
from recorder.record.unsigned_media import UnsignedMedia
from recorder.record.verdict import SIGNER_UNKNOWN, UNSIGNED_STRETCH, Findings

UNSIGNED_US = 10_000_000
"""How much of a record's end, or of what a crash left, may be unsigned, in session time. A checkpoint is made each second;
a signature that takes more than 3 s raises an alarm, as does a disk that takes nothing for 5 s, behind which a crash may cut off the next
checkpoint."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class Signed:
    """What the checkpoints prove: the device's chain of certificates, and the last entry that one of them covers (-1: none)."""

    chain: list[x509.Certificate]
    to: int
    held: list[tuple[int, int]] = field(default_factory=list)
    """Of each checkpoint whose signature holds: its own number, and that of the last entry that it covers."""


def check_checkpoints(root: Path, replay: Replay, findings: Findings) -> Signed:
    """Check all checkpoints by the certificate that the record's first line names."""
    genesis = replay.genesis
    try:
        chain = read_device_chain(root)
    except FileNotFoundError:
        findings.error("certificate_missing", layout.DEVICE_CHAIN, "the device's certificate is not there, so no signature can be checked")
        return Signed([], -1)
    except (OSError, TrustError) as error:
        findings.error("certificate_damaged", layout.DEVICE_CHAIN, str(error))
        return Signed([], -1)
    key = chain[0].public_key()
    fingerprint = chain[0].fingerprint(hashes.SHA256()).hex()
    if genesis is None or fingerprint != genesis.device_certificate_sha256 or not isinstance(key, ec.EllipticCurvePublicKey):
        findings.error("other_device", layout.DEVICE_CHAIN, "is not the certificate of the device that the journal's first line names")
        return Signed(chain, -1)
    held: list[tuple[int, int]] = []
    for seq, entry in replay.checkpoints:
        if entry.key_id != fingerprint:
            findings.error("checkpoint_signature", f"entry {seq}", "the checkpoint was made by another device")
            continue
        try:
            key.verify(canonical_base64(entry.sig), signing_text(genesis.record, entry.at, entry.head), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            findings.error("checkpoint_signature", f"entry {seq}", f"the device's signature does not hold: {error or 'other bytes'}")
        else:
            held.append((seq, entry.at))
    return Signed(chain, max((at for _, at in held), default=-1), held)


def check_unsigned_end(
    reader: JournalReader, replay: Replay, signed_to: int, media: UnsignedMedia, findings: Findings, *, sealed: bool
) -> None:
    """How much of a record stands behind the last entry that is signed, by its lines' times and by its media's. Comes last of ``media``.

    A seal has a checkpoint of its own, but where a crash fell between the two: the recorder then signed the files at its next start, as it
    found them. Whoever had the disk meanwhile needs no key to write a seal.
    """
    if reader.head.at < 0 or signed_to >= reader.head.at or 0 <= replay.seal_seq <= signed_to:
        return
    much = _more_than_a_crash_leaves(_Gaps(replay), reader, media, signed_to, reader.head.at + 1, replay.reach_us)
    if not much:
        return
    place = f"entries {signed_to + 1} to {reader.head.at}"
    if sealed:
        text = (
            f"{much} up to the seal's entry were signed by nobody before the recorder came back, and signed the files as it "
            "found them: the device's key had stalled, or somebody else wrote them; a recorder signs each second"
        )
        findings.doubt(UNSIGNED_STRETCH, place, text)
        return
    what = f"the last {much} are signed by nobody" if signed_to >= 0 else f"nothing of its {much} is signed"
    text = f"{what}: the device's key stalled, or somebody else wrote them; a recorder signs each second"
    findings.doubt("unsigned_end", place, text)


def check_taken_up(reader: JournalReader, replay: Replay, signed: Signed, media: UnsignedMedia, findings: Findings) -> None:
    """Of each recovery: how much of what it found had been signed by nobody. The recorder signed all of it afterwards, as it found it.

    Whoever had the disk while the recorder was down needs no key for such lines and their media.
    """
    gaps, held, signed_to = _Gaps(replay), deque(signed.held), -1
    for taken in replay.taken_up:
        while held and held[0][0] < taken.seq:
            signed_to = max(signed_to, held.popleft()[1])
        if signed_to >= taken.seq - 1:
            continue
        if much := _more_than_a_crash_leaves(gaps, reader, media, signed_to, taken.seq, taken.ends_us):
            text = (
                f"{much} were signed by nobody before the recorder was down; it signed what it found on the disk "
                "when it came back: the device's key had stalled, or somebody else wrote them; a recorder signs each second"
            )
            findings.doubt(UNSIGNED_STRETCH, f"entries {signed_to + 1} to {taken.seq - 1}", text)


def _more_than_a_crash_leaves(gaps: "_Gaps", reader: JournalReader, media: UnsignedMedia, signed_to: int, before: int, ends_us: int) -> str:
    """How much stands between a signed entry and that other one, in words where it is more than a crash leaves; else empty.

    Whoever writes a fragment without the key writes its line, too: what its media say counts as much as what the line does.
    """
    lag_us = gaps.behind_us(reader, signed_to, before, ends_us)
    if lag_us <= UNSIGNED_US:
        media.take(signed_to, before)
        if not media.told:
            return "fragments that do not say how long they last"
        lag_us = max(media.longest_us, gaps.behind_us(reader, signed_to, before, max(ends_us, media.ends_us)))
    return f"{lag_us / 1e6:.1f} s" if lag_us > UNSIGNED_US else ""


class _Gaps:
    """The times in which no recorder was there. A journal may have as many as somebody likes: they are summed up once."""

    def __init__(self, replay: Replay) -> None:
        self._seqs = [taken.seq for taken in replay.taken_up]
        self._sums_us = [0, *accumulate(taken.gap_us for taken in replay.taken_up)]

    def behind_us(self, reader: JournalReader, signed_to: int, before: int, ends_us: int) -> int:
        """How much session time lies between a signed entry and ``ends_us``, but for these behind it and before that other entry."""
        gaps_us = self._sums_us[bisect_left(self._seqs, before)] - self._sums_us[bisect_right(self._seqs, signed_to)]
        return ends_us - (reader.t_us[signed_to] if signed_to >= 0 else 0) - gaps_us


def check_signer(
    chain: list[x509.Certificate],
    replay: Replay,
    authorities: Authorities | None,
    at_us: int,
    proven_us: int | None,
    findings: Findings,
) -> bool:
    """Whether an authority vouches for the device, for this room, at the time of signing; ``proven_us`` is when others saw the end."""
    genesis = replay.genesis
    if not chain or genesis is None:
        return False
    named = rooms(chain[0])
    if named and genesis.room not in named:
        text = f"the device belongs to room {', '.join(named)}; the record says it is of room {genesis.room}"
        findings.error("other_room", layout.DEVICE_CHAIN, text)
    elif not named and name(chain[0]) != genesis.room:
        findings.doubt("no_room", layout.DEVICE_CHAIN, "the device's certificate does not say which room it belongs to")
    if authorities is None:
        return False
    refusal = authorities.refusal(chain[0], chain[1:], at_us)
    if refusal is not None:
        findings.error(SIGNER_UNKNOWN, layout.DEVICE_CHAIN, refusal)
        return False
    revoked = authorities.revoked(chain[0], chain[1:])
    if revoked is None:
        return True
    when = f"{_EPOCH + dt.timedelta(microseconds=revoked.utc_us):%Y-%m-%d %H:%M} UTC"
    if proven_us is not None and proven_us < revoked.utc_us:
        findings.note(
            "revoked_later", layout.DEVICE_CHAIN, f"revoked on {when} ({revoked.reason}), after others had seen this record's end"
        )
        return True
    findings.error("signer_revoked", layout.DEVICE_CHAIN, f"the device's certificate was revoked on {when} ({revoked.reason})")
    return False


def check_signature(root: Path, sums: bytes, chain: Sequence[x509.Certificate], findings: Findings) -> bytes | None:
    """Check the signature over SHA256SUMS; returns its bytes, for the timestamp."""
    try:
        signature = read_small(root / layout.SUMS_SIGNATURE)
        signed = check_detached(signature, sums)
    except (OSError, CmsError) as error:
        findings.error("seal_signature", layout.SUMS_SIGNATURE, f"the signature over {layout.SUMS} does not hold: {error}")
        return None
    if not chain or signed.certificate != chain[0]:
        findings.error("seal_signature", layout.SUMS_SIGNATURE, f"signed by {name(signed.certificate)}, not by the device of the journal")
    elif {c.fingerprint(hashes.SHA256()) for c in signed.certificates} != {c.fingerprint(hashes.SHA256()) for c in chain}:
        findings.error("seal_signature", layout.SUMS_SIGNATURE, f"carries other certificates than {layout.DEVICE_CHAIN}")
    return signature


def check_timestamp(root: Path, signature: bytes, roots: Sequence[x509.Certificate], findings: Findings) -> int | None:
    """Check the timestamp over the signature; returns its time (microseconds since 1970) where it holds."""
    path = root / layout.SUMS_TIMESTAMP
    if not path.is_file():
        return None
    if not roots:
        findings.note("timestamp_unchecked", layout.SUMS_TIMESTAMP, "not checked: no timestamp authority was given (--tsa-ca)")
        return None
    try:
        response = decode_timestamp_response(read_small(path))
        builder = VerifierBuilder(roots=list(roots))
        builder.build().verify_message(response, signature)
        at = response.tst_info.gen_time
    except (OSError, ValueError, VerificationError) as error:
        text = f"no timestamp over this seal by a trusted authority: {error}"
        findings.error("timestamp_foreign", layout.SUMS_TIMESTAMP, text)
        return None
    return int((at - _EPOCH) / dt.timedelta(microseconds=1))


def check_manifest(root: Path, replay: Replay, findings: Findings) -> None:
    """The manifest must speak of this record; its bytes are held by SHA256SUMS."""
    genesis = replay.genesis
    try:
        manifest = canonical.decode(read_small(root / layout.MANIFEST, LIST_BYTES).removesuffix(b"\n"))
        fits = genesis is not None and (manifest["record"], manifest["room"], manifest["hearing"]["id"]) == (
            genesis.record,
            genesis.room,
            replay.story.hearing,
        )
    except (OSError, canonical.NotCanonicalError, KeyError, TypeError):
        fits = False
    if not fits:
        findings.error("manifest", layout.MANIFEST, "does not speak of the record in the journal")


def proven_us(replay: Replay, last_seq: int, anchored: Anchored | None, timestamp_us: int | None) -> int | None:
    """When somebody outside the room had seen the record's end, or None."""
    seen = [] if timestamp_us is None else [timestamp_us]
    if anchored is not None and replay.seal is not None and anchored.at >= last_seq - 1:
        seen.append(anchored.utc_us)
    return min(seen, default=None)


def canonical_base64(text: str) -> bytes:
    """Decode base64 in its one form.

    Raises:
        ValueError: it is none.
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not in base64's one form")
    return data
