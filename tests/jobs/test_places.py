"""Where the keys of a TOML text stand."""

import json
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.form.places import Place, find, places
from tests.tries import tries

TEXT = '''\
title = "a # no comment"  # one
a.b."c.d" = [1, [2, 3], { x = 1, y.z = "]" }]
long = """
[no.header]
\\""" still""""
raw = \'\'\'it's ''\'\'\'

[table . "quoted key"]  # header
day = 2026-01-31 10:00:00

[[rows]]
n = 1
[[rows.deep]]
[rows.deep.table]
n = 2
[[rows]]
n = 3
'''


def paths(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """The path of every key and element that tomllib read."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {found for key, item in items for found in {(*path, key), *paths(item, (*path, key))}}


def test_every_form_of_key_is_found() -> None:
    """Dotted and quoted keys, headers, arrays of tables, inline tables, strings of all kinds: all keys, no others."""
    found = places(TEXT)
    assert set(found) == paths(tomllib.loads(TEXT))
    assert found["a", "b", "c.d"] == Place(2, 5)
    assert found["a", "b", "c.d", 2, "y", "z"] == Place(2, 36)
    assert found["rows", 0, "deep", 0, "table", "n"].line == TEXT.splitlines().index("n = 2") + 1
    assert found["rows", 1, "n"].line == TEXT.splitlines().index("n = 3") + 1


def test_the_nearest_table_stands_for_what_is_missing() -> None:
    """A field that is not there is told at the table it is missing from; of nothing, nowhere."""
    found = places(TEXT)
    assert find(found, ("table", "quoted key", "missing", "deeper")) == found["table", "quoted key"]
    assert find(found, ("missing",)) is None


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4)
NESTS = st.recursive(
    st.one_of(st.integers(0, 9), st.booleans(), st.text(st.sampled_from("a\"'#[]{},=. \\\n"), max_size=6)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def written(value: Any, blank: str) -> str:
    """A value as TOML, with blanks where they are allowed."""
    if isinstance(value, dict):
        pairs = (f"{key_text(key)}{blank}={blank}{written(item, blank)}" for key, item in value.items())
        return "{" + blank + f"{blank},{blank}".join(pairs) + blank + "}"
    if isinstance(value, list):
        return f"[{blank}" + f"{blank},\n{blank}".join(written(item, blank) for item in value) + f"{blank}]"
    return key_text(value) if isinstance(value, str) else json.dumps(value)


def key_text(text: str) -> str:
    """A basic string."""
    return json.dumps(text).replace("\x7f", "\\u007f") if text.isascii() else json.dumps(text, ensure_ascii=False)


@settings(max_examples=tries(200), deadline=None)
@given(st.dictionaries(KEYS, NESTS, max_size=4), st.sampled_from(["", " ", "\t "]))
def test_all_paths_have_the_place_of_their_key(value: dict[str, Any], blank: str) -> None:
    """Whatever is nested in whatever, each key is found where its own text begins."""
    text = "\n".join(f"{blank}{key_text(key)} = {written(item, blank)}  # end" for key, item in value.items())
    try:
        assert tomllib.loads(text) == value
    except tomllib.TOMLDecodeError:
        return  # a character that TOML wants escaped in another way
    found = places(text)
    assert set(found) == paths(value)
    lines = text.split("\n")
    for path, place in found.items():
        if isinstance(path[-1], str):
            assert lines[place.line - 1][place.column - 1 :].startswith(key_text(path[-1]))


@settings(max_examples=tries(300), deadline=None)
@given(st.text(st.sampled_from("ab=[]{}\"'#.,\n \\"), max_size=40))
def test_any_text_ends(text: str) -> None:
    """What is no TOML gives some places or none, and never an error."""
    assert all(place.line >= 1 and place.column >= 1 for place in places(text).values())
