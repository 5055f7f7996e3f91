"""A person's name as staff gave it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.names import NameRefusedError, tidy


@pytest.mark.parametrize(
    ("given_", "name"),
    [
        ("C.\u00a0Akhmetova", "C. Akhmetova"),
        ("А.\u202fБ.\u2009Ибраева\u00a0", "А. Б. Ибраева"),
        ("Әсел Құсайынқызы", "Әсел Құсайынқызы"),
        ("O'Neill-Żółć", "O'Neill-Żółć"),
    ],
)
def test_a_name_that_was_copied_has_plain_spaces(given_: str, name: str) -> None:
    assert tidy(given_) == name


@pytest.mark.parametrize(
    ("given_", "said"), [("Ann\u200b", "U+200B, zero width space.* at place 4"), ("\u202eAnn", "at place 1"), ("\u00a0", "empty")]
)
def test_a_character_that_nobody_sees_is_refused_and_the_words_say_which_and_what_to_do(given_: str, said: str) -> None:
    with pytest.raises(NameRefusedError, match=said.replace("+", r"\+")):
        tidy(given_)


@given(st.text())
def test_what_comes_out_can_be_seen_and_is_not_longer(given_: str) -> None:
    try:
        name = tidy(given_)
    except NameRefusedError:
        return
    assert name.isprintable()
    assert 0 < len(name) <= len(given_)
    assert tidy(name) == name
