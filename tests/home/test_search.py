"""Full text: what is written is found, by anybody's words, kept by whatever writes, whole after everything."""

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue, Misuse
from chez.query import fulltext
from tests.home.conftest import PASSPHRASE
from tests.home.consistency import full_text
from tests.relay.within import relay as running_relay
from tests.tries import tries

FRESH = count()


async def ids(notes: Any, words: str, **options: Any) -> list[str]:
    """The ids of what is found, in no particular order."""
    return sorted(hit.record.id for hit in await notes.search(words, **{"limit": 1000} | options))


async def problems(home: chez.Home) -> list[str]:
    """What is wrong with the full-text indexes of a home."""
    return await home._database.write(full_text)


async def test_the_best_come_first_with_what_was_found(home: chez.Home) -> None:
    """Hits are ranked by BM25, carry the record and a snippet, and come in pages."""
    notes = home.collection("notes", search=("title", "body"))
    await notes.put({"title": "Tea", "body": "milk, no sugar, and a long story " * 10 + "about nothing"}, id="long")
    await notes.put({"title": "Tea tea", "body": "tea with milk"}, id="best")
    await notes.put({"title": "Coffee", "body": "black"}, id="none")
    hits = await notes.search("tea milk", marks=("<", ">"))
    assert [hit.record.id for hit in hits] == ["best", "long"] and hits[0].rank < hits[1].rank < 0
    assert hits[0].record.value == {"title": "Tea tea", "body": "tea with milk"}
    assert "<" in hits[0].snippet and len(hits[1].snippet) < 200
    assert [hit.record.id for hit in await notes.search("tea milk", limit=1, offset=1)] == ["long"]
    assert await notes.search("tea", limit=0) == []


async def test_words_phrases_and_prefixes(home: chez.Home) -> None:
    """All words must occur, quoted ones together, `*` ends a prefix; case and accents make no difference."""
    notes = home.collection("notes", search=("text", "in.side", "tags"))
    texts = {"a": {"text": "Thé à la menthe"}, "b": {"text": "green tea, mint"}, "c": {"in": {"side": "mint tea"}},
             "d": {"tags": ["teapot", "mint"]}, "e": {"other": "mint tea"}, "f": {"text": None}}
    for id, value in texts.items():
        await notes.put(value, id=id)
    assert await ids(notes, "the A") == ["a"]
    assert await ids(notes, "mint tea") == ["b", "c"]
    assert await ids(notes, '"mint tea"') == ["c"]
    assert await ids(notes, '"mint te"*') == ["c"]
    assert await ids(notes, "mint te*") == ["b", "c", "d"]
    assert await ids(notes, "green-tea") == ["b"] and await ids(notes, "tea-green") == []


@pytest.mark.parametrize("words", [
    "", " ", '"', '""', "*", "-", "tea OR", "AND tea", "NOT", "NEAR(tea milk, 2)", "text:tea", "c0 : tea", "^tea",
    "(tea", "tea)", "{a b}: tea", '"tea', 'te"a', "tea**", '"*', "\0", "tea\0milk", "'; DROP TABLE record; --", "+ tea",
    "tea + milk", "😀", "\u202e", "%", "\\", "a" * 4096, " ".join("ab" for _ in range(64))])
async def test_any_words_are_words(home: chez.Home, words: str) -> None:
    """Quotes, operators and garbage of FTS5's own language find what they say or nothing, and never fail."""
    notes = home.collection("notes", search=("text",))
    await notes.put({"text": "or and not near tea milk 2 text c0 a b drop table record"}, id="all")
    found = await ids(notes, words)
    assert found == (["all"] if words in ("tea OR", "AND tea", "NOT", "NEAR(tea milk, 2)", "c0 : tea", "^tea", "(tea",
                                          "tea)", "{a b}: tea", '"tea', "tea**", "tea\0milk", "+ tea", "tea + milk",
                                          "'; DROP TABLE record; --") else [])


@settings(max_examples=tries(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(st.characters(codec="utf-8") | st.sampled_from('"*():^-+{}\0 ORAND'), max_size=30))
async def test_whatever_is_typed_is_answered(home: chez.Home, words: str) -> None:
    """No text at all makes a search fail."""
    notes = home.collection("notes", search=("text",))
    assert await notes.search(words) == []


@pytest.mark.parametrize("words", [3, None, "\ud800", "a" * 4097, "a " * 65])
async def test_what_can_not_be_searched_for(home: chez.Home, words: Any) -> None:
    """What is no text, or too much of it, is a typed error."""
    with pytest.raises(InvalidValue):
        await home.collection("notes", search=("text",)).search(words)


@pytest.mark.parametrize("marks", ["<>", ("<",), (1, 2), ("<", "\ud800"), None])
async def test_wrong_marks(home: chez.Home, marks: Any) -> None:
    """What can't be put around a word is a typed error."""
    with pytest.raises(InvalidValue):
        await home.collection("notes", search=("text",)).search("tea", marks=marks)


@pytest.mark.parametrize("fields", ["title", ["a", "a"], [""], ["_id"], [3], [["a"]], [f"f{n}" for n in range(33)]])
async def test_what_can_not_be_declared(home: chez.Home, fields: Any) -> None:
    """A wrong declaration is refused when it is made."""
    with pytest.raises(InvalidValue):
        home.collection("notes", search=fields)


async def test_without_a_declaration_nothing_is_searched(home: chez.Home) -> None:
    """A collection without full text has no trigger and says how to declare it; once declared, all can search it."""
    notes = home.collection("notes")
    await notes.put({"title": "Tea"}, id="tea")
    with pytest.raises(Misuse, match="search="):
        await notes.search("tea")
    triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'search *'"
    assert await home._database.read(lambda db: db.execute(triggers).fetchone()) == (0,)
    await home.collection("notes", search=("title",)).count()
    assert await ids(notes, "tea") == ["tea"]


WORDS = st.lists(st.sampled_from(["tea", "milk", "te", "pot"]), max_size=3).map(" ".join)
VALUES = st.fixed_dictionaries({}, optional={"a": WORDS | st.none() | st.integers(0, 3) | st.lists(WORDS, max_size=2),
                                             "b": WORDS, "c": WORDS})
STEPS = st.lists(st.one_of(
    st.tuples(st.just("put"), st.sampled_from("xyz"), VALUES), st.tuples(st.just("delete"), st.sampled_from("xyz")),
    st.tuples(st.just("undone"), st.sampled_from("xyz"), VALUES), st.tuples(st.just("slice")),
    st.tuples(st.just("declare"), st.sampled_from([("a", "b"), ("b",), ("c", "a")])),
    st.tuples(st.just("search"), st.sampled_from(["tea", "milk", "te*", "tea milk", '"milk tea"']))), max_size=14)


@settings(max_examples=tries(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_it_follows_every_write(home: chez.Home, steps: list[Any]) -> None:
    """However puts, deletions, undone transactions, declarations and slices of a build alternate, it agrees."""
    name = f"c{next(FRESH)}"
    notes, fields, now = home.collection(name, search=("a",)), ("a",), {}
    for kind, *given_ in [*steps, ("search", "te*")]:
        if kind == "put":
            now[given_[0]] = given_[1]
            await notes.put(given_[1], id=given_[0])
        elif kind == "delete" and given_[0] in now:
            del now[given_[0]]
            await notes.delete(given_[0])
        elif kind == "undone":
            with pytest.raises(ZeroDivisionError):
                await home.transaction(lambda t, notes=notes, one=given_: (t.put(notes, one[1], id=one[0]), 1 / 0))
        elif kind == "slice":
            await home._database.write(lambda db: fulltext.build(db, home._engine.space, name, 1))
        elif kind == "declare":
            fields = given_[0]
            notes = home.collection(name, search=fields)
        elif kind == "search":
            wanted = sorted(id for id, value in now.items() if _has(value, fields, given_[0]))
            assert await ids(notes, given_[0]) == wanted
    assert await problems(home) == []


def _has(value: dict[str, Any], fields: tuple[str, ...], words: str) -> bool:
    """What a search says, in plain Python."""
    texts = [f" {' '.join(str(value[name]).translate(str.maketrans(',[]', '   ')).replace(chr(39), '').split())} "
             for name in fields if value.get(name) is not None]
    if words.startswith('"'):
        return any(f" {words[1:-1]} " in text for text in texts)
    return all(any(f" {word.removesuffix('*')}" + ("" if word.endswith("*") else " ") in text for text in texts)
               for word in words.split())


async def test_what_is_in_the_trash_is_not_found_by_an_index_that_is_declared_later(home: chez.Home) -> None:
    """It was deleted before there was one, and comes in when it is restored."""
    plain = home.collection("notes")
    for id in ("kept", "gone"):
        await plain.put({"text": "tea"}, id=id)
    await plain.delete("gone")
    notes = home.collection("notes", search=("text",))
    assert await ids(notes, "tea") == ["kept"] and await problems(home) == []
    await notes.restore("gone")
    assert await ids(notes, "tea") == ["gone", "kept"] and await problems(home) == []


async def test_each_space_has_an_index_of_its_own(home: chez.Home) -> None:
    """Collections of one name in two spaces: what is searched for in one is not found in the other, whichever was there
    first, and what is declared in one builds nothing in the other."""
    trip = await home.create_space("Trip")
    here, there = home.collection("notes", search=("text",)), trip.collection("notes", search=("text",))
    await here.put({"text": "tea"}, id="before")
    assert await ids(here, "tea") == ["before"]
    await there.put({"text": "tea"}, id="of trip")
    assert await ids(there, "tea") == ["of trip"]
    await here.put({"text": "tea"}, id="after")
    await there.put({"text": "more tea"}, id="of trip")
    assert await ids(here, "tea") == ["after", "before"] and await ids(there, "tea") == ["of trip"]
    assert await problems(home) == []


async def test_it_is_built_in_short_slices_and_goes_on_after_a_restart(path: Path) -> None:
    """Declared on records that are there, it is built piece by piece; what was cut off goes on in the next process."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put_many([{"t": f"tea number{n}"} for n in range(1300)])
        await home.collection("other").put_many([{"t": "tea"} for _ in range(300)])
        notes = home.collection("notes", search=("t",))
        await notes.put({"t": "tea late"}, id="late")
        assert await home._database.write(lambda db: fulltext.build(db, home._engine.space, "notes"))
        await notes.put({"t": "coffee late"}, id="late")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes", search=("t",))
        assert await problems(home) == []
        seen: list[str] = []
        await home._database.write(lambda db: db.set_trace_callback(seen.append))
        hits, _ = await asyncio.gather(notes.search("tea", limit=2000), notes.put({"t": "tea meanwhile"}, id="m"))
        assert len([one for one in seen if one.startswith("COMMIT")]) >= 3
        assert len(hits) in (1300, 1301) and await ids(notes, "coffee") == ["late"]
        assert await ids(notes, "meanwhile") == ["m"] and await ids(notes, "number700") != []
        assert await problems(home) == []


async def test_a_damaged_index_is_found_and_made_anew(home: chez.Home) -> None:
    """The check compares it with the records; made anew it answers again."""
    notes = home.collection("notes", search=("t",))
    await notes.put_many([{"t": f"tea n{n}"} for n in range(20)], ids=[f"{n:02d}" for n in range(20)])
    await home._database.write(lambda db: db.execute(
        "INSERT INTO \"search 1\" (\"search 1\", rowid, c0) VALUES ('delete', 3, 'tea n2')"))
    assert [problem.split(":")[0] for problem in await problems(home)] == ["full text of notes"] * 2
    await home._database.write(fulltext.reset)
    assert len(await ids(notes, "tea")) == 20 and await problems(home) == []


async def test_an_edit_of_another_field_does_not_touch_it(home: chez.Home) -> None:
    """What is not searched can be edited without a write to the index."""
    notes = home.collection("notes", search=("t",))
    await notes.put({"t": "tea", "cups": 1}, id="a")
    size = "SELECT count(*), sum(length(block)) FROM \"search 1_data\""
    before = await home._database.read(lambda db: db.execute(size).fetchone())
    for n in range(20):
        await notes.put({"t": "tea", "cups": n}, id="a")
    assert await home._database.read(lambda db: db.execute(size).fetchone()) == before


async def test_what_arrives_from_another_device_is_found(tmp_path: Path) -> None:
    """Records, edits and deletions that come through a relay are in the index with their projection."""
    async with running_relay(tmp_path / "relay") as relay:
        await chez.create(tmp_path / "a", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with chez.open(tmp_path / "a", passphrase=PASSPHRASE) as a:
            await a.set_relay(relay.url)
            await a.sync()

            async def yes(question: str, *, default: str | None = None) -> str:
                return "yes"

            async with a.pair(relay.url) as pairing:
                joined = asyncio.create_task(chez.join(
                    tmp_path / "b", pairing.code, passphrase=PASSPHRASE, relay=relay.url, kdf=Kdf.minimum()))
                await pairing.confirm(yes)
                await joined
            async with chez.open(tmp_path / "b", passphrase=PASSPHRASE) as b:
                far, near = a.collection("notes"), b.collection("notes", search=("t",))
                await near.put({"t": "mine"}, id="mine")
                await far.put_many([{"t": "tea"}, {"t": "tea"}, {"t": "milk"}], ids=["a", "b", "c"])
                await a.sync()
                await b.sync(relay.url)
                assert await ids(near, "tea") == ["a", "b"]
                await far.delete("a")
                async with far.edit("b") as draft:
                    draft["t"] = "milk"
                await a.sync()
                await b.sync(relay.url)
                assert await ids(near, "tea") == [] and await ids(near, "milk") == ["b", "c"]
                assert await problems(b) == []
