"""One stream that a participant sends."""

from collections.abc import Callable
from typing import Literal

from vks.forwarding import Feed
from vks.media_time import MediaTime
from vks.mixing import RATE_HZ
from vks.sound import PRIVATE_TAIL_US

PICTURE_HZ = 90_000
Kind = Literal["audio", "video", "screen"]


class Source:
    """Where it goes, and since when."""

    def __init__(self, person: str, kind: Kind, request_keyframe: Callable[[], None]) -> None:
        self.person, self.kind = person, kind
        self.track = f"{person}-{kind}"
        self.clock = MediaTime(RATE_HZ if kind == "audio" else PICTURE_HZ)
        self.feed = Feed(request_keyframe)
        self.recorded = False
        self.not_before_us = 0
        """What arrived before was for others."""
        self.last_us = 0

    def cut(self, now_us: int) -> None:
        """What is still on its way was for others than those who see it now."""
        self.not_before_us = now_us + PRIVATE_TAIL_US
        self.feed.forget()
