"""What a stretch of a track says of itself once it is decoded: the values by which the watch judges it."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated

import av
import msgspec
import numpy as np
import numpy.typing as npt

from recorder.cenc import CencError
from recorder.children.media_reader import join, keyframes_of, sound_of
from recorder.children.signal_checks import PictureValues, SoundValues, measure_picture, measure_sound, small
from recorder.contract import child

UNREADABLE = (OSError, CencError, av.FFmpegError, ValueError, IndexError)
"""What is raised where a stretch cannot be read or decoded."""
_PICTURES_KEPT = 256


@dataclass(frozen=True, slots=True)
class MediaValues:
    """Of sound one value for the whole stretch; of pictures one for each keyframe, with its session time (us)."""

    sound: SoundValues | None = None
    pictures: Annotated[list[tuple[child.Count, PictureValues]], msgspec.Meta(max_length=1000)] = field(default_factory=list)

    def baseline(self) -> dict[str, float]:
        """The values that a baseline is made of; of pictures the last one's."""
        if self.sound is not None:
            return {"rms_dbfs": self.sound.rms_dbfs, "peak_dbfs": self.sound.peak_dbfs}
        if self.pictures:
            return {"brightness": self.pictures[-1][1].brightness, "sharpness": self.pictures[-1][1].sharpness}
        return {}


class Measurer:
    """Decodes and measures; remembers each part's last keyframe, for the next one is compared with it."""

    def __init__(self) -> None:
        self._before: OrderedDict[tuple[str, int], npt.NDArray[np.uint8]] = OrderedDict()

    def measure(self, track: str, part: int, kind: str, media: tuple[bytes, bytes], key: bytes | None) -> MediaValues:
        """Measure a stretch; ``media`` is the part's header, and fragments that follow one another.

        Raises:
            UNREADABLE: it does not decode.
        """
        stream = join(*media, key)
        if kind == "audio":
            return MediaValues(sound=measure_sound(sound_of(stream)))
        pictures = []
        for at_us, luma in keyframes_of(stream):
            picture = small(luma).copy()
            pictures.append((at_us, measure_picture(picture, self._before.get((track, part)))))
            self._before[track, part] = picture
            self._before.move_to_end((track, part))
        while len(self._before) > _PICTURES_KEPT:
            self._before.popitem(last=False)
        return MediaValues(pictures=pictures)
