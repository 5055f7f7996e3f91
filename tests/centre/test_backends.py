"""What every keeper of a centre must do, tried on SQLite and on two fronts over three NATS servers."""

import asyncio
import random
import uuid

import msgspec
import nats
import nats.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream import contract
from agent.upstream.centre.backend import Backend, ConflictError, ContradictionError, DeniedError, Shown, UnknownRoomError, now_utc_us
from agent.upstream.centre.decisions import next_command
from agent.upstream.centre.nats_commands import NatsCommands
from agent.upstream.centre.nats_events import PER_MESSAGE
from tests.lab.events import batch, beat, hearing
from tests.lab.fronts import deafen, nats_fronts, seen
from tests.lab.nats_cluster import NatsCluster

DAY_US = 86_400 * 1_000_000


def soon(name: str, room: str, **fields: object) -> contract.Hearing:
    return hearing(name, room, starts_utc_us=now_utc_us() // DAY_US * DAY_US + DAY_US, **fields)


async def test_a_hearing_as_it_was_is_no_change_and_keeps_its_token(fronts: list[Backend]) -> None:
    one, two = fronts
    first = await one.plan.put([soon("h", "r")])
    assert first.changed == 1
    assert (await two.plan.put([soon("h", "r")])).changed == 0
    second = await two.plan.put([soon("h", "r", title="New")])
    assert second.changed == 1
    assert second.offset > first.offset
    held = (await two.plan.feed("r", 0)).snapshot
    assert held is not None
    assert [each.title for each in held.hearings] == ["New"]
    token = held.hearings[0].start_token
    assert token
    assert (await one.plan.put([soon("h", "r", title="New")])).changed == 0
    changes = await one.plan.after(0, 10)
    assert [(change.offset, change.hearing.start_token) for change in changes] == [(second.offset, token)]


async def test_a_room_gets_every_change_of_what_is_or_was_in_it_and_no_other(fronts: list[Backend]) -> None:
    one, _ = fronts
    at = (await one.plan.put([soon("a", "r1"), soon("b", "r2"), soon("c", "r3")])).offset
    moved = await one.plan.put([soon("a", "r2")])
    for room in ("r1", "r2"):
        feed = await one.plan.feed(room, at)
        assert feed.as_of == moved.offset
        assert [(change.offset, change.hearing.id, change.hearing.room) for change in feed.changes] == [(moved.offset, "a", "r2")]
    assert (await one.plan.feed("r3", at)).changes == []
    assert (await one.plan.feed("r1", moved.offset)).snapshot is None
    snapshot = (await one.plan.feed("r2", 0)).snapshot
    assert snapshot is not None
    assert {each.id for each in snapshot.hearings} == {"a", "b"}


async def test_a_room_is_told_by_one_front_what_another_planned(fronts: list[Backend]) -> None:
    one, two = fronts
    with two.news.room("r") as news:
        at = (await one.plan.put([soon("h", "r")])).offset
        async with asyncio.timeout(5):
            await news.wait()
    await seen(lambda: _as_of(two, at))
    # A front that has not seen yet what another one told must not call the room's offset one of a centre that was restored.
    assert (await two.plan.feed("r", at)).snapshot is None


async def _as_of(front: Backend, at: int) -> bool:
    return (await front.plan.feed("r", 0)).as_of == at


async def test_a_source_changes_its_own_and_the_case_system_takes_over(fronts: list[Backend]) -> None:
    one, two = fronts
    assert (await one.plan.put([soon("h", "r")], "file")).changed == 1
    assert (await two.plan.put([soon("h", "r", title="Other")], "ical")).changed == 0
    assert (await two.plan.put([soon("h", "r")])).changed == 0
    assert (await two.plan.put([soon("h", "r", title="Late")], "file")).changed == 0
    from_us, to_us = now_utc_us(), now_utc_us() + 3 * DAY_US
    assert [each.hearing.title for each in await two.plan.starting(from_us, to_us)] == [""]
    assert await two.plan.starting(from_us, to_us, "file") == []
    assert [each.hearing.id for each in await two.plan.starting(from_us, to_us, "api")] == ["h"]
    assert await two.plan.starting(to_us, to_us + DAY_US) == []


async def test_many_hearings_at_once_and_one_of_them_twice(fronts: list[Backend]) -> None:
    one, _ = fronts
    many = [soon(f"h{number}", f"r{number % 7}") for number in range(300)]
    assert (await one.plan.put([*many, soon("h0", "r0", title="Again")])).changed == 301
    assert (await one.plan.put(many)).changed == 1
    found: list[contract.Change] = []
    while read := await one.plan.after(found[-1].offset if found else 0, 100):
        found += read
    assert len(found) == 300
    assert {room.room for room in await one.registry.rooms()} == {f"r{number}" for number in range(7)}


async def test_two_fronts_that_plan_one_hearing_agree_on_it(fronts: list[Backend]) -> None:
    one, two = fronts
    titles = [f"Title {number}" for number in range(12)]
    await asyncio.gather(*(front.plan.put([soon("h", "r", title=title)]) for title in titles for front in (one, two)))
    changes = await one.plan.after(0, 10)
    assert len(changes) == 1
    await seen(lambda: _as_of(two, changes[0].offset))
    snapshots = [(await front.plan.feed("r", 0)).snapshot for front in (one, two)]
    assert snapshots[0] is not None
    assert snapshots[0] == snapshots[1]
    assert snapshots[0].hearings == [changes[0].hearing]


async def test_moves_by_two_fronts_at_once_leave_no_room_untold(fronts: list[Backend]) -> None:
    one, two = fronts
    names = [f"h{number}" for number in range(20)]
    at = (await one.plan.put([soon(name, "r0") for name in names])).offset
    tokens = {change.hearing.id: change.hearing.start_token for change in await one.plan.after(0, 100)}
    await asyncio.gather(
        *(front.plan.put([soon(name, room)]) for name in names for front, room in ((one, "r1"), (two, "r2")))
    )  # fmt: skip
    changes = {change.hearing.id: change.hearing for change in await one.plan.after(at, 100)}
    assert {name: hearing.start_token for name, hearing in changes.items()} == tokens
    await seen(lambda: _all_told(two, at, changes))
    assert await _all_told(one, at, changes)


async def _all_told(front: Backend, at: int, changes: dict[str, contract.Hearing]) -> bool:
    feeds = [await front.plan.feed(room, at) for room in ("r0", "r1", "r2")]
    return all({change.hearing.id: change.hearing for change in feed.changes} == changes for feed in feeds)


async def test_a_head_is_countersigned_once_and_what_contradicts_is_kept(fronts: list[Backend]) -> None:
    one, two = fronts
    record = str(uuid.uuid4())
    head = contract.Head(record=record, at=7, sha256="a" * 64)
    receipt = await one.ledger.countersign("r", head)
    assert (receipt.record, receipt.room, receipt.at, receipt.head) == (record, "r", 7, "a" * 64)
    assert await two.ledger.countersign("r", head) == receipt
    wrong = [("r", msgspec.structs.replace(head, sha256="b" * 64)), ("r", msgspec.structs.replace(head, at=3)), ("other", head)]
    for front in (one, two):
        for room, said in wrong:
            with pytest.raises(ContradictionError):
                await front.ledger.countersign(room, said)
    later = await two.ledger.countersign("r", msgspec.structs.replace(head, at=9))
    assert later.counter > receipt.counter
    with pytest.raises(ContradictionError):
        await one.ledger.countersign("r", head)
    assert list(await one.ledger.of_record(record)) == [receipt, later]
    assert list(await two.ledger.after(0, 10)) == [receipt, later]
    assert list(await two.ledger.after(receipt.counter, 1)) == [later]
    assert list(await two.ledger.after(later.counter, 10)) == []
    kept = {each.room: each for each in await one.ledger.contradictions(0)}
    assert (kept["r"].times, kept["r"].kept_at, kept["r"].said_head) == (5, 7, "b" * 64)
    assert kept["other"].times == 2
    assert await one.ledger.contradictions(now_utc_us() + DAY_US) == []


async def test_two_fronts_never_countersign_what_contradicts(fronts: list[Backend]) -> None:
    record = str(uuid.uuid4())
    heads = [contract.Head(record=record, at=5, sha256=letter * 64) for letter in "abcdef"]
    answers = await asyncio.gather(
        *(front.ledger.countersign("r", head) for head in heads for front in fronts), return_exceptions=True
    )  # fmt: skip
    receipts = {answer.head for answer in answers if not isinstance(answer, BaseException)}
    assert len(receipts) == 1
    assert all(isinstance(answer, ContradictionError) for answer in answers if isinstance(answer, BaseException))
    assert [receipt.head for receipt in await fronts[0].ledger.of_record(record)] == list(receipts)


async def test_commands_reach_the_room_by_any_front_and_their_numbers_rise(fronts: list[Backend]) -> None:
    one, two = fronts
    with pytest.raises(UnknownRoomError):
        await one.commands.give("r", contract.RunDiagnostics(number=0))
    await one.registry.add_token("r", "a" * 64, now_utc_us() + DAY_US)
    assert await two.commands.after("r", 0) == []
    with two.news.room("r") as news:
        first = await two.commands.give("r", contract.RunDiagnostics(number=0))
        async with asyncio.timeout(5):
            await news.wait()
    second = await one.commands.give("r", contract.Refresh(number=0))
    assert second > first
    assert list(await one.commands.after("r", 0)) == [contract.RunDiagnostics(number=first), contract.Refresh(number=second)]
    assert list(await one.commands.after("r", first)) == [contract.Refresh(number=second)]
    assert await one.commands.after("r", second) == []
    assert await one.commands.after("elsewhere", 0) == []


@given(last=st.integers(0, 2**43), now_utc_us=st.integers(0, 2**53))
def test_a_command_s_number_is_higher_than_the_last_one_and_than_those_of_before(last: int, now_utc_us: int) -> None:
    assert next_command(last, now_utc_us) > last
    assert next_command(last, now_utc_us) >= now_utc_us // 1000


async def test_of_all_who_use_a_token_one_succeeds(fronts: list[Backend]) -> None:
    one, two = fronts
    now_us = now_utc_us()
    await one.registry.add_token("r", "a" * 64, now_us + DAY_US)
    await one.registry.add_token("r", "b" * 64, now_us - 1)
    with pytest.raises(ConflictError, match="not good for this room"):
        await one.registry.use_token("other", "a" * 64, now_us)
    with pytest.raises(ConflictError, match="not good for this room"):
        await one.registry.use_token("r", "c" * 64, now_us)
    with pytest.raises(ConflictError, match="too old"):
        await one.registry.use_token("r", "b" * 64, now_us)
    await two.registry.check_token("r", "a" * 64, now_us)
    with pytest.raises(ConflictError, match="too old"):
        await two.registry.check_token("r", "b" * 64, now_us)
    answers = await asyncio.gather(
        *(front.registry.use_token("r", "a" * 64, now_us) for front in fronts for _ in range(5)), return_exceptions=True
    )  # fmt: skip
    assert answers.count(None) == 1
    assert all("used already" in str(answer) for answer in answers if answer is not None)


async def test_a_revocation_denies_what_was_issued_before_it(fronts: list[Backend]) -> None:
    one, two = fronts
    now_us = now_utc_us()
    assert await one.registry.revoke("r", now_us) == []
    await one.registry.issued(1 << 150, "r", now_us + DAY_US, "PEM")
    await two.registry.issued(2, "r", now_us + DAY_US, "PEM")
    await two.registry.issued(3, "other", now_us + DAY_US, "PEM")
    assert sorted(await one.registry.revoke("r", now_us)) == [2, 1 << 150]
    await one.registry.issued(4, "r", now_us + DAY_US, "PEM")
    shown = [Shown(1 << 150, "r", now_us), Shown(2, "r", now_us), Shown(3, "other", now_us), Shown(4, "r", now_us)]
    assert [await one.registry.is_revoked(each) for each in shown] == [True, True, False, False]
    await seen(lambda: two.registry.is_revoked(Shown(2, "r", now_us)))
    assert sorted(await two.registry.revoked()) == [(2, now_us), (1 << 150, now_us)]
    assert await two.registry.revoke("nobody", now_us) == []


async def test_a_certificate_that_was_denied_is_not_renewed_however_close_the_revocation_comes(fronts: list[Backend]) -> None:
    one, two = fronts
    now_us = now_utc_us()
    for old in range(100, 110):
        room, new = f"r{old}", old + 100
        await one.registry.issued(old, room, now_us + DAY_US, "PEM")
        renewing = two.registry.issued(new, room, now_us + DAY_US, "PEM", renewed_from=Shown(old, room, now_us))
        renewed, denied = await asyncio.gather(renewing, one.registry.revoke(room, now_us), return_exceptions=True)
        assert not isinstance(denied, BaseException)
        assert old in denied
        assert isinstance(renewed, DeniedError) or (renewed is None and new in denied)
        with pytest.raises(DeniedError):
            await two.registry.issued(new + 100, room, now_us + DAY_US, "PEM", renewed_from=Shown(old, room, now_us))
    await two.registry.issued(2, "other", now_us + DAY_US, "PEM", renewed_from=Shown(1, "other", now_us))


async def test_all_fronts_see_all_rooms(fronts: list[Backend]) -> None:
    one, two = fronts
    await one.registry.add_token("silent", "a" * 64, now_utc_us() + DAY_US)
    await one.registry.heard("r1", beat(), 5)
    await two.registry.heard("r2", beat(state="open"), 6)
    for front in fronts:
        await seen(lambda front=front: _hears(front))  # type: ignore[misc]


async def _hears(front: Backend) -> bool:
    states = {state.room: state for state in await front.registry.rooms()}
    heard = {room: state.heard_utc_us for room, state in states.items()}
    return heard == {"r1": 5, "r2": 6, "silent": None} and (states["r2"].heartbeat or beat()).state == "open"


async def test_a_front_that_begins_later_knows_everything(cluster: NatsCluster) -> None:
    prefix = "later"
    async with nats_fronts(cluster, 1, prefix) as (one,):
        await one.registry.heard("r", beat(), 5)
        await one.plan.put([soon("h", "r")])
        await one.registry.issued(7, "r", now_utc_us() + DAY_US, "PEM")
        await one.registry.revoke("r", now_utc_us())
        number = await one.commands.give("r", contract.Refresh(number=0))
        await one.events.put("r", batch("r", "e", 1, 2))
        receipt = await one.ledger.countersign("r", contract.Head(record="x", at=1, sha256="a" * 64))
        taken = await one.events.after(0, 10)
        feed = await one.plan.feed("r", 0)
    async with nats_fronts(cluster, 1, prefix) as (two,):
        assert [state.heard_utc_us for state in await two.registry.rooms()] == [5]
        assert await two.plan.feed("r", 0) == feed
        assert await two.registry.is_revoked(Shown(7, "r", now_utc_us()))
        assert [each.number for each in await two.commands.after("r", 0)] == [number]
        assert await two.events.put("r", batch("r", "e", 1, 2, 3)) == contract.EventsTaken(epoch="e", to=3)
        assert (await two.events.after(0, 10))[:2] == taken
        assert taken[0].number == PER_MESSAGE
        assert await two.ledger.countersign("r", contract.Head(record="x", at=1, sha256="a" * 64)) == receipt


async def test_a_front_that_no_notice_reaches_finds_what_was_stored_all_the_same(cluster: NatsCluster) -> None:
    async with nats_fronts(cluster, 2) as (one, two):
        await one.plan.put([soon("h", "r", title="1")])
        await two.registry.issued(7, "r", now_utc_us() + DAY_US, "PEM")
        await deafen(two)
        # A plan that is older than the one in force is a change, however new it looks to this front.
        await one.plan.put([soon("h", "r", title="2")])
        back = await two.plan.put([soon("h", "r", title="1")])
        assert back.changed == 1
        # What a front answered it has itself.
        assert [change.hearing.title for change in (await two.plan.feed("r", back.offset - 1)).changes] == ["1"]
        assert await two.registry.revoke("r", now_utc_us()) == [7]
        assert await two.registry.is_revoked(Shown(7, "r", now_utc_us()))
        number = await two.commands.give("r", contract.Refresh(number=0))
        assert [command.number for command in await two.commands.after("r", 0)] == [number]
        # A room that another front told more is no room of a restored centre.
        later = await one.plan.put([soon("h", "r", title="3")])
        assert (await two.plan.feed("r", later.offset)).snapshot is None
        # And who waits here is woken, if not at once.
        with two.news.room("r") as room, two.news.events() as events:
            await one.commands.give("r", contract.Refresh(number=0))
            await one.events.put("r", batch("r", "e", 1))
            async with asyncio.timeout(10):
                await room.wait()
                await events.wait()


async def test_a_command_that_is_given_while_a_room_asks_for_the_first_time_reaches_it(
    cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nats_fronts(cluster, 2) as (one, two):
        await one.registry.add_token("r", "a" * 64, now_utc_us() + DAY_US)
        answered, arrives = asyncio.Event(), asyncio.Event()
        assert isinstance(two.commands, NatsCommands)
        last = two.commands._jet.last

        async def slowly(*asked: object) -> object:
            """The leader's answer, long on its way."""
            answer = await last(*asked)  # type: ignore[arg-type]
            answered.set()
            await arrives.wait()
            return answer

        monkeypatch.setattr(two.commands._jet, "last", slowly)
        with two.news.room("r") as news:
            asked = asyncio.create_task(two.commands.after("r", 0))
            await answered.wait()
            given = await one.commands.give("r", contract.Refresh(number=0))
            async with asyncio.timeout(5):
                await news.wait()
        arrives.set()
        await asked
        assert await two.commands.after("r", 0) == [contract.Refresh(number=given)]


async def test_who_is_told_to_end_ends_also_at_the_moment_of_an_answer(cluster: NatsCluster) -> None:
    async with nats_fronts(cluster, 1) as (one,):

        async def for_ever() -> None:
            while True:
                await one.ledger.after(0, 10)

        for _ in range(150):
            task = asyncio.create_task(for_ever())
            await asyncio.sleep(random.uniform(0.001, 0.006))
            task.cancel()
            await asyncio.wait({task}, timeout=1)
            assert task.done()


async def test_a_front_cannot_take_back_what_was_kept(cluster: NatsCluster) -> None:
    async with nats_fronts(cluster, 1, "kept") as (one,):
        await one.events.put("r", batch("r", "e", 1, 2))
        refused: list[str] = []

        async def told(error: Exception) -> None:
            refused.append(str(error))

        client = await nats.connect(cluster.urls, tls=cluster.servers.tls(), error_cb=told)
        try:
            for verb in ("STREAM.DELETE.kept-event", "STREAM.PURGE.kept-event", "STREAM.UPDATE.kept-event", "STREAM.MSG.DELETE.kept-event"):
                with pytest.raises(nats.errors.TimeoutError):
                    await client.request(f"$JS.API.{verb}", b'{"seq": 1, "name": "kept-event"}', timeout=0.2)
        finally:
            await client.close()
        assert [each.event.seq for each in await one.events.after(0, 10)] == [1, 2]
        assert len([each for each in refused if "ermissions" in each]) == 4
