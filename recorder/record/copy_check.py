"""Checks a readable copy by its own list and signature. Needs no key and changes nothing.

It proves that the copy is as its signer made it. What happened in the hearing only the record proves that it was made of.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from recorder.record import canonical, checksums, layout
from recorder.record.cms import CmsError, check_detached
from recorder.record.file_check import LIST_BYTES, check_files, inventory, read_small
from recorder.record.trust import Authorities
from recorder.record.verdict import SPOILT, UNREADABLE, Finding, Findings

DERIVATIVE = "derivative.json"
"""Says of what record a copy was made, and what of it."""
COPY_TYPE = "courtroom-copy/1"
CopyLevel = Literal["copy_whole", "copy_unvouched", "copy_unsigned", "copy_broken", "unreadable"]
"""``copy_unvouched`` is signed by somebody for whom no given authority vouches; of ``copy_unsigned`` nobody says who made it."""
COPY_STATUS: dict[CopyLevel, int] = {"copy_whole": 0, "copy_unvouched": 3, "copy_unsigned": 3, "copy_broken": 1, "unreadable": 64}


class _Source(msgspec.Struct):
    record: str
    verdict: str
    sentence: str


class _Derivative(msgspec.Struct):
    """What the verdict wants of ``derivative.json``."""

    type: str
    source: _Source
    hearing: str
    by: str | None
    left_out: list[Any]
    notes_left_out: int
    damaged: list[str]


@dataclass(slots=True)
class CopyVerdict:
    """The whole answer. ``source_level`` and ``source_sentence`` are what the record proved when it was copied, by the signer's word."""

    level: CopyLevel = "copy_broken"
    record: str = ""
    hearing: str = ""
    source_level: str = ""
    source_sentence: str = ""
    left_out: int = 0
    """How many stretches and notes of the record were left out, as the copy lists them."""
    damaged: int = 0
    signer: str = ""
    signer_trusted: bool = False
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    bytes_read: int = 0

    @property
    def exit_status(self) -> int:
        """0 whole, its signer vouched for; 3 whole, but not that, or made of a broken record; 1 broken; 64 unreadable."""
        spoilt = self.level == "copy_whole" and (self.source_level in SPOILT or self.damaged > 0)
        return 3 if spoilt else COPY_STATUS[self.level]

    def sentence(self) -> str:
        """What is proven, in a few plain sentences."""
        if self.level == "unreadable":
            return "A readable copy, not judged: files or directories of it cannot be read. Verify it as somebody who may read all of it."
        what = f"A readable copy of record {self.record or '(it does not say which)'}, signed by {self.signer or 'nobody'}"
        if self.level == "copy_broken":
            return f"{what}: BROKEN: it is not as it was made. Ask for it anew, or for the record."
        doubt = {
            "copy_whole": "whole, as its signer made it.",
            "copy_unvouched": "whole, but no authority that was given (--ca) vouches for the signer: anyone could have made it.",
            "copy_unsigned": "whole by its own list alone: anyone could have made or changed it.",
        }[self.level]
        return f"{what}: {doubt} A copy proves who made it; what was recorded is proven by the record alone."


def is_copy(root: Path) -> bool:
    """Whether a directory is a readable copy by its files: a record has a journal, and says nothing of what it was made of."""
    with suppress(OSError):
        return (root / DERIVATIVE).is_file() and not (root / layout.JOURNAL).exists()
    return False


def check_copy(
    root: Path, authorities: Authorities | None, utc_us: int, *, workers: int, progress: Callable[[int, int], None] | None = None
) -> CopyVerdict:
    """Check a copy; ``utc_us`` is now, for nothing proves when the copy was signed."""
    findings, verdict = Findings(), CopyVerdict()
    try:
        sizes, others = inventory(root)
        for other in others:
            findings.error("not_a_file", other, "is no regular file; a copy holds no links and no devices")
        told = _derivative(read_small(root / DERIVATIVE, LIST_BYTES), findings)
        listed = read_small(root / layout.SUMS, LIST_BYTES) if layout.SUMS in sizes else b""
        signature = read_small(root / layout.SUMS_SIGNATURE) if layout.SUMS_SIGNATURE in sizes else None
    except OSError as error:
        place = str(error.filename or root).removeprefix(f"{root}/")
        findings.error(UNREADABLE, place, f"cannot be read: {error.strerror or error}")
        return _ended(verdict, findings)
    if told is not None:
        verdict.record, verdict.hearing = told.source.record, told.hearing
        verdict.source_level, verdict.source_sentence = told.source.verdict, told.source.sentence
        verdict.left_out, verdict.damaged = len(told.left_out) + told.notes_left_out, len(told.damaged)
    _check_signature(verdict, told, listed, signature, authorities, utc_us, findings)
    _check_files(root, sizes, listed, workers, progress, verdict, findings)
    return _ended(verdict, findings)


def _derivative(data: bytes, findings: Findings) -> _Derivative | None:
    try:
        told = msgspec.convert(canonical.decode(data.removesuffix(b"\n")), _Derivative)
    except (canonical.NotCanonicalError, msgspec.ValidationError) as error:
        findings.error("derivative", DERIVATIVE, f"does not say what the copy was made of: {error}")
        return None
    if told.type != COPY_TYPE:
        findings.error("derivative", DERIVATIVE, f"is of type '{told.type}', which this verifier does not know; it knows {COPY_TYPE}")
        return None
    return told


def _check_signature(
    verdict: CopyVerdict,
    told: _Derivative | None,
    listed: bytes,
    signature: bytes | None,
    authorities: Authorities | None,
    utc_us: int,
    findings: Findings,
) -> None:
    """Who signed the list; he must be the one whom the copy names, and a recipient (who has an RSA key)."""
    if signature is None:
        if told is not None and told.by is not None:
            findings.error("copy_signature", layout.SUMS_SIGNATURE, f"is not there, but the copy says that {told.by} made it")
        else:
            findings.doubt("copy_unsigned", layout.SUMS_SIGNATURE, "is not there: the copy of a record in the clear may have no signer")
        return
    try:
        certificate = check_detached(signature, listed).certificate
    except CmsError as error:
        findings.error("copy_signature", layout.SUMS_SIGNATURE, f"the signature over {layout.SUMS} does not hold: {error}")
        return
    verdict.signer = certificate.subject.rfc4514_string()
    if told is not None and told.by != canonical.normalised(verdict.signer):
        findings.error("copy_signature", layout.SUMS_SIGNATURE, f"signed by {verdict.signer}; the copy says that {told.by} made it")
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        findings.error("copy_signature", layout.SUMS_SIGNATURE, "signed by a key that no recipient has: those are RSA keys")
        return
    if authorities is None:
        return
    refusal = authorities.recipient_refusal(certificate, utc_us)
    revoked = authorities.revoked(certificate, [])
    if refusal is None and revoked is not None:
        refusal = f"the certificate of {verdict.signer} was revoked ({revoked.reason})"
    if refusal is not None:
        findings.doubt("signer_unknown", layout.SUMS_SIGNATURE, refusal)
    verdict.signer_trusted = refusal is None


def _check_files(
    root: Path,
    sizes: dict[str, int],
    listed: bytes,
    workers: int,
    progress: Callable[[int, int], None] | None,
    verdict: CopyVerdict,
    findings: Findings,
) -> None:
    """Every file against the list, both ways."""
    try:
        sums = checksums.parse(listed)
    except checksums.ChecksumsError as error:
        findings.error("sums_damaged", layout.SUMS, str(error) if listed else "is not there, or is empty")
        return
    names = sorted(sizes.keys() - {layout.SUMS, layout.SUMS_SIGNATURE})
    done, total = 0, sum(sizes[name] for name in names)

    def tell(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total)

    states = check_files(root, names, {}, workers or len(os.sched_getaffinity(0)), tell)
    for name, state in states.items():
        if state.unreadable:
            findings.error(UNREADABLE, name, f"cannot be read: {state.unreadable}")
        elif name not in sums:
            findings.error("file_unlisted", name, f"is not in {layout.SUMS}: it was added after the copy was made")
        elif sums[name] != state.sha256:
            findings.error("file_altered", name, f"is not the file that {layout.SUMS} lists")
    for name in sums.keys() - states.keys():
        findings.error("file_missing", name, f"{layout.SUMS} lists it, and it is not there")
    verdict.files, verdict.bytes_read = len(states), sum(state.len for state in states.values())


def _ended(verdict: CopyVerdict, findings: Findings) -> CopyVerdict:
    verdict.findings = findings.all()
    if findings.broken:
        verdict.level = "unreadable" if findings.unreadable_alone else "copy_broken"
    elif not verdict.signer:
        verdict.level = "copy_unsigned"
    else:
        verdict.level = "copy_whole" if verdict.signer_trusted else "copy_unvouched"
    return verdict
