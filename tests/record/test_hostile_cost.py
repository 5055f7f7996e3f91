"""A journal may say as much as somebody likes: it is judged in the time that it takes to read it."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from recorder.record import entries, layout
from recorder.record.damage import FileJudge
from recorder.record.entries import AnyEntry, Line
from recorder.record.file_check import FileState, check_file
from recorder.record.fragment_search import find_fragments
from recorder.record.replay import Piece, Replay
from recorder.record.verdict import Findings
from tests.record.record_builder import Builder

HASH = "0" * 64
SEGMENT = layout.segment_file("mic", 0)


def replayed(taken: Iterable[AnyEntry]) -> tuple[Replay, Findings]:
    findings = Findings()
    replay = Replay(findings, lambda _: HASH)
    for seq, entry in enumerate(taken, 1):
        replay.take(Line(v=1, seq=seq, type="", prev="", mono_us=0, utc_us=0, t_us=0), entry)
    return replay, findings


def header() -> entries.Init:
    return entries.Init(
        track="mic", part=0, file=layout.init_file("mic", 0), len=0, sha256=HASH, kind="audio", codec="opus", timescale=1000,
        key=None,
    )  # fmt: skip


def fragments(count: int) -> Iterable[entries.Frag]:
    return (entries.Frag(track="mic", part=0, seg=0, n=n, off=n, len=1, sha256=HASH, t0=n, dur=1) for n in range(count))


def recovery(last: int, *lost: tuple[int, int]) -> entries.Recovered:
    damaged = [entries.ByteRange(file=SEGMENT, off=off, len=size, sha256=HASH) for off, size in lost]
    return entries.Recovered(
        last=last, boot="boot", same_boot=True, torn=[], damaged=damaged, from_us=0, to_us=0, origin_mono_us=0
    )  # fmt: skip


@pytest.mark.timeout(20)
def test_a_segment_of_as_many_fragments_as_somebody_likes_may_be_lost() -> None:
    count = 60_000
    replay, findings = replayed([header(), *fragments(count), recovery(count + 1, (0, count))])
    assert findings.all() == []
    replay.finish()
    assert [(piece.what, piece.off, piece.len) for piece in replay.files[SEGMENT].pieces] == [("damaged", 0, count)]
    assert [(lost.cause, lost.from_us, lost.to_us) for lost in replay.story.intervals][1:] == [("damaged", 0, count * 1000)]


def test_what_a_recovery_found_damaged_takes_the_place_of_those_fragments_alone() -> None:
    replay, _ = replayed([header(), *fragments(6), recovery(7, (1, 1), (3, 0), (4, 1))])
    replay.finish()
    pieces = [(piece.what, piece.off) for piece in replay.files[SEGMENT].pieces]
    assert pieces == [("frag", 0), ("damaged", 1), ("frag", 2), ("damaged", 3), ("damaged", 4), ("frag", 5)]


@pytest.mark.timeout(20)
def test_as_many_checkpoints_as_somebody_likes_may_lag_behind_the_media() -> None:
    count = 300_000
    checkpoints = (entries.Checkpoint(at=at, head=HASH, sig="", key_id="") for at in range(count))
    replay, findings = replayed([header(), *fragments(count), *checkpoints])
    assert findings.all() == []
    assert [fragment.seq for fragment in replay.unsigned] == [count, count + 1]


def test_recoveries_that_never_close_a_segment_are_none() -> None:
    found = {count: replayed([header(), *fragments(5), *(recovery(6 + n, (2, 1)) for n in range(count))])[1] for count in (100, 101)}
    assert found[100].all() == []
    assert [(finding.code, finding.place) for finding in found[101].all()] == [("recovery_place", "entry 107")]


@pytest.mark.timeout(40)
def test_a_file_of_as_many_pieces_as_somebody_likes_is_read_once(tmp_path: Path) -> None:
    size, count = 1 << 30, 600_000
    with (tmp_path / "segment").open("wb") as file:
        file.truncate(size)
    zero, apart = hashlib.sha256(b"\0").hexdigest(), size // count
    pieces = [Piece(n * apart, 1, zero, "frag", n) for n in range(count)]
    other = Piece(7 * apart + 1, 1, HASH, "frag", count)
    assert check_file(tmp_path / "segment", [other, *pieces], lambda _: None).wrong == [other]


@pytest.mark.timeout(40)
def test_pieces_that_lie_over_each_other_are_wrong_and_not_read_again(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    (tmp_path / "segment").write_bytes(data)
    whole = Piece(0, len(data), hashlib.sha256(data).hexdigest(), "frag")
    again = [Piece(0, len(data), whole.sha256, "frag", n) for n in range(5_000)]
    backwards = Piece(len(data), -len(data), hashlib.sha256().hexdigest(), "frag")
    behind = Piece(len(data) + 5, 0, hashlib.sha256().hexdigest(), "damaged")
    assert check_file(tmp_path / "segment", [whole, *again, backwards, behind], lambda _: None).wrong == [*again, backwards]


def test_a_fragment_has_bytes() -> None:
    backwards = msgspec.structs.replace(next(iter(fragments(1))), n=1, off=1, len=-1)
    _, findings = replayed([header(), *fragments(1), backwards])
    assert [(finding.code, finding.place) for finding in findings.all()] == [("frag_length", "entry 3")]


def test_for_all_damaged_segments_the_journal_is_looked_at_once() -> None:
    made: list[AnyEntry] = [header()]
    for seg in range(1_200):
        made += [msgspec.structs.replace(next(iter(fragments(1))), seg=seg, n=seg, t0=seg)]
        made += [entries.Segment(track="mic", seg=seg, file=layout.segment_file("mic", seg), len=1, sha256=HASH)]
    replay, findings = replayed(made)
    asked: list[Sequence[str]] = []

    def locate(segments: Sequence[str]) -> dict[str, tuple[list[Piece], FileState]]:
        asked.append(segments)
        return {path: ([piece], FileState(1, "1", [piece])) for path, piece in zip(segments, pieces, strict=False)}

    pieces = [Piece(0, 1, HASH, "frag", seg, 2 + 2 * seg) for seg in range(1_200)]
    judge = FileJudge(replay, findings, locate, True, False, -1, 2_401)
    judge.judge({path: FileState(1, "1") if "seg-" in path else FileState(0, HASH) for path in replay.files}, None)
    assert [len(segments) for segments in asked] == [1_000]
    assert (judge.intact_to, findings.errors_found) == (1, 1_200)


def test_fragments_of_several_segments_are_found_in_one_look(sealed: Builder) -> None:
    paths = ["tracks/cam-judge/seg-000000.m4s", "tracks/mic-judge/seg-000001.m4s"]
    found = find_fragments(sealed.root, paths, 10_000)
    for path in paths:
        assert sum(piece.len for piece in found[path]) == (sealed.root / path).stat().st_size
        assert check_file(sealed.root / path, found[path], lambda _: None).wrong == []
    assert find_fragments(sealed.root, paths[:1], found[paths[0]][0].seq) == {paths[0]: found[paths[0]][:1]}
