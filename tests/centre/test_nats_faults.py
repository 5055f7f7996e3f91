"""Servers die while rooms tell things to several fronts, also the leader, also all: nothing acknowledged is lost or doubled."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.upstream import contract
from agent.upstream.centre.backend import AwayError, Backend, Shown, now_utc_us
from agent.upstream.centre.flags import Limits
from agent.upstream.centre.nats_follower import STALE_S
from agent.upstream.centre.overview import Overview
from tests.lab.events import batch, beat, event, hearing
from tests.lab.fronts import nats_fronts, new_prefix
from tests.lab.nats_cluster import NatsCluster, nats_cluster
from tests.lab.nats_load import DAY_US, check, load

LATE = 40


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    """A cluster to be killed."""
    with nats_cluster(tmp_path / "nats") as it:
        yield it


step = st.tuples(
    st.integers(1, 6),  # so many events
    st.lists(st.sampled_from([0, 1]), min_size=1, max_size=3),  # to these fronts at once
    st.booleans(),  # whether the answer is lost
    st.none() | st.integers(0, LATE),  # an old request arrives late
)


def test_however_batches_are_cut_and_sent_again_each_event_is_taken_once_in_order(cluster: NatsCluster) -> None:
    epochs = iter(range(1_000_000))

    async def send(fronts: list[Backend], steps: list[tuple[int, list[int], bool, int | None]]) -> None:
        epoch, acked, sent = f"epoch-{next(epochs)}", 0, list[range]()
        for count, to, lost, late in steps:
            seqs = range(acked + 1, acked + 1 + count)
            sent.append(seqs)
            asked = [(front, seqs) for front in to]
            if late is not None:
                asked.append((late % 2, sent[late % len(sent)]))
            answers = await asyncio.gather(*[fronts[front].events.put("r", batch("r", epoch, *each)) for front, each in asked])
            # What comes late may be answered by a leader that is new, and has not caught up with what was acknowledged since.
            assert all(answer.to >= each[-1] for answer, (_, each) in zip(answers, asked, strict=True))
            if not lost:
                acked = answers[0].to
        taken = [each for each in await fronts[0].events.after(0, 1_000_000) if each.event.epoch == epoch]
        assert [each.event.seq for each in taken] == list(range(1, max(seqs[-1] for seqs in sent) + 1))

    with asyncio.Runner() as runner:
        made = nats_fronts(cluster, 2, new_prefix())
        fronts = runner.run(made.__aenter__())
        try:

            @settings(max_examples=25)
            @given(st.lists(step, min_size=1, max_size=12))
            def tried(steps: list[tuple[int, list[int], bool, int | None]]) -> None:
                runner.run(send(fronts, steps))

            tried()
        finally:
            runner.run(made.__aexit__(None, None, None))


async def _kill_nodes(cluster: NatsCluster, prefix: str, times: int) -> None:
    """Kill one after the other; every second time the one that leads the events."""
    for number in range(times):
        await asyncio.sleep(random.uniform(0.3, 1.0))
        leader = await cluster.leader(f"{prefix}-event") if number % 2 == 0 else None
        node = random.randrange(cluster.nodes) if leader is None else leader
        cluster.kill(node)
        await asyncio.sleep(random.uniform(0.0, 1.0))
        cluster.start(node)
        # The next one dies when this one has what it missed: of three servers one may be away.
        await _whole(cluster, prefix)


async def _whole(cluster: NatsCluster, prefix: str) -> None:
    async with asyncio.timeout(60):
        while not await cluster.is_whole(f"{prefix}-"):  # noqa: ASYNC110 - what changes is at the servers
            await asyncio.sleep(0.1)


async def _killed(cluster: NatsCluster, times: int) -> None:
    prefix = new_prefix()
    async with nats_fronts(cluster, 2, prefix) as fronts:
        rooms = await load(fronts, lambda: _kill_nodes(cluster, prefix, times))
        for front in fronts:
            await check(front, rooms)
        assert all(room.answers > 5 * times for room in rooms)
    async with nats_fronts(cluster, 1, prefix) as later:
        await check(later[0], rooms)


@pytest.mark.long
async def test_servers_are_killed_under_load(own_cluster: NatsCluster) -> None:
    await _killed(own_cluster, 2)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_servers_are_killed_fifty_times_under_load(own_cluster: NatsCluster) -> None:
    await _killed(own_cluster, 50)


@pytest.mark.long
async def test_all_servers_are_killed_at_once_and_come_back_with_everything(own_cluster: NatsCluster) -> None:
    prefix = new_prefix()
    async with nats_fronts(own_cluster, 2, prefix) as fronts:

        async def disturb() -> None:
            await asyncio.sleep(1.0)
            for node in range(own_cluster.nodes):
                own_cluster.kill(node)
            with pytest.raises(AwayError):
                await fronts[0].events.put("elsewhere", batch("elsewhere", "e", 1))
            # What is held in memory is not answered from for long, for nobody knows what the others have done since.
            async with asyncio.timeout(3 * STALE_S):
                while await _answers(fronts[1]):  # noqa: ASYNC110 - what changes is that time passes
                    await asyncio.sleep(0.1)
            for node in range(own_cluster.nodes):
                own_cluster.start(node)
            await _whole(own_cluster, prefix)
            await asyncio.sleep(0.5)

        rooms = await load(fronts, disturb)
        assert all(room.refusals for room in rooms)
        for front in fronts:
            await check(front, rooms)


async def _answers(front: Backend) -> bool:
    try:
        return not await front.registry.is_revoked(Shown(1, "r", 0))
    except AwayError:
        return False


@pytest.mark.long
async def test_fronts_that_run_follow_streams_that_were_restored_from_a_copy(tmp_path: Path) -> None:
    with nats_cluster(tmp_path / "nats", nodes=1) as alone:
        async with nats_fronts(alone, 1) as (front,):
            await front.plan.put([_tomorrow("first")])
            await front.events.put("r", batch("r", "e", 1, 2))
            await front.plan.put([hearing("late", "r", starts_utc_us=now_utc_us() - 1_800_000_000)])
            await front.registry.heard("r", beat(), now_utc_us())
            overview = Overview(front, Limits(late_after_us=1_000_000, silent_after_us=DAY_US), now_utc_us)
            alone.kill(0)
            shutil.copytree(alone.files(0), tmp_path / "copy")
            alone.start(0)
            await _until_kept(lambda: front.plan.put([_tomorrow("second")]))
            at = (await front.plan.feed("r", 0)).as_of
            await front.events.put("r", batch("r", "e", 3))
            await front.events.put("r", contract.EventBatch(epoch="other", events=[event("r", "other", 1, _session("another"))]))
            known = await front.commands.give("r", contract.Refresh(number=0))
            assert (await overview.rooms(fresh=True))[0].state.flags == ["late"]
            alone.kill(0)
            shutil.rmtree(alone.files(0))
            shutil.copytree(tmp_path / "copy", alone.files(0))
            alone.start(0)
            async with asyncio.timeout(60):
                while not await _is_restored(front, at):  # noqa: ASYNC110 - what changes is at the servers
                    await asyncio.sleep(0.2)
            # The room keeps what the centre lost, and tells it again: the answer says that it is to.
            assert (await front.events.put("r", batch("r", "e", 2))).to == 2
            following = msgspec.structs.replace(batch("r", "e", 4), after=contract.Place(epoch="e", seq=3))
            assert (await front.events.put("r", following)).to == 2
            assert (await front.events.put("r", batch("r", "e", 3, 4))).to == 4
            assert [each.event.seq for each in await front.events.after(0, 10)] == [1, 2, 3, 4]
            # What is told since then stands under numbers that the front had seen before.
            await front.events.put("r", contract.EventBatch(epoch="new", events=[event("r", "new", 1, _session("late"))]))
            await front.registry.heard("r", beat(), now_utc_us())
            assert (await overview.rooms(fresh=True))[0].state.flags == []
            given = await front.commands.give("r", contract.RunDiagnostics(number=0))
            assert await front.commands.after("r", known) == [contract.RunDiagnostics(number=given)]


def _session(of: str) -> contract.SessionStarted:
    return contract.SessionStarted(
        session=f"session-{of}", record="", hearing=of, by="", automatic=False, planned_utc_us=None, late_s=None, revision=0
    )  # fmt: skip


def _tomorrow(name: str) -> contract.Hearing:
    return hearing(name, "r", starts_utc_us=now_utc_us() // DAY_US * DAY_US + DAY_US)


async def _until_kept(put: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await put()
                return
            except AwayError:
                await asyncio.sleep(0.1)


async def _is_restored(front: Backend, at: int) -> bool:
    """Whether a room that was told more than there is gets a snapshot of what there is."""
    try:
        snapshot = (await front.plan.feed("r", at)).snapshot
    except AwayError:
        return False
    return snapshot is not None and {each.id for each in snapshot.hearings} == {"first", "late"}
