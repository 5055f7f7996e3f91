"""The clerk's counter for participants, without vks."""

from pathlib import Path

import msgspec
import pytest

from agent.conference_link import ConferenceLink
from agent.desk import DeskError
from agent.guest_desk import GuestDesk, InviteOrder
from agent.guests import Guests
from agent.held import Held
from agent.recorder_link import RecorderLink
from provisioning.videoconference import Vks
from recorder.contract.conference import iin_sha256_of

ORDER = InviteOrder(actor="A. Clerk", name="B. Party", role="party")


def desk(run_dir: Path, vks: Vks) -> GuestDesk:
    """Of a room with this videoconference, where a hearing is held."""
    made = GuestDesk(ConferenceLink(run_dir, RecorderLink(run_dir), lambda: None), Guests(run_dir / "guests.json"), vks, "lab")
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
