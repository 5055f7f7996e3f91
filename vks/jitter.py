"""Puts a sender's RTP packets back into order, and gives up what is late. Pure; the clock is passed in.

A packet that is missing is waited for until a deadline, counted from the arrival of the first packet behind it: nothing that was lost
delays what follows by more than that, and nothing is delayed where nothing is missing. (aiortc's own buffer waits by count: one lost packet
of sound stalls 14 and leaves the delay at 280 ms; one lost packet of a picture freezes 73 pictures.)

A *unit* is what a decoder takes at once: an access unit of H.264 (all packets of one timestamp, RFC 6184, section 5.1), or one packet of
Opus (RFC 7587, section 4.2). A unit of which a packet is missing is given up whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass

FAR = 3_000
"""A sequence number so far from the expected one begins a new numbering (RFC 3550, appendix A.1: MAX_DROPOUT)."""
MOST_PACKETS = 2_048
"""No more are kept, whatever a sender does; the oldest gap is given up then."""
MOST_UNIT_PACKETS = 400
"""A picture has no more packets: half a megabyte of full ones. A sender that never ends one would have all that it sends kept."""
_SEQUENCES = 1 << 16
_TIMESTAMPS = 1 << 32


@dataclass(frozen=True, slots=True)
class Packet:
    """What came: RTP's own fields, and when it came (CLOCK_MONOTONIC)."""

    sequence: int
    timestamp: int
    marker: bool
    payload: bytes
    mono_us: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit or packet of sound, whole. ``timestamp`` counts on where RTP's wraps around; ``mono_us``: its first part came."""

    timestamp: int
    payloads: tuple[bytes, ...]
    mono_us: int


@dataclass(frozen=True, slots=True)
class Lost:
    """So many packets never came, or too late."""

    packets: int


class JitterBuffer:
    """For one stream.

    Args:
        wait_us: for how long a missing packet is waited for.
        whole_timestamps: the packets of one timestamp make one unit (pictures); else each packet is one (sound).
    """

    def __init__(self, wait_us: int, *, whole_timestamps: bool) -> None:
        self._wait_us = wait_us
        self._whole_timestamps = whole_timestamps
        self._next: int | None = None
        """The number (counted on) of the packet that is to be taken next."""
        self._waiting: dict[int, Packet] = {}
        self._unit: list[Packet] = []
        self._skip_timestamp: int | None = None
        """After a gap: the unit in whose middle it may have ended."""
        self._timestamp: int | None = None
        self.late = 0
        """Packets that came when they had been given up, or twice."""

    def add(self, packet: Packet) -> None:
        """Take a packet."""
        number = self._number(packet.sequence)
        if number is None:
            self._begin_anew()
            number = packet.sequence
        if self._next is None:
            self._next = number
        if number < self._next or number in self._waiting:
            self.late += 1
            return
        self._waiting[number] = packet

    def take(self, now_us: int) -> Iterator[Unit | Lost]:
        """What is whole by now, in order, and what is given up."""
        while self._next is not None and self._waiting:
            packet = self._waiting.pop(self._next, None)
            if packet is not None:
                self._next += 1
                yield from self._take(packet)
                continue
            if self._due_us() > now_us and len(self._waiting) < MOST_PACKETS:
                return
            first = min(self._waiting)
            yield Lost(first - self._next)
            self._next = first
            self._unit.clear()
            if self._whole_timestamps:
                self._skip_timestamp = self._waiting[first].timestamp

    def due_us(self) -> int | None:
        """When ``take`` gives something up next if nothing comes; None where nothing is missing."""
        if self._next is None or not self._waiting:
            return None
        return self._due_us()

    def missing(self, most: int) -> list[int]:
        """The sequence numbers that are waited for, the oldest first: what to ask for again (RFC 4585, section 6.2.1)."""
        if self._next is None or not self._waiting:
            return []
        found: list[int] = []
        for number in range(self._next, max(self._waiting)):  # at most FAR of them
            if number not in self._waiting:
                found.append(number % _SEQUENCES)
                if len(found) == most:
                    break
        return found

    def _due_us(self) -> int:
        # A dict keeps the order of arrival: the first is the one that waits longest, whatever its number.
        return next(iter(self._waiting.values())).mono_us + self._wait_us

    def _take(self, packet: Packet) -> Iterator[Unit | Lost]:
        if not self._whole_timestamps:
            yield self._made([packet])
            return
        if packet.timestamp == self._skip_timestamp:
            return
        self._skip_timestamp = None
        if self._unit and packet.timestamp != self._unit[0].timestamp:
            yield self._made(self._unit)
            self._unit = []
        self._unit.append(packet)
        if len(self._unit) > MOST_UNIT_PACKETS:
            yield Lost(len(self._unit))
            self._unit, self._skip_timestamp = [], packet.timestamp
        elif packet.marker:
            yield self._made(self._unit)
            self._unit = []

    def _made(self, packets: list[Packet]) -> Unit:
        if self._timestamp is None:
            self._timestamp = packets[0].timestamp
        ahead = (packets[0].timestamp - self._timestamp) % _TIMESTAMPS
        self._timestamp += ahead if ahead < _TIMESTAMPS // 2 else ahead - _TIMESTAMPS
        return Unit(self._timestamp, tuple(packet.payload for packet in packets), min(packet.mono_us for packet in packets))

    def _number(self, sequence: int) -> int | None:
        """The sequence number counted on, or None where it belongs to another numbering."""
        if self._next is None:
            return sequence
        ahead = (sequence - self._next) % _SEQUENCES
        ahead = ahead if ahead < _SEQUENCES // 2 else ahead - _SEQUENCES
        return self._next + ahead if abs(ahead) < FAR else None

    def _begin_anew(self) -> None:
        self._next = None
        self._waiting.clear()
        self._unit.clear()
        self._skip_timestamp = None
