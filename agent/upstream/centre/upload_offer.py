"""What a room offers to the archive: whether it is a sealed record, and the name of its upload. Pure."""

import hashlib
import re
from pathlib import Path

import msgspec

from agent.upstream import transfer
from agent.upstream.centre.upload_store import parts_of
from recorder.record import layout

MOST_BYTES = 4 * 1024**4
"""A record that is longer than this is refused: eight hours of 34 tracks are a tenth of it."""
_MOST_PARTS = 10_000
_path = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_record = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_sha256 = re.compile(r"[0-9a-f]{64}")


def offer_problem(offer: transfer.UploadOffer) -> str | None:
    """Why an offer is not one of a sealed record, or None. Pure."""
    if _record.fullmatch(offer.record) is None or not offer.name.endswith(f"_{offer.record}") or "\n" in offer.name:
        return f"a record's directory is named <date>_<room>_<record>, and this one is '{offer.name}' of record '{offer.record}'"
    files = {file.path: file for file in offer.files}
    if len(files) != len(offer.files):
        return "a file is there twice"
    if sum(file.len for file in offer.files) > MOST_BYTES:
        return f"a record has at most {MOST_BYTES} bytes"
    directories = {parent.as_posix() for path in files for parent in Path(path).parents}
    for path, file in files.items():
        if _path.fullmatch(path) is None or not layout.is_inside(path) or path in directories:
            return f"no record has a file '{path}'"
        if len(file.parts) != parts_of(file.len) or len(file.parts) > _MOST_PARTS:
            return f"{path} has {file.len} bytes and {len(file.parts)} parts"
        if any(_sha256.fullmatch(sha256) is None for sha256 in (file.sha256, *file.parts)):
            return f"a hash of {path} is none"
        if len(file.parts) == 1 and file.parts[0] != file.sha256:
            return f"{path} has one part, whose hash is not the file's"
    for path in (layout.JOURNAL, layout.SUMS, layout.SUMS_SIGNATURE):
        if path not in files:
            return f"there is no {path}: only sealed records are taken"
    if files[layout.SUMS].sha256 != offer.sums_sha256:
        return "sums_sha256 is not the hash of SHA256SUMS"
    return None


def upload_name(room: str, offer: transfer.UploadOffer) -> str:
    """The same offer of a room has the same upload. Pure."""
    return hashlib.sha256(f"courtroom-upload-v1\n{room}\n".encode() + msgspec.json.encode(offer)).hexdigest()[:32]
