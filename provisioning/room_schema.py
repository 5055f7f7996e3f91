"""Puts the schema's complaints about ``room.toml`` into a technician's words, and finds every clash of names. Pure."""

import difflib
import re
import types
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from provisioning.problems import Finding, meant
from provisioning.room import OWN_CHILDREN, OWN_TRACKS, SOUND, RoomConfig
from provisioning.toml_places import Place
from recorder.record.layout import is_id

_TAGGED = {"camera": "driver", "microphone": "driver", "signing": "kind"}
"""Tables of several kinds, and the key that tells the kind."""

_EXAMPLES = {
    "id": 'id = "judge"',
    "court": 'court = "Almaty city court"',
    "primary": 'primary = "/srv/courtroom/primary"',
    "url": 'url = "rtsp://192.0.2.10/stream1"',
    "driver": 'driver = "rtsp"',
    "kind": 'kind = "file"',
    "key": 'key = "keys/device.key"',
    "chain": 'chain = "keys/device-chain.pem"',
    "certificate": 'certificate = "keys/court.pem"',
    "path": 'path = "/dev/v4l/by-path/…"',
    "device": 'device = "hw:CARD=…,DEV=0"',
    "channels": 'channels = [{ id = "judge", number = 1 }]',
    "number": "number = 1",
    "urls": 'urls = ["turn:turn.example.kz:3478?transport=udp", "turns:turn.example.kz:443?transport=tcp"]',
    "secret": 'secret = "/etc/courtroom/turn.secret"',
    "whip": 'whip = "https://sfu.example.kz/whip/almaty-3"',
    "room": '[room]\nid = "almaty-3"',
    "storage": "[storage]",
    "signing": "[signing]; `courtroom keys make` makes a first key and prints the lines",
}
_TABLE_EXAMPLES = {
    "centre": {
        "url": 'url = "https://centre.example.kz:8443"',
        "key": 'key = "/var/lib/courtroom-centre/transport.key"',
        "certificate": 'certificate = "/var/lib/courtroom-centre/transport.pem"',
        "roots": 'roots = "/var/lib/courtroom-centre/roots.pem"',
    },
    "signing": {
        "module": 'module = "/usr/lib/softhsm/libsofthsm2.so"; the token\'s maker ships it',
        "token": 'token = "court"; the label that the token was given when it was initialised',
        "label": 'label = "device"; that of the key on the token',
        "pin_file": 'pin_file = "/etc/courtroom/keys/token.pin"',
    },
    "audience": {"token": 'token = "/etc/courtroom/whip.token"'},
}
"""Of keys that mean something else in these tables."""
_URLS = frozenset({"url", "sub_url", "archive_url"})
_URL_EXAMPLES = {"timestamp": "http://tsa.example.kz/", "centre": "https://centre.example.kz:8443"}
_UNSEEN = frozenset({"Cc", "Zl", "Zp"})
"""Unicode's categories of control and line separating characters."""
_BOUNDS = {"greater_than_equal": "at least {ge}", "greater_than": "more than {gt}", "less_than_equal": "at most {le}",
           "less_than": "less than {lt}", "multiple_of": "a multiple of {multiple_of}"}  # fmt: skip
_KINDS = {
    "string_type": ("text", 'text stands in quotes: "…"'),
    "int_type": ("a whole number", "a number stands without quotes"),
    "int_parsing": ("a whole number", "a number stands without quotes"),
    "int_from_float": ("a whole number", "leave out the fraction"),
    "float_type": ("a number", "a number stands without quotes"),
    "float_parsing": ("a number", "a number stands without quotes"),
    "finite_number": ("a number", "inf and nan are none; write digits"),
    "bool_type": ("true or false", "true and false stand without quotes"),
    "bool_parsing": ("true or false", "true and false stand without quotes"),
    "list_type": ("a list", "a list stands in brackets: [ … ]; several tables of one kind are each a [[…]]"),
    "model_type": ("a table", "a table is a [name] of its own, or { key = value }"),
    "model_attributes_type": ("a table", "a table is a [name] of its own, or { key = value }"),
}


def explain(error: ErrorDetails, data: dict[str, Any]) -> Finding:
    """One complaint of the schema about the document ``data``, with its place in it."""
    place = _place(error["loc"])
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    key = str(place[-1]) if place else ""
    if kind == "missing":
        table = next((str(part) for part in reversed(place[:-1]) if isinstance(part, str)), "")
        example = _TABLE_EXAMPLES.get(table, {}).get(key) or _EXAMPLES.get(key)
        return Finding(place=place, what=f"'{key}' is missing", remedy=f"add it, for example: {example}" if example else f"add {key} = …")
    if kind == "extra_forbidden":
        return Finding(place=place, what=f"'{key}' is not known here", remedy=_unknown_key(place, data))
    if kind in {"literal_error", "union_tag_invalid"}:
        if kind == "union_tag_invalid":
            tag = str(context["discriminator"]).strip("'")
            place, value, allowed = (*place, tag), context["tag"], str(context["expected_tags"])
        else:
            allowed = str(context["expected"]).replace(" or ", ", ")
        words = [word.strip().strip("'") for word in allowed.split(",")]
        return Finding(place=place, what=f"is {_shown(value)}, which is not known", remedy=meant(str(value), words))
    if kind == "union_tag_not_found":
        tag = str(context["discriminator"]).strip("'")
        alike = difflib.get_close_matches(tag, [str(written) for written in value], n=1) if isinstance(value, dict) else []
        hint = f"is '{alike[0]}' meant to be it? " if alike else ""
        return Finding(place=(*place, tag), what=f"'{tag}' is missing", remedy=f"{hint}one of: {', '.join(_tags(place))}")
    if kind == "string_pattern_mismatch":
        return Finding(place=place, what=f"is {_shown(_public(key, value))}", remedy=_pattern_remedy(place))
    if kind in _BOUNDS:
        return Finding(place=place, what=f"is {_shown(value)}; it must be {_BOUNDS[kind].format(**context)}")
    if kind == "string_too_long":
        return Finding(place=place, what=f"has {len(value)} characters; {context['max_length']} are the most")
    if kind == "too_short":
        return Finding(place=place, what="is an empty list", remedy=f"for example: {_EXAMPLES.get(key, f'{key} = [ … ]')}")
    if kind in _KINDS:
        expected, remedy = _KINDS[kind]
        return Finding(place=place, what=f"is {_shown(value)}; it must be {expected}", remedy=remedy)
    remedy = ""
    if key in _URLS:
        remedy = f'for example: {key} = "{_URL_EXAMPLES.get(str(place[0]), "rtsp://192.0.2.10/stream1")}"'
    return Finding(place=place, what=error["msg"].removeprefix("Value error, "), remedy=remedy)


def control_characters(data: dict[str, Any]) -> list[Finding]:
    """Every text with line ends, escape sequences or the like in it: it would stand in a signed record, in paths and on terminals."""
    found: list[Finding] = []
    waiting: list[tuple[Place, Any]] = [((), data)]
    while waiting:  # no recursion: tables may be nested deeply
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*place, str(key)), part) for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, index), part) for index, part in enumerate(value)]
        elif isinstance(value, str):
            at = next((at for at, one in enumerate(value) if unicodedata.category(one) in _UNSEEN), None)
            if at is not None:
                what = f"has a character that cannot be seen (U+{ord(value[at]):04X}) at position {at + 1}"
                found.append(Finding(place=place, what=what, remedy="write it anew, in one line"))
    return found


def name_mistakes(data: dict[str, Any]) -> list[Finding]:
    """Every clash of names in a document, however wrong it may be otherwise. The rules are ``RoomConfig``'s own."""
    found: list[Finding] = []
    devices: dict[str, str] = {}
    tracks = dict(OWN_TRACKS)
    for place, name, what in _names(data):
        is_track = what != "microphone"
        is_device = what in {"camera", "microphone"}
        if what == "camera's sound" and is_id(name.removesuffix(SOUND)) and not is_id(name):
            long = f"its track would be called '{name}', which is longer than a name may be"
            found.append(Finding(place=place, what=long, remedy="give the camera a shorter id, or set audio = false"))
        if is_track and name.startswith("remote-"):
            found.append(Finding(place=place, what=f"'{name}' begins with 'remote-', as only participants' tracks may", remedy="rename it"))
        if is_device and name in OWN_CHILDREN:
            own = f"'{name}' is the recorder's own name for {OWN_CHILDREN[name]}: this {what} would vanish, or take its place"
            found.append(Finding(place=place, what=own, remedy="rename it"))
        elif is_device and name in devices:
            found.append(Finding(place=place, what=f"{devices[name]} is already called '{name}'", remedy="rename one of them"))
        elif is_track and name in tracks:
            found.append(Finding(place=place, what=f"the track '{name}' is already that of {tracks[name]}", remedy="rename one of them"))
        if is_device:
            devices.setdefault(name, f"a {what}")
        if is_track:
            tracks.setdefault(name, f"a {what}")
    if not any(_tables(data, kind) for kind in ("camera", "microphone")):
        found.append(Finding(place=(), what="no camera and no microphone", remedy="`courtroom devices` prints stanzas to paste"))
    return found


def _names(data: dict[str, Any]) -> Iterator[tuple[Place, str, str]]:
    for index, camera in enumerate(_tables(data, "camera")):
        name = camera.get("id")
        if isinstance(name, str):
            yield ("camera", index, "id"), name, "camera"
            if camera.get("driver") == "rtsp" and camera.get("audio") is True:
                yield ("camera", index, "audio"), f"{name}{SOUND}", "camera's sound"
    for index, microphone in enumerate(_tables(data, "microphone")):
        if isinstance(microphone.get("id"), str):
            yield ("microphone", index, "id"), microphone["id"], "microphone"
        for number, channel in enumerate(_tables(microphone, "channels")):
            if isinstance(channel.get("id"), str):
                yield ("microphone", index, "channels", number, "id"), channel["id"], "microphone's channel"


def _tables(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = data.get(key)
    return [element if isinstance(element, dict) else {} for element in value] if isinstance(value, list) else []


def _place(loc: tuple[str | int, ...]) -> Place:
    """The schema's place without the name of the kind, which it adds where a table may be of several."""
    if loc and loc[0] in _TAGGED:
        tag_at = 2 if len(loc) > 1 and isinstance(loc[1], int) else 1
        return (*loc[:tag_at], *loc[tag_at + 1 :])
    return loc


def _unknown_key(place: Place, data: dict[str, Any]) -> str:
    key = str(place[-1])
    kinds = _models(RoomConfig, place[:-1])
    tag = _TAGGED.get(str(place[0])) if len(place) <= 3 else None
    stanza = _value(data, place[:-1])
    chosen = kinds
    if tag and isinstance(stanza, dict) and len(kinds) > 1:
        chosen = [model for model in kinds if stanza.get(tag) in get_args(model.model_fields[tag].annotation)]
        owners = [get_args(model.model_fields[tag].annotation)[0] for model in kinds if key in model.model_fields]
        if owners and chosen:
            return f'it belongs to {tag} = "{owners[0]}", and this one says {tag} = "{stanza.get(tag)}"'
    return meant(key, dict.fromkeys(name for model in chosen for name in model.model_fields))


def _value(data: Any, place: Place) -> Any:  # noqa: ANN401 - whatever TOML holds
    for part in place:
        data = data[part]
    return data


def _tags(place: Place) -> list[str]:
    tag = _TAGGED[str(place[0])]
    return [get_args(model.model_fields[tag].annotation)[0] for model in _models(RoomConfig, place)]


def _models(root: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The tables that may stand at a place."""
    models = [root]
    for part in place:
        if isinstance(part, str):
            fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
            models = [model for annotation in fields for model in _tables_of(annotation)]
    return list(dict.fromkeys(models))


def _tables_of(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - a type expression
    origin = get_origin(annotation)
    if origin is Annotated:
        return _tables_of(get_args(annotation)[0])
    if origin in {list, Union, types.UnionType}:
        return [model for argument in get_args(annotation) for model in _tables_of(argument)]
    if origin is Literal:
        return []
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _pattern_remedy(place: Place) -> str:
    key = str(place[-1])
    if place in {("centre", "url"), ("centre", "archive_url")}:
        return f'it must begin with https://, for example: {key} = "{_URL_EXAMPLES["centre"]}"'
    if place[:2] == ("hearings", "clerks"):
        return "names of system users, as `id -un` prints them"
    if key == "court":
        return f"it must be told whose hearings these are, for example: {_EXAMPLES['court']}"
    if key in _URLS:
        return "it must begin with rtsp:// or rtsps://"
    return "at most 48 of a-z, 0-9, dot and dash; the first and last a letter or digit"


def _public(key: str, value: object) -> object:
    """A value as it may be told: an address without what stands before its host, and without its query."""
    if key not in _URLS or not isinstance(value, str):
        return value
    return re.sub(r"//[^/]*@", "//…@", value.partition("?")[0])


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else f"'{value}'" if isinstance(value, str) else str(value)
