"""A mistake in a configuration file, as a technician should read it: the place, what is wrong, what to do."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from provisioning.toml_places import Place, nearest

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake. ``line`` counts from 1, or is None where the whole file is meant; ``where`` is the dotted path, positions from 1."""

    severity: Severity
    line: int | None
    where: str
    what: str
    remedy: str = ""

    def text(self, path: Path) -> str:
        """``file:line: where: what`` and, on a line of its own, the remedy; nothing in it moves a terminal's cursor."""
        place = f"{path}:{self.line}" if self.line else str(path)
        where = f"{self.where}: " if self.where else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return "".join(
            one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in f"{place}: {where}{self.what}{remedy}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A mistake before its line is known."""

    place: Place
    what: str
    remedy: str = ""
    severity: Severity = "error"


def located(finding: Finding, data: dict[str, Any], lines: dict[Place, int]) -> Problem:
    """Give a finding its line and its dotted path in the document ``data``."""
    return Problem(
        severity=finding.severity,
        line=nearest(lines, finding.place),
        where=dotted(finding.place, data),
        what=finding.what,
        remedy=finding.remedy,
    )


def dotted(place: Place, data: dict[str, Any]) -> str:
    """A place in words of the file: ``camera[1] 'judge'.url`` is the ``url`` of the first camera, whose id is ``judge``."""
    text = ""
    node: Any = data
    for part in place:
        if isinstance(part, int):
            node = node[part] if isinstance(node, list) and part < len(node) else None
            name = (node.get("id") or node.get("name")) if isinstance(node, dict) else None
            text += f"[{part + 1}]" + (f" '{name}'" if isinstance(name, str) and name else "")
        else:
            text += f".{part}" if text else part
            node = node.get(part) if isinstance(node, dict) else None
    return text


def meant(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not known: the likely one and all that are."""
    words = list(known)
    close = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6) or [known for known in words if word.lower() in known]
    listed = f"known here: {', '.join(words)}" if words else "nothing is known here"
    return f"did you mean '{close[0]}'? ({listed})" if close else listed
