"""Snapshots: how a record's journal stood a minute ago, so that a start after a crash reads only what follows.

A snapshot lies beside the records, as ``.open/<record>.json``: it is no evidence, and goes with the seal. Its first line is the device's
signature over the second, plain data (``JournalState``). It is believed only where the signature holds and the journal's line at its place
is the one that it was made behind; else everything is read. What it says is compared with the whole journal later (``recheck.py``).
"""

import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.journal_read import read_on
from recorder.journal_state import JournalState
from recorder.record import layout
from recorder.record.file_check import LIST_BYTES, open_plain, read_small
from recorder.record.journal import Head
from recorder.seal import put_file

log = structlog.get_logger()

FOLDER = ".open"
PERIOD_S = 60.0
_UNSIGNED = "not signed by this device, or of an earlier version"
"""What is said of such a signature: the first start after an upgrade finds one as well."""
_BREATH_S = 0.002
_CLOSE_S = 5.0
_decoder = msgspec.json.Decoder(JournalState)


class OtherJournalError(Exception):
    """A line of which this device signed a snapshot is not where it stood.

    Args:
        head: the chain's head at that line.
    """

    def __init__(self, head: Head) -> None:
        super().__init__(f"entry {head.at}, of which this device signed a snapshot, is not on the disk: the journal was cut or rewritten")
        self.head = head


class Key(Protocol):
    """What signs: see ``signing.py``."""

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 with SHA-256, DER."""
        ...


def snapshot_file(record: Path) -> Path:
    """Where the snapshot of a record lies."""
    return record.parent / FOLDER / f"{record.name}.json"


def store(record: Path, state: JournalState, key: Key) -> None:
    """Write a record's snapshot, whole or not at all.

    Raises:
        OSError: the disk takes nothing.
    """
    path = snapshot_file(record)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    body = msgspec.json.encode(state)
    put_file(path, base64.b64encode(key.sign(_text(record.name, body))) + b"\n" + body)


def load(record: Path, key: ec.EllipticCurvePublicKey) -> JournalState | None:
    """The state that a record's snapshot holds; None where there is none, or it is not this device's.

    Raises:
        OtherJournalError: it is this device's, and its line is not where it stood.
    """
    try:
        signature, _, body = read_small(snapshot_file(record), LIST_BYTES).partition(b"\n")
        key.verify(base64.b64decode(signature, validate=True), _text(record.name, body), ec.ECDSA(hashes.SHA256()))
        state = _decoder.decode(body)
        there = _line_at(record, state)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InvalidSignature, msgspec.MsgspecError) as error:
        why = _UNSIGNED if isinstance(error, InvalidSignature) else str(error) or type(error).__name__
        log.warning("a snapshot is passed over; all of the journal is read", record=record.name, error=why)
        return None
    if there != state.head.sha256:
        raise OtherJournalError(state.head)
    return state


def remove(record: Path) -> None:
    """Remove a record's snapshot: the record is sealed."""
    with contextlib.suppress(OSError):  # a disk that is gone; what is left there is passed over and removed at a later start
        snapshot_file(record).unlink(missing_ok=True)


def tidy(base: Path, unsealed: set[str]) -> None:
    """Remove the snapshots of records that are sealed or gone from a disk."""
    for path in (base / FOLDER).glob("*.json*"):
        if path.name.partition(".json")[0] not in unsealed:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


class Snapshots:
    """Keeps the snapshot of one record up to date, in a thread of its own that follows the journal as it stands on the disk.

    The committer knows nothing of it. ``root`` says where the record is led now, ``durable_at`` which line is durable.
    """

    def __init__(
        self,
        root: Callable[[], Path],
        durable_at: Callable[[], int],
        key: Key,
        state: JournalState | None = None,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._root = root
        self._durable_at = durable_at
        self._key = key
        self._state = JournalState() if state is None else _decoder.decode(msgspec.json.encode(state))
        self._period_s = period_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; the last snapshot stays."""
        self._ended.set()
        self._thread.join(_CLOSE_S)  # it may hang in a disk or a token: then it is left behind

    def take(self) -> None:
        """Read on to the durable line, and store the state there.

        Raises:
            OSError: the disk failed.
        """
        root = self._root()
        read_on(root, self._state, last=self._durable_at(), breathe=lambda: time.sleep(_BREATH_S))
        if self._state.genesis is not None and not self._ended.is_set():
            store(root, self._state, self._key)

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            try:
                self.take()
            except Exception as error:  # noqa: BLE001 - a token's library raises anything; without a snapshot a start takes longer, no more
                log.warning("no snapshot", error=str(error))


def _line_at(record: Path, state: JournalState) -> str:
    """SHA-256 (hex) of the line that stands where the state's last line stood."""
    place = state.place
    with open_plain(record / layout.journal_file(place.number)) as file:
        file.seek(place.line_off)
        return hashlib.sha256(file.read(place.off - place.line_off).removesuffix(b"\n")).hexdigest()


def _text(record: str, body: bytes) -> bytes:
    return f"courtroom-snapshot-v2\n{record}\n{hashlib.sha256(body).hexdigest()}\n".encode()
