import copy
import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.keys import Hierarchy, build
from recorder.ledger import Ledger
from recorder.record.checkpoint import Receipt
from recorder.record.trust import Authorities
from recorder.record.verify import Outside
from tests.record.record_builder import Builder


@pytest.fixture(scope="session")
def keys() -> Hierarchy:
    return build("room-1", dt.datetime.now(dt.UTC))


@pytest.fixture(scope="session")
def outside(keys: Hierarchy) -> Outside:
    return Outside(authorities=Authorities([keys.root.certificate]))


@pytest.fixture(scope="session")
def finished(keys: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Builder, list[Receipt]]:
    """A sealed record with a pause and two receipts; not to be changed."""
    builder = Builder(tmp_path_factory.mktemp("finished"), keys)
    builder.record(6)
    receipts = [builder.receipt()]
    builder.pause(12)
    builder.record(6)
    receipts.append(builder.receipt())
    builder.record(2)
    builder.close()
    return builder, receipts


@pytest.fixture
def sealed(finished: tuple[Builder, list[Receipt]], tmp_path: Path) -> Builder:
    """A copy of the finished record, to be tampered with."""
    return copied(finished[0], tmp_path)


@pytest.fixture
def begun(keys: Hierarchy, tmp_path: Path) -> Callable[..., Builder]:
    """Makes a new record."""

    def make(**options: object) -> Builder:
        number = len(list(tmp_path.iterdir()))
        return Builder(tmp_path / f"base-{number}", keys, **options)  # type: ignore[arg-type]

    return make


def copied(builder: Builder, base: Path) -> Builder:
    twin = copy.copy(builder)
    twin.ledger = Ledger.resumed(builder.ledger._state.copied(), builder.ledger.files.copied())
    twin.root = base / builder.root.name
    shutil.copytree(builder.root, twin.root)
    return twin
