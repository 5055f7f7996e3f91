"""What participants send reaches the recorder's ingest child (the real one), whenever it is there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import vks.recording
from recorder.contract import child
from tests.children.linked import Linked, linked
from tests.children.test_ingest import DEVICE, encode, opus
from vks.recording import Recording


def now_us() -> int:
    return time.monotonic_ns() // 1_000


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    end_s = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, what
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def kept(recording: Recording) -> AsyncIterator[None]:
    task = asyncio.create_task(recording.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def begin(ingest: Linked, *tracks: str) -> int:
    start_us = now_us() - 3_000_000
    ingest.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks=dict.fromkeys(tracks, 1)))
    return start_us


async def test_sound_and_pictures_are_taken_as_received_and_the_end_has_its_cause(tmp_path: Path) -> None:
    asked: list[str] = []
    recording = Recording(str(tmp_path), asked.append)
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            await until(lambda: recording.connected, "the connection")
            recording.start("p1-video", "video", "Witness")
            recording.start("p1-audio", "audio", "Witness")
            await until(lambda: len(ingest.all(child.TrackOpened)) == 2, "both tracks")
            start_us = begin(ingest, "remote-p1-video", "remote-p1-audio")
            await until(lambda: asked == ["p1-video"], "the wish for a keyframe")
            pictures, sounds = encode((160, 90), 25), opus(50)
            for number, unit in enumerate(pictures):
                recording.media("p1-video", start_us + number * 40_000, 40_000, unit, key=number == 0)
            for number, packet in enumerate(sounds):
                recording.media("p1-audio", start_us + number * 20_000, 20_000, packet, key=True)
            recording.tell("p1-audio", "loss", {"lost": 3})
            recording.stop("p1-audio", "left")
            recording.stop("p1-video", "muted")
            await until(lambda: len(ingest.all(child.TrackClosed)) == 2, "both ends")
        assert {(one.track, one.cause) for one in ingest.all(child.TrackClosed)} == {
            ("remote-p1-audio", "left"),
            ("remote-p1-video", "muted"),
        }
        assert [(one.track, one.name, one.data) for one in ingest.all(child.QualityEvent)] == [("remote-p1-audio", "loss", {"lost": 3})]
        fragments = ingest.all(child.Fragment)
        assert sum(one.dur for one in fragments if one.track == "remote-p1-audio") == 50 * 960
        assert sum(one.dur for one in fragments if one.track == "remote-p1-video") == 25 * 3_600


async def test_that_packets_were_dropped_is_told_and_costs_nobody_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(str(tmp_path), lambda _: None)
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            await until(lambda: recording.connected, "the connection")
            for name in ("p1-audio", "p2-audio"):
                recording.start(name, "audio", name)
            with monkeypatch.context() as full:
                full.setattr("vks.recording.MOST_WAITING_BYTES", -1)
                assert not recording.media("p1-audio", now_us(), 20_000, b"x", key=True)
            assert recording.media("p1-audio", now_us(), 20_000, b"x", key=True)
            for name in ("p1-audio", "p2-audio"):
                recording.stop(name, "left")
            await until(lambda: len(ingest.all(child.TrackClosed)) == 2, "both ends")
    assert {one.cause for one in ingest.all(child.TrackClosed)} == {"left"}
    assert [(one.track, one.name, one.data) for one in ingest.all(child.QualityEvent)] == [("remote-p1-audio", "not_taken", {"packets": 1})]


async def test_of_tracks_that_wait_for_the_record_sounds_begin_first_and_it_is_told_what_it_has_not(tmp_path: Path) -> None:
    recording, at_once = Recording(str(tmp_path), lambda _: None, most_tracks=3), int(3 * vks.recording.STARTS_BURST)
    with linked("recorder.children.ingest", {**DEVICE, "max_tracks": 3}, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            await until(lambda: recording.connected, "the connection")
            for _ in range(at_once):
                recording.start("p0-audio", "audio", "Witness")
                recording.stop("p0-audio", "left")
            recording.start("p1-video", "video", "Witness")
            recording.start("p1-audio", "audio", "Witness")
            for _ in range(3):
                assert not recording.media("p1-audio", now_us(), 20_000, b"x", key=True)
            await until(lambda: len(ingest.all(child.TrackOpened)) == at_once + 2, "both, a little later")
            assert recording.media("p1-audio", now_us(), 20_000, b"x", key=True)
            await until(lambda: ingest.all(child.QualityEvent), "what the record has not")
    assert [one.track for one in ingest.all(child.TrackOpened)[at_once:]] == ["remote-p1-audio", "remote-p1-video"]
    assert [(one.track, one.name, one.data) for one in ingest.all(child.QualityEvent)] == [("remote-p1-audio", "not_taken", {"packets": 3})]


async def test_after_ingest_was_gone_the_tracks_begin_again_by_themselves(tmp_path: Path) -> None:
    recording = Recording(str(tmp_path), lambda _: None)
    async with kept(recording):
        recording.start("p1-audio", "audio", "Witness")
        for _ in range(2):
            with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
                await until(lambda: ingest.all(child.TrackOpened), "the track")
                assert [one.label for one in ingest.all(child.TrackOpened)] == ["Witness"]
            await until(lambda: not recording.connected, "the loss of ingest")
            recording.media("p1-audio", now_us(), 20_000, b"x", key=True)


async def test_that_ingest_was_lost_is_told_each_time_and_nothing_counts_as_handed_over_then(tmp_path: Path) -> None:
    taken: list[bool] = []
    recording = Recording(
        str(tmp_path), lambda _: None, lambda: taken.append(recording.media("p1-audio", now_us(), 20_000, b"x", key=True))
    )
    async with kept(recording):
        recording.start("p1-audio", "audio", "Witness")
        for number in range(2):
            with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
                await until(lambda: ingest.all(child.TrackOpened), "the track")
                assert len(taken) == number
            await until(lambda: len(taken) == number + 1, "the loss of ingest")  # noqa: B023 - it is over before the next
    assert taken == [False, False]
    assert not recording.connected


async def test_one_track_more_than_the_recorder_takes_waits_and_costs_nobody_his_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = {**DEVICE, "max_tracks": 2}
    recording = Recording(str(tmp_path), lambda _: None, most_tracks=2)
    with linked("recorder.children.ingest", device, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            await until(lambda: recording.connected, "the connection")
            for name in ("p1-audio", "p2-audio", "p3-audio"):
                recording.start(name, "audio", name)
            await until(lambda: len(ingest.all(child.TrackOpened)) == 2, "two tracks")
            begin(ingest, "remote-p1-audio")
            assert recording.media("p1-audio", now_us(), 20_000, b"x", key=True)
            assert not recording.media("p3-audio", now_us(), 20_000, b"x", key=True)
            recording.tell("p3-audio", "loss", {"lost": 3})
            recording.stop("p2-audio", "left")
            await until(lambda: len(ingest.all(child.TrackOpened)) == 3, "the third, in the place of the second")
            assert recording.media("p3-audio", now_us(), 20_000, b"x", key=True)
            assert recording.connected
        assert [one.track for one in ingest.all(child.TrackOpened)] == ["remote-p1-audio", "remote-p2-audio", "remote-p3-audio"]
        assert ingest.all(child.Refused) == []
    assert capsys.readouterr().out.count("the recorder takes no more tracks") == 1


async def test_a_packet_that_is_refused_ends_nothing_and_a_name_that_is_ends_that_connection_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Recording(str(tmp_path), lambda _: None)
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            recording.start("p1-audio", "audio", "Witness")
            await until(lambda: ingest.all(child.TrackOpened), "the track")
            begin(ingest, "remote-p1-audio")
            recording.media("p1-audio", now_us() + 60_000_000, 20_000, b"x", key=True)
            await until(lambda: ingest.all(child.Refused), "the refusal")
            recording.tell("p1-audio", "loss", {"lost": 3})
            await until(lambda: ingest.all(child.QualityEvent), "what is told of it after that")
            assert ingest.all(child.TrackClosed) == []
            recording.start("../p2", "audio", "Witness")
            recording.stop("../p2", "left")
            await until(lambda: len(ingest.all(child.TrackOpened)) == 2, "the track again")
            assert [one.what for one in ingest.all(child.Refused)] == ["time", "name"]
            said = ""

            def refusals() -> int:
                nonlocal said
                said += capsys.readouterr().out
                return said.count("ingest refused")

            await until(lambda: refusals() == 2, "both refusals in the log")


@pytest.mark.parametrize("paced", [True, False])
async def test_tracks_that_begin_again_and_again_are_all_recorded_as_soon_as_they_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, paced: bool
) -> None:
    if not paced:
        monkeypatch.setattr(vks.recording, "STARTS_PER_S", 10_000)
        monkeypatch.setattr(vks.recording, "AGAIN_US", 100_000)
    device, names = {**DEVICE, "max_tracks": 6}, [f"p{n}-audio" for n in range(6)]
    recording = Recording(str(tmp_path), lambda _: None, most_tracks=6)
    with linked("recorder.children.ingest", device, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            await until(lambda: recording.connected, "the connection")
            for _ in range(10):  # the court goes off the record and back, over and over
                for name in names:
                    recording.start(name, "audio", name)
                await asyncio.sleep(0)
                for name in names:
                    recording.stop(name, "not-heard")
            for name in names:
                recording.start(name, "audio", name)
            await until(lambda: all(recording.media(name, now_us(), 20_000, b"x", key=True) for name in names), "all tracks")

            def is_open() -> set[str]:
                begun = [one.track for one in ingest.all(child.TrackOpened)]
                ended = [one.track for one in ingest.all(child.TrackClosed)]
                return {track for track in begun if begun.count(track) > ended.count(track)}

            await until(lambda: is_open() == {f"remote-{name}" for name in names}, "all tracks in the record")
            causes = {one.cause for one in ingest.all(child.TrackClosed)}
            assert causes == {"not-heard"}, "the connection stood all the time"
            assert ({one.what for one in ingest.all(child.Refused)} == set()) is paced


async def test_a_name_with_odd_spaces_is_a_label_and_costs_nobody_anything(tmp_path: Path) -> None:
    recording = Recording(str(tmp_path), lambda _: None)
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        async with kept(recording):
            recording.start("p1-audio", "audio", "И.\u00a0О.\u202fФамилия\u200b" + "а" * 300)
            await until(lambda: ingest.all(child.TrackOpened), "the track")
            label = ingest.first(child.TrackOpened).label
            assert (label[:16], len(label)) == ("И. О. Фамилия·аа", 200)
            assert ingest.all(child.Refused) == []
