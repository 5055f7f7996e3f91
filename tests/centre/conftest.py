from collections.abc import Iterator

import pytest

from agent.upstream.enrolment import RoomFiles
from tests.lab.centre import Centre, centre
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
