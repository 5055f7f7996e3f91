"""The journal's chain: each line carries the hash of the line before it.

``Chain`` makes lines, ``read_line`` checks one against the head before it. Neither touches a file. A torn last line (power cut) is no
line; what may stand behind it, and how a reader goes on, is told at ``entries.Recovered``.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, cast, get_args

import msgspec

from recorder.record import canonical
from recorder.record.entries import FIRST_PREV, FORMAT_VERSION, AnyEntry, Entry, Line

AnEntry = TypeVar("AnEntry", bound=Entry)
LINE_FIELDS = frozenset({"v", "seq", "prev", "mono_us", "utc_us", "t_us"})
MAX_LINE_BYTES = 1024 * 1024
_FIELDS_BYTES = 512
"""More than the fields of ``Line`` take beside an entry's own."""


class JournalError(ValueError):
    """A line that is no valid continuation of the chain; ``kind`` is a code, the message says what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Head(msgspec.Struct, frozen=True):
    """Where the chain stands: the last line's number and the SHA-256 (hex) of its raw bytes."""

    at: int
    sha256: str


BEFORE_FIRST = Head(-1, FIRST_PREV)


@dataclass(frozen=True, slots=True)
class Times:
    """The clocks when a line was made."""

    mono_us: int
    utc_us: int
    t_us: int


def writable(entry: AnEntry) -> AnEntry:
    """The entry as a line can hold it: its texts in normalisation form C.

    Raises:
        NotCanonicalError: it holds a number that has no canonical form, or more than a line may: no reader would take it.

    """
    normal = canonical.writable(entry)
    size = len(msgspec.json.encode(normal)) + _FIELDS_BYTES
    if size > MAX_LINE_BYTES:
        raise canonical.NotCanonicalError(f"a line of {size} bytes, and no reader takes more than {MAX_LINE_BYTES}")
    return normal


class Chain:
    """Makes the next line. Holds nothing but the head, so that a recovered chain goes on from where it was cut."""

    def __init__(self, head: Head = BEFORE_FIRST) -> None:
        self.head = head

    def line(self, entry: Entry, times: Times) -> bytes:
        """Return the raw line with its line end, and move the head on to it."""
        fields = msgspec.to_builtins(entry)
        fields |= {
            "v": FORMAT_VERSION,
            "seq": self.head.at + 1,
            "prev": self.head.sha256,
            "mono_us": times.mono_us,
            "utc_us": times.utc_us,
            "t_us": times.t_us,
        }
        raw = canonical.encode(fields)
        self.head = Head(self.head.at + 1, hashlib.sha256(raw).hexdigest())
        return raw + b"\n"


def read_line(raw: bytes, head: Head) -> tuple[Line, AnyEntry, Head]:
    """Check one raw line (without its line end) against the head before it.

    Returns:
        The line's common fields, its entry, and the new head.

    Raises:
        JournalError: kinds ``not_canonical``, ``fields``, ``version``, ``sequence`` and ``chain``.
    """
    if len(raw) > MAX_LINE_BYTES:
        raise JournalError("not_canonical", "line is longer than 1 MiB")
    try:
        fields = canonical.decode(raw)
    except canonical.NotCanonicalError as error:
        raise JournalError("not_canonical", str(error)) from error
    try:
        line = msgspec.convert(fields, Line)
        entry = msgspec.convert({key: value for key, value in fields.items() if key not in LINE_FIELDS}, AnyEntry)
    except (msgspec.ValidationError, AttributeError) as error:
        raise JournalError("fields", str(error)) from error
    # What is left out would be read as what nobody said.
    if left_out := [name for name, value in msgspec.to_builtins(entry).items() if name not in fields or fields[name] != value]:
        raise JournalError("fields", f"a field is left out: {', '.join(left_out)}")
    if line.v != FORMAT_VERSION:
        raise JournalError("version", f"format version {line.v}, this verifier knows {FORMAT_VERSION}")
    if line.seq != head.at + 1:
        raise JournalError("sequence", f"line number {line.seq} where {head.at + 1} must stand")
    if line.prev != head.sha256:
        raise JournalError("chain", f"line {line.seq} does not follow the line before it")
    return line, entry, Head(line.seq, hashlib.sha256(raw).hexdigest())


def entry_number(body: bytes) -> int | None:
    """The number of a whole entry, of whatever chain (-1 where it gives none that is one); None where the bytes are no entry.

    No power cut makes an entry.
    """
    try:
        value = canonical.decode(body)
    except canonical.NotCanonicalError:
        return None
    if not isinstance(value, dict) or not {"seq", "prev", "type"} <= value.keys():
        return None
    return value["seq"] if isinstance(value["seq"], int) else -1


_long_number = re.compile(rb"[:,\[]-?(?:[0-9]{17}|9[0-9]{15})")  # what may reach 2^53; a text that looks so costs no more than time
_Bounded = Annotated[int, msgspec.Meta(ge=-canonical.MAX_INTEGER, le=canonical.MAX_INTEGER)]
_line_fields: list[tuple[str, Any]] = [(name, str if name == "prev" else _Bounded) for name in sorted(LINE_FIELDS)]


def _flat(entry: type[Entry]) -> type[msgspec.Struct]:
    """The entry's type with the line's fields, its own integers held to what a line may say."""
    bounded = [(item.name, _Bounded) for item in msgspec.structs.fields(entry) if item.type is int]
    return msgspec.defstruct(
        f"{entry.__name__}Line",
        [*_line_fields, *bounded],
        bases=(entry,),
        tag_field="type",
        tag=entry.__struct_config__.tag,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


_flat_types = tuple(_flat(entry) for entry in cast(tuple[type[Entry], ...], get_args(AnyEntry)))
_plain_types = tuple(
    flat
    for flat, entry in zip(_flat_types, get_args(AnyEntry), strict=True)
    if all(item.type in {int, str, bool} for item in msgspec.structs.fields(entry))
)
"""Types whose every integer is bounded; in the others numbers lie deeper."""
_flat_decoder: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(Union[_flat_types])  # noqa: UP007 - the types are made at run time
_flat_encoder = msgspec.json.Encoder(order="sorted")


def read_line_fast(raw: bytes, head: Head) -> tuple[Line, AnyEntry, Head]:
    """``read_line`` for millions of lines: the same answers at a third of the cost.

    Line and entry are one object here that has the fields of both; it is no instance of ``Line``, only shaped like one.

    Raises:
        JournalError: as ``read_line``.
    """
    try:
        flat = _flat_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return read_line(raw, head)
    digest = hashlib.sha256(raw).hexdigest()
    # Typed decoding has refused floats; what it cannot see (order, spaces, repeated keys, defaults left out) shows in the re-encoding.
    exact = (
        flat.seq == head.at + 1
        and flat.prev == head.sha256
        and flat.v == FORMAT_VERSION
        and len(raw) <= MAX_LINE_BYTES
        and (isinstance(flat, _plain_types) or _long_number.search(raw) is None)
        and _flat_encoder.encode(flat) == raw
        and (raw.isascii() or unicodedata.is_normalized("NFC", raw.decode()))
    )
    if not exact:
        return read_line(raw, head)
    return flat, flat, Head(head.at + 1, digest)
