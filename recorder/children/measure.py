"""Measures a readable copy for the baseline: ``python -m recorder.children.measure PLAN`` prints each track's values as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from recorder.children.media_reader import keyframes_of, sound_of
from recorder.children.signal_checks import measure_picture, measure_sound, small

_FLOOR_PERCENTILE = 10


def main(plan: Path) -> int:
    """Measure."""
    tracks = json.loads(plan.read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps({name: _measure(plan.parent, track) for name, track in tracks.items()}))
    return 0


def _measure(base: Path, track: dict[str, Any]) -> dict[str, float]:
    streams = [(base / piece["header"]).read_bytes() + (base / piece["file"]).read_bytes() for piece in track["pieces"]]
    if track["kind"] == "video":
        pictures = [measure_picture(small(luma), None) for stream in streams for _, luma in keyframes_of(stream)]
        return {
            "brightness": round(float(np.median([picture.brightness for picture in pictures])), 1),
            "sharpness": round(float(np.median([picture.sharpness for picture in pictures])), 1),
        }
    samples = np.concatenate([sound_of(stream) for stream in streams])
    second = track["rate_hz"]
    levels = [measure_sound(samples[at : at + second]).rms_dbfs for at in range(0, max(1, len(samples) - second + 1), second)]
    return {
        "floor_dbfs": round(float(np.percentile(levels, _FLOOR_PERCENTILE)), 1),
        "level_dbfs": round(float(np.percentile(levels, 100 - _FLOOR_PERCENTILE)), 1),
    }


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
