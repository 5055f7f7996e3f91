"""Every interval in which a track should have had media and had none becomes a gap, once, with both its ends."""

from hypothesis import given
from hypothesis import strategies as st

from recorder.record.entries import Entry, Gap, GapEnd
from recorder.tracks import FIRST_MEDIA_US, SEAM_US, Track


def running(from_us: int = 0) -> Track:
    track = Track(name="judge", kind="audio", device="mic", continuous=True)
    track.start(from_us)
    return track


def test_fragments_that_meet_make_no_entry() -> None:
    track = running()
    assert track.fragment(track.part, 0, 450_000, 10) == []
    assert track.fragment(track.part, 450_000, 900_000, 10) == []


def test_a_device_that_dies_opens_a_gap_where_its_media_ended_and_its_return_ends_it() -> None:
    track = running()
    track.fragment(track.part, 0, 450_000, 10)
    assert track.lost("unplugged", "card gone", 2_000_000) == [Gap(track="judge", cause="unplugged", detail="card gone", from_us=450_000)]
    assert track.lost("missing", "still gone", 3_000_000) == []
    track.start(5_000_000)
    assert track.fragment(track.part, 5_010_000, 5_460_000, 10) == [GapEnd(track="judge", from_us=450_000, to_us=5_010_000)]


def test_a_device_that_dies_before_its_first_media_leaves_a_gap_from_the_start() -> None:
    track = running(from_us=1_000_000)
    assert track.lost("eof", "", 1_700_000) == [Gap(track="judge", cause="eof", detail="", from_us=1_000_000)]


def test_a_hole_that_the_device_hides_is_found_between_two_fragments() -> None:
    track = running()
    track.fragment(track.part, 0, 450_000, 10)
    assert track.fragment(track.part, 450_000 + SEAM_US + 1, 1_200_000, 10) == [
        Gap(track="judge", cause="device_lost_media", detail="by the device's own timestamps", from_us=450_000),
        GapEnd(track="judge", from_us=450_000, to_us=450_000 + SEAM_US + 1),
    ]


def test_waiting_for_a_camera_s_keyframe_is_told_apart_from_a_loss() -> None:
    entries = running(from_us=100).fragment(0, 2_000_000, 2_450_000, 10)
    assert entries[0] == Gap(
        track="judge", cause="awaiting_keyframe", detail="until the device's first media, which begins with a keyframe", from_us=100
    )


def test_orders_that_come_faster_than_media_leave_no_gap_where_nothing_was_to_be_recorded() -> None:
    track = running()
    assert track.fragment(0, 0, 1_000_000, 10) == []
    for from_us in (1_400_000, 1_800_000):  # three parts of 0.2 s, in each of which nothing was heard yet when the next order came
        assert track.paused(from_us - 200_000) == []
        track.start(from_us)
    assert track.paused(2_000_000) == []
    assert track.fragment(0, 1_000_000, 1_200_000, 10) == []
    assert track.fragment(1, 1_400_000, 1_600_000, 10) == []
    track.start(2_200_000)
    assert track.fragment(2, 1_800_000, 2_000_000, 10) == [], "of a part that ended before it came"
    assert track.fragment(3, 2_200_000, 2_700_000, 10) == []
    assert track.fragment(3, 2_900_000, 3_200_000, 10)[1] == GapEnd(track="judge", from_us=2_700_000, to_us=2_900_000), "a loss is told"


def test_a_part_that_goes_on_until_the_next_one_s_keyframe_leaves_no_gap() -> None:
    track = running()
    track.fragment(0, 0, 1_000_000, 10)
    track.start(1_500_000)
    assert track.fragment(0, 1_000_000, 2_000_000, 10) == []
    assert track.fragment(0, 2_000_000, 4_900_000, 10) == []
    assert track.fragment(1, 4_900_000, 5_400_000, 10) == []
    assert track.paused(9_000_000) == []


def test_a_camera_that_records_on_until_a_late_keyframe_is_not_stalled_and_one_that_then_falls_silent_is() -> None:
    camera = Track(name="bench", kind="video", device="bench", continuous=True)
    camera.start(0)
    camera.fragment(0, 0, 30_000_000, 10)
    camera.start(30_000_000)
    camera.fragment(0, 30_000_000, 50_000_000, 10)
    assert not camera.is_stalled(50_500_000)
    assert camera.is_stalled(50_000_000 + FIRST_MEDIA_US + 1)
    assert "keyframe interval" in camera.stall_words()


def test_a_device_that_gave_media_and_gives_none_is_not_told_to_mend_its_keyframes() -> None:
    track = running()
    track.fragment(0, 0, 450_000, 10)
    assert track.is_stalled(5_000_000)
    assert "keyframe" not in track.stall_words()


def test_what_the_preroll_held_nothing_of_is_told_apart_from_waiting_for_a_keyframe() -> None:
    mix, camera = running(), running()
    mix.preroll_until_us = camera.preroll_until_us = 8_000_000
    assert [causes(mix.fragment(0, 8_100_000, 8_500_000, 10)), causes(camera.fragment(0, 9_500_000, 9_900_000, 10))] == [
        [("not_in_preroll", 0), ("", 8_000_000)],
        [("not_in_preroll", 0), ("", 8_000_000), ("awaiting_keyframe", 8_000_000), ("", 9_500_000)],
    ]
    held = running()
    held.preroll_until_us = 8_000_000
    assert causes(held.fragment(0, 1_000_000, 8_500_000, 10)) == [("not_in_preroll", 0), ("", 1_000_000)]


def causes(told: list[Entry]) -> list[tuple[str, int]]:
    return [(one.cause, one.from_us) if isinstance(one, Gap) else ("", one.to_us) for one in told if isinstance(one, Gap | GapEnd)]


def test_nothing_is_due_in_a_pause() -> None:
    track = running()
    track.fragment(track.part, 0, 450_000, 10)
    assert track.paused(450_000) == []
    track.start(60_000_000)
    assert track.fragment(track.part, 60_000_000, 60_450_000, 10) == []


def test_a_source_that_may_be_quiet_has_no_gaps() -> None:
    track = Track(name="remote-1", kind="audio", device="ingest", continuous=False)
    track.start(0)
    track.fragment(track.part, 0, 450_000, 10)
    assert track.fragment(track.part, 30_000_000, 30_450_000, 10) == []
    assert track.lost("left", "", 31_000_000) == []


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), min_size=1, max_size=30))
def test_media_and_gaps_together_cover_the_whole_time(steps: list[tuple[int, int]]) -> None:
    track, now_us, covered_us = running(), 0, 0
    for pause_us, length_us in steps:
        start_us = now_us + pause_us
        for entry in track.fragment(track.part, start_us, start_us + length_us, 1):
            if isinstance(entry, GapEnd):
                covered_us += entry.to_us - entry.from_us
        seam_us = pause_us if pause_us <= SEAM_US else 0
        now_us = start_us + length_us
        covered_us += length_us + seam_us
    assert covered_us == now_us
