"""A hearing by conference: real peers send and decode, the real ingest child takes what is recorded."""

import asyncio
import contextlib
import io
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest

from recorder.contract import child
from recorder.contract import conference as staff
from recorder.contract.conference import Fact
from tests.children.linked import Linked, linked
from tests.children.test_ingest import DEVICE
from tests.vks.browsers import NEAR, Browser, PictureEncoder, Shades, until
from tests.vks.test_mixing import tone
from tests.vks.test_rules import CLERK, came
from vks import acts, signalling
from vks.conference import Conference
from vks.connection import Connection
from vks.forwarding import Feed
from vks.h264_payloads import split
from vks.jitter import Unit
from vks.mixing import BLOCK, Block
from vks.opus import Decoder, Encoder
from vks.order import LOOKS_IN
from vks.peer import CAMERA, SOUND, Peer
from vks.recording import Recording
from vks.service import LATE_US
from vks.sound import BLOCK_US, PRIVATE_TAIL_US
from vks.times import mono_us

pytestmark = pytest.mark.alone
ROOM_HZ, ROOM_SHADE = 500.0, 60
PRIVATE_HZ, PRIVATE_SHADE, SCREEN_SHADE = 4_000.0, 160, 30


class Hall:
    """A courtroom with a conference, and the people who come to it."""

    def __init__(self, run_dir: Path) -> None:
        self.told: list[Fact] = []
        self.played: list[Block] = []
        self.said: dict[str, list[signalling.ToPage]] = {}
        self.browsers: dict[str, Browser] = {}
        self.connections: list[Connection] = []
        self.recording = Recording(str(run_dir), self._record_wants_key)
        self._key_wanted = True
        self.picture = Feed(self._want_key)
        self.changes = 0
        self.conference = Conference(
            self.recording, [self.picture], lambda block, _at_us: self.played.append(block), self.told.extend, self._count
        )
        self.conference.act(acts.RoomIs(hearing="h1", state="open"))

    def _record_wants_key(self, track: str) -> None:
        self.conference.keyframe_wanted(track)

    def _count(self) -> None:
        self.changes += 1

    def _want_key(self) -> None:
        self._key_wanted = True

    async def run(self) -> None:
        """The clocks, and the room's own sound and pictures."""
        encoder, due_us = PictureEncoder(), mono_us()
        for number in itertools.count():
            due_us = max(due_us + BLOCK_US, mono_us() - LATE_US)
            await asyncio.sleep(max(0, due_us - mono_us()) / 1e6)
            self.conference.sound.room(tone(ROOM_HZ, 6_000, number), mono_us())
            self.conference.tick(mono_us())
            if number % 2 == 0:
                await self.conference.ask(mono_us())
            if number % 4 == 0:
                key, self._key_wanted = self._key_wanted, False
                self.picture.take(encoder.units(ROOM_SHADE, key=key), mono_us(), mono_us())
            if number % 50 == 0:
                await self.conference.report(mono_us())

    async def join(self, name: str, hz: float, shade: int, camera: Shades | None = None) -> Browser:
        """Somebody comes, is admitted, and his media is connected."""
        said = self.said.setdefault(name, [])
        self.conference.act(came(name))
        browser, connection = Browser(hz, shade), Connection([])
        browser.camera = camera or browser.camera
        self.browsers[name], self.connections = browser, [*self.connections, connection]
        await browser.call(connection)
        peer = Peer(name, "phone", said.append)
        peer.rates_bps = ()  # a busy machine is not a slow link: pictures stay
        self.conference.enter(peer)
        self.conference.media(peer, connection)
        return browser

    def admit(self, *names: str) -> None:
        for name in names:
            self.conference.act(staff.Admit(by=CLERK, person=name))


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    hall = Hall(tmp_path)
    tasks = [asyncio.create_task(hall.run()), asyncio.create_task(hall.recording.run())]
    yield hall
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.gather(*(one.close() for one in hall.browsers.values()), *(one.close() for one in hall.connections))


async def test_of_two_devices_only_the_one_that_holds_the_seat_is_heard_however_long_the_other_sends(hall: Hall) -> None:
    judge, old = await hall.join("judge", 2_000, 160), await hall.join("party", 1_000, 120)
    hall.admit("judge", "party")
    await until(lambda: judge.hears(1_000), "the judge hears the party's phone")
    new = await hall.join("party", 3_000, 200)
    await until(lambda: judge.hears(3_000), "the judge hears the party's other device")
    judge.forget()
    sent = old.camera.sent
    await until(lambda: old.camera.sent > sent + 12 and len(judge.heard) > 30, "the phone goes on sending")
    assert judge.hears(3_000)
    assert not judge.hears(1_000)
    assert new is hall.browsers["party"]
    await old.close()


async def test_media_that_cannot_be_handled_ends_for_who_sends_it_alone(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    party, judge = await hall.join("party", 1_000, 120), await hall.join("judge", 2_000, 160)
    hall.admit("party", "judge")
    await until(lambda: judge.hears(1_000) and party.hears(2_000), "they hear each other")
    harmed = hall.conference.peers["party"]
    assert harmed.connection is not None

    async def fails() -> None:
        raise OverflowError("of the test")

    monkeypatch.setattr(harmed.connection.inbound(SOUND), "report", fails)
    connection = harmed.connection
    await until(lambda: harmed.connection is None and connection.connectionState == "closed", "the party's media ends")
    judge.forget()
    await until(lambda: judge.hears(ROOM_HZ), "the judge hears the room")


async def test_two_people_and_the_room_hear_and_see_each_other_and_the_record_has_them(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        party, counsel = await hall.join("party", 1_000, 120), await hall.join("counsel", 2_000, 200)
        hall.admit("party", "counsel")
        await until(lambda: party.hears(ROOM_HZ) and party.hears(2_000), "the party hears the room and counsel")
        await until(lambda: counsel.hears(ROOM_HZ) and counsel.hears(1_000), "counsel hears the room and the party")
        await until(lambda: party.sees(ROOM_SHADE) and party.sees(200), "the party sees the room and counsel")
        await until(lambda: counsel.sees(ROOM_SHADE) and counsel.sees(120), "counsel sees the room and the party")
        party.forget()
        await until(lambda: len(party.heard) > 30, "more sound")
        assert not party.hears(1_000)
        opened = {one.track: one.label for one in ingest.all(child.TrackOpened)}
        assert opened == {
            "remote-party-audio": "Party (party)", "remote-party-video": "Party (party)",
            "remote-counsel-audio": "Counsel (counsel)", "remote-counsel-video": "Counsel (counsel)",
        }  # fmt: skip
        start_us = mono_us()
        ingest.tell(child.StartPart(from_mono_us=start_us, origin_mono_us=start_us, tracks=dict.fromkeys(opened, 1)))
        await until(lambda: recorded_us(ingest, "remote-party-audio") > 2_000_000, "two seconds of sound")
        await until(lambda: recorded_us(ingest, "remote-counsel-video") > 1_000_000, "a second of pictures")
    assert [fact.name for fact in hall.told].count("admitted") == 2
    played = np.concatenate(hall.played[-50:]).astype(np.float64)
    assert {round(hz, -1) for hz in loudest(played, 2)} == {1_000.0, 2_000.0}


def recorded_us(ingest: Linked, track: str) -> int:
    """How much of a track has been recorded."""
    per_s = 48_000 if track.endswith("audio") else 90_000
    return sum(one.dur for one in ingest.all(child.Fragment) if one.track == track) * 1_000_000 // per_s


def loudest(samples: np.ndarray, count: int) -> list[float]:
    """The strongest frequencies, at least 100 Hz apart."""
    spectrum, found = np.abs(np.fft.rfft(samples)), list[float]()
    per_bin = 48_000 / samples.size
    while len(found) < count:
        at = int(np.argmax(spectrum))
        found.append(at * per_bin)
        spectrum[max(0, at - int(100 / per_bin)) : at + int(100 / per_bin)] = 0
    return found


async def test_what_is_said_in_private_is_heard_by_those_in_it_alone_and_is_nowhere_in_the_record(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        people = {name: await hall.join(name, hz, 120) for name, hz in (("party", 1_000.0), ("counsel", 2_000.0), ("judge", 3_000.0))}
        hall.admit(*people)
        await until(lambda: people["judge"].hears(1_000) and people["judge"].hears(2_000), "the judge hears both")
        tracks = record(ingest)
        await until(lambda: recorded_us(ingest, "remote-party-audio") > 1_000_000, "a second of the party")

        hall.conference.act(staff.Consult(by=CLERK, people=["party", "counsel"]))
        people["party"].microphone.hz = PRIVATE_HZ
        await until(lambda: people["counsel"].hears(PRIVATE_HZ), "counsel hears the party")
        assert not people["counsel"].hears(3_000)
        people["judge"].forget()
        hall.played.clear()
        await until(lambda: len(people["judge"].heard) > 50, "a second of what the judge hears")
        assert people["judge"].hears(ROOM_HZ)
        assert not people["judge"].hears(PRIVATE_HZ)

        people["party"].microphone.hz = 1_500.0
        hall.conference.act(staff.EndConsultation(by=CLERK, consultation=1))
        await until(lambda: people["judge"].hears(1_500), "the judge hears the party again")
        before_us = recorded_us(ingest, "remote-party-audio")
        record(ingest)
        await until(lambda: recorded_us(ingest, "remote-party-audio") > before_us + 1_000_000, "the party is recorded again")
        assert sounds(ingest, tracks, 1_500.0)
        assert sounds(ingest, tracks, 1_000.0), "the search finds what was recorded"
        assert not sounds(ingest, tracks, PRIVATE_HZ)
        assert not any(tone_in(block, PRIVATE_HZ) for block in hall.played)
    names = [fact.name for fact in hall.told]
    assert names.index("consultation_began") < names.index("consultation_ended")


async def test_what_is_said_while_the_room_is_privileged_reaches_nobody_even_when_it_is_open_again(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        party, judge = await hall.join("party", 1_000.0, 120), await hall.join("judge", 3_000.0, 200)
        hall.admit("party", "judge")
        await until(lambda: judge.hears(1_000) and judge.sees(120), "the judge hears and sees the party")
        tracks = record(ingest)
        await until(lambda: recorded_us(ingest, "remote-party-audio") > 1_000_000, "a second of the party")
        for state in ("privileged", "deliberation"):
            hall.conference.act(acts.RoomIs(hearing="h1", state=state))
            party.microphone.hz, party.camera.shade = PRIVATE_HZ, PRIVATE_SHADE
            sent = party.camera.sent
            await until(lambda sent=sent: party.camera.sent > sent + 12, "a second of what is private")  # type: ignore[misc]
            judge.forget()
            hall.played.clear()
            hall.conference.act(acts.RoomIs(hearing="h1", state="open"))
            party.microphone.hz, party.camera.shade = 1_500.0, 120
            record(ingest)
            await until(lambda: judge.hears(1_500) and judge.sees(120), "the judge hears and sees the party again")
            assert not any(tone_in(block, PRIVATE_HZ) for block in [*judge.heard, *hall.played])
            assert not any(abs(shade - PRIVATE_SHADE) < NEAR for shades in judge.shades for shade in shades)
        before_us = recorded_us(ingest, "remote-party-audio")
        record(ingest)
        await until(lambda: recorded_us(ingest, "remote-party-audio") > before_us + 500_000, "the party is recorded again")
        assert sounds(ingest, tracks, 1_000.0)
        assert sounds(ingest, tracks, 1_500.0), "the search finds what was recorded"
        assert not sounds(ingest, tracks, PRIVATE_HZ)


async def test_who_is_isolated_hears_and_sees_nothing_and_is_in_no_tile(hall: Hall) -> None:
    witness, party = await hall.join("witness", 1_000, 200), await hall.join("party", 2_000, 120)
    hall.admit("witness", "party")
    await until(lambda: party.hears(ROOM_HZ) and party.sees(ROOM_SHADE), "the party takes part")
    assert witness.heard == []
    assert witness.shades == [[], []]
    assert not party.hears(1_000)
    assert not party.sees(200)
    hall.conference.act(staff.Call(by=CLERK, person="witness"))
    await until(lambda: party.hears(1_000) and party.sees(200), "the party hears and sees the witness")
    await until(lambda: witness.hears(2_000) and witness.sees(ROOM_SHADE), "the witness takes part")
    hall.conference.act(staff.Dismiss(by=CLERK, person="witness"))
    for what in ("what was still on its way", "what the party hears and sees from then on"):
        party.forget()
        await until(lambda: len(party.heard) > 50, what)
    assert not party.hears(1_000)
    assert party.shades[1] == []


async def test_a_page_that_was_replaced_is_shown_nothing_more_however_long_its_connection_hangs_on(hall: Hall) -> None:
    party, counsel = await hall.join("party", 1_000, 120), await hall.join("counsel", 2_000, 200)
    hall.admit("party", "counsel")
    await until(lambda: counsel.sees(120) and counsel.sees(ROOM_SHADE), "counsel sees the party and the room")
    hall.conference.enter(Peer("counsel", "phone", lambda _: None))
    for what in ("what was still on its way", "what is shown from then on"):
        counsel.forget()
        sent = party.camera.sent
        await until(lambda sent=sent: party.camera.sent > sent + 12, what)  # type: ignore[misc]
    assert counsel.shades == [[], []]


async def test_who_is_called_is_shown_no_picture_of_before(hall: Hall) -> None:
    witness = await hall.join("witness", 1_000, 200)
    hall.admit("witness")
    await until(lambda: hall.picture.last_us, "pictures of the room")
    called_us = mono_us()
    hall.conference.act(staff.Call(by=CLERK, person="witness"))
    (peer,) = hall.conference.peers.values()
    assert all(slot.not_before_us >= called_us for slot in peer.slots)
    await until(lambda: witness.sees(ROOM_SHADE), "the witness sees the room")


async def test_who_looks_in_is_shown_no_picture_of_before_the_hearing_went_on_the_record(hall: Hall) -> None:
    hall.conference.act(acts.RoomIs(hearing="h1", state="off_record"))
    await until(lambda: hall.picture.last_us, "pictures of the room")
    public_us = mono_us()
    hall.conference.act(acts.RoomIs(hearing="h1", state="open"))
    viewer, page = Peer(f"{LOOKS_IN}l1", "look-in", lambda _: None), Browser(700.0, 90)
    connection = Connection([])
    await page.call(connection)
    viewer.take(connection, mono_us(), lambda: None)
    hall.conference.show(viewer)
    assert viewer.slots
    assert all(slot.not_before_us >= public_us for slot in viewer.slots)
    await page.close()
    await connection.close()


async def test_who_is_muted_is_not_heard_and_his_track_ends(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        party, counsel = await hall.join("party", 1_000, 120), await hall.join("counsel", 2_000, 200)
        hall.admit("party", "counsel")
        await until(lambda: counsel.hears(1_000), "counsel hears the party")
        hall.conference.act(staff.Mute(by=CLERK, person="party", on=True))
        await until(lambda: ingest.all(child.TrackClosed), "the end of the track")
        assert [(one.track, one.cause) for one in ingest.all(child.TrackClosed)] == [("remote-party-audio", "not-heard")]
        counsel.forget()
        await until(lambda: len(counsel.heard) > 30, "more sound")
        assert not counsel.hears(1_000)
        assert party.hears(2_000)


async def test_what_was_said_while_muted_is_not_heard_at_the_unmuting(hall: Hall) -> None:
    conference, encoder, heard = hall.conference, Encoder(), list[bytes]()
    for name in ("party", "counsel"):
        conference.act(came(name))
    hall.admit("party", "counsel")
    conference.act(staff.Mute(by=CLERK, person="party", on=True))
    now_us = mono_us() + 2 * PRIVATE_TAIL_US  # their admission is long ago
    for number in range(8):
        conference.sound.level("party", -20, now_us)
        conference.sound.voice("party", Unit(number * BLOCK, (encoder.encode(tone(1_000, 6_000, number)),), now_us), now_us)
    conference.act(staff.Mute(by=CLERK, person="party", on=False))
    for _ in range(8):
        conference.sound.tick(conference.order, {"counsel": heard.append}, now_us)
    decoder = Decoder()
    decoded = [block for packet in heard if (block := decoder.decode(packet)) is not None]
    assert max((float(np.max(np.abs(block))) for block in decoded), default=0.0) < 50


async def test_a_shared_screen_is_shown_to_the_others_and_recorded(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        ingest.first(child.Opened)
        await hall.join("party", 1_000, 200)
        counsel = await hall.join("counsel", 2_000, 200)
        hall.admit("party", "counsel")
        hall.conference.act(acts.Share(on=True), "party")
        await until(lambda: "remote-party-screen" in {one.track for one in ingest.all(child.TrackOpened)}, "the track of the screen")
        await until(lambda: counsel.sees(SCREEN_SHADE), "counsel sees the screen")


async def test_what_an_old_connection_still_brings_is_no_part_of_the_track_that_begins_anew(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = await hall.join("party", 1_000, 120)
    hall.admit("party")
    recorded: list[bytes] = []
    monkeypatch.setattr(hall.recording, "media", lambda _track, _mono_us, _dur_us, body, *, key: recorded.append(body))  # noqa: ARG005
    await until(lambda: any(len(body) > 500 for body in recorded), "pictures")
    take_late = hall.connections[0].inbound(CAMERA).on_unit
    hall.conference.gone(hall.conference.peers["party"], left=False)
    await party.close()
    recorded.clear()
    party = await hall.join("party", 1_000, 120)
    await until(lambda: any(len(body) > 500 for body in recorded), "pictures by the new connection")
    known = len(recorded)
    take_late(Unit(1, tuple(split(PictureEncoder().units(200, key=True), [])), mono_us()))
    assert len(recorded) == known


async def test_after_a_connection_is_lost_the_same_device_has_its_place_again(hall: Hall) -> None:
    party, counsel = await hall.join("party", 1_000, 120), await hall.join("counsel", 2_000, 200)
    hall.admit("party", "counsel")
    await until(lambda: counsel.hears(1_000), "counsel hears the party")
    hall.conference.gone(hall.conference.peers["party"], left=False)
    await party.close()
    await until(lambda: not counsel.hears(1_000), "silence")
    again = await hall.join("party", 1_500, 120)
    await until(lambda: counsel.hears(1_500) and again.hears(2_000), "both hear each other again")


def record(ingest: Linked) -> list[str]:
    """Begin a part of every track that is open now; their names."""
    closed = [one.track for one in ingest.all(child.TrackClosed)]
    tracks = [one.track for one in ingest.all(child.TrackOpened)]
    part = 1 + max((one.part for one in ingest.all(child.Init)), default=0)
    now_us = mono_us()
    fresh = [track for track in dict.fromkeys(tracks) if tracks.count(track) > closed.count(track)]
    ingest.tell(child.StartPart(from_mono_us=now_us, origin_mono_us=now_us, tracks=dict.fromkeys(fresh, part)))
    return fresh


def sounds(ingest: Linked, tracks: list[str], hz: float) -> bool:
    """Whether a tone is anywhere in the sound that was recorded."""
    for track in tracks:
        parts = {one.part for one in ingest.all(child.Init) if one.track == track}
        for part in parts if track.endswith("audio") else ():
            with av.open(io.BytesIO(ingest.media(track, part)), "r") as file:
                if any(tone_in(frame.to_ndarray()[0], hz) for frame in file.decode(audio=0)):
                    return True
    return False


def tone_in(samples: np.ndarray, hz: float) -> bool:
    """Whether a block has this tone."""
    wave = np.exp(-2j * np.pi * hz * np.arange(samples.size) / 48_000)
    return bool(abs(wave @ samples.astype(np.float64)) * 2 / samples.size > (1_000 if samples.dtype == np.int16 else 1_000 / 32_768))
