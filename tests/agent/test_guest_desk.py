"""The clerk's counter for participants, without vks."""

from pathlib import Path

import pytest

from agent.conference_link import ConferenceLink
from agent.desk import DeskError
from agent.guest_desk import GuestDesk, InviteOrder
from agent.guests import Guests
from agent.held import Held
from agent.recorder_link import RecorderLink
from agent.visit_desk import VisitDesk
from agent.visits import Visits
from provisioning.videoconference import Vks

ORDER = InviteOrder(actor="A. Clerk", name="B. Party", role="party")


def desk(run_dir: Path, vks: Vks) -> GuestDesk:
    """Of a room with this videoconference, where a hearing is held."""
    link = ConferenceLink(run_dir, RecorderLink(run_dir), lambda: None)
    visits = VisitDesk(link, Visits(run_dir / "visit.json"), None)
    made = GuestDesk(link, Guests(run_dir / "guests.json"), vks, "lab", visits)
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


@pytest.mark.parametrize("vks", [Vks(address=""), Vks(port=0)])
async def test_nobody_is_invited_to_a_room_that_no_link_leads_to(tmp_path: Path, vks: Vks) -> None:
    counter = desk(tmp_path, vks)
    with pytest.raises(DeskError, match=r"public_url in \[vks\] of room\.toml"):
        await counter.invite(ORDER)
    assert Guests(tmp_path / "guests.json").of("h1") == []
