"""Where the centre keeps records: what it wants of a storage, and one that is a directory of its own (a small court without S3)."""

import asyncio
import base64
import binascii
import errno
import hashlib
import hmac
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import structlog

from agent.upstream.centre.disk_room import Room, is_short, room_of
from agent.upstream.transfer import PART_BYTES

log = structlog.get_logger()

PARTS_PATH = "/v1/parts/"
ADDRESS_S = 3600
"""For how long an address is good."""
_AT_ONCE = 4
"""Parts of one room that are held in memory at once: nobody can keep other rooms from sending."""
_PART_S = 900
"""How long a part may take to come."""


class StorageError(Exception):
    """The storage cannot be reached or cannot be used: to be tried again."""


class NoRoomError(StorageError):
    """The storage is so full that nothing more is taken: to be tried again when somebody has made room."""


class LostError(Exception):
    """The storage does not hold what it is said to hold."""


class WrongPartError(Exception):
    """What was put is not what the address is for. ``status`` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Target(NamedTuple):
    """A file in the storage: its key (``room/record/upload/path``), the storage's own handle of it, its length."""

    key: str
    handle: str
    len: int


def part_len(target: Target, number: int) -> int:
    """How many bytes a part of a file has; parts are counted from 1."""
    return min(PART_BYTES, target.len - (number - 1) * PART_BYTES)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to put a part, and the headers that go with it."""

    url: str
    headers: dict[str, str]


class Storage(Protocol):
    """What the centre wants. All may raise ``StorageError``."""

    async def check(self) -> None:
        """Look whether it is there and can do what is wanted."""
        ...

    async def begin(self, target: Target) -> str:
        """Get ready for a file's parts; returns the handle."""
        ...

    async def check_begun(self, target: Target) -> None:
        """Look whether parts can still be put by the file's handle.

        Raises:
            LostError: they cannot; what was put by it is gone.
        """
        ...

    async def address(self, target: Target, number: int, sha256: str) -> Address:
        """Where to put a part (counted from 1) with this hash and no other."""
        ...

    def took(self, target: Target, number: int, etag: str) -> bool:
        """Whether this tag may be of that part; a storage that cannot tell says yes, and tells at ``complete``."""
        ...

    async def complete(self, target: Target, parts: Sequence[tuple[str, str]]) -> None:
        """Make one file of the parts (tag and SHA-256 of each); again changes nothing.

        Raises:
            LostError: parts are not there.
        """
        ...

    def copies_to(self, directory: Path) -> bool:
        """Whether what is fetched there takes room of its own on that disk."""
        ...

    async def fetch(self, target: Target, to: Path) -> str:
        """Make the file appear at a local path; returns the version that it is.

        Raises:
            LostError: it is not there.
        """
        ...

    async def keep(self, target: Target, version: str) -> None:
        """Protect the file from change and deletion, and mark it in the storage itself: it is to be acknowledged.

        The mark holds also against a centre whose tables were restored from before, and say that nobody was told of the file.
        """
        ...

    async def discard(self, target: Target) -> None:
        """Forget a file whose bytes are wrong; its parts will be put anew."""
        ...

    async def remove(self, target: Target) -> bool:
        """Give the place of a file back that is not wanted any more, whole or in parts; False: it was kept once, and stays."""
        ...


class _Token(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    key: str
    number: int
    offset: int
    len: int
    sha256: str
    until_s: int


class DirectoryStorage:
    """Keeps records under ``root/records``; parts are put to the centre's own endpoint with tokens that nobody else can make.

    Args:
        root: a directory of its own; it is made.
        clock: seconds since 1970.
        room: what the disk has.
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time, room: Callable[[Path], Room] = room_of) -> None:
        self._incoming, self._records = root / "incoming", root / "records"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._records.mkdir(exist_ok=True)
        self._clock = clock
        self._secret = _secret(root / "token.key")
        self._in_memory = dict[str, asyncio.Semaphore]()
        self._room = room
        self._coming_bytes = 0
        """Of parts that are on their way in, and not on the disk yet."""
        self._short = False

    async def check(self) -> None:
        """See ``Storage``: what its disk lacks is told where parts come."""

    async def is_short(self) -> bool:
        """Whether it takes no further part, for want of room on the disk."""
        try:
            await self._find_room(PART_BYTES)
        except StorageError:
            return True
        return False

    async def _find_room(self, wanted_bytes: int) -> None:
        """See to it that there is room.

        Raises:
            NoRoomError: there is not; what was taken before stays.
        """
        try:
            room = await asyncio.to_thread(self._room, self._records)
        except OSError as error:
            raise StorageError(f"{self._records} cannot be used: {error.strerror}") from error
        short = is_short(room, self._coming_bytes + wanted_bytes)
        if short != self._short:
            told = log.error if short else log.info
            told("records are taken" if not short else "no record is taken: the disk is nearly full; make room", free_bytes=room.free_bytes)
        self._short = short
        if short:
            raise NoRoomError(f"{room.free_bytes} bytes are free on the archive's disk, and some are left for the centre itself: make room")

    async def begin(self, target: Target) -> str:
        """See ``Storage``."""
        del target
        return "directory"

    async def check_begun(self, target: Target) -> None:
        """See ``Storage``: told at ``complete``."""

    async def address(self, target: Target, number: int, sha256: str) -> Address:
        """See ``Storage``; the address is a path of the centre. None is given for what there is no room for."""
        await self._find_room(part_len(target, number))
        token = msgspec.json.encode(
            _Token(target.key, number, (number - 1) * PART_BYTES, part_len(target, number), sha256, int(self._clock()) + ADDRESS_S)
        )
        return Address(PARTS_PATH + _text(token) + "." + _text(self._mac(b"token\n", token)), {})

    async def put(self, token: str, chunks: AsyncIterator[bytes]) -> str:
        """Take a part; it is durable when this returns. The answer to ``PUT /v1/parts/<token>``; returns its ETag.

        Raises:
            WrongPartError: the token is none of ours or too old, the bytes are others than it is for, or they do not come.
            NoRoomError: the disk has no room for it.
            StorageError: the disk is full or failing.
        """
        part = self._read(token)
        async with self._in_memory.setdefault(part.key.partition("/")[0], asyncio.Semaphore(_AT_ONCE)):
            await self._find_room(part.len)
            self._coming_bytes += part.len
            try:
                await self._take(part, chunks)
            finally:
                self._coming_bytes -= part.len
        return self._tag(part.key, part.number)

    async def _take(self, part: _Token, chunks: AsyncIterator[bytes]) -> None:
        data = bytearray()
        try:
            async with asyncio.timeout(_PART_S):
                async for chunk in chunks:
                    if len(data) + len(chunk) > part.len:
                        raise WrongPartError(400, f"the part has more than its {part.len} bytes")
                    data += chunk
        except TimeoutError:
            raise WrongPartError(408, f"the part did not come within {_PART_S} s") from None
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise WrongPartError(400, "the part's bytes are not those that were offered (SHA-256)")
        try:
            await asyncio.to_thread(self._write, part, bytes(data))
        except OSError as error:
            raise StorageError(f"a part cannot be written: {error.strerror}") from error

    def took(self, target: Target, number: int, etag: str) -> bool:
        """See ``Storage``: only who put the part knows its tag."""
        return hmac.compare_digest(etag.encode(), self._tag(target.key, number).encode())

    async def complete(self, target: Target, parts: Sequence[tuple[str, str]]) -> None:
        """See ``Storage``."""
        del parts
        await asyncio.to_thread(self._complete, target)

    def copies_to(self, directory: Path) -> bool:
        """See ``Storage``: there is no link from one disk to another."""
        try:
            return directory.stat().st_dev != self._records.stat().st_dev
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be used: {error.strerror}") from error

    async def fetch(self, target: Target, to: Path) -> str:
        """See ``Storage``; the file is linked, or copied where the path is on another disk."""
        await asyncio.to_thread(self._fetch, target, to)
        return ""

    async def keep(self, target: Target, version: str) -> None:
        """See ``Storage``: the file becomes read-only; more a directory cannot do."""
        del version
        try:
            await asyncio.to_thread((self._records / target.key).chmod, 0o440)
        except OSError as error:
            raise StorageError(f"{target.key} cannot be protected: {error.strerror}") from error

    async def discard(self, target: Target) -> None:
        """See ``Storage``."""
        for base in (self._incoming, self._records):
            (base / target.key).unlink(missing_ok=True)

    async def remove(self, target: Target) -> bool:
        """See ``Storage``: what is read-only was kept."""
        if await asyncio.to_thread(_is_read_only, self._records / target.key):
            return False
        await self.discard(target)
        return True

    def _read(self, token: str) -> _Token:
        payload, _, mac = token.partition(".")
        try:
            raw = _bytes(payload)
            if not hmac.compare_digest(_bytes(mac), self._mac(b"token\n", raw)):
                raise WrongPartError(403, "this address was not made here")
            part = msgspec.json.decode(raw, type=_Token)
        except (binascii.Error, ValueError) as error:
            raise WrongPartError(403, "this address was not made here") from error
        if self._clock() > part.until_s:
            raise WrongPartError(403, "this address is too old; ask for another")
        return part

    def _write(self, part: _Token, data: bytes) -> None:
        if (self._records / part.key).exists():
            return
        path = self._incoming / part.key
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            view, at = memoryview(data), part.offset
            while view:
                size = os.pwrite(descriptor, view, at)
                view, at = view[size:], at + size
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_directories(path.parent, self._incoming)

    def _complete(self, target: Target) -> None:
        source, final = self._incoming / target.key, self._records / target.key
        try:
            if final.exists():
                return
            if not source.exists() or source.stat().st_size != target.len:
                raise LostError(f"{target.key} is not there whole")
            final.parent.mkdir(parents=True, exist_ok=True)
            source.rename(final)
            _sync_directories(final.parent, self._records)
        except OSError as error:
            raise StorageError(f"{target.key}: {error.strerror}") from error

    def _fetch(self, target: Target, to: Path) -> None:
        source = self._records / target.key
        try:
            try:
                os.link(source, to)
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK}:
                    raise
                shutil.copyfile(source, to)
        except FileNotFoundError as error:
            raise LostError(f"{target.key} is not there any more") from error
        except OSError as error:
            raise StorageError(f"{target.key}: {error.strerror}") from error

    def _tag(self, key: str, number: int) -> str:
        mac = self._mac(b"tag\n", f"{number} {key}".encode())
        return f'"{_text(mac)}"'

    def _mac(self, purpose: bytes, data: bytes) -> bytes:
        return hmac.digest(self._secret, purpose + data, "sha256")


def _secret(path: Path) -> bytes:
    """The key under which tokens are made; it outlives a restart, so that a room's addresses do."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
        if len(secret) == 32:
            return secret
        # A crash left it half written: no token was made with it yet.
        path.unlink()
        return _secret(path)
    with os.fdopen(descriptor, "wb") as file:
        secret = secrets.token_bytes(32)
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret


def _is_read_only(path: Path) -> bool:
    try:
        return not path.stat().st_mode & 0o222
    except FileNotFoundError:
        return False


def _sync_directories(directory: Path, top: Path) -> None:
    while True:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if directory == top:
            return
        directory = directory.parent


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
