"""Every way to tamper that we know of, each with the code by which it is called. The numbers are those of ``docs/record-format.md``."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.keys import Hierarchy, build
from recorder.record import entries, layout
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities
from recorder.record.verify import Outside
from recorder.seal import seal
from tests.record.record_builder import Builder, rewrite, signer_of

SEGMENT = "tracks/cam-judge/seg-000000.m4s"
SOUND = "tracks/mic-judge/seg-000000.m4s"


@dataclass
class Case:
    """A record to be tampered with, and what the verifier has at hand."""

    builder: Builder
    receipts: list[Receipt]
    outside: Outside
    keys: Hierarchy
    base: Path

    @property
    def root(self) -> Path:
        return self.builder.root

    def change(self, name: str, change: Callable[[bytes], bytes]) -> None:
        path = self.root / name
        path.write_bytes(change(path.read_bytes()))

    def lines(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        self.change(layout.JOURNAL, lambda data: b"".join(change(data.splitlines(keepends=True))))

    def with_ledger(self) -> None:
        self.outside = replace(self.outside, ledger=tuple(self.receipts))

    def forget_receipts(self, keep: int = 0) -> None:
        """Delete receipts from the record as whoever holds the key can: from the file and from the journal."""
        path = self.root / layout.ANCHORS
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))

    def fresh(self, **options: Any) -> Builder:
        """Another record in place of the first."""
        shutil.rmtree(self.root.parent)
        self.builder = Builder(self.base / "again", **({"keys": self.keys} | options))
        return self.builder


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def without_receipts(fields: dict[str, Any]) -> dict[str, Any] | None:
    return None if fields["type"] == "receipt" else fields


def unsigned(fields: dict[str, Any]) -> dict[str, Any] | None:
    return None if fields["type"] in {"ckpt", "seal"} else fields


def other_reason(fields: dict[str, Any]) -> dict[str, Any] | None:
    return fields | {"reason": "coffee"} if fields["type"] == "pause" else fields


def bit_flip(case: Case) -> None:
    case.change(SEGMENT, lambda data: flip(data, 9000 * 3 + 17))


def fragment_removed(case: Case) -> None:
    case.change(SEGMENT, lambda data: data[:18000] + data[27000:])


def fragments_swapped(case: Case) -> None:
    case.change(SEGMENT, lambda data: data[9000:18000] + data[:9000] + data[18000:])


def fragment_doubled(case: Case) -> None:
    case.change(SEGMENT, lambda data: data[:9000] + data)


def audio_truncated(case: Case) -> None:
    case.change(SOUND, lambda data: data[:-1500])


def box_appended(case: Case) -> None:
    case.change(SEGMENT, lambda data: data + b"\x00\x00\x00\x08free")


def track_deleted(case: Case) -> None:
    shutil.rmtree(case.root / "tracks/mic-judge")


def track_added(case: Case) -> None:
    (case.root / "tracks/cam-window").mkdir()
    (case.root / "tracks/cam-window/seg-000000.m4s").write_bytes(b"what nobody recorded")


def file_added(case: Case) -> None:
    (case.root / "transcript.txt").write_text("He confessed.")


def link_added(case: Case) -> None:
    (case.root / "tracks/more").symlink_to("/dev/zero")


def line_deleted(case: Case) -> None:
    case.lines(lambda lines: lines[:20] + lines[21:])


def lines_reordered(case: Case) -> None:
    case.lines(lambda lines: [*lines[:20], lines[21], lines[20], *lines[22:]])


def reason_edited(case: Case) -> None:
    case.change(layout.JOURNAL, lambda data: data.replace(b"witness is sworn in", b"witness went for it"))


def reason_edited_with_the_key(case: Case) -> None:
    rewrite(case.builder, other_reason)


def reason_edited_with_the_key_and_receipts_deleted(case: Case) -> None:
    rewrite(case.builder, lambda fields: other_reason(fields) and without_receipts(other_reason(fields) or {}))
    case.forget_receipts()
    case.with_ledger()


def tail_cut_as_a_crash(case: Case) -> None:
    """The last minutes vanish: unsealed, the last line torn, media cut to fit."""
    cut_tail(case, 70)


def cut_tail(case: Case, keep: int) -> None:
    for name in (layout.SUMS, layout.SUMS_SIGNATURE, layout.MANIFEST):
        (case.root / name).unlink()
    case.lines(lambda lines: [*lines[:keep], lines[keep][:30]])
    kept = [json.loads(line) for line in (case.root / layout.JOURNAL).read_bytes().splitlines()[:keep]]
    ends: dict[str, int] = {}
    for fields in kept:
        if fields["type"] == "frag":
            ends[layout.segment_file(fields["track"], fields["seg"])] = fields["off"] + fields["len"]
    for path in (case.root / layout.TRACKS).rglob("seg-*"):
        end = ends.get(path.relative_to(case.root).as_posix())
        if end is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:end])


def tail_cut_and_receipts_trimmed(case: Case) -> None:
    cut_tail(case, 70)
    at = [json.loads(line)["at"] for line in (case.root / layout.ANCHORS).read_bytes().splitlines()]
    case.forget_receipts(keep=sum(1 for seq in at if seq < 70))
    case.with_ledger()


def another_hearings_package(case: Case) -> None:
    case.root.rename(case.root.parent / case.root.name.replace("7d9f1c1e", "11111111"))
    case.builder.root = case.root.parent / case.root.name.replace("7d9f1c1e", "11111111")


def another_hearing_expected(case: Case) -> None:
    case.outside = replace(case.outside, hearing="hearing-2")


def hearing_id_rewritten(case: Case) -> None:
    case.change(layout.JOURNAL, lambda data: data.replace(b'"hearing":"hearing-1"', b'"hearing":"hearing-2"'))


def stale_start_token(case: Case) -> None:
    case.outside = replace(case.outside, start_token="token-2")


def device_of_another_room(case: Case) -> None:
    builder = case.fresh(room="room-2")
    builder.record(2)
    builder.close()


def lookalike_certificate(case: Case) -> None:
    lookalike = build("room-1", dt.datetime.now(dt.UTC))
    builder = case.fresh(signer=signer_of(lookalike.device, lookalike.issuing))
    builder.record(2)
    builder.close()


def clock_ahead(case: Case) -> None:
    builder = case.fresh(keys=older_keys(case))
    builder.record(2)
    builder.receipt(utc_us=builder.utc_us - 3 * 86_400_000_000)
    builder.close()


def older_keys(case: Case) -> Hierarchy:
    """Keys that were valid on the day that the room believed it to be."""
    keys = build("room-1", dt.datetime.now(dt.UTC) - dt.timedelta(days=10))
    case.outside = Outside(authorities=Authorities([keys.root.certificate]))
    return keys


def clock_behind(case: Case) -> None:
    builder = case.fresh(keys=older_keys(case), utc_us=int(dt.datetime.now(dt.UTC).timestamp() * 1e6) - 3 * 86_400_000_000)
    builder.record(2)
    builder.receipt(utc_us=builder.utc_us + 3 * 86_400_000_000)
    builder.close()


def clock_stepped_in_secret(case: Case) -> None:
    builder = case.fresh()
    builder.record(4)
    builder.utc_us += 3_600_000_000
    builder.record(20)
    builder.close()


def entries_dropped(case: Case) -> None:
    rewrite(case.builder, lambda fields: None if fields["type"] == "frag" and fields["n"] == 3 else fields)


def duplicate_key(case: Case) -> None:
    case.change(layout.JOURNAL, lambda data: data.replace(b'"reason":"witness', b'"reason":"","reason":"witness'))


def entry_after_seal(case: Case) -> None:
    case.builder.entry(entries.Note(author="judge", text="acquitted", at_us=0))


def entry_after_seal_sealed_again(case: Case) -> None:
    case.builder.entry(entries.Note(author="judge", text="acquitted", at_us=0))
    seal(case.root, case.builder.key, None)


def revoked_certificate(case: Case) -> None:
    assert case.outside.authorities is not None
    listed = revocation(case.keys, dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    case.outside = replace(case.outside, authorities=Authorities(case.outside.authorities.roots, [listed]))


def revocation(keys: Hierarchy, at: dt.datetime) -> x509.CertificateRevocationList:
    entry = x509.RevokedCertificateBuilder().serial_number(keys.device.certificate.serial_number).revocation_date(at)
    entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
    builder = x509.CertificateRevocationListBuilder().issuer_name(keys.issuing.certificate.subject).last_update(at)
    builder = builder.next_update(at + dt.timedelta(days=30)).add_revoked_certificate(entry.build())
    assert isinstance(keys.issuing.key, ec.EllipticCurvePrivateKey)
    return builder.sign(keys.issuing.key, hashes.SHA256())


def receipt_deleted(case: Case) -> None:
    case.forget_receipts(keep=1)


def consistent_cut(case: Case) -> None:
    """Made anew with the device's key, 2.5 s shorter, every number right."""
    builder = case.fresh(utc_us=case.builder.utc_us)
    builder.utc_us = builder.utc_us - case.builder.t_us
    builder.record(3.5)
    builder.pause(12)
    builder.record(8)
    builder.close()
    case.with_ledger()


def other_checkpoint_key(case: Case) -> None:
    other = signer_of(build("room-1", dt.datetime.now(dt.UTC)).device)
    own, case.builder.key = case.builder.key, other
    rewrite(case.builder, lambda fields: fields, reseal=False)
    case.builder.key = own
    seal(case.root, own, None)


def sums_trimmed_with_the_file(case: Case) -> None:
    """A file and its line in SHA256SUMS go together; the signature does not fit any more."""
    (case.root / SOUND).unlink()
    case.change(layout.SUMS, lambda data: b"".join(line for line in data.splitlines(keepends=True) if SOUND.encode() not in line))


def header_replaced(case: Case) -> None:
    case.change("tracks/cam-judge/init-00.mp4", lambda data: data.replace(b"moov", b"mvoo"))


def wrapped_key_replaced(case: Case) -> None:
    case.change("keys/cam-judge-00.cms", lambda data: flip(data, 3))


def manifest_edited(case: Case) -> None:
    case.change(layout.MANIFEST, lambda data: data.replace(b"hearing-1", b"hearing-2"))


def seal_line_cut(case: Case) -> None:
    case.lines(lambda lines: lines[:-2])


CASES: list[tuple[str, Callable[[Case], None], str]] = [
    ("1", bit_flip, "frag_altered"),
    ("2", fragment_removed, "file_shorter"),
    ("3", fragments_swapped, "frag_altered"),
    ("4", fragment_doubled, "file_longer"),
    ("5", audio_truncated, "file_shorter"),
    ("6", box_appended, "file_longer"),
    ("7", track_deleted, "file_missing"),
    ("8", track_added, "file_unlisted"),
    ("8 a file", file_added, "file_unlisted"),
    ("8 a link", link_added, "not_a_file"),
    ("9", line_deleted, "journal_order"),
    ("10", lines_reordered, "journal_order"),
    ("11", reason_edited, "journal_chain"),
    ("12", reason_edited_with_the_key, "head_contradicted"),
    ("13", reason_edited_with_the_key_and_receipts_deleted, "head_contradicted"),
    ("14", tail_cut_as_a_crash, "tail_missing"),
    ("15", tail_cut_and_receipts_trimmed, "tail_missing"),
    ("16", another_hearings_package, "other_record"),
    ("16 expected", another_hearing_expected, "other_hearing"),
    ("16 rewritten", hearing_id_rewritten, "journal_chain"),
    ("17", stale_start_token, "start_token"),
    ("18", device_of_another_room, "other_room"),
    ("19", lookalike_certificate, "signer_unknown"),
    ("21 ahead", clock_ahead, "clock_off"),
    ("21 behind", clock_behind, "clock_off"),
    ("22", clock_stepped_in_secret, "clock_step_hidden"),
    ("23", entries_dropped, "frag_number"),
    ("24", duplicate_key, "journal_altered"),
    ("25", entry_after_seal, "entry_after_seal"),
    ("25 resealed", entry_after_seal_sealed_again, "entry_after_seal"),
    ("26", revoked_certificate, "signer_revoked"),
    ("27", receipt_deleted, "receipt_missing"),
    ("28", consistent_cut, "head_contradicted"),
    ("checkpoints of another key", other_checkpoint_key, "checkpoint_signature"),
    ("sums trimmed", sums_trimmed_with_the_file, "seal_signature"),
    ("header", header_replaced, "file_altered"),
    ("wrapped key", wrapped_key_replaced, "file_altered"),
    ("manifest", manifest_edited, "manifest"),
    ("seal cut", seal_line_cut, "seal_missing"),
]
