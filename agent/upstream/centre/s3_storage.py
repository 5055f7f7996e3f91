"""Records in an S3-compatible storage: parts go there directly by presigned addresses, each bound to its length and its SHA-256.

The room gets no credentials of the storage. A file of one part is put whole, a longer one as a multipart upload. Signature version 4.
"""

import asyncio
import base64
import contextlib
import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import botocore.config
import botocore.exceptions
import botocore.session

from agent.upstream.centre.storage import ADDRESS_S, Address, LostError, StorageError, Target, part_len
from agent.upstream.transfer import PART_BYTES

_CHECKSUM = "x-amz-checksum-sha256"
_WHOLE = "whole"
"""The handle of a file that is put in one request."""
REFUSED_TAG = {"Key": "courtroom", "Value": "refused"}
KEPT_TAG = {"Key": "courtroom", "Value": "kept"}
_LOST = frozenset({"NoSuchKey", "NoSuchUpload", "InvalidPart", "InvalidPartOrder", "404"})
_NO_LOCK = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented"})
"""How storages say that a version, its bucket or they themselves have no lock."""
_BLOCK_BYTES = 1024 * 1024
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """How to reach the storage. ``lock_days`` None: no object lock; else COMPLIANCE, which nobody can shorten, not even its owner."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    prefix: str = ""
    lock_days: int | None = None
    ca_file: str | None = None


class S3Storage:
    """One bucket. It must exist, with object lock where ``lock_days`` is set."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        config = botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
            response_checksum_validation="when_required", retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=60,
            max_pool_connections=16,
        )  # fmt: skip
        self._client: Any = botocore.session.Session().create_client(
            "s3", endpoint_url=settings.endpoint, region_name=settings.region, aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key, config=config, verify=settings.ca_file,
        )  # fmt: skip

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    async def check(self) -> None:
        """Look whether the bucket is there and can do what is wanted.

        Raises:
            StorageError: it is not, in words.
        """
        await self._call(self._client.head_bucket, Bucket=self._settings.bucket)
        if self._settings.lock_days is not None:
            try:
                await self._call(self._client.get_object_lock_configuration, Bucket=self._settings.bucket)
            except (LostError, StorageError) as error:
                raise StorageError(f"bucket {self._settings.bucket} has no object lock, and lock_days is set ({error})") from error

    async def begin(self, target: Target) -> str:
        """See ``Storage``."""
        if target.len <= PART_BYTES:
            return _WHOLE
        answer = await self._call(self._client.create_multipart_upload, **self._place(target), ChecksumAlgorithm="SHA256")
        return str(answer["UploadId"])

    async def check_begun(self, target: Target) -> None:
        """See ``Storage``: a rule of the bucket may have aborted a multipart upload; one that was completed takes no part either."""
        if target.handle != _WHOLE:
            await self._call(self._client.list_parts, **self._place(target), UploadId=target.handle, MaxParts=1)

    async def address(self, target: Target, number: int, sha256: str) -> Address:
        """See ``Storage``."""
        checksum = _base64(sha256)
        parameters: dict[str, Any] = {**self._place(target), "ChecksumSHA256": checksum, "ContentLength": part_len(target, number)}
        operation = "put_object"
        if target.handle != _WHOLE:
            operation = "upload_part"
            parameters |= {"UploadId": target.handle, "PartNumber": number}
        url = self._client.generate_presigned_url(operation, Params=parameters, ExpiresIn=ADDRESS_S)
        return Address(url, {_CHECKSUM: checksum})

    def took(self, target: Target, number: int, etag: str) -> bool:
        """See ``Storage``: told at ``complete``, or when the file is read back."""
        del target, number
        return bool(etag)

    async def complete(self, target: Target, parts: Sequence[tuple[str, str]]) -> None:
        """See ``Storage``."""
        if target.handle == _WHOLE:
            return
        listed = [
            {"PartNumber": number, "ETag": etag, "ChecksumSHA256": _base64(sha256)} for number, (etag, sha256) in enumerate(parts, 1)
        ]  # fmt: skip
        whole = {"MultipartUpload": {"Parts": listed}}
        try:
            await self._call(self._client.complete_multipart_upload, **self._place(target), UploadId=target.handle, **whole)
        except LostError:
            # It was completed before the centre could note that, or its parts are gone.
            found = await self._call(self._client.head_object, **self._place(target))
            if found["ContentLength"] != target.len:
                raise

    def copies_to(self, directory: Path) -> bool:
        """See ``Storage``."""
        del directory
        return True

    async def fetch(self, target: Target, to: Path) -> str:
        """See ``Storage``."""
        return await self._call(self._fetch, target, to)

    async def keep(self, target: Target, version: str) -> None:
        """See ``Storage``: the version is tagged, and locked where that is wanted."""
        of = {**self._place(target), **({"VersionId": version} if version else {})}
        days = self._settings.lock_days
        try:
            await self._call(self._client.put_object_tagging, **of, Tagging={"TagSet": [KEPT_TAG]})
            if days is not None:
                until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
                locked = await self._locked_until(of)
                if locked is None or locked < until:  # nobody may shorten a lock: lock_days was more when it was made
                    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
                    await self._call(self._client.put_object_retention, **of, Retention=retention)
        except LostError as error:
            raise StorageError(f"{target.key} cannot be kept: {error}") from error

    async def discard(self, target: Target) -> None:
        """See ``Storage``: what is put next is the newer version."""
        del target

    async def remove(self, target: Target) -> bool:
        """See ``Storage``: the centre has no right to delete. What it marks, a rule of the bucket expires (docs/archive.md)."""
        if target.handle and target.handle != _WHOLE:
            with contextlib.suppress(LostError):
                await self._call(self._client.abort_multipart_upload, **self._place(target), UploadId=target.handle)
        place = self._place(target)
        with contextlib.suppress(LostError):
            tags = (await self._call(self._client.get_object_tagging, **place))["TagSet"]
            if KEPT_TAG in tags or await self._locked_until(place) is not None:
                return False
            await self._call(self._client.put_object_tagging, **place, Tagging={"TagSet": [REFUSED_TAG]})
        return True

    async def _locked_until(self, of: dict[str, Any]) -> dt.datetime | None:
        """Until when a version is locked, or was; None: it never was."""
        try:
            answer = await self._call(self._client.get_object_retention, **of)
        except StorageError as error:
            if _code(error.__cause__) in _NO_LOCK:
                return None
            raise
        until = answer["Retention"].get("RetainUntilDate")
        return until if isinstance(until, dt.datetime) else None

    def _fetch(self, target: Target, to: Path) -> str:
        answer = self._client.get_object(**self._place(target))
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, answer["Body"] as body:
            left = target.len
            while block := body.read(_BLOCK_BYTES):
                left -= len(block)
                if left < 0:
                    raise LostError(f"{target.key} has more than its {target.len} bytes")
                file.write(block)
        return str(answer.get("VersionId", ""))

    def _place(self, target: Target) -> dict[str, Any]:
        return {"Bucket": self._settings.bucket, "Key": self._settings.prefix + target.key}

    async def _call(self, function: Callable[..., Answer], *args: Any, **parameters: Any) -> Answer:  # noqa: ANN401 - botocore has no types
        place = f"the storage {self._settings.endpoint}"
        try:
            return await asyncio.to_thread(function, *args, **parameters)
        except botocore.exceptions.ClientError as error:
            if _code(error) in _LOST:
                raise LostError(f"{place}: {error}") from error
            raise StorageError(f"{place}: {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise StorageError(f"{place}: {error}") from error
        except OSError as error:
            raise StorageError(f"{place}, or this disk: {error}") from error


def _code(error: BaseException | None) -> str:
    """What a storage names its refusal."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, botocore.exceptions.ClientError) else ""


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
