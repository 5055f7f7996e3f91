from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent.upstream.centre.backend import Backend
from agent.upstream.enrolment import RoomFiles
from tests.lab.centre import Centre, centre
from tests.lab.fronts import nats_fronts, sqlite_fronts
from tests.lab.nats_cluster import NatsCluster, nats_cluster


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    """A centre for all tests that take rooms of their own."""
    with centre(tmp_path_factory.mktemp("shared"), page="127.0.0.1:0") as it:
        yield it


@pytest.fixture(scope="session")
def first_room(shared: Centre) -> RoomFiles:
    return shared.enrol("room-1")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three NATS servers for all tests that take streams of their own; whoever kills one starts it again."""
    with nats_cluster(tmp_path_factory.mktemp("nats")) as it:
        yield it


@pytest_asyncio.fixture(params=["sqlite", "nats"])
async def fronts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Backend]]:
    """Two fronts over one keeper."""
    if request.param == "sqlite":
        with sqlite_fronts(tmp_path / "centre.sqlite") as made:
            yield made
    else:
        cluster: NatsCluster = request.getfixturevalue("cluster")
        async with nats_fronts(cluster, 2) as made:
            yield made
