"""Every mistake is reported with its line, so the line of every key must be right, however the file is written."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provisioning.toml_places import Place, lines, nearest

DOCUMENT = '''\
# a comment with [brackets] and = signs
centre_roots = "a#b]" # not a comment inside
"quoted.key" = 1

[room]
id = "a"
text = """
many
lines ""\\" "quoted"""""
lit = \'\'\'
[not.a.table]
\'\'\'
[[camera]]
id = "one"
point = { x = 1, y = [1, 2,
  3] }
[camera.extra]
deep.er = true
[[camera]]
id = "two"
channels = [
  { id = "judge", number = 1 }, # comment ]
  { id = "witness", number = [
    2] },
]
last = 1979-05-27T07:32:00Z'''


def test_every_way_of_writing_a_value_has_its_line() -> None:
    tomllib.loads(DOCUMENT)
    found = lines(DOCUMENT)
    expected: dict[Place, int] = {
        ("centre_roots",): 2,
        ("quoted.key",): 3,
        ("room",): 5,
        ("room", "id"): 6,
        ("room", "text"): 7,
        ("room", "lit"): 10,
        ("camera", 0): 13,
        ("camera", 0, "point", "x"): 15,
        ("camera", 0, "point", "y", 2): 16,
        ("camera", 0, "extra"): 17,
        ("camera", 0, "extra", "deep", "er"): 18,
        ("camera", 1): 19,
        ("camera", 1, "channels", 0, "number"): 22,
        ("camera", 1, "channels", 1, "number"): 23,
        ("camera", 1, "channels", 1, "number", 0): 24,
        ("camera", 1, "last"): 26,
    }
    assert {place: found.get(place) for place in expected} == expected


def test_a_missing_key_is_placed_at_its_table() -> None:
    assert nearest(lines(DOCUMENT), ("camera", 1, "url")) == 19
    assert nearest(lines(DOCUMENT), ("storage",)) is None


keys = st.text("abcdefgh_-0123456789", min_size=1, max_size=6)
scalars = st.one_of(
    st.integers(-9, 9).map(str), st.just("true"), st.text("ab #=[]{},.'\"", max_size=8).map(lambda t: '"' + t.replace('"', '\\"') + '"')
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: "[\n" + ", # ]\n".join(v) + "\n]"),
        st.dictionaries(keys, inner, max_size=3).map(lambda d: "{ " + ", ".join(f"{k} = {v}" for k, v in d.items()) + " }"),
    ),
    max_leaves=6,
)


def every_place(node: Any, place: Place = ()) -> list[Place]:
    if isinstance(node, dict):
        return [p for key, value in node.items() for p in [(*place, key), *every_place(value, (*place, key))]]
    if isinstance(node, list):
        return [p for index, value in enumerate(node) for p in [(*place, index), *every_place(value, (*place, index))]]
    return []


@given(st.dictionaries(keys, st.dictionaries(keys, values, max_size=3), max_size=3))
def test_whatever_tomllib_reads_is_found_at_the_line_of_its_key(tables: dict[str, dict[str, str]]) -> None:
    text, expected, line = "", {}, 1
    for name, table in tables.items():
        text += f"[[{name}]]\n"
        line += 1
        for key, value in table.items():
            expected[name, 0, key] = line
            text += f"{key} = {value}\n"
            line += value.count("\n") + 1
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # line ends inside inline tables
    found = lines(text)
    assert set(every_place(data)) <= set(found)
    assert {place: found[place] for place in expected} == expected
