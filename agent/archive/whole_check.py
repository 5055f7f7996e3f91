"""Whether the large files of a record are as a whole what its seal lists, found out while their parts are sent.

Before a record is offered each byte is hashed once, for the hash of its part; a large file's own hash, which is the seal's, is known from
reading it again. That is done here, beside the sending: what is limited by the network or the storage's disk then waits for neither.
"""

import asyncio
from pathlib import Path
from threading import Event
from typing import Self

from agent.archive.hashed import Hashed
from agent.archive.offer import check_whole
from agent.upstream.transfer import UploadOffer


class WholeCheck:
    """Reads the large files of an offered record; use as an async context manager, which ends the reading.

    Args:
        root: the record's directory.
        offer: as ``make_offer`` made it.
        hashed: where that kept what it read; here, which files were found to be whole.
    """

    def __init__(self, root: Path, offer: UploadOffer, hashed: Hashed) -> None:
        self._root, self._offer, self._hashed = root, offer, hashed
        self._stopped = Event()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    def begin(self) -> None:
        """Read them from now on; once begun, this changes nothing."""
        if self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(check_whole, self._root, self._offer, self._stopped, self._hashed))

    async def passed(self) -> None:
        """Wait until all are known to be as sealed.

        Raises:
            OfferError: one is not, or cannot be read.
        """
        self.begin()
        assert self._reading is not None
        await asyncio.shield(self._reading)

    def not_failed(self) -> None:
        """As far as they were read, they are.

        Raises:
            OfferError: one is not, or cannot be read.
        """
        if self._reading is not None and self._reading.done():
            self._reading.result()
