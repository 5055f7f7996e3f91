"""Two processes of one centre over three NATS servers, by real TLS: what one takes the other knows, and a kill loses nothing."""

import asyncio
import datetime as dt
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.upstream import contract
from agent.upstream.centre import admin
from agent.upstream.centre.settings import CentreHome, Settings, SettingsError
from agent.upstream.client import RefusedError, UpstreamError
from agent.upstream.enrolment import EnrolmentError, RoomFiles, enrol
from tests.lab.centre import Centre
from tests.lab.events import batch, beat, hearing
from tests.lab.fronts import new_prefix
from tests.lab.nats_cluster import NatsCluster, nats_cluster


@pytest.fixture(scope="module")
def fronts(cluster: NatsCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Centre, Centre]]:
    base = tmp_path_factory.mktemp("fronts")
    one = Centre(base / "one", nats=cluster.settings(new_prefix()), late_after_s=0)
    two = one.another(base / "two")
    try:
        for front in (one, two):
            front.start()
        yield one, two
    finally:
        for front in (one, two):
            front.stop()


async def test_what_one_front_takes_the_other_one_knows(fronts: tuple[Centre, Centre]) -> None:
    one, two = fronts
    files = await asyncio.to_thread(one.enrol, "r1")
    epoch = str(uuid.uuid4())
    async with one.client(files) as first, two.client(files) as second:
        assert (await first.put_events(batch("r1", epoch, 1, 2))).to == 2
        assert (await second.put_events(batch("r1", epoch, 2, 3))).to == 3
        await asyncio.to_thread(one.plan, hearing("before", "r1"))
        known = (await first.feed(0, 0, 0)).as_of
        waiting = asyncio.create_task(first.feed(known, 0, 30))
        await asyncio.sleep(0)
        began_s = time.monotonic()
        await asyncio.to_thread(two.plan, hearing("pushed", "r1"))
        feed = await waiting
        assert [change.hearing.id for change in feed.changes] == ["pushed"]
        assert time.monotonic() - began_s < 5
        assert (await second.feed(feed.as_of, 0, 0)).snapshot is None
        head = contract.Head(record=str(uuid.uuid4()), at=7, sha256="a" * 64)
        receipt = (await first.beat(beat(head))).receipt
        assert receipt is not None
        assert (await second.beat(beat(head))).receipt == receipt
    assert await one.epoch(epoch) == [1, 2, 3]
    for front in fronts:
        state = (await asyncio.to_thread(front.rooms))["r1"]
        assert state.heard_utc_us is not None


async def test_a_token_is_good_once_for_all_fronts_and_all_honour_a_revocation(fronts: tuple[Centre, Centre], tmp_path: Path) -> None:
    one, two = fronts
    token = await asyncio.to_thread(one.token, "r2")
    tries = await asyncio.gather(
        *(enrol(front.url, token, "r2", tmp_path / str(front.port)) for front in fronts), return_exceptions=True
    )  # fmt: skip
    files = [each for each in tries if isinstance(each, RoomFiles)]
    assert len(files) == 1
    assert sum(isinstance(each, EnrolmentError) for each in tries) == 1
    async with one.client(files[0]) as first, two.client(files[0]) as second:
        await first.beat(beat())
        await second.beat(beat())
        await asyncio.to_thread(two.ask, admin.Revoke(name="r2"))
        with pytest.raises(RefusedError, match="revoked"):
            await second.beat(beat())
        async with asyncio.timeout(5):
            while True:
                try:
                    await first.beat(beat())
                except RefusedError:
                    break


async def test_records_are_taken_by_the_front_that_is_named_for_it_alone(fronts: tuple[Centre, Centre]) -> None:
    one, two = fronts
    files = await asyncio.to_thread(one.enrol, "r3")
    async with two.client(files) as client:
        with pytest.raises(UpstreamError, match="answered 503"):
            await client.upload("0" * 32)


def test_a_front_that_is_killed_under_load_loses_and_doubles_nothing(fronts: tuple[Centre, Centre]) -> None:
    one, two = fronts
    files = one.enrol("r4")
    epoch = str(uuid.uuid4())
    acknowledged = 0

    async def send(until: asyncio.Event) -> None:
        nonlocal acknowledged
        async with one.client(files) as first, two.client(files) as second:
            while not until.is_set() or acknowledged < 300:
                seqs = range(acknowledged + 1, acknowledged + random.randint(2, 30))
                try:
                    acknowledged = (await random.choice((first, second)).put_events(batch("r4", epoch, *seqs))).to
                except UpstreamError:
                    await asyncio.sleep(0.01)

    async def kill(until: asyncio.Event) -> None:
        for front in (one, two, one):
            await asyncio.sleep(random.uniform(0.1, 0.5))
            await asyncio.to_thread(front.kill)
            await asyncio.to_thread(front.start)
        until.set()

    async def both() -> list[list[int]]:
        until = asyncio.Event()
        await asyncio.gather(send(until), kill(until))
        return [await front.epoch(epoch) for front in (one, two)]

    for seen in asyncio.run(both()):
        assert seen == list(range(1, acknowledged + 1))


def test_while_the_servers_are_away_a_room_is_told_to_come_again(tmp_path: Path) -> None:
    with nats_cluster(tmp_path / "nats", nodes=1) as own:
        front = Centre(tmp_path / "front", nats=own.settings("alone"))
        front.start()
        try:
            files = front.enrol("r")

            async def away() -> None:
                async with front.client(files) as client:
                    assert (await client.put_events(batch("r", "e", 1))).to == 1
                    own.kill(0)
                    with pytest.raises(UpstreamError) as told:
                        await client.put_events(batch("r", "e", 1, 2))
                    assert told.value.retry_after_s == 2
                    own.start(0)
                    async with asyncio.timeout(20):
                        while True:
                            try:
                                assert (await client.put_events(batch("r", "e", 1, 2))).to == 2
                                break
                            except UpstreamError:
                                await asyncio.sleep(0.1)
                assert await front.epoch("e") == [1, 2]

            asyncio.run(away())
        finally:
            front.stop()
        assert "Traceback" not in front.log


@pytest.mark.parametrize(
    ("stanza", "said"),
    [
        ({"servers": []}, "nats.servers"),
        ({"servers": ["nats-1.court.example"]}, "is no server"),
        ({"servers": ["tls://user:secret@nats-1.court.example:4222"]}, "is no server"),
        ({"servers": ["tls://nats-1.court.example:4222"]}, "needed for servers on other machines"),
        ({"servers": ["nats://127.0.0.1:4222"], "ca": "a"}, "belong together"),
        ({"servers": ["nats://127.0.0.1:4222"], "ca": "a", "certificate": "b", "key": "c"}, "is named tls://"),
        ({"servers": ["nats://127.0.0.1:4222"], "replicas": 2}, "nats.replicas"),
        ({"servers": ["nats://127.0.0.1:4222"], "prefix": "a.b"}, "nats.prefix"),
    ],
)
def test_a_stanza_that_cannot_work_is_told(tmp_path: Path, stanza: dict[str, object], said: str) -> None:
    home = CentreHome(tmp_path)
    lines = [f"{key} = {value!r}" for key, value in stanza.items()]
    (tmp_path / "centre.toml").write_text("[nats]\n" + "\n".join(lines).replace("'", '"') + "\n")
    with pytest.raises(SettingsError, match=said):
        home.settings()


def test_the_stanza_that_is_written_is_the_one_that_is_read(tmp_path: Path) -> None:

    nats = {
        "servers": ["tls://n1:4222", "tls://n2:4222"],
        "ca": "/a",
        "certificate": "/b",
        "key": "/c",
        "prefix": "x",
        "keeps_uploads": True,
    }
    settings = Settings.model_validate({"nats": nats})
    home = CentreHome(tmp_path / "centre")
    home.make(settings, dt.datetime.now(dt.UTC))
    assert home.settings() == settings
