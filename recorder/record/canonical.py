"""Canonical JSON: the one byte form in which a journal line may be written.

A restriction of RFC 8785 (JSON Canonicalization Scheme) that a person can read and that any tool can hash: keys sorted, no white space,
UTF-8 in normalisation form C, no floating-point numbers, integers below 2^53, at most 32 lists and objects within one another. Decoding
accepts nothing but that form: a line whose re-encoding differs from its bytes (a duplicate key, a space, an escaped letter) is refused, so
two different lines never mean the same.
"""

import unicodedata
from typing import Any, TypeVar

import msgspec

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 32
"""Lists and objects within one another. What is written has a few; hundreds would exhaust the stack of whoever reads them."""

Json = dict[str, Any] | list[Any] | str | int | bool | None

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_encoder = msgspec.json.Encoder(order="sorted")


class NotCanonicalError(ValueError):
    """A value or a line that has no canonical form; the message says why."""


def encode(value: Any) -> bytes:  # noqa: ANN401 - a struct or plain JSON
    """Encode a msgspec struct or a plain JSON value as canonical bytes, without a line end.

    Raises:
        NotCanonicalError: a float, an integer of 2^53 or more, text that is not in form C, or too many lists within one another.

    """
    plain = msgspec.to_builtins(value)
    _check(plain)
    return _encoder.encode(plain)


def writable(value: _Struct) -> _Struct:
    """The same struct with its texts in normalisation form C, so that it can be encoded.

    Raises:
        NotCanonicalError: it holds a number that has no canonical form.

    """
    plain = msgspec.to_builtins(value)
    normal = normalised(plain)
    _check(normal)
    return value if normal == plain else msgspec.convert(normal, type(value))


def decode(line: bytes) -> Any:  # noqa: ANN401 - plain JSON
    """Decode canonical bytes into plain JSON values.

    Raises:
        NotCanonicalError: the bytes are not JSON, or not in canonical form.

    """
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotCanonicalError(f"not JSON: {error}") from error
    _check(value)
    if _encoder.encode(value) != line:
        raise NotCanonicalError("not in canonical form (duplicate key, order, space or escape)")
    return value


def decode_as(line: bytes, kind: type[_Struct]) -> _Struct:
    """Decode canonical bytes into a struct all of whose fields are there.

    Raises:
        NotCanonicalError: as ``decode``, or they are another thing.

    """
    plain = decode(line)
    try:
        value = msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise NotCanonicalError(str(error)) from error
    if msgspec.to_builtins(value) != plain:
        raise NotCanonicalError("a field is left out")
    return value


def normalised(value: Json) -> Json:
    """The same plain value with its texts in normalisation form C, and what is no Unicode (of a file's name) replaced."""
    if isinstance(value, str):
        return value if value.isascii() else unicodedata.normalize("NFC", value.encode("utf-8", "replace").decode())
    if isinstance(value, list):
        return [normalised(item) for item in value]
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", key): normalised(item) for key, item in value.items()}
    return value


def _check(value: Json, depth: int = 0) -> None:
    if isinstance(value, str):
        if not unicodedata.is_normalized("NFC", value):
            raise NotCanonicalError(f"text is not in normalisation form C: {value!r}")
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise NotCanonicalError(f"integer out of range: {value}")
    elif isinstance(value, list | dict):
        if depth >= MAX_DEPTH:
            raise NotCanonicalError(f"more than {MAX_DEPTH} lists and objects within one another")
        for item in value:  # of an object, its keys
            _check(item, depth + 1)
        for item in value.values() if isinstance(value, dict) else ():
            _check(item, depth + 1)
    else:
        raise NotCanonicalError(f"no canonical form for {type(value).__name__}")
