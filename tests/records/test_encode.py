"""The fast path of `put` writes the very bytes that the Automerge binding writes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez import crypto
from chez.errors import InvalidValue
from chez.records import automerge
from chez.records.diff import same, write_difference
from chez.records.encode import encode_again, encode_fields
from chez.records.values import check_value

ACTOR = b"A" * 32
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
times = st.datetimes(datetime(1, 1, 2), timezones=st.just(UTC))
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = (st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | text | st.binary(max_size=300)
           | times)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).filter(lambda n: n[0] != "_")
flat = st.dictionaries(names, scalars, min_size=1, max_size=80).map(check_value)


@given(flat, flat)
def test_first_and_second_changes_are_the_bindings(first: dict[str, Any], second: dict[str, Any]) -> None:
    """A record's first change, and one that adds fields to it, are byte for byte the binding's."""
    document = automerge.new(ACTOR)
    made = encode_fields(ACTOR, 1, 1, (), first)
    assert write_difference(document, {}, first) == made.bytes
    assert automerge.read_change(made.bytes) == made
    more = {key: value for key, value in second.items() if key not in first}
    if more:
        document.set_actor(b"B" * 32)
        theirs = write_difference(document, first, first | more)
        assert theirs == encode_fields(b"B" * 32, 1, len(first) + 1, (made.hash,), more).bytes


@given(flat, flat, st.data())
def test_changes_of_the_same_fields_are_the_bindings(first: dict[str, Any], new: dict[str, Any],
                                                     data: st.DataObject) -> None:
    """Fields that a device set, set by it again and again, some of them new, are byte for byte the binding's."""
    document = automerge.new(ACTOR)
    last, value = encode_fields(ACTOR, 1, 1, (), first), first
    write_difference(document, {}, first)
    stands = dict(zip(first, range(1, len(first) + 1), strict=True))
    for sequence in range(2, 5):
        chosen = data.draw(st.lists(st.sampled_from(list(first | new)), min_size=1, unique=True))
        after = value | check_value({key: data.draw(scalars) for key in chosen})
        changed = {key: item for key, item in after.items() if key not in value or not same(value[key], item)}
        theirs = write_difference(document, value, after)
        if theirs is None:
            return
        made = encode_again(ACTOR, sequence, last.last + 1, last.hash, changed, [stands.get(key) for key in changed])
        assert theirs == made.bytes and automerge.read_change(theirs) == made
        stands.update(zip(changed, range(made.first, made.last + 1), strict=True))
        last, value = made, after


async def test_a_change_too_large_for_an_entry_is_refused_at_once(tmp_path: Path) -> None:
    """An oversized put fails by itself, with a reason, and stops neither its neighbours nor sync."""
    await chez.create(tmp_path / "home", passphrase="x", kdf=crypto.Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase="x") as home:
        notes = home.collection("notes")
        with pytest.raises(InvalidValue, match="at most"):
            await notes.put({"body": "x" * 800_000})
        note = await notes.put({"body": "x" * 700_000})
        with pytest.raises(InvalidValue, match="at most"):
            async with notes.edit(note.id) as draft:
                draft["other"] = "y" * 800_000
        async with notes.edit(note.id) as draft:
            draft["other"] = "y"
        assert (await notes.get(note.id)).value["other"] == "y"
        assert len(await home._database.write(home._replica.author.collect)) >= 2
