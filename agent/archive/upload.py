"""Sends a sealed record to the archive in parts, and goes on where it was after a crash of either side.

The room keeps no state of its own: the same offer finds the same upload, and the centre leaves out the parts that it has.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, Self

from agent.archive import acknowledgement
from agent.archive.hashed import AllHashed, Hashed
from agent.archive.offer import OfferError, Progress, check_part, make_offer, part_len, read_part
from agent.archive.pace import Pace
from agent.archive.part_sender import PartSender, PutError
from agent.archive.whole_check import WholeCheck
from agent.upstream import transfer
from agent.upstream.client import RefusedError, UpstreamError
from recorder.record.acknowledgement import Acknowledgement, AcknowledgementError
from recorder.record.trust import Authorities

BATCH_PARTS, BATCH_BYTES = 100, 128 * 1024 * 1024
"""What is asked addresses for at once: few enough that none expires before its turn comes."""
NOTE_BYTES, NOTE_PARTS = 8 * 1024 * 1024, 100
"""Parts are noted when they sum up to this (what a kill may cause to be sent again) or are as many as one note may hold."""
_OF_THE_OFFER = frozenset({400, 409, 413, 422})
"""Refusals of what was said. Others are of who said it (a certificate that ran out) or of a centre that forgot: they may pass."""
Part = tuple[str, int]
"""Path and number of a part."""


class UploadStoppedError(Exception):
    """This record is not sent on until somebody has looked; the message is the alarm."""


class UnreadableError(UploadStoppedError):
    """The copy that was to be sent is damaged, or was changed while it was sent; another disk's may be good."""


class UploadTroubledError(Exception):
    """The centre or its storage cannot be reached or used now; what was sent stays sent."""


class VerificationWaitsError(UploadTroubledError):
    """The archive has all of the record, and cannot verify it now; in its words."""


class Centre(Protocol):
    """What is wanted of ``UpstreamClient``."""

    async def offer(self, offer: transfer.UploadOffer) -> transfer.UploadState:
        """Offer a sealed record."""
        ...

    async def upload(self, upload: str) -> transfer.UploadState:
        """How an upload stands."""
        ...

    async def addresses(self, upload: str, wanted: transfer.PartsWanted) -> transfer.PartAddresses:
        """Where to put parts."""
        ...

    async def parts_done(self, upload: str, done: transfer.PartsDone) -> transfer.UploadState:
        """Say that the storage took parts."""
        ...


class Uploader:
    """Sends records to one centre; use as an async context manager.

    Args:
        centre: its client.
        base: its address, for parts that it takes itself (an address that is a path).
        centre_tls: how to speak to it there: with the room's certificate.
        storage_tls: how to speak to another storage; None: by the authorities that the system trusts. It is shown no certificate.
        pace: how fast.
        authorities: who vouches for acknowledgements, asked for each.
        at_once: parts on their way at the same time.
        retry_s: the first and the longest wait after a failure.
    """

    def __init__(
        self,
        centre: Centre,
        base: str,
        *,
        centre_tls: ssl.SSLContext | None,
        storage_tls: ssl.SSLContext | None = None,
        pace: Pace,
        authorities: Callable[[], Authorities],
        at_once: int = 4,
        retry_s: tuple[float, float] = (0.5, 60.0),
    ) -> None:
        self._centre = centre
        self._authorities = authorities
        self._at_once = at_once
        self._retry_s = retry_s
        self._hashed = AllHashed()
        self._parts = PartSender(base, centre_tls=centre_tls, storage_tls=storage_tls, pace=pace, at_once=at_once)

    async def __aenter__(self) -> Self:
        await self._parts.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._parts.__aexit__()

    def set_hearing(self, *, hearing: bool) -> None:
        """A hearing began or ended: the lower cap holds from now on."""
        self._parts.set_hearing(hearing=hearing)

    @property
    def sent_bytes(self) -> int:
        """All that was given to the network so far."""
        return self._parts.sent_bytes

    async def send(
        self,
        root: Path,
        *,
        hearing: str | None = None,
        progress: Progress | None = None,
        troubled: Callable[[str], None] | None = None,
        tries: int | None = None,
        patience_s: float | None = None,
    ) -> Acknowledgement | None:
        """Send a record and wait until the archive has verified it; the acknowledgement is checked, and stored by nobody yet.

        Args:
            root: the sealed record.
            hearing: the hearing that it belongs to (default: as the record has it).
            progress: told the bytes that the archive has.
            troubled: told in words each time that something is to be tried again.
            tries: how often in a row the same may fail (None: for as long as the centre is away).
            patience_s: for how long to wait for the verification (None: to its end). Then the answer is None.

        Raises:
            UnreadableError: the record here was changed, or cannot be read.
            UploadStoppedError: the archive refuses it, or its acknowledgement proves nothing.
            UploadTroubledError: it failed as often as it may.
            VerificationWaitsError: one has no more patience, and the archive says why the verification takes so long.
        """
        hashed = self._hashed.of(root)
        try:
            offer = await self._offer(root, hearing, hashed)
            async with WholeCheck(root, offer, hashed) as check:
                ack = await self._deliver(_Sending(self, root, offer, check, progress), troubled, tries, patience_s)
        except UploadStoppedError:
            self._hashed.forget(root)  # somebody looks at it before it is offered again: it is read anew then
            raise
        if ack is None:
            return None
        self._hashed.forget(root)
        try:
            await asyncio.to_thread(self._check, root, offer, ack)
        except (AcknowledgementError, OfferError) as error:
            raise UploadStoppedError(f"{root.name}: {error}") from error
        return ack

    async def _offer(self, root: Path, hearing: str | None, hashed: Hashed) -> transfer.UploadOffer:
        try:
            return await asyncio.to_thread(make_offer, root, hearing=hearing, hashed=hashed)
        except OfferError as error:
            raise UnreadableError(str(error)) from error

    async def _deliver(
        self, sending: "_Sending", troubled: Callable[[str], None] | None, tries: int | None, patience_s: float | None
    ) -> Acknowledgement | None:
        """Send until the archive has it all and has verified it; None where that takes longer than one has patience for."""
        wait_s, failures = self._retry_s[0], 0
        while True:
            before = sending.there_bytes
            try:
                ack = await sending.advance()
            except (UpstreamError, PutError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.problem.status in _OF_THE_OFFER:
                    raise UploadStoppedError(f"the archive refuses {sending.name}: {error}") from error
                if troubled is not None:
                    troubled(str(error))
                if sending.there_bytes > before:
                    wait_s, failures = self._retry_s[0], 0
                failures += 1
                if tries is not None and failures >= tries:
                    raise UploadTroubledError(str(error)) from error
                wish = error.retry_after_s if isinstance(error, UpstreamError) else None
                await asyncio.sleep(wish if wish is not None else wait_s * random.uniform(0.5, 1.0))
                wait_s = min(self._retry_s[1], wait_s * 2)
                sending.begin_anew(error)
                continue
            wait_s, failures = self._retry_s[0], 0
            if ack is not None:
                return ack
            if patience_s is not None and sending.verifying_s > patience_s:
                if sending.waits_for:
                    raise VerificationWaitsError(sending.waits_for)
                return None

    def _check(self, root: Path, offer: transfer.UploadOffer, ack: Acknowledgement) -> None:
        acknowledgement.check_for(root, ack, self._authorities())
        if ack.files_sha256 != transfer.files_sha256({file.path: file.sha256 for file in offer.files}):
            raise AcknowledgementError("the acknowledgement is for other files than were sent")

    @property
    def parts(self) -> PartSender:
        """Where parts go through."""
        return self._parts

    @property
    def centre(self) -> Centre:
        """The centre's client."""
        return self._centre

    @property
    def at_once(self) -> int:
        """Parts on their way at the same time."""
        return self._at_once

    @property
    def longest_poll_s(self) -> float:
        """How long to wait between two looks at a verification."""
        return min(10.0, self._retry_s[1])


class _Sending:
    """One record on its way.

    The last part of each large file goes when all of them are known to be as sealed: the archive never has all of one that is not.
    """

    def __init__(self, uploader: Uploader, root: Path, offer: transfer.UploadOffer, check: WholeCheck, progress: Progress | None) -> None:
        self.name = root.name
        self._uploader = uploader
        self._root = root
        self._check = check
        self._offer = offer
        self._files = {file.path: file for file in offer.files}
        self._total_bytes = sum(file.len for file in offer.files)
        self._progress = progress
        self._there: set[Part] = set()
        self.there_bytes = 0
        """What the archive is known to have."""
        self._upload: str | None = None
        self._poll_s = 0.05
        self.verifying_s = 0.0
        """For how long the archive has been verifying it."""
        self.waits_for = ""
        """What keeps the archive from verifying it, as it says."""

    def begin_anew(self, error: Exception) -> None:
        """After a failure: a centre that does not know the upload any more is offered the record again."""
        if isinstance(error, RefusedError) and error.problem.status == 404:
            self._upload = None
            self._there.clear()
            self.there_bytes = 0

    async def advance(self) -> Acknowledgement | None:
        """One round: what the centre says now, and everything that it has not yet. None: ask again.

        Raises:
            UpstreamError: the centre is away.
            PutError: the storage is.
            RefusedError: the centre refuses for good.
            UploadStoppedError: as ``Uploader.send``.
        """
        centre = self._uploader.centre
        if self._upload is None:
            state = await centre.offer(self._offer)
            self._upload = state.upload
        else:
            state = await centre.upload(self._upload)
        if state.state == "acknowledged" and state.acknowledgement is not None:
            self._tell_all()
            return state.acknowledgement
        if state.state == "refused":
            raise UploadStoppedError(f"the archive refuses {self.name}: {state.detail}")
        if state.state == "verifying":
            self._tell_all()
            self.verifying_s += self._poll_s
            self.waits_for = state.detail
            await self._wait()
            return None
        self.verifying_s = 0.0
        if len(self._there) == self._count():
            # The centre misses parts that we thought it had: its storage lost them. Not at once again: it may go on losing them.
            self._there.clear()
            self.there_bytes = 0
            await self._wait()
        self._check.begin()
        await self._send(self._upload, list(self._batches(last=False)))
        try:
            await self._check.passed()
        except OfferError as error:
            raise UnreadableError(str(error)) from error
        await self._send(self._upload, list(self._batches(last=True)))
        return None

    async def _wait(self) -> None:
        await asyncio.sleep(self._poll_s)
        self._poll_s = min(self._uploader.longest_poll_s, self._poll_s * 2)

    async def _send(self, upload: str, batches: list[list[Part]]) -> None:
        """Send parts; addresses for the next batch are asked for while this one is on its way. What was sent is noted, come what may."""
        at_once = self._uploader.at_once
        queue = asyncio.Queue[transfer.PartAddress | None](at_once)
        done: list[transfer.PartDone] = []
        failed: list[Exception] = []

        async def ask() -> None:
            try:
                for batch in batches:
                    for address in await self._addresses(upload, batch):
                        await queue.put(address)
                    if failed:
                        break
            except (UpstreamError, RefusedError, UploadStoppedError) as error:
                failed.append(error)
            for _ in range(at_once):
                await queue.put(None)

        async def work() -> None:
            while (address := await queue.get()) is not None:
                if failed:
                    continue  # whoever asks is not left waiting
                try:
                    tag = await self._put(address)
                    done.append(transfer.PartDone(path=address.path, number=address.number, etag=tag))
                    if len(done) >= NOTE_PARTS or sum(self._len((one.path, one.number)) for one in done) >= NOTE_BYTES:
                        await self._note(upload, done)
                except (PutError, UploadStoppedError, UpstreamError, RefusedError) as error:
                    failed.append(error)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            for _ in range(at_once):
                group.create_task(work())
        if done:
            await self._note(upload, done)
        if failed:
            raise failed[0]

    async def _addresses(self, upload: str, batch: list[Part]) -> list[transfer.PartAddress]:
        """Where to put those parts of a batch that the centre has not."""
        wanted = transfer.PartsWanted(parts=[transfer.PartWanted(path=path, number=number) for path, number in batch])
        asked = set(batch)
        addressed = {(one.path, one.number): one for one in (await self._uploader.centre.addresses(upload, wanted)).addresses}
        if not addressed.keys() <= asked:
            raise UploadStoppedError(f"the centre wants parts of {self.name} that were not asked about")
        self._have(asked - addressed.keys())
        return [addressed[part] for part in batch if part in addressed]

    async def _put(self, address: transfer.PartAddress) -> str:
        file = self._files[address.path]
        try:
            self._check.not_failed()
            data = await asyncio.to_thread(read_part, self._root, file, address.number)
            try:
                return await self._uploader.parts.put(address, data)
            except PutError:
                # The address is bound to the part's hash: what was changed is refused. Here it is told from a storage in trouble.
                await asyncio.to_thread(check_part, self._root, file, address.number, data)
                raise
        except OfferError as error:
            raise UnreadableError(str(error)) from error

    async def _note(self, upload: str, done: list[transfer.PartDone]) -> None:
        sent = list(done)
        done.clear()  # the others go on adding to it meanwhile, and note what they add
        for at in range(0, len(sent), NOTE_PARTS):
            noted = sent[at : at + NOTE_PARTS]
            await self._uploader.centre.parts_done(upload, transfer.PartsDone(parts=noted))
            self._have({(one.path, one.number) for one in noted})

    def _have(self, parts: set[Part]) -> None:
        new = parts - self._there
        self._there |= new
        self.there_bytes += sum(self._len(part) for part in new)
        if self._progress is not None:
            self._progress(self.there_bytes, self._total_bytes)

    def _tell_all(self) -> None:
        if self._progress is not None and self.there_bytes < self._total_bytes:
            self.there_bytes = self._total_bytes
            self._progress(self._total_bytes, self._total_bytes)

    def _batches(self, *, last: bool) -> Iterator[list[Part]]:
        """What is not there yet: the last parts of large files, or all others."""
        batch: list[Part] = []
        size = 0
        for file in self._offer.files:
            for number in range(1, len(file.parts) + 1):
                if (file.path, number) in self._there or last != (1 < number == len(file.parts)):
                    continue
                length = part_len(file, number)
                if batch and (len(batch) == BATCH_PARTS or size + length > BATCH_BYTES):
                    yield batch
                    batch, size = [], 0
                batch.append((file.path, number))
                size += length
        if batch:
            yield batch

    def _len(self, part: Part) -> int:
        return part_len(self._files[part[0]], part[1])

    def _count(self) -> int:
        return sum(len(file.parts) for file in self._offer.files)
