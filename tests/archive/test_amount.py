"""Amounts of bytes, as people read them."""

import pytest

from agent.archive.amount import amount


@pytest.mark.parametrize(
    ("count_bytes", "said"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"), (2_340_000_000, "2.3 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)  # fmt: skip
def test_an_amount_is_told_in_the_unit_that_fits(count_bytes: int, said: str) -> None:
    assert amount(count_bytes) == said
