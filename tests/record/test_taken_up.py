"""Records that a crash left and that the recorder went on with: what somebody wrote meanwhile without its key, and what no one did."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.keys import Hierarchy
from recorder.contract import child
from recorder.ledger import CloseItem, FragmentItem, InitItem, KeyItem, Ledger
from recorder.record import entries, layout
from recorder.record.journal import BEFORE_FIRST, Chain, Times, read_line
from recorder.record.journal_reader import JournalReader
from recorder.record.replay import Replay, TakenUp
from recorder.record.seal_check import Signed, check_taken_up
from recorder.record.unsigned_media import UnsignedMedia
from recorder.record.verdict import Findings
from recorder.record.verify import Outside, verify
from recorder.recovery import read_left
from recorder.seal import put_seal_files
from tests.record.boxed_media import boxed, boxed_header
from tests.record.record_builder import FRAGMENT_US, TIMESCALE, Builder


def written_without_a_key(root: Path, from_us: int, seconds: float, *, as_a_gap: bool = False) -> None:
    """The record is cut at a time, and other media and lines are put there: a chain needs no key.

    ``as_a_gap``: behind a recovery of one's own, by which no recorder was there at the time that the media is from.
    """
    head, kept, last, ends = BEFORE_FIRST, list[bytes](), Times(0, 0, 0), dict[str, entries.Frag]()
    for raw in (root / layout.JOURNAL).read_bytes().splitlines():
        line, entry, after = read_line(raw, head)
        if line.t_us > from_us:
            break
        head, last = after, Times(line.mono_us, line.utc_us, line.t_us)
        kept.append(raw)
        if isinstance(entry, entries.Frag):
            ends[entry.track] = entry
    chain, put = Chain(head), list[bytes]()
    if as_a_gap:
        to_us, origin_us = last.t_us + int(seconds * 1e6), last.mono_us - last.t_us
        last = Times(origin_us + to_us, last.utc_us + to_us - last.t_us, to_us)
        down = entries.Recovered(
            last=head.at, boot="boot-1", same_boot=True, torn=[], damaged=[], from_us=from_us, to_us=to_us, origin_mono_us=origin_us
        )  # fmt: skip
        put.append(chain.line(down, last))
    for track, end in ends.items():
        for path in (root / layout.TRACKS / track).glob("seg-*"):
            if path > root / layout.segment_file(track, end.seg):
                path.unlink()
        segment = root / layout.segment_file(track, end.seg)
        segment.write_bytes(segment.read_bytes()[: end.off + end.len])
        for number in range(1, int(seconds * 1e6) // FRAGMENT_US + 1):
            t0 = end.t0 + number * end.dur
            data = boxed(t0, end.dur, f"what nobody said, {number}".encode())
            off = segment.stat().st_size
            with segment.open("ab") as file:
                file.write(data)
            at = Times(last.mono_us, last.utc_us, last.t_us)  # the media's times tell how much was added
            made = entries.Frag(
                track=track, part=end.part, seg=end.seg, n=end.n + number, off=off, len=len(data),
                sha256=hashlib.sha256(data).hexdigest(), t0=t0, dur=end.dur,
            )  # fmt: skip
            put.append(chain.line(made, at))
    (root / layout.JOURNAL).write_bytes(b"".join(raw + b"\n" for raw in kept) + b"".join(put))


@pytest.mark.parametrize("as_a_gap", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_written_without_a_key_while_the_recorder_was_down_is_not_proven_by_the_seal(
    keys: Hierarchy, outside: Outside, tmp_path: Path, *, sealed: bool, as_a_gap: bool
) -> None:
    builder = Builder(tmp_path, keys)
    builder.record(30)
    written_without_a_key(builder.root, 10_000_000, 20, as_a_gap=as_a_gap)
    builder.recover()
    builder.record(3)
    if sealed:
        builder.close()
    verdict = verify(builder.root, outside)
    assert verdict.exit_status == 3
    doubts = [finding for finding in verdict.findings if finding.severity == "doubt"]
    assert [finding.code for finding in doubts] == ["unsigned_stretch"]
    assert 20 <= float(doubts[0].text.split()[0]) < 22
    if sealed:
        assert f"BUT NOT PROVEN: {doubts[0].place}" in verdict.sentence()


def forged(builder: Builder, t0: int, dur: int, data: bytes, track: str = "mic-judge") -> None:
    """A fragment of which its line says what somebody likes."""
    message = child.Fragment(track=track, part=builder.part, t0=t0, dur=dur, timescale=TIMESCALE, key=True, new_segment=False)
    builder.put(FragmentItem(message, data, builder.times))


def long_fragments_that_last_a_tick(builder: Builder) -> None:
    now = builder.t_us * TIMESCALE // 1_000_000
    for number in range(10):
        forged(builder, now, 1, boxed(now + 60_000 * number, 60_000, b"what nobody said"))


def fragments_one_over_the_other(builder: Builder) -> None:
    now = builder.t_us * TIMESCALE // 1_000_000
    for _ in range(30):
        forged(builder, now, 500, boxed(now, 500, b"what nobody said"))


def tracks_one_behind_the_other(builder: Builder) -> None:
    now = builder.t_us * TIMESCALE // 1_000_000
    for number, track in enumerate(builder.tracks):
        forged(builder, now, 8_000, boxed(now + 8_000 * number, 8_000, b"what nobody said"), track)


def one_box_in_many_fragments(builder: Builder) -> None:
    now = builder.t_us * TIMESCALE // 1_000_000
    data = boxed(now, 60_000, bytes(1_000))
    for number in range(4):
        forged(builder, now + number, 1, data[number * 276 : (number + 1) * 276])


def a_clock_that_the_media_do_not_have(builder: Builder) -> None:
    """A part of one's own: its line says that a second has a thousand times as many ticks."""
    builder.part += 1
    key, path = layout.key_file("mic-judge", builder.part), layout.init_file("mic-judge", builder.part)
    builder.put(CloseItem(builder.times), KeyItem("mic-judge", builder.part, b"key", builder.times))
    init = entries.Init(
        track="mic-judge", part=builder.part, file=path, len=0, sha256="", kind="audio", codec="opus", timescale=TIMESCALE * 1000, key=key
    )
    builder.put(InitItem(init, boxed_header(TIMESCALE), builder.times))
    now = builder.t_us * TIMESCALE // 1000
    for number in range(3):
        forged(builder, now + 60_000 * number, 60_000, boxed(now + 60_000 * number, 60_000, b"what nobody said"))


FORGERIES = [
    long_fragments_that_last_a_tick,
    fragments_one_over_the_other,
    tracks_one_behind_the_other,
    one_box_in_many_fragments,
    a_clock_that_the_media_do_not_have,
]


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("ended", ["taken up", "sealed", "left"])
def test_media_of_which_a_line_says_that_they_are_short_are_measured_by_their_own_boxes(
    keys: Hierarchy, outside: Outside, tmp_path: Path, ended: str, forge: Callable[[Builder], None]
) -> None:
    builder = Builder(tmp_path, keys)
    builder.record(10)
    forge(builder)
    if ended == "taken up":
        builder.recover()
        builder.record(3)
        builder.close()
    elif ended == "sealed":
        builder.put(CloseItem(builder.times))
        totals = builder.ledger.totals()
        builder.entry(entries.Seal(reason="", actor="", duration_us=builder.t_us, tracks=totals, paused_us={}, mirror="none"))
        put_seal_files(builder.root, builder.key)
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status) == ("unsealed" if ended == "left" else "sealed", 3)
    doubts = {finding.code for finding in verdict.findings if finding.severity == "doubt"}
    assert ("unsigned_end" if ended == "left" else "unsigned_stretch") in doubts


def test_fragments_that_a_power_cut_tore_are_told_as_such_alone(keys: Hierarchy, outside: Outside, tmp_path: Path) -> None:
    builder = Builder(tmp_path, keys)
    builder.record(10)
    builder.record(1, signed=False)
    segment = max((builder.root / layout.TRACKS / "mic-judge").glob("seg-*"))
    data = segment.read_bytes()
    segment.write_bytes(data[:-2_000] + bytes(2_000))
    assert [finding.code for finding in verify(builder.root, outside).findings] == ["tail_damaged"]
    builder.recover()
    builder.record(3)
    builder.close()
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status) == ("sealed", 0)


def test_a_seal_without_its_checkpoint_proves_no_more_of_the_end_than_a_crash_leaves(
    keys: Hierarchy, outside: Outside, tmp_path: Path
) -> None:
    """The recorder signs the files of a record whose journal is sealed when it comes back."""
    builder = Builder(tmp_path, keys)
    builder.record(10)
    written_without_a_key(builder.root, 10_000_000, 20)
    left = read_left(builder.root)
    assert left is not None
    builder.ledger = Ledger.resumed(left.ledger, left.files)
    builder.put(CloseItem(builder.times))
    totals = builder.ledger.totals()
    builder.entry(entries.Seal(reason="ended", actor="judge", duration_us=30_000_000, tracks=totals, paused_us={}, mirror="none"))
    put_seal_files(builder.root, builder.key)
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status) == ("sealed", 3)
    doubts = [finding for finding in verdict.findings if finding.severity == "doubt"]
    assert [finding.code for finding in doubts] == ["unsigned_stretch"]
    assert f"BUT NOT PROVEN: {doubts[0].place}" in verdict.sentence()


def test_a_seal_whose_entry_came_long_behind_the_end_is_no_doubt(keys: Hierarchy, outside: Outside, tmp_path: Path) -> None:
    """A disk was slow, and the recorder crashed before the seal's own checkpoint."""
    builder = Builder(tmp_path, keys)
    builder.record(10)
    builder.put(CloseItem(builder.times))
    totals, end_us = builder.ledger.totals(), builder.t_us
    builder.wait(30)
    builder.entry(entries.Seal(reason="ended", actor="judge", duration_us=end_us, tracks=totals, paused_us={}, mirror="none"))
    put_seal_files(builder.root, builder.key)
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status, verdict.findings) == ("sealed", 0, [])


def test_crashes_one_after_the_other_are_no_doubt(keys: Hierarchy, outside: Outside, tmp_path: Path) -> None:
    """The second comes before anything is signed again: the time between, in which nobody recorded, is nobody's."""
    builder = Builder(tmp_path, keys)
    builder.record(10)
    builder.recover(40)
    builder.record(0.5)
    builder.recover(40)
    builder.record(3)
    builder.close()
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status, verdict.findings) == ("sealed", 0, [])


@pytest.mark.timeout(20)
def test_as_many_recoveries_as_somebody_likes_are_judged_in_the_time_that_it_takes_to_count_them(tmp_path: Path) -> None:
    findings = Findings()
    reader, replay = JournalReader(findings), Replay(findings, lambda _: None)
    many = range(1, 200_000, 2)
    reader.t_us.extend(seq * 1_000_000 for seq in range(200_000))
    replay.taken_up = [TakenUp(seq, seq * 1_000_000, seq * 1_000_000 + 900_000) for seq in many]
    check_taken_up(reader, replay, Signed([], 0, [(seq + 1, 0) for seq in many]), UnsignedMedia(tmp_path, ()), findings)
    doubts = findings.all()
    assert {finding.code for finding in doubts} == {"unsigned_stretch"}
    assert (doubts[0].place, doubts[0].text.split()[0]) == ("entries 1 to 18", "10.9")
