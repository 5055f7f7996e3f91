"""Readers of the media bus (``bus.py``): a blocking one and one for asyncio, over the same pure decoder.

A stream that ends (its device is gone, or its writer dropped a reader that hung) raises ``BusEndedError``; connect again when it is wanted.
"""

import asyncio
import select
import socket
from collections import deque
from types import TracebackType
from typing import Self

import msgspec

from recorder.contract import bus
from recorder.contract.framing import FrameError, FrameReader, pack

_READ_BYTES = 256 * 1024


class BusEndedError(Exception):
    """The stream is not served, ended, or sent what the contract does not know."""


class Decoder:
    """Turns the bytes of a connection into the stream's description and packets; counts what the writer had to drop. Pure."""

    def __init__(self) -> None:
        self.hello: bus.Hello | None = None
        self.lost = 0
        """Packets that this reader was too slow for."""
        self._frames = FrameReader()
        self._packets: deque[tuple[bus.Packet, bytes]] = deque()
        self._sequence: int | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            BusEndedError: they are nothing that a writer sends.
        """
        try:
            for head, body in self._frames.feed(data):
                message = bus.from_writer.decode(head)
                if isinstance(message, bus.Hello):
                    self.hello = message
                    continue
                if self._sequence is not None:
                    self.lost += max(0, message.sequence - self._sequence - 1)
                self._sequence = message.sequence
                self._packets.append((message, body))
        except (FrameError, msgspec.DecodeError) as error:
            raise BusEndedError(f"the writer broke the contract: {error}") from error

    def take(self) -> tuple[bus.Packet, bytes] | None:
        """The next packet that is whole."""
        return self._packets.popleft() if self._packets else None

    @property
    def waiting(self) -> bool:
        """Whether ``take`` has one."""
        return bool(self._packets)


class BusClient:
    """A blocking reader; use as a context manager.

    Raises:
        BusEndedError: the stream is not served, or did not describe itself within ``timeout_s``.
    """

    def __init__(self, run_dir: str, stream: str, timeout_s: float = 10.0) -> None:
        self._decoder = Decoder()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(bus.socket_path(run_dir, stream))
            while self._decoder.hello is None:
                self._receive()
        except OSError as error:
            self._socket.close()
            raise BusEndedError(f"{stream}: {error}") from error
        except BusEndedError:
            self._socket.close()
            raise
        self.hello = self._decoder.hello

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def lost(self) -> int:
        """Packets that this reader was too slow for."""
        return self._decoder.lost

    def read(self) -> tuple[bus.Packet, bytes]:
        """Block for the next packet.

        Raises:
            BusEndedError: the stream ended.
            TimeoutError: nothing came within the timeout.
        """
        while (packet := self._decoder.take()) is None:
            self._receive()
        return packet

    @property
    def behind(self) -> bool:
        """Whether more has come already than was read."""
        return self._decoder.waiting or bool(select.select([self._socket], [], [], 0)[0])

    def request_keyframe(self) -> None:
        """Ask for a new group of pictures soon."""
        self._socket.sendall(pack(bus.encoder.encode(bus.KeyframeRequest())))

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise BusEndedError("the stream ended")
        self._decoder.feed(data)


class AsyncBusClient:
    """The reader for asyncio; made by ``connect``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: Decoder, hello: bus.Hello) -> None:
        self.hello = hello
        self._reader, self._writer, self._decoder = reader, writer, decoder

    @classmethod
    async def connect(cls, run_dir: str, stream: str, timeout_s: float = 10.0) -> "AsyncBusClient":
        """Connect, and wait until the stream has described itself.

        Raises:
            BusEndedError: the stream is not served, or did not describe itself in time.
        """
        decoder = Decoder()
        try:
            reader, writer = await asyncio.open_unix_connection(bus.socket_path(run_dir, stream))
        except OSError as error:
            raise BusEndedError(f"{stream}: {error}") from error
        try:
            async with asyncio.timeout(timeout_s):
                while decoder.hello is None:
                    await _receive(reader, decoder)
        except TimeoutError as error:
            writer.close()
            raise BusEndedError(f"{stream}: did not describe itself in {timeout_s} s") from error
        except BusEndedError:
            writer.close()
            raise
        return cls(reader, writer, decoder, decoder.hello)

    @property
    def lost(self) -> int:
        """Packets that this reader was too slow for."""
        return self._decoder.lost

    async def read(self) -> tuple[bus.Packet, bytes]:
        """Wait for the next packet.

        Raises:
            BusEndedError: the stream ended.
        """
        while (packet := self._decoder.take()) is None:
            await _receive(self._reader, self._decoder)
        return packet

    def request_keyframe(self) -> None:
        """Ask for a new group of pictures soon."""
        self._writer.write(pack(bus.encoder.encode(bus.KeyframeRequest())))

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the writer left first


async def _receive(reader: asyncio.StreamReader, decoder: Decoder) -> None:
    try:
        data = await reader.read(_READ_BYTES)
    except ConnectionError:
        data = b""
    if not data:
        raise BusEndedError("the stream ended")
    decoder.feed(data)
