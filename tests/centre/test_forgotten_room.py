"""A room that is forgotten is listed no longer, until somebody names it or it is heard: whatever keeps it."""

from agent.upstream import contract
from agent.upstream.centre.backend import Backend, Shown, now_utc_us
from tests.centre.test_backends import DAY_US, soon
from tests.lab.events import beat
from tests.lab.fronts import seen


async def test_a_room_that_was_forgotten_is_listed_when_it_is_named_or_heard_again(fronts: list[Backend]) -> None:
    one, two = fronts
    now_us = now_utc_us()
    await one.registry.add_token("mistyped", "a" * 64, now_us + DAY_US)
    await one.registry.heard("gone", beat(), now_us)
    await one.registry.issued(7, "gone", now_us + DAY_US, "PEM")
    await one.plan.put([soon("h", "planned")])
    for front in fronts:
        await seen(lambda front=front: _lists(front, "gone", "mistyped", "planned"))  # type: ignore[misc]
    for room in ("mistyped", "gone", "planned"):
        await two.registry.forget(room, now_us)
    for front in fronts:
        await seen(lambda front=front: _lists(front))  # type: ignore[misc]
    assert not await one.registry.is_revoked(Shown(7, "gone", now_us)), "what it may do stays as it is"
    await one.registry.heard("gone", beat(), now_us + 1)
    await one.registry.add_token("mistyped", "b" * 64, now_us + DAY_US)
    await two.plan.put([soon("h2", "planned")])
    for front in fronts:
        await seen(lambda front=front: _lists(front, "gone", "mistyped", "planned"))  # type: ignore[misc]
        assert await front.commands.give("gone", contract.Refresh(number=0)) > 0


async def _lists(front: Backend, *rooms: str) -> bool:
    return tuple(state.room for state in await front.registry.rooms()) == rooms
