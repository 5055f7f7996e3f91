"""Signs the chain's head each second, in a thread of its own: a key that is slow (a token, a busy TPM) delays checkpoints, never media."""

import base64
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from recorder.clock import mono_us
from recorder.record.checkpoint import signing_text
from recorder.record.entries import Checkpoint
from recorder.record.journal import Head

log = structlog.get_logger()
_T = TypeVar("_T")


class Key(Protocol):
    """What signs: see ``signing.py``."""

    @property
    def key_id(self) -> str:
        """SHA-256 (hex) of the device's certificate."""
        ...

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 with SHA-256, DER."""
        ...


def checkpoint(key: Key, record: str, head: Head) -> Checkpoint:
    """Sign a head."""
    signature = key.sign(signing_text(record, head.at, head.sha256))
    return Checkpoint(at=head.at, head=head.sha256, sig=base64.b64encode(signature).decode(), key_id=key.key_id)


class Checkpointer:
    """One thread that signs the newest head it was given; older ones that still wait are dropped, for the newer covers them."""

    def __init__(self, key: Key, done: Callable[[Checkpoint], None], failed: Callable[[str], None]) -> None:
        self._key = key
        self._done = done
        self._failed = failed
        self._heads: queue.Queue[tuple[str, Head] | None] = queue.Queue(maxsize=1)
        self._busy_since_us: int | None = None
        self._telling = threading.Lock()
        """Held while something is handed over, never while the key signs."""
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
        self._thread.start()

    def offer(self, record: str, head: Head) -> None:
        """Ask for a signature over this head; returns at once, and does nothing while an earlier one still waits."""
        if not self._heads.full():
            self._heads.put_nowait((record, head))

    def busy_us(self, now_us: int) -> int:
        """For how long the key has been at one signature."""
        since_us = self._busy_since_us
        return 0 if since_us is None else now_us - since_us

    def close(self) -> None:
        """Hand nothing over any more, and let the thread end after what it is at; never waits for the key.

        What is being signed is let go: it could come behind the session's seal, where it would break the record.
        """
        with self._telling:
            self._closed = True
        with contextlib.suppress(queue.Empty):
            self._heads.get_nowait()
        self._heads.put_nowait(None)

    def _run(self) -> None:
        while (item := self._heads.get()) is not None:
            record, head = item
            self._busy_since_us = mono_us()
            try:
                signed = checkpoint(self._key, record, head)
            except Exception as error:  # noqa: BLE001 - a token's library raises anything; the record goes on without checkpoints, loudly
                log.error("signing failed", error=str(error))
                self._tell(self._failed, str(error))
            else:
                self._tell(self._done, signed)
            finally:
                self._busy_since_us = None

    def _tell(self, told: Callable[[_T], None], what: _T) -> None:
        with self._telling:
            if not self._closed:
                told(what)
