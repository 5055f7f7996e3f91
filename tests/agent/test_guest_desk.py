"""The clerk's counter for participants, without vks."""

import datetime as dt
import time
from pathlib import Path

import msgspec
import pytest

from agent.audience_token import AGAIN_S, AudienceToken
from agent.conference_link import ConferenceLink
from agent.desk import DeskError
from agent.guest_desk import GuestDesk, InviteOrder
from agent.guests import Guests
from agent.held import Held
from agent.recorder_link import RecorderLink
from agent.upstream import contract
from agent.visit_desk import VisitDesk
from agent.visits import Visits
from provisioning.audience import Audience
from provisioning.videoconference import Vks
from recorder.contract import conference
from recorder.contract.conference import iin_sha256_of
from tests.lab.events import hearing

ORDER = InviteOrder(actor="A. Clerk", name="B. Party", role="party")


def desk(run_dir: Path, vks: Vks, plan: dict[str, contract.Hearing] | None = None) -> GuestDesk:
    """Of a room with this videoconference, where a hearing is held."""
    link = ConferenceLink(run_dir, RecorderLink(run_dir), lambda: None)
    visits = VisitDesk(link, Visits(run_dir / "visit.json", "boot-1"), None)
    made = GuestDesk(link, Guests(run_dir / "guests.json"), vks, "lab", visits, lambda: plan)
    made.held = Held(id="h1", hearing="h1")
    return made


@pytest.mark.parametrize(
    ("vks", "root"),
    [
        (Vks(), "http://127.0.0.1:8443/join/#"),
        (Vks(address="::1"), "http://[::1]:8443/join/#"),
        (Vks(address="192.0.2.7", certificate="c.pem", key="k.pem"), "https://192.0.2.7:8443/join/#"),
        (Vks(address="", public_url="https://centre.example"), "https://centre.example/r/lab/join/#"),
    ],
)
async def test_a_link_leads_to_where_browsers_reach_the_room(tmp_path: Path, vks: Vks, root: str) -> None:
    invited = await desk(tmp_path, vks).invite(ORDER)
    assert invited.link == f"{root}{invited.token}"


async def test_a_name_is_invited_with_plain_spaces_and_one_with_what_nobody_sees_is_not(tmp_path: Path) -> None:
    counter = desk(tmp_path, Vks())
    await counter.invite(msgspec.structs.replace(ORDER, name="C.\u00a0Akhmetova"))
    assert [one.name for one in Guests(tmp_path / "guests.json").of("h1")] == ["C. Akhmetova"]
    with pytest.raises(DeskError, match=r"U\+200B.*type the name anew"):
        await counter.invite(msgspec.structs.replace(ORDER, name="Ann\u200b"))
    assert len(Guests(tmp_path / "guests.json").of("h1")) == 1


@pytest.mark.parametrize("vks", [Vks(address=""), Vks(port=0)])
async def test_nobody_is_invited_to_a_room_that_no_link_leads_to(tmp_path: Path, vks: Vks) -> None:
    counter = desk(tmp_path, vks)
    with pytest.raises(DeskError, match=r"public_url in \[vks\] of room\.toml"):
        await counter.invite(ORDER)
    assert Guests(tmp_path / "guests.json").of("h1") == []


def test_the_conference_is_told_which_record_is_made(tmp_path: Path) -> None:
    assert desk(tmp_path, Vks()).hearing_is(Held(id="h1", hearing="h1", record="r1")).record == "r1"


@pytest.mark.parametrize(
    ("audience", "why"),
    [(None, r"room\.toml has no \[vks\.audience\]"), (Audience(whip="https://sfu.example/whip", token="missing.token"), "cannot be read")],
)
async def test_no_large_audience_is_wanted_where_none_can_watch(tmp_path: Path, audience: Audience | None, why: str) -> None:
    counter = desk(tmp_path, Vks(audience=audience))
    assert counter.hearing_is(Held(id="h1", hearing="h1")).audience is None
    with pytest.raises(DeskError, match=why):
        await counter.act(conference.ToAudience(by="A. Clerk", on=True))
    with pytest.raises(DeskError, match="not running"):
        await counter.act(conference.ToAudience(by="A. Clerk", on=False))


def test_the_large_audiences_server_is_told_to_vks_with_the_newest_token(tmp_path: Path) -> None:
    token = tmp_path / "whip.token"
    token.write_text("first-token\n", encoding="ascii")
    reader = AudienceToken(Audience(whip="https://sfu.example/whip", token=str(token)))
    assert reader.server(0) == conference.AudienceServer(whip="https://sfu.example/whip", token="first-token")
    token.write_text("second-token\n", encoding="ascii")
    now = reader.server(AGAIN_S)
    assert now is not None
    assert now.token == "second-token"
    token.write_text("two words\n", encoding="ascii")
    assert reader.server(2 * AGAIN_S) == now, "what goes on does so"
    assert "holds no token" in reader.why_not
    assert "words" not in reader.why_not


@pytest.mark.parametrize("url", ["https://other.example/whep/7", "http://sfu.example/whep/7", "https://sfu.example:444/whep/7", "whep"])
async def test_speakers_are_taken_in_from_the_large_audiences_own_server_alone(tmp_path: Path, url: str) -> None:
    token = tmp_path / "whip.token"
    token.write_text("a-token\n", encoding="ascii")
    counter = desk(tmp_path, Vks(audience=Audience(whip="https://sfu.example/whip", token=str(token))))
    with pytest.raises(DeskError, match="own server alone: https://sfu"):
        await counter.act(conference.TakeIn(by="A. Clerk", feed=url, name="C. Expert", role="specialist"))
    with pytest.raises(DeskError, match="not running"):
        await counter.act(conference.TakeIn(by="A. Clerk", feed="https://sfu.example/whep/7", name="C. Expert", role="specialist"))
    with pytest.raises(DeskError, match="nobody sees"):
        await counter.act(conference.TakeIn(by="A. Clerk", feed="https://sfu.example/whep/7", name="\u202eExpert", role="specialist"))


DAY_US = 24 * 3_600_000_000


async def test_a_link_lasts_until_a_day_after_its_hearing_is_planned_to_end(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1_000
    far = hearing("far", "lab", starts_utc_us=now_us + 30 * DAY_US, ends_utc_us=now_us + 30 * DAY_US + 1)
    counter = desk(tmp_path, Vks(), plan={"far": far})
    assert (await counter.invite(msgspec.structs.replace(ORDER, hearing="far"))).until > f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    await counter.invite(ORDER)
    guests = Guests(tmp_path / "guests.json")
    assert guests.of("far")[0].until_utc_us == far.ends_utc_us + DAY_US
    assert now_us + DAY_US <= guests.of("h1")[0].until_utc_us < now_us + 2 * DAY_US, "the one that is held, and in no plan"


async def test_the_clerk_invites_at_once_though_the_videoconference_is_not_there_yet(tmp_path: Path) -> None:
    link = ConferenceLink(tmp_path, RecorderLink(tmp_path), lambda: counter.hearing_is(Held(id="h2", hearing="h2")))
    counter = GuestDesk(link, Guests(tmp_path / "guests.json"), Vks(), "lab", VisitDesk(link, Visits(tmp_path / "visit.json", "b"), None))
    assert (await counter.invite(ORDER)).hearing == "h2"


async def test_nobody_is_invited_to_a_hearing_that_is_mistyped(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="no hearing 'H22' is planned in this room"):
        await desk(tmp_path, Vks(), plan={}).invite(msgspec.structs.replace(ORDER, hearing="H22"))
    assert (await desk(tmp_path, Vks()).invite(msgspec.structs.replace(ORDER, hearing="H22"))).hearing == "H22", "a room that works alone"


async def test_an_identification_number_is_kept_as_its_hash_and_bound_to_the_link(tmp_path: Path) -> None:
    counter = desk(tmp_path, Vks())
    await counter.invite(ORDER)
    await counter.invite(msgspec.structs.replace(ORDER, iin="123456789011"))
    without, bound = Guests(tmp_path / "guests.json").of("h1")
    assert (without.iin_sha256, bound.iin_sha256) == ("", iin_sha256_of("123456789011"))
    assert counter.hearing_is(counter.held).invitations == [without, bound]
    assert b"123456789011" not in (tmp_path / "guests.json").read_bytes()


@pytest.mark.parametrize("iin", ["12345678901", "1234567890112", "IIN123456789", "12345678901\n"])
def test_what_is_no_identification_number_is_refused(iin: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(ORDER, iin=iin)), type=InviteOrder)
