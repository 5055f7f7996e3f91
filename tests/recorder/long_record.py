"""A long hearing in a large room as a crash left it, made by the real ledger and chain; quickly, for its closed media is tiny."""

import hashlib
import uuid
from collections.abc import Iterable
from pathlib import Path

from recorder.checkpointer import checkpoint
from recorder.contract import child
from recorder.disk import Disk
from recorder.ledger import EntryItem, FragmentItem, InitItem, Item, KeyItem, Ledger
from recorder.record import entries, layout
from recorder.record.journal import Times
from recorder.seal import chain_pem, put_file
from recorder.signing import Signer
from recorder.storage import record_name
from tests.record.boxed_media import FRAGMENT_HEAD_BYTES, boxed, boxed_header

FRAGMENT_US = 500_000
SEGMENT_FRAGMENTS = 120
TIMESCALE = 1000
SIZES = {
    **{f"cam-{number}": 250_000 for number in range(4)},
    **{f"remote-{number}-video": 60_000 for number in range(10)},
    **{f"remote-{number}-sound": 4_000 for number in range(10)},
    **{f"mic-{number}": 30_000 for number in range(8)},
    "room-mix": 4_000,
    "room-out": 4_000,
}
"""A large room's 34 tracks, and about how many bytes a fragment of each has."""


def long_record(base: Path, signer: Signer, hours: float, end_utc_us: int, boot: str) -> Path:
    """Write the record; its last minute lies in open segments with bytes as many as real ones have, in real boxes."""
    record = uuid.uuid4()
    root = base / record_name("lab", record, end_utc_us)
    disk, ledger = Disk(root), Ledger()
    disk.make()
    put_file(root / layout.DEVICE_CHAIN, chain_pem(signer))
    count = int(hours * 3600 * 1_000_000 / FRAGMENT_US)
    start_us = end_utc_us - count * FRAGMENT_US

    def times(t_us: int) -> Times:
        return Times(t_us + 1, start_us + t_us, t_us)

    genesis = entries.Genesis(
        record=str(record), hearing="long", case="", title="", court="Court", room="lab", actor="clerk", start_token="",
        previous_head=entries.FIRST_PREV, device_certificate_sha256=signer.key_id, boot=boot, agent_version="0", config_sha256="0" * 64,
        origin_mono_us=1, clock=entries.ClockState(source="kernel", offset_us=0, error_us=2000), sources=[], recipients=[], media="clear",
    )  # fmt: skip
    begin: list[Item] = [EntryItem(genesis, times(0))]
    for track in SIZES:
        begin.append(KeyItem(track, 0, b"key", times(0)))
        init = entries.Init(
            track=track, part=0, file=layout.init_file(track, 0), len=0, sha256="", kind="audio", codec="fLaC", timescale=TIMESCALE,
            key=layout.key_file(track, 0),
        )  # fmt: skip
        begin.append(InitItem(init, boxed_header(TIMESCALE), times(0)))
    _put(disk, ledger, begin)
    for first in range(0, count, SEGMENT_FRAGMENTS):
        numbers = range(first, min(count, first + SEGMENT_FRAGMENTS))
        last = first + SEGMENT_FRAGMENTS >= count
        _put(
            disk,
            ledger,
            [FragmentItem(_message(track, first), _media(track, first, last=last), times(first * FRAGMENT_US)) for track in SIZES],
        )
        for number in numbers[1:]:
            t_us = number * FRAGMENT_US
            items: list[Item] = [FragmentItem(_message(track, number), _media(track, number, last=last), times(t_us)) for track in SIZES]
            if number % 2:
                items.append(EntryItem(checkpoint(signer, str(record), ledger.head), times(t_us)))
            _put(disk, ledger, items)
    disk.close_all()
    return root


def _message(track: str, number: int) -> child.Fragment:
    ticks = FRAGMENT_US * TIMESCALE // 1_000_000
    return child.Fragment(
        track=track, part=0, t0=number * ticks, dur=ticks, timescale=TIMESCALE, key=True, new_segment=number % SEGMENT_FRAGMENTS == 0
    )


def _media(track: str, number: int, *, last: bool) -> bytes:
    seed = hashlib.sha256(f"{track} {number}".encode()).digest()
    if not last:
        return seed[:4]
    ticks, size = FRAGMENT_US * TIMESCALE // 1_000_000, SIZES[track] - FRAGMENT_HEAD_BYTES
    return boxed(number * ticks, ticks, (seed * (size // 32 + 1))[:size])


def _put(disk: Disk, ledger: Ledger, items: Iterable[Item]) -> None:
    done = ledger.plan(items)
    for write in (*done.keys, *done.media, done.journal):
        disk.write(write)
    for path in done.closed:
        disk.close(path)
