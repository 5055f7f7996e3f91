"""The contract's types hold what they promise, to the last character."""

from typing import Any

import msgspec
import pytest

from agent.upstream import contract, transfer
from recorder.contract import control

GOOD: list[tuple[Any, str]] = [
    (contract.Id, "7599-26-00-2/1"),
    (contract.Sha256, "0" * 64),
    (transfer.Path, "tracks/judge/seg-000000.m4s"),
    (control.Words, "Clerk A. Omarova"),
]


@pytest.mark.parametrize(("kind", "text"), GOOD, ids=[text[:10] for _, text in GOOD])
def test_a_name_with_a_line_end_behind_it_is_refused(kind: Any, text: str) -> None:
    assert msgspec.json.decode(msgspec.json.encode(text), type=kind) == text
    for end in ("\n", "\r\n", "\u2028\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(text + end), type=kind)


@pytest.mark.parametrize("text", ["", " ", "../../etc", "a b", "a\x00", "é", "-x", "x" * 129])
def test_what_names_nothing_is_no_id(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(text), type=contract.Id)
