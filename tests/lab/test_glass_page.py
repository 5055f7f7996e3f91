"""The page that measures glass to glass reads the numbers that the camera draws; else no figure of it means anything."""

import base64
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from bench.glass_viewer import PAGE, shown
from tests.lab import browser, frame_strip

pytestmark = [pytest.mark.lab, pytest.mark.skipif(browser.missing(), reason="chromium is not installed")]
NUMBERS = [0, 1, 12_345, 0x55555555, 0xAAAAAAAA, 2**32 - 1]
SIZES = [(1280, 720), (640, 360), (320, 180)]
_READ = """
((width, height, grey) => {{
  const picture = document.createElement("canvas"), rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  [...atob(grey)].forEach((each, at) => rgba.fill(each.charCodeAt(0), 4 * at, 4 * at + 3));
  [picture.width, picture.height] = [width, height];
  picture.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  return readStrip(picture, width, height);
}})({width}, {height}, "{grey}")
"""


@pytest_asyncio.fixture
async def tab() -> AsyncIterator[browser.Tab]:
    async with browser.opened() as opened:
        await opened.go(PAGE.as_uri())
        yield opened


async def read(tab: browser.Tab, luma: frame_strip.Luma) -> int | None:
    """What the page reads of a picture, which a browser shows in its full range."""
    height, width = luma.shape
    full = np.clip((luma.astype(np.float64) - frame_strip.BLACK) * 255 / (frame_strip.WHITE - frame_strip.BLACK), 0, 255)
    grey = base64.b64encode(full.astype(np.uint8).tobytes()).decode()
    found: int | None = await tab.run(_READ.format(width=width, height=height, grey=grey))
    return found


async def test_the_page_reads_the_number_that_python_draws(tab: browser.Tab) -> None:
    noise = np.random.default_rng(1)
    for width, height in SIZES:
        for number in NUMBERS:
            luma = np.full((height, width), 90, np.uint8)
            frame_strip.draw(luma, number)
            rough = np.clip(luma + noise.normal(0, 20, luma.shape), 0, 255).astype(np.uint8)
            assert await read(tab, rough) == frame_strip.read(rough) == number


async def test_the_page_reads_no_number_where_the_checksum_is_wrong(tab: browser.Tab) -> None:
    luma = np.full((180, 320), 90, np.uint8)
    frame_strip.draw(luma, 12_345)
    luma[: frame_strip.strip_height(180), 8 * 20 : 8 * 21] ^= frame_strip.BLACK ^ frame_strip.WHITE
    assert frame_strip.read(luma) is None
    assert await read(tab, luma) is None


def test_times_of_the_page_are_those_of_the_camera_s_clock_and_the_first_seconds_are_left_out() -> None:
    pictures = [[7, 1_010, 1_020], [8, 6_200, 6_250.5]]
    said = {"before": 50_000.0, "after": 50_000.5, "first": 1_000, "shown": pictures, "unread": 0}
    (last,) = shown(said, settle_s=5)
    assert (last.number, last.received_us, last.shown_us) == (8, 56_200_250, 56_250_750)


def test_a_page_whose_clock_drifted_is_not_believed() -> None:
    said = {"before": 50_000.0, "after": 50_010.0, "first": 0, "shown": [[7, 1, 2]], "unread": 0}
    with pytest.raises(RuntimeError, match="drifted"):
        shown(said, settle_s=0)
