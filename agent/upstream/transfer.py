"""What a room and its centre say of sealed records on their way to the archive, of keys, and of the case system's schedule.

The second half of the contract; ``contract.py`` holds events, heartbeats, schedule and commands.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from agent.upstream.contract import Count, Hearing, Id, Sha256, Struct, Text
from recorder.record.acknowledgement import Acknowledgement

PART_BYTES = 8 * 1024 * 1024
"""A file is sent in parts of this size, the last one shorter; S3 takes none below 5 MiB but the last."""
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$(?![\s\S])")]
"""A file of a record, relative to it."""


# records on their way to the archive


class RecordFile(Struct, frozen=True, kw_only=True):
    """A file of a sealed record, with the hash of each part of ``PART_BYTES``."""

    path: Path
    len: Count
    sha256: Sha256
    parts: list[Sha256]


class UploadOffer(Struct, frozen=True, kw_only=True):
    """A room offers a sealed record; the same offer again finds the same upload."""

    record: str
    name: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?![\s\S])")]
    hearing: str
    sums_sha256: Sha256
    files: Annotated[list[RecordFile], msgspec.Meta(min_length=1, max_length=50_000)]


class PartWanted(Struct, frozen=True, kw_only=True):
    """A part that the room wants to send now."""

    path: Path
    number: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class PartsWanted(Struct, frozen=True, kw_only=True):
    """Parts that the room wants addresses for."""

    parts: Annotated[list[PartWanted], msgspec.Meta(min_length=1, max_length=100)]


class PartAddress(Struct, frozen=True, kw_only=True):
    """Where a part is put by HTTP PUT, with these headers; the address takes these very bytes and no others, for a while."""

    path: Path
    number: Count
    url: str
    headers: dict[str, str]


class PartAddresses(Struct, frozen=True, kw_only=True):
    """The answer to ``PartsWanted``; parts that are there already are left out."""

    addresses: list[PartAddress]


class PartDone(Struct, frozen=True, kw_only=True):
    """A part was taken by the storage, with this tag."""

    path: Path
    number: Count
    etag: Annotated[str, msgspec.Meta(max_length=200)]


class PartsDone(Struct, frozen=True, kw_only=True):
    """Parts that the storage took."""

    parts: Annotated[list[PartDone], msgspec.Meta(min_length=1, max_length=100)]


class UploadState(Struct, frozen=True, kw_only=True):
    """How an upload stands. ``missing_parts`` counts what the storage has not yet."""

    upload: str
    state: Literal["open", "verifying", "acknowledged", "refused"]
    missing_parts: Count
    detail: Text = ""
    acknowledgement: Acknowledgement | None = None


# keys


class Enrolment(Struct, frozen=True, kw_only=True):
    """A room asks for its certificates: ``secret`` is the single-use half of its token; both requests are PEM (PKCS #10)."""

    room: Id
    secret: Annotated[str, msgspec.Meta(min_length=20, max_length=200)]
    transport_request: Annotated[str, msgspec.Meta(max_length=8_000)]
    signing_request: Annotated[str, msgspec.Meta(max_length=8_000)]


class Renewal(Struct, frozen=True, kw_only=True):
    """A room that is known asks for a new transport certificate."""

    transport_request: Annotated[str, msgspec.Meta(max_length=8_000)]


class Certificates(Struct, frozen=True, kw_only=True):
    """Certificates with the chain that vouches for them, PEM; ``signing`` is empty in a renewal. ``roots`` is whom the room may trust."""

    transport: str
    signing: str
    roots: str


# the case system


class HearingsPut(Struct, frozen=True, kw_only=True):
    """Hearings as the case system has them now; the same again changes nothing."""

    hearings: Annotated[list[Hearing], msgspec.Meta(min_length=1, max_length=5_000)]


class Offset(Struct, frozen=True, kw_only=True):
    """The newest offset of the schedule after a change; ``changed`` counts what was new."""

    offset: Count
    changed: Count


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused (RFC 9457): ``title`` is one sentence, ``detail`` names the place and the remedy."""

    type: str
    title: str
    status: int
    detail: str = ""


def files_sha256(files: Mapping[str, str]) -> str:
    """The hash that names all files of a record: of the text that ``sha256sum`` prints for them, sorted by path (``LC_ALL=C``).

    ``files`` holds the SHA-256 (hex) of each file by its path.
    """
    return hashlib.sha256("".join(f"{files[path]}  {path}\n" for path in sorted(files)).encode()).hexdigest()
