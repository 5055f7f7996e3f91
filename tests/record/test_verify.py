"""What an honest record is told to be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recorder.ledger import CloseItem, FragmentItem
from recorder.record import entries, file_check, layout
from recorder.record.checkpoint import Receipt
from recorder.record.verdict import Verdict
from recorder.record.verify import Outside, verify
from tests.record.record_builder import Builder

Begun = Callable[..., Builder]


def codes(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings}


def test_a_sealed_record_with_receipts_is_anchored_to_the_last_of_them(finished: tuple[Builder, list[Receipt]], outside: Outside) -> None:
    builder, receipts = finished
    verdict = verify(builder.root, outside)
    assert verdict.errors == []
    assert (verdict.level, verdict.exit_status, verdict.anchored_to) == ("anchored", 0, receipts[-1].at)
    assert verdict.findings == []
    assert verdict.hearing == "hearing-1"
    assert {track.track: track.fragments for track in verdict.tracks} == {"cam-judge": 28, "mic-judge": 28}


def test_it_needs_no_more_than_one_worker_and_tells_its_progress(finished: tuple[Builder, list[Receipt]], outside: Outside) -> None:
    told: list[tuple[int, int]] = []
    assert verify(finished[0].root, outside, workers=1, progress=lambda done, total: told.append((done, total))).level == "anchored"
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_without_receipts_it_says_that_it_proves_nothing_against_who_holds_the_key(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status) == ("sealed", 0)
    assert "proves nothing against whoever holds the room's key" in verdict.sentence()


def test_without_an_authority_it_is_signed_only(finished: tuple[Builder, list[Receipt]]) -> None:
    verdict = verify(finished[0].root)
    assert (verdict.level, verdict.exit_status, verdict.anchored_to) == ("signed_only", 3, None)


def test_every_interval_that_was_not_recorded_is_listed_with_its_reason(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(2)
    builder.pause(20, "privileged", "counsel confers")
    builder.record(2)
    builder.entry(entries.Gap(track="mic-judge", cause="unplugged", detail="the cable was pulled", from_us=builder.t_us))
    builder.tracks.pop("mic-judge")
    builder.record(3)
    builder.entry(entries.Overflow(track="cam-judge", fragments=4, bytes=36, from_us=builder.t_us, to_us=builder.t_us + 2_000_000))
    builder.wait(2)
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert verdict.level == "sealed"
    told = [(interval.track, interval.cause, interval.to_us is None) for interval in verdict.not_recorded]
    assert told == [("", "privileged", False), ("mic-judge", "unplugged", True), ("cam-judge", "overflow", False)]
    assert verdict.not_recorded[0].by == "clerk"
    assert "counsel confers" in verdict.not_recorded[0].detail
    assert not verdict.findings


def test_a_hole_that_no_entry_explains_is_listed_and_doubted(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(2)
    builder.wait(4)
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert codes(verdict) == {"hole_unexplained"}
    assert {interval.track for interval in verdict.not_recorded if not interval.declared} == {"cam-judge", "mic-judge"}


def _silent(builder: Builder, seconds: int) -> None:
    """No media of any track, and no entry that says why; the recorder signs on."""
    builder.put(CloseItem(builder.times))
    for _ in range(seconds // 5):
        builder.wait(5)
        builder.checkpoint()
    builder.per_segment = 1


@pytest.mark.parametrize("before", ["reboot without UTC", "gap without an end"])
def test_what_has_no_known_end_hides_no_later_silence(begun: Begun, outside: Outside, before: str) -> None:
    builder = begun()
    builder.record(4)
    if before == "gap without an end":
        for track in builder.tracks:
            builder.entry(entries.Gap(track=track, cause="eof", detail="", from_us=builder.t_us))
        builder.put(CloseItem(builder.times))
        builder.wait(3)
        builder.per_segment = 1
    else:
        builder.recover(utc_trusted=False)
    builder.record(4)
    silent_us = builder.t_us
    _silent(builder, 60)
    builder.record(4)
    builder.close()
    verdict = verify(builder.root, outside)
    assert codes(verdict) == {"hole_unexplained"}
    found = [(one.track, one.from_us, one.to_us) for one in verdict.not_recorded if not one.declared]
    assert found == [(track, silent_us, silent_us + 60_000_000) for track in ("cam-judge", "mic-judge")]
    ends = {one.to_us for one in verdict.not_recorded if one.declared}
    assert ends == ({7_000_000} if before == "gap without an end" else {None})


@pytest.mark.parametrize("journaled", ["before the pause", "within the pause", "after the pause"])
def test_media_from_within_a_pause_is_named(begun: Begun, outside: Outside, journaled: str) -> None:
    builder = begun()
    builder.record(4)
    from_us = builder.t_us
    pause = entries.Pause(state="privileged", actor="clerk", reason="", order="", from_us=from_us)
    held_back: list[FragmentItem] = []
    if journaled != "before the pause":
        builder.entry(pause)
    for half in range(40):
        made = builder.fragments()
        builder.wait(0.5)
        if journaled == "after the pause":
            held_back += [item for item in made if isinstance(item, FragmentItem)]
        else:
            builder.put(*made)
        if half % 10 == 9:
            builder.entry(entries.Alive(state="privileged"))
            builder.checkpoint()
    if journaled == "before the pause":
        builder.entry(pause)
    builder.entry(entries.Resume(state="privileged", actor="clerk", from_us=from_us, to_us=builder.t_us))
    builder.put(*[replace(item, times=builder.times) for item in held_back])
    builder.record(4)
    builder.close()
    verdict = verify(builder.root, outside)
    assert codes(verdict) == {"media_in_pause"}


def test_a_record_that_still_runs_is_unsealed_and_intact(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(5)
    builder.receipt()
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status, verdict.errors) == ("unsealed", 3, [])
    assert verdict.intact_to == verdict.entries - 1
    assert verdict.anchored_to is not None


def test_a_crash_before_its_recovery_is_unsealed_not_broken(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(5)
    last = builder.ledger.head.at
    builder.crash(torn_journal=b'{"at":17,"head":"5a0c', torn_media=b"\x00\x00half a fragment")
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.errors, verdict.intact_to) == ("unsealed", [], last)
    assert {"journal_torn", "tail_unjournaled"} <= codes(verdict)


def test_a_recovered_and_sealed_record_is_sealed_and_names_the_time_that_was_lost(begun: Begun, outside: Outside) -> None:
    for torn in (b"", b'{"at":17,"head":"5a0c', b'{"at":17,"he\n'):
        for same_boot in (True, False):
            builder = begun()
            builder.record(5)
            builder.crash(torn_journal=torn, torn_media=b"\x00\x00half a fragment")
            builder.recover(20, same_boot=same_boot)
            assert verify(builder.root, outside).level == "unsealed"
            builder.record(3)
            builder.close()
            verdict = verify(builder.root, outside)
            assert verdict.errors == []
            assert verdict.level == "sealed"
            assert [interval.cause for interval in verdict.not_recorded] == ["recorder_down"]


def test_a_crash_that_left_a_file_no_entry_speaks_of_is_no_tampering(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(3)
    new_file = builder.root / layout.segment_file("cam-judge", 77)
    new_file.write_bytes(b"first bytes of a new segment")
    assert verify(builder.root, outside).level == "unsealed"
    builder.recover()
    builder.record(2)
    builder.close()
    assert verify(builder.root, outside).level == "sealed"
    new_file.write_bytes(b"other bytes")
    assert verify(builder.root, outside).level == "broken"


def test_media_that_the_disk_lost_in_a_power_cut_is_damage_not_tampering(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(3)
    builder.put(*builder.fragments())
    segment = max((builder.root / layout.TRACKS / "cam-judge").glob("seg-*"))
    segment.write_bytes(segment.read_bytes()[:-4000])
    unrecovered = verify(builder.root, outside)
    assert (unrecovered.level, codes(unrecovered)) == ("unsealed", {"tail_damaged"})
    builder.recover()
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert verdict.errors == []
    assert {interval.cause for interval in verdict.not_recorded} == {"damaged", "recorder_down"}
    (damaged,) = (interval for interval in verdict.not_recorded if interval.cause == "damaged")
    assert (damaged.from_us, damaged.to_us) == (3_000_000, 3_500_000)


@pytest.mark.parametrize("comes_back", [False, True])
def test_damage_of_a_track_explains_no_silence_after_it(begun: Begun, outside: Outside, comes_back: bool) -> None:
    builder = begun()
    builder.record(3)
    builder.put(*builder.fragments())
    segment = max((builder.root / layout.TRACKS / "mic-judge").glob("seg-*"))
    segment.write_bytes(segment.read_bytes()[:-400])
    builder.recover(2, same_boot=True)
    if comes_back:
        builder.record(2)
    builder.tracks.pop("mic-judge")
    builder.record(30)
    builder.close()
    verdict = verify(builder.root, outside)
    assert codes(verdict) == {"hole_unexplained"}
    assert [one.track for one in verdict.not_recorded if not one.declared] == ["mic-judge"]


def test_media_changed_while_the_recorder_was_down_is_found_although_the_recovery_signed_it(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(2)
    segment = max((builder.root / layout.TRACKS / "cam-judge").glob("seg-*"))
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    builder.recover()
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert (verdict.level, codes(verdict)) == ("broken", {"frag_altered"})


def test_a_journal_that_goes_on_in_a_second_file_after_a_failed_sync_is_one_chain(begun: Begun, outside: Outside) -> None:
    for keep in (0, 40, 10_000):
        builder = begun()
        builder.record(3)
        before = (builder.root / layout.JOURNAL).read_bytes()
        done = builder.put(*builder.fragments())
        rolled = builder.ledger.next_journal(done)
        (builder.root / layout.JOURNAL).write_bytes(before + done.journal.data[:keep])
        (builder.root / rolled.journal.path).write_bytes(rolled.journal.data)
        builder.wait(0.5)
        builder.record(2)
        builder.close()
        verdict = verify(builder.root, outside)
        assert verdict.errors == []
        assert verdict.level == "sealed"


def test_bytes_that_a_failing_disk_left_are_accounted_for(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(3)
    failed = builder.ledger.plan(builder.fragments())
    path = builder.root / failed.media[0].path
    path.write_bytes(path.read_bytes() + failed.media[0].data[:700])
    builder.ledger.restore()
    sizes = {write.path: (builder.root / write.path).stat().st_size for write in failed.media}
    builder.put(*builder.ledger.abandon(failed, sizes, "EIO", builder.times), *builder.fragments())
    builder.wait(1)
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.errors) == ("sealed", [])


def test_a_seal_that_a_crash_broke_off_is_unsealed_and_sealing_again_completes_it(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(2)
    builder.close()
    for name in (layout.SUMS_SIGNATURE, layout.SUMS, layout.MANIFEST):
        (builder.root / name).unlink()
        assert verify(builder.root, outside).level == "unsealed"
    from recorder.seal import seal

    seal(builder.root, builder.key, None)
    assert verify(builder.root, outside).level == "sealed"


def test_a_wall_clock_step_that_the_journal_tells_is_no_finding(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(2)
    builder.utc_us += 3_600_000_000
    builder.record(1)
    builder.entry(entries.ClockStep(delta_us=3_600_000_000))
    builder.record(2)
    builder.utc_us -= 3_600_000_000
    builder.entry(entries.ClockStep(delta_us=-3_600_000_000))
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.findings) == ("sealed", [])


def test_what_is_no_record_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear court,")
    for path in (tmp_path, tmp_path / "letter.txt", tmp_path / "nothing"):
        verdict = verify(path)
        assert (verdict.level, verdict.exit_status) == ("not_a_record", 2)


def test_a_journal_whose_first_line_never_became_durable_is_no_record(tmp_path: Path) -> None:
    (tmp_path / layout.JOURNAL).write_bytes(b'{"actor":"cl')
    assert verify(tmp_path).level == "not_a_record"


def test_a_page_of_the_journal_that_the_disk_never_wrote_is_a_torn_tail_and_no_tampering(begun: Begun, outside: Outside) -> None:
    builder = begun()
    builder.record(5)
    journal = builder.root / "journal.jsonl"
    data = bytearray(journal.read_bytes())
    hole = (len(data) - 3000) // 512 * 512
    data[hole : hole + 512] = bytes(512)
    journal.write_bytes(data)
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.exit_status) == ("unsealed", 3)
    assert verdict.intact_to == data[:hole].count(b"\n") - 1


@pytest.mark.parametrize("explained", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_track_that_gave_nothing_from_its_header_on_is_listed(begun: Begun, outside: Outside, late: bool, explained: bool) -> None:
    builder = begun()
    silent = builder.tracks.pop("mic-judge")
    builder.record(6)
    if explained:
        builder.entry(entries.Gap(track="mic-judge", cause="no_media", detail="", from_us=0))
    if late:
        builder.tracks["mic-judge"] = silent
        builder.put(*[item for item in _numbered_anew(builder) if item.message.track == "mic-judge"])
        if explained:
            builder.entry(entries.GapEnd(track="mic-judge", from_us=0, to_us=builder.t_us))
        builder.wait(0.5)
    builder.close()
    verdict = verify(builder.root, outside)
    assert codes(verdict) == (set() if explained else {"hole_unexplained"})
    found = [(interval.track, interval.cause, interval.from_us) for interval in verdict.not_recorded]
    assert found == [("mic-judge", "no_media" if explained else "unexplained", 0)]
    (hole,) = verdict.not_recorded
    assert hole.to_us == (6_000_000 if late or not explained else None)


def test_a_participant_may_be_silent(begun: Begun, outside: Outside) -> None:
    builder = begun(tracks={"cam-judge": ("video", 900), "remote-1": ("audio", 200)})
    builder.tracks.pop("remote-1")
    builder.record(6)
    builder.close()
    assert not verify(builder.root, outside).not_recorded


def test_a_record_that_goes_on_while_it_is_verified_is_not_called_broken(
    begun: Begun, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = begun(per_segment=2)
    builder.record(3)

    def inventory(root: Path) -> tuple[dict[str, int], list[str]]:
        found = file_check.inventory(root)
        builder.put(CloseItem(builder.times))
        builder.record(3)
        builder.receipt()
        return found

    monkeypatch.setattr("recorder.record.verify.inventory", inventory)
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.errors) == ("unsealed", [])


def _numbered_anew(builder: Builder) -> list[FragmentItem]:
    builder.n = 0
    return [item for item in builder.fragments() if isinstance(item, FragmentItem)]
