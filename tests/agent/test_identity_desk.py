"""The clerk's check of who a participant is, without vks."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from agent import identity_desk
from agent.conference_link import ConferenceLink
from agent.desk import DeskError
from agent.identity_desk import IdentifyOrder, IdentityDesk
from agent.recorder_link import RecorderLink
from provisioning.videoconference import Vks
from recorder.contract import conference

PERSON = conference.Present(
    person="g1", name="B. Party", role="party", place="lobby", connected=True, rival=False, muted=False, hand=False, consultation=0,
    quality="good", identity="checking",
)  # fmt: skip
FACE = conference.TakeStill(by="A. Clerk", person="g1", of="face")


class Counter:
    """The desk, and a vks that does what is asked."""

    def __init__(self, run_dir: Path, after: dict[str, object] | None = None, vks: Vks | None = None) -> None:
        self.asked: list[conference.OfStaff] = []
        self._after = after or {}
        self._link = ConferenceLink(run_dir, RecorderLink(run_dir), lambda: None)
        self.desk = IdentityDesk(self._act, self._link, vks or Vks())
        self._stands(PERSON)

    async def _act(self, act: conference.OfStaff) -> None:
        self.asked.append(act)
        self._stands(msgspec.structs.replace(PERSON, **self._after))

    def _stands(self, person: conference.Present) -> None:
        self._link.stands = conference.Stands(hearing="h1", people=[person], sharing="", look_ins=[], order=b"")


async def test_vks_knows_the_hash_of_the_links_token_alone(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    links = {(await counter.desk.begin(IdentifyOrder(actor="A. Clerk", person="g1"))).link for _ in range(2)}
    assert len(links) == 2, "a token is used once"
    hashes = {act.token_sha256 for act in counter.asked if isinstance(act, conference.Identify)}
    assert hashes == {hashlib.sha256(link.removeprefix("http://127.0.0.1:8443/identity/#").encode()).hexdigest() for link in links}


async def test_nobody_is_hidden_for_a_check_that_no_screen_shows(tmp_path: Path) -> None:
    counter = Counter(tmp_path, vks=Vks(address="", display_port=0))
    with pytest.raises(DeskError, match="display_port = 0"):
        await counter.desk.begin(IdentifyOrder(actor="A. Clerk", person="g1"))
    assert counter.asked == []


async def test_a_still_is_told_as_taken_when_it_is(tmp_path: Path) -> None:
    counter = Counter(tmp_path, {"faces": 1})
    assert "face" in (await counter.desk.take(FACE)).text
    assert counter.asked == [FACE]


async def test_a_still_that_was_lost_with_the_recorder_is_told(tmp_path: Path) -> None:
    counter = Counter(tmp_path, {"faces": 0})
    counter._stands(msgspec.structs.replace(PERSON, faces=1))
    with pytest.raises(DeskError, match="the recorder was away"):
        await counter.desk.take(FACE)


@pytest.mark.parametrize(("after", "words"), [({"documents": 1}, "no picture"), ({"identity": "unchecked"}, "ended meanwhile")])
async def test_a_still_that_does_not_come_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: dict[str, object], words: str
) -> None:
    monkeypatch.setattr(identity_desk, "STILL_S", 0.0)
    with pytest.raises(DeskError, match=words):
        await Counter(tmp_path, after).desk.take(FACE)
