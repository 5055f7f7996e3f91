"""What of a wrong ``room.toml`` is right: all but the tables in which mistakes stand, so that the rest can be checked, too. Pure."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from provisioning.problems import Finding
from provisioning.room import RoomConfig
from provisioning.toml_places import Place


@dataclass(frozen=True, slots=True)
class SoundPart:
    """A configuration of what is left. ``changed`` names the tables of which something was left out."""

    config: RoomConfig
    changed: frozenset[str]
    _kept: dict[str, list[int]]
    """Of each [[array]] of which tables were left out: where in the file those stand that were not."""

    def in_file(self, finding: Finding) -> Finding | None:
        """What was found of this part, at its place in the whole file; None where it may come of what was left out."""
        top = str(finding.place[0]) if finding.place else ""
        is_of_one = len(finding.place) > 1 and isinstance(finding.place[1], int)
        if len(finding.place) <= 1 and (top in self.changed or not top):
            return None
        place = finding.place
        if top in self._kept and is_of_one:
            place = (top, self._kept[top][int(place[1])], *place[2:])
        return Finding(place=place, what=finding.what, remedy=finding.remedy, severity=finding.severity)


def sound_part(data: dict[str, Any], wrong: Iterable[Place]) -> SoundPart | None:
    """A document without what is wrong in it; None where a table that every room needs is."""
    left, wrong = deepcopy(data), list(wrong)
    kept: dict[str, list[int]] = {}
    for place in wrong:
        top = place[0] if place else None
        if not isinstance(top, str) or top not in left:
            continue
        if len(place) > 1 and isinstance(place[1], int) and isinstance(left[top], list):
            kept.setdefault(top, list(range(len(left[top]))))
        elif len(place) > 1 and isinstance(left[top], dict) and place[1] in left[top]:
            del left[top][place[1]]
        else:
            del left[top]
    for top, indices in kept.items():
        bad = {place[1] for place in wrong if len(place) > 1 and place[0] == top}
        kept[top] = [index for index in indices if index not in bad]
        left[top] = [left[top][index] for index in kept[top]] if isinstance(left.get(top), list) else []
    try:
        config = RoomConfig.model_validate(left)
    except ValidationError:
        return None
    return SoundPart(config, frozenset(str(place[0]) for place in wrong if place), kept)
