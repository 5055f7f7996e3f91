"""What a verification found: the level of proof, the findings with their places, and every interval that was not recorded."""

from dataclasses import dataclass, field
from typing import Literal

ProofLevel = Literal["sealed", "anchored", "signed_only", "unsealed", "broken", "not_a_record", "unreadable"]
"""From ``docs/record-format.md``: ``anchored`` is sealed with heads that somebody outside the room holds; ``signed_only`` is intact by a
signer nobody vouched for."""

Severity = Literal["error", "doubt", "note"]
"""An ``error`` makes the record broken. A ``doubt`` is for a person to judge. A ``note`` explains."""

EXIT_STATUS: dict[ProofLevel, int] = {
    "sealed": 0,
    "anchored": 0,
    "broken": 1,
    "not_a_record": 2,
    "signed_only": 3,
    "unsealed": 3,
    "unreadable": 64,
}
PROVEN: frozenset[ProofLevel] = frozenset({"sealed", "anchored"})
"""The levels at which all is proven, but for what nobody had signed (``Verdict.unsigned``)."""
SPOILT: frozenset[ProofLevel] = frozenset({"broken", "unreadable"})
"""The levels at which nothing is made of a record, or put beside it, that looks as if it were sound."""
UNREADABLE = "file_unreadable"
"""The code of what the verifier may not or cannot read: it contradicts nothing, and proves nothing."""

SIGNER_UNKNOWN = "signer_unknown"
"""The code of a signer for whom the given authorities do not vouch: no byte of the record need be wrong for that."""
UNSIGNED_STRETCH = "unsigned_stretch"
"""The code of what nobody had signed when the recorder went on behind it: the seal does not prove that the room recorded it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: a code for programs, where (file, line or bytes), and plain words."""

    code: str
    severity: Severity
    place: str
    text: str


@dataclass(slots=True)
class Interval:
    """Nothing was recorded from ``from_us`` to ``to_us`` of session time (None: it did not end, or nobody knows when).

    ``track`` is empty where it concerns all. ``declared`` is false where no entry says so and only the media's times show it.
    """

    track: str
    cause: str
    from_us: int
    to_us: int | None
    by: str = ""
    detail: str = ""
    declared: bool = True


@dataclass(slots=True)
class TrackSum:
    """What a track holds. Times are session time in microseconds."""

    track: str
    kind: str
    label: str
    codec: str
    fragments: int = 0
    bytes: int = 0
    from_us: int | None = None
    to_us: int | None = None


@dataclass(frozen=True, slots=True)
class OrderSum:
    """A level order in force: what it says, and which recipient signed it. ``tracks`` is empty where it concerns all."""

    number: int
    level: str
    tracks: list[str]
    from_us: int
    to_us: int
    actor: str
    order: str
    signed_by: str
    utc_us: int
    keys: int
    """How many parts' keys it wraps anew."""


@dataclass(frozen=True, slots=True)
class BindingSum:
    """After the seal somebody said which hearing the record belongs to; the last one counts."""

    number: int
    hearing: str
    case: str
    actor: str
    reason: str
    utc_us: int


@dataclass(slots=True)
class Verdict:
    """The whole answer."""

    level: ProofLevel = "broken"
    record: str = ""
    hearing: str = ""
    case: str = ""
    title: str = ""
    court: str = ""
    room: str = ""
    started_utc_us: int | None = None
    ended_utc_us: int | None = None
    duration_us: int | None = None
    timestamp_utc_us: int | None = None
    signer: str = ""
    signer_trusted: bool = False
    """Whether an authority vouches for the signer, and he signed something of this record: all of it or up to ``signed_to``."""
    entries: int = 0
    head: str = ""
    """The chain's head (hex) at the last of them."""
    sums_sha256: str = ""
    """Hash of SHA256SUMS as it was read; empty where there is none."""
    intact_to: int = -1
    """Number of the last entry up to which everything is proven intact; -1 where not even the first is."""
    signed_to: int = -1
    """Number of the last entry that a checkpoint of the device covers."""
    anchored_to: int | None = None
    anchored_utc_us: int | None = None
    findings: list[Finding] = field(default_factory=list)
    """Of each code and severity the first ten, then how many more there are."""
    errors_found: int = 0
    """How many things break the record, those that are not listed included."""
    not_recorded: list[Interval] = field(default_factory=list)
    orders: list[OrderSum] = field(default_factory=list)
    bindings: list[BindingSum] = field(default_factory=list)
    tracks: list[TrackSum] = field(default_factory=list)
    files: int = 0
    bytes_read: int = 0

    @property
    def exit_status(self) -> int:
        """0 sealed or anchored; 3 intact, but unsealed, unvouched for, or in part unsigned; 1 broken; 2 not a record; 64 unreadable."""
        return EXIT_STATUS["unsealed"] if self.level in PROVEN and self.unsigned else EXIT_STATUS[self.level]

    @property
    def unsigned(self) -> list[Finding]:
        """The parts that nobody had signed when the recorder went on behind them."""
        return [finding for finding in self.findings if finding.code == UNSIGNED_STRETCH]

    @property
    def errors(self) -> list[Finding]:
        """The findings that break the record."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def sentence(self) -> str:
        """What is proven, in a few plain sentences."""
        if self.level == "anchored":
            return (
                f"Sealed, and anchored to entry {self.anchored_to}: somebody outside the room held the chain's head at that entry, so "
                f"nothing up to it was changed since, not even by whoever holds the room's key.{self._but_unsigned()}"
            )
        if self.level == "sealed":
            return (
                "Sealed: nothing was changed since by anyone without the room's key. Nobody outside the room holds a head of this chain "
                f"(no receipts), so this proves nothing against whoever holds the room's key.{self._but_unsigned()}"
            )
        if self.level == "signed_only":
            return (
                "Intact and signed, but nobody vouched for the signer: without the authority's certificate (--ca) anyone could have made "
                "this record."
            )
        if self.level == "unsealed":
            return self._unsealed()
        if self.level == "not_a_record":
            return "This is not a record."
        if self.level == "unreadable":
            return (
                f"Not judged: {self.errors_found} file(s) or directories cannot be read. Nothing that can be read contradicts the record. "
                "Verify it as somebody who may read all of it, or from another disk."
            )
        if self.errors and {finding.code for finding in self.errors} == {SIGNER_UNKNOWN}:
            return (
                f"BROKEN, but no byte contradicts the record: nobody vouches for its signer, for {self.errors[0].text}. If the authority "
                "is the wrong one, verify again by the right one (--ca); else anyone could have made this record."
            )
        return f"BROKEN: {self.errors_found} thing(s) contradict the record. Intact to entry {self.intact_to}."

    def _but_unsigned(self) -> str:
        places = "; ".join(finding.place for finding in self.unsigned)
        return (
            f" BUT NOT PROVEN: {places}: signed by nobody before the recorder was down, so whoever had the disk may have written it."
            if places
            else ""
        )

    def _unsealed(self) -> str:
        """Intact is what contradicts nothing; proven is only what somebody signed."""
        said = [f"Not sealed; intact to entry {self.intact_to}"]
        if self.signed_to >= 0:
            said.append(f"signed to entry {self.signed_to}{'' if self.signer_trusted else ' by somebody for whom nobody vouched'}")
        if self.anchored_to is not None:
            said.append(f"anchored to entry {self.anchored_to}")
        proven_to = max(self.signed_to if self.signer_trusted else -1, -1 if self.anchored_to is None else self.anchored_to)
        if proven_to < 0:
            return f"{', '.join(said)}. Nothing of it is proven: anyone could have written it."
        behind = "anyone could have written it, or have cut off what followed"
        return f"{', '.join(said)}. Nothing behind entry {proven_to} is proven: {behind}."


class Findings:
    """Collects findings; of each code and severity only the first ``limit`` are kept, then a count."""

    def __init__(self, limit: int = 10) -> None:
        self._limit = limit
        self._found: list[Finding] = []
        self._count: dict[tuple[str, Severity], int] = {}

    def error(self, code: str, place: str, text: str) -> None:
        """Add what breaks the record."""
        self._add(Finding(code, "error", place, text))

    def doubt(self, code: str, place: str, text: str) -> None:
        """Add what a person must judge."""
        self._add(Finding(code, "doubt", place, text))

    def note(self, code: str, place: str, text: str) -> None:
        """Add an explanation."""
        self._add(Finding(code, "note", place, text))

    @property
    def broken(self) -> bool:
        """Whether there is an error."""
        return any(severity == "error" for _, severity in self._count)

    @property
    def errors_found(self) -> int:
        """How many errors there are, those that are not kept included."""
        return sum(count for (_, severity), count in self._count.items() if severity == "error")

    @property
    def unreadable_alone(self) -> bool:
        """Whether the only errors are files that cannot be read."""
        return {code for code, severity in self._count if severity == "error"} == {UNREADABLE}

    def has(self, code: str) -> bool:
        """Whether something of this code was found."""
        return any(known == code for known, _ in self._count)

    def all(self) -> list[Finding]:
        """The findings, errors first; what was left out is counted."""
        order = {"error": 0, "doubt": 1, "note": 2}
        more = [
            Finding(code, severity, f"{count} places", f"{count - self._limit} more of this kind; the first {self._limit} are listed")
            for (code, severity), count in self._count.items()
            if count > self._limit
        ]
        return sorted(self._found + more, key=lambda finding: order[finding.severity])

    def _add(self, finding: Finding) -> None:
        key = (finding.code, finding.severity)
        self._count[key] = self._count.get(key, 0) + 1
        if self._count[key] <= self._limit:
            self._found.append(finding)
