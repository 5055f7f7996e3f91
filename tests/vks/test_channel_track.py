"""A language channel in the record: real peers send, the mix is encoded, and the real ingest child takes it as a track."""

import io
import itertools
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from recorder.contract import child
from recorder.contract import conference as staff
from recorder.contract.control import State
from recorder.record.layout import MIX_LATE_US
from tests.children.linked import Linked, linked
from tests.children.test_ingest import DEVICE
from tests.vks.browsers import until
from tests.vks.test_conference import PRIVATE_HZ, ROOM_HZ, Hall, record
from tests.vks.test_conference import hall as hall  # noqa: PLC0414 - a fixture is used by its name
from tests.vks.test_rules import CLERK
from vks import acts
from vks.channels import CLOSED
from vks.mixing import DUCKED
from vks.order import Unsure
from vks.times import mono_us

pytestmark = pytest.mark.alone
TRACK = "remote-channel-kk"
INTERPRETER_HZ, PARTY_HZ, WITNESS_HZ, JUDGE_HZ = 3_000.0, 1_000.0, 2_200.0, 2_500.0
RATE_HZ = 48_000
SAID = 0.03
"""So loud a tone was said by somebody: beneath an interpreter the floor has 0.07; what a codec makes of others is below 0.015."""


def interpret(hall: Hall, channel: str) -> None:
    hall.conference.act(staff.Interpret(by=CLERK, person="interpreter", channel=channel))


def recorded_s(ingest: Linked, part: int) -> float:
    return sum(one.dur for one in ingest.all(child.Fragment) if (one.track, one.part) == (TRACK, part)) / RATE_HZ


def sound_of(ingest: Linked, part: int) -> npt.NDArray[np.float64]:
    """A part of the channel's track, decoded."""
    with av.open(io.BytesIO(ingest.media(TRACK, part)), "r") as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]).astype(np.float64)


def amplitude(samples: npt.NDArray[np.float64], hz: float) -> float:
    wave = np.exp(-2j * np.pi * hz * np.arange(samples.size) / RATE_HZ)
    return float(abs((wave * np.hanning(samples.size)) @ samples) * 4 / samples.size)


def by_block(samples: npt.NDArray[np.float64], hz: float) -> npt.NDArray[np.float64]:
    """How loud a tone is in each 20 ms. On a busy machine packets are late: there is silence in between, and the phase jumps."""
    whole = samples[: samples.size // 960 * 960]
    return np.array([amplitude(block, hz) for block in np.split(whole, whole.size // 960)])


def anywhere(samples: npt.NDArray[np.float64], hz: float) -> float:
    return float(by_block(samples, hz).max())


async def test_a_channel_that_nobody_listens_to_is_a_track_with_the_floor_faint_beneath_the_interpreter(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        await hall.join("interpreter", INTERPRETER_HZ, 120)
        party, judge = await hall.join("party", PARTY_HZ, 200), await hall.join("judge", JUDGE_HZ, 160)
        await hall.join("witness", WITNESS_HZ, 80)
        hall.admit("interpreter", "party", "judge", "witness")
        await until(lambda: judge.hears(INTERPRETER_HZ) and judge.hears(PARTY_HZ), "the judge hears the interpreter and the party")
        assert TRACK not in {one.track for one in ingest.all(child.TrackOpened)}, "he speaks to everybody"
        interpret(hall, "kk")
        await until(lambda: TRACK in {one.track for one in ingest.all(child.TrackOpened)}, "the channel's track")
        (opened,) = [one for one in ingest.all(child.TrackOpened) if one.track == TRACK]
        assert (opened.kind, opened.label, opened.level) == ("audio", "Language channel kk", None)
        begun_us = mono_us()
        record(ingest)
        await until(lambda: recorded_s(ingest, 1) > 1.5, "sound of the channel")

        hall.conference.act(staff.Consult(by=CLERK, people=["party", "judge"]))
        party.microphone.hz = PRIVATE_HZ
        await until(lambda: judge.hears(PRIVATE_HZ), "the judge hears the party in private")
        before_s = recorded_s(ingest, 1)
        await until(lambda: recorded_s(ingest, 1) > before_s + 1.5, "the channel goes on")
        interpret(hall, "")
        await until(lambda: TRACK in {one.track for one in ingest.all(child.TrackClosed)}, "the track's end")
        assert [one.cause for one in ingest.all(child.TrackClosed) if one.track == TRACK] == [CLOSED]

        first = next(one for one in ingest.all(child.Fragment) if one.track == TRACK)
        assert MIX_LATE_US <= first.t0 * 1_000_000 // first.timescale <= mono_us() - begun_us
        sound = sound_of(ingest, 1)
        talk = sound[RATE_HZ // 4 : RATE_HZ * 3 // 2]
        interpreter = by_block(talk, INTERPRETER_HZ)
        speaks = interpreter > 0.8 * interpreter.max()
        floor = np.quantile(by_block(talk, PARTY_HZ)[speaks] / interpreter[speaks], 0.9)
        # Packets that come late leave less of the floor in a block, never more; the gain itself is looked at where nothing is sent.
        assert 0.4 < floor / DUCKED < 1.5, (interpreter, floor)
        assert anywhere(talk, ROOM_HZ) > 0.02
        assert anywhere(sound, WITNESS_HZ) < SAID, "the witness waits apart"
        assert anywhere(sound, PRIVATE_HZ) < SAID, "what is said in private"


@pytest.mark.parametrize(("state", "unsure"), [("off_record", ""), ("privileged", ""), ("open", "room")])
async def test_in_a_break_nothing_is_handed_over_and_the_next_part_has_nothing_of_it(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, unsure: Unsure
) -> None:
    handed: list[int] = []
    hand_over = hall.recording.media

    def media(track: str, at_us: int, dur_us: int, body: bytes, *, key: bool) -> bool:
        if track == "channel-kk":
            handed.append(at_us)
        return hand_over(track, at_us, dur_us, body, key=key)

    monkeypatch.setattr(hall.recording, "media", media)
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        interpreter, party = await hall.join("interpreter", INTERPRETER_HZ, 120), await hall.join("party", PARTY_HZ, 200)
        hall.admit("interpreter", "party")
        interpret(hall, "kk")
        hall.conference.act(acts.Listen(channel="kk"), "party")
        await until(lambda: party.hears(INTERPRETER_HZ), "the party hears the interpreter in the channel")
        await until(lambda: TRACK in {one.track for one in ingest.all(child.TrackOpened)}, "the channel's track")
        record(ingest)
        await until(lambda: recorded_s(ingest, 1) > 0.5, "sound of the channel")

        hall.conference.act(acts.RoomIs(hearing="h1", state=state, unsure=unsure))
        interpreter.microphone.hz = PRIVATE_HZ
        handed.clear()
        sent = interpreter.camera.sent
        if state == "off_record":  # then the conference goes on
            await until(lambda: party.hears(PRIVATE_HZ), "the party hears what is off the record")
        await until(lambda: interpreter.camera.sent > sent + 12, "a second of the break")
        assert handed == []
        assert [one.cause for one in ingest.all(child.TrackClosed) if one.track == TRACK] == [CLOSED]

        hall.conference.act(acts.RoomIs(hearing="h1", state="open"))
        await until(lambda: [one.track for one in ingest.all(child.TrackOpened)].count(TRACK) == 2, "the track begins again")
        record(ingest)
        interpreter.microphone.hz = 1_500.0
        await until(lambda: recorded_s(ingest, 2) > 1, "the channel is recorded again")
        assert all(later - earlier >= 20_000 for earlier, later in itertools.pairwise(handed))
        for part in (1, 2):
            assert anywhere(sound_of(ingest, part), PRIVATE_HZ) < SAID
        assert anywhere(sound_of(ingest, 2)[-RATE_HZ // 4 :], 1_500.0) > 3 * SAID, "the search finds what was recorded"
