"""The page of a readable copy: opens from a disk without any server, plays ``hearing.mp4``, shows what else there is.

Notes, what was not recorded and why, and what was recorded and is not in the copy.
"""

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any


def player_page(
    *,
    title: str,
    case: str,
    first_us: int,
    duration_us: int,
    notes: Sequence[dict[str, Any]],
    gaps: Sequence[dict[str, Any]],
    left_out: Sequence[dict[str, Any]],
    film_without: Sequence[dict[str, int]] = (),
    tracks: Sequence[dict[str, str]],
    source: dict[str, Any],
) -> str:
    """The page.

    Times are session time; ``first_us`` is where ``hearing.mp4`` begins, ``film_without`` the stretches whose pictures only the camera's
    playlist has. What was said and written is data, never markup.

    ``source`` is what the record proved when the copy was made: its ``level``, and in words what was ``found`` that breaks it, or how far
    it is proven.
    """
    story = {
        "first_us": first_us,
        "duration_us": duration_us,
        "notes": list(notes),
        "gaps": list(gaps),
        "left_out": list(left_out),
        "film_without": list(film_without),
        "tracks": list(tracks),
        "source": source,
    }
    # A "<" could end the script element, whatever stands in quotes around it.
    data = json.dumps(story, ensure_ascii=False).replace("<", "\\u003c")
    page = files("recorder").joinpath("static/player.html").read_text(encoding="utf-8")
    said = {"@TITLE@": html.escape(title), "@CASE@": html.escape(case), "@STORY@": data}
    # In one pass: what stands in a title is never looked at for a place to fill.
    return re.sub("|".join(said), lambda place: said[place[0]], page)
