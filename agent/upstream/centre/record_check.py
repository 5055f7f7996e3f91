"""Verifies a whole record in a process of its own: hours of work below all others, and bytes from a room that the centre need not trust.

``python -m agent.upstream.centre.record_check`` reads a ``Task`` from its standard input and writes a ``Found``.
"""

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.archive.offer import OfferError, files_by_seal
from recorder.record.checkpoint import Receipt
from recorder.record.shown import shown
from recorder.record.trust import Authorities, parse_chain
from recorder.record.verdict import Verdict
from recorder.record.verify import Outside, verify

_SHOWN_ERRORS = 5
MEMORY_BYTES = 4 * 1024**3
"""So much memory a verification may take, whatever a record says of itself."""
LEAST_S = 600.0
LEAST_BYTES_S = 5e6
"""A verification has so long, and its bytes at this speed on top: on a slow machine beside other work it is ten times as fast."""


class RecordCheckError(Exception):
    """The verification itself failed: it says nothing of the record."""


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to verify. Authorities and their revocation lists are PEM."""

    root: str
    authorities: str
    revocation_lists: list[str]
    ledger: list[Receipt]
    memory_bytes: int
    workers: int = 1


class Found(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verification found, in short.

    ``verdict`` is the level of proof, with ``in part`` where not all was signed in time (``Verdict.unsigned``); ``words`` say it in plain
    words, with the first of the errors.

    ``files_sha256`` names all files that were there (``transfer.files_sha256``); it is empty where they are not those of a sealed record.
    """

    verdict: str
    record: str
    room: str
    hearing: str
    sums_sha256: str
    files_sha256: str
    words: str


async def check_record(
    root: Path,
    authorities: Authorities,
    ledger: Sequence[Receipt],
    *,
    workers: int = 1,
    most_s: float | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Found:
    """Verify the record in a directory, in a process of its own.

    Raises:
        RecordCheckError: the process failed, or took longer than ``most_s``, or more memory.
    """
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in authorities.roots).decode()
    lists = [one.public_bytes(serialization.Encoding.PEM).decode() for one in authorities.revocation_lists]
    task = Task(root=str(root), authorities=pem, revocation_lists=lists, ledger=list(ledger), memory_bytes=memory_bytes, workers=workers)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(most_s):
            out, trouble = await process.communicate(msgspec.json.encode(task))
    except TimeoutError:
        await _end(process)
        raise RecordCheckError(f"the verification took longer than {most_s:.0f} s") from None
    except BaseException:
        await _end(process)
        raise
    if process.returncode != 0:
        last = trouble.decode(errors="replace").strip().splitlines()[-1:]
        raise RecordCheckError(f"the verification ended with status {process.returncode}: {' '.join(last)}")
    try:
        return msgspec.json.decode(out, type=Found)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordCheckError(f"the verification answered with nonsense: {error}") from error


def most_s_of(size_bytes: int) -> float:
    """How long the verification of so many bytes may take."""
    return LEAST_S + size_bytes / LEAST_BYTES_S


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def found(verdict: Verdict, files_sha256: str) -> Found:
    """A verdict in short."""
    errors = [f"{finding.place}: {finding.text}" for finding in verdict.errors]
    more = [f"and {len(errors) - _SHOWN_ERRORS} more"] if len(errors) > _SHOWN_ERRORS else []
    words = " · ".join(shown(text) for text in (verdict.sentence(), *errors[:_SHOWN_ERRORS], *more))
    return Found(
        verdict=f"{verdict.level} in part" if verdict.unsigned else verdict.level, record=verdict.record, room=verdict.room,
        hearing=verdict.hearing, sums_sha256=verdict.sums_sha256, files_sha256=files_sha256, words=words,
    )  # fmt: skip


def main() -> None:
    """Read a task, verify, tell."""
    os.nice(10)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    lists = [x509.load_pem_x509_crl(one.encode()) for one in task.revocation_lists]
    authorities = Authorities(parse_chain(task.authorities.encode(), "authorities"), lists)
    root = Path(task.root)
    verdict = verify(root, Outside(authorities=authorities, ledger=task.ledger), workers=task.workers)
    try:
        # The seal's hashes are those of the files: that was just verified.
        files_sha256 = files_by_seal(root)[1]
    except OfferError:
        files_sha256 = ""
    sys.stdout.buffer.write(msgspec.json.encode(found(verdict, files_sha256)))


if __name__ == "__main__":
    main()
