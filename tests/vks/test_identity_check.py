"""A check of who somebody is, with real peers and the real ingest child: the clerk sees it, and the record has its stills alone."""

import io
from pathlib import Path

import av

from recorder.contract import child
from recorder.contract import conference as staff
from tests.children.linked import Linked, linked
from tests.children.test_ingest import DEVICE
from tests.vks.browsers import NEAR, Browser, Watcher, until
from tests.vks.test_conference import Hall, record, recorded_us
from tests.vks.test_conference import hall as hall  # noqa: PLC0414 - a fixture is used by its name
from tests.vks.test_identity import identify
from tests.vks.test_rules import CLERK
from vks.connection import Connection
from vks.identity_screen import Viewer
from vks.order import checker
from vks.times import mono_us

FACE, DOCUMENT, COUNSEL = 120, 160, 200
STILLS = "remote-party-identity"
WHILE = 12
"""Pictures that somebody sends in a second."""


async def on_screen(hall: Hall) -> Watcher:
    """The clerk's screen."""
    watcher, connection = Watcher(1), Connection([], takes_media=False)
    hall.connections.append(connection)
    await watcher.dial(connection.answer)
    viewer = Viewer(checker("party"), "identity", lambda _: None)
    viewer.take(connection, mono_us(), lambda: None)
    hall.conference.show(viewer)
    return watcher


def told(hall: Hall) -> list[tuple[str, object]]:
    return [(fact.name, fact.data.get("of")) for fact in hall.told if fact.name.startswith("identity")]


def shades(ingest: Linked, track: str) -> list[float]:
    """The brightness of every picture of a track in the record."""
    found = []
    for part in sorted({one.part for one in ingest.all(child.Init) if one.track == track}):
        with av.open(io.BytesIO(ingest.media(track, part)), "r") as file:
            found += [float(frame.to_ndarray(format="gray").mean()) for frame in file.decode(video=0)]
    return found


async def holds_up(hall: Hall, ingest: Linked) -> tuple[Browser, Browser]:
    """A party whom counsel sees and the record holds is checked, and holds a document up."""
    ingest.first(child.Opened)
    party, counsel = await hall.join("party", 1_000, FACE), await hall.join("counsel", 2_000, COUNSEL)
    hall.admit("party", "counsel")
    await until(lambda: counsel.sees(FACE), "counsel sees the party")
    record(ingest)
    await until(lambda: recorded_us(ingest, "remote-party-video") > 500_000, "the party is recorded")
    hall.conference.act(identify())
    party.camera.shade = DOCUMENT
    return party, counsel


async def test_a_document_is_seen_by_the_clerk_alone_and_recorded_as_stills_alone(hall: Hall, tmp_path: Path) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        party, counsel = await holds_up(hall, ingest)
        screen = await on_screen(hall)
        await until(lambda: screen.sees(DOCUMENT), "the clerk sees the document")
        levels = {one.track: one.level for one in ingest.all(child.TrackOpened)}
        assert {track for track, level in levels.items() if level == "identity"} == {STILLS}
        record(ingest)
        for of in ("face", "document"):
            hall.conference.act(staff.TakeStill(by=CLERK, person="party", of=of))
            await until(lambda of=of: ("identity_still_taken", of) in told(hall), f"the still of the {of}")  # type: ignore[misc]
        before = party.camera.sent
        await until(lambda: party.camera.sent > before + WHILE, "more of the document is sent")
        counsel.forget()

        hall.conference.act(staff.ConfirmIdentity(by=CLERK, person="party"))
        party.camera.shade = FACE
        screen.forget()
        await until(lambda: counsel.sees(FACE), "counsel sees the party again")
        record(ingest)
        before_us = recorded_us(ingest, "remote-party-video")
        await until(lambda: recorded_us(ingest, "remote-party-video") > before_us + 500_000, "the party is recorded again")
        assert not any(abs(shade - DOCUMENT) < NEAR for seen in counsel.shades for shade in seen)
        await screen.close()
    stills, pictures = shades(ingest, STILLS), shades(ingest, "remote-party-video")
    assert len(stills) == 2
    assert all(abs(shade - DOCUMENT) < NEAR for shade in stills)
    assert pictures
    assert not any(abs(shade - DOCUMENT) < NEAR for shade in pictures)
    assert [name for name, _ in told(hall)] == ["identity_check_began", *["identity_still_taken"] * 2, "identity_confirmed"]
    ends = {one.track: one.cause for one in ingest.all(child.TrackClosed)}
    assert (ends[STILLS], ends["remote-party-video"]) == ("check-over", "not-seen")


async def test_a_still_counts_as_taken_only_when_the_record_takes_it(hall: Hall, tmp_path: Path) -> None:
    party = await hall.join("party", 1_000, FACE)
    hall.conference.act(identify())
    hall.conference.act(staff.TakeStill(by=CLERK, person="party", of="face"))
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        await until(lambda: any(one.track == STILLS for one in ingest.all(child.TrackOpened)), "the track of stills")
        before = party.camera.sent
        await until(lambda: party.camera.sent > before + WHILE, "a second of pictures")
        assert ("identity_still_taken", "face") not in told(hall), "no part of the record was begun"
        record(ingest)
        await until(lambda: ("identity_still_taken", "face") in told(hall), "the still")
        hall.conference.act(staff.RefuseIdentity(by=CLERK, person="party", reason="another face"))
        await until(lambda: ingest.all(child.TrackClosed), "the end of the track")
    assert len(shades(ingest, STILLS)) == 1
    assert hall.conference.order.people["party"].identity == "refused"


async def test_a_page_that_is_loaded_anew_in_a_check_shows_the_document_to_nobody_and_the_record_has_none_of_it(
    hall: Hall, tmp_path: Path
) -> None:
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        party, counsel = await holds_up(hall, ingest)
        hall.conference.gone(hall.conference.peers["party"], left=False)
        await party.close()
        counsel.forget()
        party = await hall.join("party", 1_000, DOCUMENT)
        record(ingest)
        await until(lambda: party.camera.sent > 3 * WHILE, "seconds of the document are sent")
        assert not any(abs(shade - DOCUMENT) < NEAR for seen in counsel.shades for shade in seen)
        party.camera.shade = FACE
        hall.admit("party")
        await until(lambda: counsel.sees(FACE), "counsel sees the party again")
        record(ingest)
        before_us = recorded_us(ingest, "remote-party-video")
        await until(lambda: recorded_us(ingest, "remote-party-video") > before_us + 500_000, "the party is recorded again")
        assert not any(abs(shade - DOCUMENT) < NEAR for seen in counsel.shades for shade in seen)
    assert not any(abs(shade - DOCUMENT) < NEAR for shade in shades(ingest, "remote-party-video"))
