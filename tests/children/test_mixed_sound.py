"""Sound that lies later than it was captured, as a mix does: no part of a record begins with what was said before it."""

from pathlib import Path

import pytest

from recorder.contract import child, ingest
from tests.children.linked import linked, peer, wait_for
from tests.children.test_ingest import DEVICE, now_us, opus, say

DELAY_US = 500_000
TRACK = "remote-channel-kk"


def test_each_part_begins_so_much_later_as_the_sound_may_be_late(tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as running, peer(tmp_path / "ingest.sock") as sock:
        running.first(child.Opened)
        say(sock, ingest.TrackStart(track="channel-kk", kind="audio", codec="opus", label="Language channel kk", delay_us=DELAY_US))
        running.first(child.TrackOpened)
        start_us = now_us() - 4_000_000
        parts_us = {1: 0, 2: 2_000_000}  # the second is of another level: nothing is between them
        for part, from_us in parts_us.items():
            tracks = {TRACK: part}
            running.tell(child.StartPart(from_mono_us=start_us + from_us, origin_mono_us=start_us, tracks=tracks))
            for n, packet in enumerate(opus(100)):
                say(sock, ingest.MediaPacket(track="channel-kk", mono_us=start_us + from_us + n * 20_000, dur_us=20_000, key=True), packet)
            wait_for(lambda: any(one.units >= 100 * part for m in running.all(child.Stats) for one in m.tracks), "what was sent")  # noqa: B023
        say(sock, ingest.TrackStop(track="channel-kk", cause="channel-closed"))
        wait_for(lambda: len(running.all(child.PartEnded)) == 2, "the ends")
        assert [(one.track, one.cause) for one in running.all(child.TrackClosed)] == [(TRACK, "channel-closed")]
    for part, from_us in parts_us.items():
        (first, *_) = [one for one in running.all(child.Fragment) if one.part == part]
        assert first.t0 * 1_000_000 // first.timescale == pytest.approx(from_us + DELAY_US, abs=50)
    ends_us = {one.part: one.end_us for one in running.all(child.PartEnded)}
    assert ends_us == {1: pytest.approx(2_000_000, abs=50), 2: pytest.approx(4_000_000, abs=50)}
