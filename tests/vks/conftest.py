"""What holds of the conference's tests."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that they can be run by themselves."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.conference)
