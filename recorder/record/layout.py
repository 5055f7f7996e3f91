"""Names of the files of a record, and the rules for names that come from outside.

``<record>/`` is named ``<date>_<room>_<uuid>`` and holds ``journal.jsonl`` (and ``journal-0002.jsonl`` … after a failed sync of the one
before), ``anchors.jsonl``, ``keys/``, ``tracks/<track>/``, and from the seal on ``manifest.json``, ``device-chain.pem``, ``SHA256SUMS``,
``SHA256SUMS.p7s`` and ``SHA256SUMS.p7s.tsr``; beside the seal may stand ``orders/`` (``order.py``)
and ``bindings.jsonl`` (``binding.py``).
"""

import re
import unicodedata
from pathlib import PurePosixPath

TOMBSTONE = ".deleted.json"
"""Behind a record's name, beside where it was: it was deleted on this disk after the archive had acknowledged it."""
JOURNAL = "journal.jsonl"
ANCHORS = "anchors.jsonl"
BINDINGS = "bindings.jsonl"
KEYS = "keys"
TRACKS = "tracks"
ORDERS = "orders"
MANIFEST = "manifest.json"
DEVICE_CHAIN = "device-chain.pem"
SUMS = "SHA256SUMS"
SUMS_SIGNATURE = "SHA256SUMS.p7s"
SUMS_TIMESTAMP = "SHA256SUMS.p7s.tsr"
UNHASHED = frozenset({SUMS, SUMS_SIGNATURE, SUMS_TIMESTAMP, ANCHORS, BINDINGS})
"""Files of a sealed record that SHA256SUMS cannot list: itself, what signs it, and what still arrives after the seal."""

REMOTE = "remote-"
"""Before the name of every participant's track."""
STILLS = "-identity"
"""Behind the name of a track that holds stills of an identity check, and of no other."""

CHANNEL = f"{REMOTE}channel-"
"""Before its language, the name of the track that holds what listeners of an interpreter's channel heard. No person's track bears one: it
ends in what it holds, and that is no language."""
MIX_LATE_US = 2_000_000
"""A sound lies at most so much later in such a mix than it was said: a network may hold words back for a second, what it lost comes 0.12 s
later, a voice waits up to half a second to be played, and the clock that mixes may be 0.22 s ahead where it had to catch up."""
_channel = re.compile(rf"{CHANNEL}[a-z]{{2,3}}")

ID_PATTERN = r"[a-z0-9](?:[a-z0-9.-]{0,46}[a-z0-9])?"
_id = re.compile(ID_PATTERN)
_order = re.compile(rf"{ORDERS}/(\d{{4}})(?:\.json|\.json\.p7s|/{ID_PATTERN}-\d{{2,}}\.cms)(?:\.part)?")
_journal = re.compile(r"journal(?:-(?!000[01])([0-9]{4}))?\.jsonl")
"""The first has no number; a file that calls itself number 0 or 1 is none that anybody reads."""
_FIXED = UNHASHED | {MANIFEST, DEVICE_CHAIN}
_part_file = re.compile(rf"{TRACKS}/{ID_PATTERN}/(?:init-[0-9]+\.mp4|seg-[0-9]+\.m4s)|{KEYS}/{ID_PATTERN}-[0-9]+\.cms")
_segment = re.compile(rf"{TRACKS}/({ID_PATTERN})/seg-(\d{{6}}|[1-9]\d{{6,11}})\.m4s")


def is_id(text: str) -> bool:
    """Whether ``text`` may name a track, device or room: at most 48 of a-z, 0-9, dot and dash, no dot or dash at an end, no '..'."""
    return _id.fullmatch(text) is not None and ".." not in text


def may_be_record(name: str) -> bool:
    """Whether a directory of a disk may be a record, by its name: none of the room's own, and not what a file system keeps for root."""
    return not name.startswith(".") and name != "lost+found"


def holds_stills(track: str) -> bool:
    """Whether a track holds stills of an identity check, by its name."""
    return track.startswith(REMOTE) and track.endswith(STILLS)


def is_channel(track: str) -> bool:
    """Whether a track holds the mix of a language channel, by its name."""
    return _channel.fullmatch(track) is not None


def journal_file(number: int) -> str:
    """Name of the record's ``number``-th journal file, counted from 1."""
    return JOURNAL if number == 1 else f"journal-{number:04d}.jsonl"


def journal_number(name: str) -> int | None:
    """Which journal file ``name`` is, counted from 1, or None."""
    match = _journal.fullmatch(name)
    if match is None:
        return None
    return int(match[1]) if match[1] else 1


def init_file(track: str, part: int) -> str:
    """Path of a part's CMAF header, relative to the record."""
    return f"{TRACKS}/{track}/init-{part:02d}.mp4"


def segment_file(track: str, segment: int) -> str:
    """Path of a segment, relative to the record."""
    return f"{TRACKS}/{track}/seg-{segment:06d}.m4s"


def segment_of(path: str) -> tuple[str, int] | None:
    """The track and number of a segment by its path, or None."""
    match = _segment.fullmatch(path)
    return (match[1], int(match[2])) if match else None


def key_file(track: str, part: int) -> str:
    """Path of a part's wrapped media key (CMS EnvelopedData, DER), relative to the record."""
    return f"{KEYS}/{track}-{part:02d}.cms"


def order_file(number: int) -> str:
    """Path of the record's ``number``-th level order, counted from 1."""
    return f"{ORDERS}/{number:04d}.json"


def order_signature_file(number: int) -> str:
    """Path of the signature over an order."""
    return f"{order_file(number)}.p7s"


def order_key_file(number: int, track: str, part: int) -> str:
    """Path of a part's media key as an order wrapped it anew (CMS EnvelopedData, DER)."""
    return f"{ORDERS}/{number:04d}/{track}-{part:02d}.cms"


def order_number(path: str) -> int | None:
    """Which order a path under ``orders/`` belongs to by its name, be it half written, or None."""
    match = _order.fullmatch(path)
    return int(match[1]) if match else None


def is_half_written(path: str) -> bool:
    """Whether a crash, or a copying that broke off, left this: a name that a file of a record may have, and ``.part``."""
    name = path.removesuffix(".part")
    return name != path and _is_file_beside_orders(name)


def is_for_a_file(path: str) -> bool:
    """Whether a path is that of a file of a record, be it half written: whoever reads or writes one there finds no directory."""
    return _is_file_beside_orders(path.removesuffix(".part")) or order_number(path) is not None


def _is_file_beside_orders(path: str) -> bool:
    return path in _FIXED or journal_number(path) is not None or _part_file.fullmatch(path) is not None


def can_be_listed(path: str) -> bool:
    """Whether a journal and ``SHA256SUMS`` can name a file: no line end or the like in it, Unicode in normalisation form C."""
    return path.isprintable() and unicodedata.is_normalized("NFC", path)


def is_inside(path: str) -> bool:
    """Whether a relative path from a journal or a list stays inside the record and is in its plainest form."""
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and str(pure) == path and "\x00" not in path
