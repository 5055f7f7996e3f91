"""Packets that come late, twice, in disorder or never: units come in order, whole, and not later than the deadline."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vks.jitter import FAR, MOST_UNIT_PACKETS, JitterBuffer, Lost, Packet, Unit

WAIT_US = 200_000
TICK_US = 20_000


def sound(count: int, first: int = 65_530, timestamp: int = 2**32 - 4_000) -> list[Packet]:
    """Packets of 20 ms of sound; numbers and times wrap around soon."""
    return [
        Packet((first + n) % 65_536, (timestamp + 960 * n) % 2**32, marker=False, payload=b"%d" % n, mono_us=n * TICK_US)
        for n in range(count)
    ]  # fmt: skip


def pictures(count: int, parts: int = 3) -> list[Packet]:
    """Pictures of so many packets each."""
    return [
        Packet(
            (65_530 + n * parts + part) % 65_536, (2**32 - 9_000 + 3_600 * n) % 2**32, marker=part == parts - 1,
            payload=b"%d.%d" % (n, part), mono_us=n * 40_000 + part,
        )
        for n in range(count) for part in range(parts)
    ]  # fmt: skip


def fed(buffer: JitterBuffer, packets: list[Packet]) -> list[Unit | Lost]:
    """What comes out where packets arrive in this order, each at its time."""
    out: list[Unit | Lost] = []
    for packet in packets:
        buffer.add(packet)
        out += buffer.take(packet.mono_us)
    return out


def units(out: list[Unit | Lost]) -> list[bytes]:
    return [b"".join(one.payloads) for one in out if isinstance(one, Unit)]


@st.composite
def disorder(draw: st.DrawFn, whole: bool) -> tuple[list[Packet], set[int]]:
    """A stream as a network gives it: some packets lost, some late by less or more than the deadline, some twice."""
    packets = pictures(draw(st.integers(1, 30))) if whole else sound(draw(st.integers(1, 60)))
    lost = draw(st.sets(st.integers(0, len(packets) - 1)))
    arrivals = []
    for index, packet in enumerate(packets):
        if index in lost:
            continue
        delays_us = draw(st.lists(st.integers(0, 2 * WAIT_US), min_size=1, max_size=2))
        arrivals += [replace(packet, mono_us=packet.mono_us + delay_us) for delay_us in delays_us]
    return sorted(arrivals, key=lambda packet: packet.mono_us), lost


@given(stream=disorder(whole=False))
def test_sound_comes_in_order_once_and_each_loss_is_counted(stream: tuple[list[Packet], set[int]]) -> None:
    arrivals, _ = stream
    buffer = JitterBuffer(WAIT_US, whole_timestamps=False)
    out = fed(buffer, arrivals) + list(buffer.take(10**12))
    numbers = [int(data) for data in units(out)]
    assert numbers == sorted(set(numbers))
    times = [one.timestamp for one in out if isinstance(one, Unit)]
    assert all((later - earlier) == 960 * (b - a) for earlier, later, a, b in zip(times, times[1:], numbers, numbers[1:], strict=False))
    if numbers:
        gone = sum(one.packets for one in out if isinstance(one, Lost))
        assert len(numbers) + gone == numbers[-1] - numbers[0] + 1


@given(stream=disorder(whole=True))
def test_a_picture_is_whole_or_not_there(stream: tuple[list[Packet], set[int]]) -> None:
    arrivals, lost = stream
    buffer = JitterBuffer(WAIT_US, whole_timestamps=True)
    got = units(fed(buffer, arrivals) + list(buffer.take(10**12)))
    assert got == sorted(set(got), key=lambda data: int(data.split(b".")[0]))
    first = True
    for data in got:
        number = int(data.split(b".")[0])
        whole = b"".join(b"%d.%d" % (number, part) for part in range(3))
        # What came before the first packet that arrived, nobody can know of.
        assert data == whole or (first and whole.endswith(data))
        assert not first or whole != data or not {number * 3 + part for part in range(3)} & lost
        first = False


@given(stream=disorder(whole=False))
def test_nothing_waits_longer_than_the_deadline(stream: tuple[list[Packet], set[int]]) -> None:
    arrivals, _ = stream
    buffer = JitterBuffer(WAIT_US, whole_timestamps=False)
    arrived: dict[bytes, int] = {}
    for packet in arrivals:
        while (due_us := buffer.due_us()) is not None and due_us <= packet.mono_us:
            for one in buffer.take(due_us):
                assert not isinstance(one, Unit) or due_us - arrived[one.payloads[0]] <= WAIT_US
        arrived.setdefault(packet.payload, packet.mono_us)
        buffer.add(packet)
        for one in buffer.take(packet.mono_us):
            assert not isinstance(one, Unit) or packet.mono_us - arrived[one.payloads[0]] <= WAIT_US


def test_where_nothing_is_missing_nothing_waits_and_nothing_is_due() -> None:
    buffer = JitterBuffer(WAIT_US, whole_timestamps=False)
    for number, packet in enumerate(sound(100)):
        buffer.add(packet)
        assert units(list(buffer.take(packet.mono_us))) == [b"%d" % number]
        assert buffer.due_us() is None
        assert buffer.missing(10) == []


def test_what_is_missing_is_named_once_it_can_be_known() -> None:
    buffer = JitterBuffer(WAIT_US, whole_timestamps=False)
    packets = sound(12)
    fed(buffer, [packets[0], packets[3], packets[9]])
    assert buffer.missing(3) == [packets[1].sequence, packets[2].sequence, packets[4].sequence]
    assert buffer.due_us() == packets[3].mono_us + WAIT_US


def test_a_sender_that_begins_a_new_numbering_is_followed() -> None:
    buffer = JitterBuffer(WAIT_US, whole_timestamps=False)
    fed(buffer, sound(5, first=100))
    again = [replace(packet, mono_us=packet.mono_us + 10**6) for packet in sound(5, first=100 + 2 * FAR)]
    assert units(fed(buffer, again)) == [b"0", b"1", b"2", b"3", b"4"]


def test_whatever_a_sender_does_memory_is_bounded() -> None:
    buffer = JitterBuffer(10**12, whole_timestamps=True)
    for n in range(20_000):
        buffer.add(Packet((2 * n) % 65_536, n, marker=False, payload=b"x", mono_us=0))
        list(buffer.take(0))
    assert len(buffer._waiting) + len(buffer._unit) < 5_000


def test_of_a_picture_that_never_ends_nothing_is_kept_and_the_next_one_is_whole() -> None:
    buffer = JitterBuffer(WAIT_US, whole_timestamps=True)
    endless = [Packet(n, 9_000, marker=False, payload=b"x", mono_us=n) for n in range(5 * MOST_UNIT_PACKETS)]
    last = Packet(len(endless), 12_600, marker=True, payload=b"whole", mono_us=len(endless))
    out = fed(buffer, [*endless, last])
    assert [one for one in out if isinstance(one, Lost)] == [Lost(MOST_UNIT_PACKETS + 1)]
    assert units(out) == [b"whole"]
