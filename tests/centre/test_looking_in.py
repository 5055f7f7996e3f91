"""The centre's side of a look-in: a link for one person, of whose token neither the room nor the centre's file has more than the hash."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from agent.upstream import contract
from agent.upstream.centre import admin
from tests.lab.centre import Centre, centre

DOOR = "https://centre.example"


def wanted(**changes: object) -> admin.LookInto:
    asked = {"room": "room-1", "person": "B. Inspector", "reason": "a complaint", "length_s": 600}
    return admin.LookInto(**{**asked, **changes})  # type: ignore[arg-type] # what the test changes


async def test_the_link_has_the_token_and_everything_else_its_hash_alone(tmp_path: Path) -> None:
    with centre(tmp_path, public_url=f"{DOOR}/") as it:
        files = await asyncio.to_thread(it.enrol, "room-1")
        told = await asyncio.to_thread(it.ask, wanted())
        root, token = str(told["link"]).split("#")
        assert root == f"{DOOR}/r/room-1/look/"
        async with it.client(files) as client:
            (command,) = (await client.feed(0, 0, 0)).commands
        assert isinstance(command, contract.StartLookIn)
        assert (command.lookin, command.person, command.length_s) == (told["lookin"], "B. Inspector", 600)
        assert command.token_sha256 == hashlib.sha256(token.encode()).hexdigest()
        kept = [file for file in it.home.root.rglob("*") if file.is_file()]
        assert kept
        assert not any(token.encode() in file.read_bytes() for file in kept)


@pytest.mark.parametrize("blank", [{"person": ""}, {"person": " "}, {"person": "B.\nInspector"}, {"reason": ""}, {"length_s": 3_601}])
async def test_nobody_looks_in_without_a_name_and_a_reason_that_screens_can_show_or_for_long(
    tmp_path: Path, blank: dict[str, object]
) -> None:
    with centre(tmp_path, public_url=DOOR) as it:
        files = await asyncio.to_thread(it.enrol, "room-1")
        with pytest.raises(admin.AdminError, match="write one line of each"):
            await asyncio.to_thread(it.ask, wanted(**blank))
        async with it.client(files) as client:
            assert (await client.feed(0, 0, 0)).commands == []


def test_without_a_door_that_browsers_reach_no_link_is_made(shared: Centre) -> None:
    with pytest.raises(admin.AdminError, match=r"public_url in centre\.toml"):
        shared.ask(wanted())
