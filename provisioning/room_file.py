"""Reads ``room.toml`` and explains every mistake at once: file, line, dotted path, what is wrong, and the remedy.

``load`` judges form alone, so that an expired certificate or a pulled disk never keeps a courtroom from recording; ``check`` also looks at
what the file points to.
"""

import datetime as dt
import re
import tomllib
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioning.problems import Finding, Problem, located
from provisioning.room import RoomConfig
from provisioning.room_checks import Machine, check_config, mirror_mistakes
from provisioning.room_schema import control_characters, explain, name_mistakes
from provisioning.sound_part import sound_part
from provisioning.toml_places import Place, lines

_PATHS: tuple[tuple[str, ...], ...] = (
    ("storage", "primary"), ("storage", "mirror"), ("signing", "pin_file"), ("recipient", "*", "certificate"), ("timestamp", "roots"),
    ("watch", "baseline"), ("centre_roots",), ("camera", "*", "path"), ("camera", "*", "password_file"),
    ("microphone", "*", "password_file"), ("microphone", "*", "sdp"), ("camera", "*", "ca_file"), ("microphone", "*", "ca_file"),
    ("centre", "key"), ("centre", "certificate"), ("centre", "roots"), ("centre", "receipt_roots"),
    ("centre", "revocations"), ("centre_revocations",), ("vks", "certificate"), ("vks", "key"), ("vks", "turn", "secret"),
    ("vks", "audience", "token"), ("vks", "audience", "ca"),
    ("vks", "vouching", "ca"),
)  # fmt: skip
"""Values that are paths whatever the kind of their table; a relative one counts from the file's own directory."""
_SIGNING_PATHS = {"file": ("key", "chain"), "pkcs11": ("chain",)}
_DEEP = 32
_MOST_SHOWN = 100
_LONG_NUMBER = re.compile(r"[0-9_]{4000}")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")


class ConfigError(Exception):
    """The file cannot be used. ``problems`` holds every mistake; the text lists them all."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        super().__init__("\n".join(problem.text(path) for problem in problems))
        self.path = path
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a check found; ``config`` is None where the form is wrong."""

    path: Path
    config: RoomConfig | None
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be."""
        return all(problem.severity != "error" for problem in self.problems)


@dataclass(slots=True)
class _Document:
    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    wrong: list[Place] = field(default_factory=list)
    config: RoomConfig | None = None


def load(path: Path) -> RoomConfig:
    """Read a room's configuration, with relative paths made absolute.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or does not follow the schema; it holds every mistake.
    """
    document = _read(path)
    if document.config is None:
        raise ConfigError(path, document.problems)
    return document.config


def check(path: Path, now: dt.datetime | None = None, machine: Machine | None = None) -> Report:
    """Judge a file and all that it points to.

    Args:
        path: the ``room.toml``.
        now: the time that certificates are judged by (aware; default: the clock).
        machine: what this PC has (default: looked up).
    """
    document = _read(path)
    problems = list(document.problems)
    found = _beyond_the_form(document, now or dt.datetime.now(dt.UTC), machine or Machine.here())
    problems += [located(finding, document.data, document.lines) for finding in found]
    problems.sort(key=lambda problem: (problem.severity, problem.line or 0))
    return Report(path=path, config=document.config, problems=problems)


def _beyond_the_form(document: _Document, now: dt.datetime, machine: Machine) -> list[Finding]:
    """What is wrong with what the file points to; where its form is wrong, of the tables in which it is right."""
    if document.config is not None:
        return check_config(document.config, now, machine)
    part = sound_part(_absolute(document.data, document.path.resolve().parent), document.wrong)
    if part is None:
        return []
    found = [*mirror_mistakes(part.config), *check_config(part.config, now, machine)]
    told = [in_file for finding in found if (in_file := part.in_file(finding)) is not None]
    return [finding for finding in told if finding.place not in set(document.wrong)]


def _read(path: Path) -> _Document:
    document = _Document(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        remedy = "`courtroom devices` prints stanzas to begin with" if isinstance(error, FileNotFoundError) else ""
        document.problems.append(Problem(severity="error", line=None, where="", what=f"cannot be read: {error.strerror}", remedy=remedy))
        return document
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        what = f"byte {raw[error.start]:#04x} is no UTF-8"
        document.problems.append(Problem(severity="error", line=line, where="", what=what, remedy="save the file as UTF-8"))
        return document
    # Windows' editors put a byte order mark before UTF-8; it means nothing, and a technician cannot see it.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        document.data = _parsed(text)
        document.lines = lines(text)
        findings = _mistakes(document)
    except tomllib.TOMLDecodeError as error:
        document.problems.append(_syntax(str(error), text))
    except RecursionError:
        what, remedy = "tables or lists are nested too deeply", "nothing in this file is nested more than three levels deep"
        document.problems.append(Problem(severity="error", line=_deepest_line(text), where="", what=what, remedy=remedy))
        document.data = {}
    else:
        document.wrong = [finding.place for finding in findings]
        document.problems += sorted(
            (located(finding, document.data, document.lines) for finding in findings), key=lambda problem: problem.line or 0
        )
    return document


def _parsed(text: str) -> dict[str, Any]:
    """The document.

    Raises:
        TOMLDecodeError: it is no TOML.
        RecursionError: it is nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python refuses to read a number of thousands of digits
        number = next((number for number, line in enumerate(text.split("\n"), 1) if _LONG_NUMBER.search(line)), 1)
        raise tomllib.TOMLDecodeError(f"Number with too many digits (at line {number}, column 1)") from error


def _mistakes(document: _Document) -> list[Finding]:
    """All that is wrong with the form of a document that is TOML; where nothing is, its ``config`` is set."""
    names = name_mistakes(document.data)
    unseen = control_characters(document.data)
    findings = names + unseen
    try:
        config = RoomConfig.model_validate(_absolute(document.data, document.path.resolve().parent))
    except ValidationError as error:
        # The schema stops at the first clash of names, and says it of the whole file: name_mistakes has them all, each with its place.
        told = [explain(e, document.data) for e in error.errors(include_url=False) if not (names and e["loc"] == ())]
        return findings + [finding for finding in told if finding.place not in {one.place for one in unseen}]
    if not findings:
        findings = list(mirror_mistakes(config))
        document.config = None if findings else config
    return findings


def _deepest_line(text: str) -> int:
    """About the line whose brackets or dots nest too deeply, for a document that cannot be read at all."""
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        depth += line.count("[") + line.count("{") - line.count("]") - line.count("}")
        if max(depth, line.count("[") + line.count("{"), line.count(".")) > _DEEP:
            return number
    return 1


def _syntax(message: str, text: str) -> Problem:
    match = _AT_LINE.search(message)
    line = int(match[1]) if match else len(text.splitlines()) or 1
    said = _AT_LINE.sub("", message).replace(" (at end of document)", " at the end of the file")
    stands = text.splitlines()[line - 1].strip()[:_MOST_SHOWN] if line <= len(text.splitlines()) else ""
    remedy = f"the line reads: {stands}" if stands else ""
    if "Invalid value" in said:
        remedy = f'text stands in quotes, as in id = "judge"; yes and no are true and false; {remedy}'
    elif "overwrite" in said or "twice" in said or "mutate" in said:
        remedy = f"a key or [table] may stand only once; several cameras are each a [[camera]]; {remedy}"
    return Problem(severity="error", line=line, where="", what=f"not valid TOML: {said}", remedy=remedy)


def _absolute(data: dict[str, Any], base: Path) -> dict[str, Any]:
    """A copy of the document with every relative path made absolute."""
    copy = deepcopy(data)
    patterns = list(_PATHS)
    signing = copy.get("signing")
    if isinstance(signing, dict):
        patterns += [("signing", key) for key in _SIGNING_PATHS.get(str(signing.get("kind")), ())]
    for pattern in patterns:
        _resolve(copy, pattern, base)
    return copy


def _resolve(node: Any, pattern: tuple[str, ...], base: Path) -> None:  # noqa: ANN401 - whatever TOML holds
    key, rest = pattern[0], pattern[1:]
    if key == "*":
        for element in node if isinstance(node, list) else []:
            _resolve(element, rest, base)
    elif isinstance(node, dict) and key in node:
        if rest:
            _resolve(node[key], rest, base)
        elif isinstance(node[key], str) and node[key]:
            node[key] = str(base / node[key])
