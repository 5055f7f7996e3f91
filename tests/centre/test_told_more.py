"""A room that was told more than the leader has: one that was deposed and does not know is not taken for a restored centre."""

import pytest

from agent.upstream import contract
from agent.upstream.centre.backend import AwayError, Backend
from agent.upstream.centre.nats_plan import NatsPlan
from agent.upstream.centre.told_more import BACK_S, ToldMore
from tests.centre.test_backends import DAY_US, soon
from tests.lab.events import hearing
from tests.lab.fronts import nats_fronts, seen
from tests.lab.nats_cluster import NatsCluster


def test_a_leader_that_lacks_a_number_for_a_moment_is_none_that_was_restored() -> None:
    rooms = ToldMore()
    assert not rooms.is_restored("r", 105, 1000.0)
    assert not rooms.is_restored("r", 105, 1000.0 + BACK_S)
    assert rooms.is_restored("r", 105, 1000.1 + BACK_S), "one that lacks it for so long was"
    assert rooms.is_restored("r", 105, 1000.2 + BACK_S), "an answer that was lost is given again"


def test_each_room_and_each_number_has_a_time_of_its_own() -> None:
    rooms = ToldMore()
    assert not rooms.is_restored("r", 105, 1000.0)
    assert not rooms.is_restored("other", 105, 1001.0 + BACK_S)
    assert not rooms.is_restored("r", 110, 1001.0 + BACK_S), "it was told another one meanwhile"
    rooms.is_found("r")
    assert not rooms.is_restored("r", 110, 2000.0), "it was there meanwhile"


async def test_a_room_is_not_told_of_a_restored_centre_by_a_leader_that_was_deposed(
    cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nats_fronts(cluster, 1) as (front,):
        at = (await front.plan.put([soon("h", "r")])).offset
        assert isinstance(front.plan, NatsPlan)

        async def behind(*_: object) -> int:
            return at

        with monkeypatch.context() as deposed:
            deposed.setattr(front.plan._jet, "last_seq", behind)
            with pytest.raises(AwayError):
                await front.plan.feed("r", at + 1)
        later = await front.plan.put([soon("h", "r", title="New")])
        feed = await front.plan.feed("r", at + 1)
        assert (feed.as_of, feed.snapshot, later.offset) == (at + 1, None, at + 1)


async def test_a_room_that_was_told_more_than_there_is_gets_a_snapshot(fronts: list[Backend]) -> None:
    one, _ = fronts
    assert await one.plan.feed("r", 0) == contract.Feed(as_of=0)
    at = (await one.plan.put([soon("a", "r"), hearing("old", "r", starts_utc_us=DAY_US)])).offset
    held = []

    async def is_believed() -> bool:
        try:
            held.append((await one.plan.feed("r", at + 100)).snapshot)
        except AwayError:  # a leader that was deposed has less too: it is not believed at once
            return False
        return True

    await seen(is_believed)
    assert held[0] is not None
    assert [each.id for each in held[0].hearings] == ["a"]
