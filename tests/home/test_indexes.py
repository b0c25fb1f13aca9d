"""Declared indexes are what queries go by: the plans of the statements that SQLite really ran."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import chez
from chez import field

COUNT = 2500  # more than two pages of an iteration
Notes = Any

QUERIES: dict[str, Callable[[Notes], Awaitable[Any]]] = {
    "range": lambda notes: notes.where(field("cups") >= 3).all(),
    "equal": lambda notes: notes.where(cups=3).all(),
    "none": lambda notes: notes.where(cups=None).all(),
    "one of": lambda notes: notes.where(field("cups").in_([1, 2])).all(),
    "count": lambda notes: notes.where(field("cups") < 3).count(),
    "first": lambda notes: notes.where(cups=3).first(),
    "iterated": lambda notes: listed(notes.where(cups=3)),
    "another condition too": lambda notes: notes.where(field("cups") >= 3, even=True).all(),
    "sorted": lambda notes: notes.where().order_by("cups").all(),
    "sorted down": lambda notes: notes.where().order_by("-cups").limit(3).all(),
    "sorted by two": lambda notes: notes.where().order_by("cups", "n").limit(3).all(),
    "filtered and sorted": lambda notes: notes.where(field("cups") >= 3).order_by("cups").all(),
}


async def listed(query: AsyncIterator[Any]) -> list[Any]:
    """Everything that an iteration gives."""
    return [record async for record in query]


@pytest.fixture
async def filled(home: chez.Home) -> chez.Home:
    """A home with enough records that a walk through all of them would be felt."""
    values = [{"n": n, "even": n % 2 == 0, "cups": n % 50} for n in range(COUNT)]
    await home.collection("notes").put_many(values, ids=[f"{n:05d}" for n in range(COUNT)])
    await home.collection("Notes").put({"cups": 3})
    return home


async def plans(home: chez.Home, run: Callable[[], Awaitable[Any]]) -> tuple[Any, list[str]]:
    """The answer, and how SQLite finds the rows of each statement over records."""
    seen: list[str] = []
    await home._database.read(lambda db: db.set_trace_callback(seen.append))
    try:
        answer = await run()
    finally:
        await home._database.read(lambda db: db.set_trace_callback(None))
    found = []
    for statement in seen:
        rows = await home._database.read(lambda db, one=statement: db.execute(f"EXPLAIN QUERY PLAN {one}").fetchall())
        found.append("; ".join(row[3] for row in rows))
    return answer, found


@pytest.mark.parametrize("name", QUERIES)
async def test_a_declared_index_is_used_and_changes_no_answer(filled: chez.Home, name: str) -> None:
    """Filters and sorting search the declared index; without one they go through the collection, to the same answer."""
    wanted, without = await plans(filled, lambda: QUERIES[name](filled.collection("notes")))
    assert without and all("USING INDEX sqlite_autoindex_record_1" in way for way in without), without
    declared = filled.collection("notes", indexes=("cups",))
    await declared.count()  # makes the index
    answer, ways = await plans(filled, lambda: QUERIES[name](declared))
    assert answer == wanted
    assert len(ways) == 1 and "SEARCH record USING INDEX declared notes cups" in ways[0], ways


async def test_sorting_by_a_declared_index_sorts_nothing(filled: chez.Home) -> None:
    """The index has the order already, ties by id included, so that a limit ends the work early."""
    notes = filled.collection("notes", indexes=("cups",))
    await notes.count()
    found, (way,) = await plans(filled, lambda: notes.where(field("cups") >= 3).order_by("cups").limit(2).all())
    assert [record.id for record in found] == ["00003", "00053"] and "TEMP B-TREE" not in way


async def test_a_long_iteration_is_complete_and_linear(filled: chez.Home) -> None:
    """After a full first page an iteration goes on by id, so no page goes through all matches again."""
    notes = filled.collection("notes", indexes=("cups",))
    await notes.count()
    found, ways = await plans(filled, lambda: listed(notes.where(field("cups") >= 0)))
    assert [record.id for record in found] == [f"{n:05d}" for n in range(COUNT)]
    assert "declared" in ways[0] and len(ways) == 3
    assert all("sqlite_autoindex_record_1 (space=? AND collection=? AND id>?)" in way for way in ways[1:])


async def test_names_that_differ_by_case_have_their_own_indexes(filled: chez.Home) -> None:
    """SQLite ignores the case of an index's name; collections and fields do not."""
    for collection, name in (("notes", "cups"), ("Notes", "cups"), ("notes", "Cups"), ("Notes", "Cups")):
        records = filled.collection(collection, indexes=(name,))
        _, (way,) = await plans(filled, lambda records=records, name=name: records.where(field(name) >= 3).all())
        assert f"declared {collection} {name} " in way
    assert await filled.collection("Notes", indexes=("cups",)).where(cups=3).count() == 1


async def test_an_index_follows_edits_and_deletions(filled: chez.Home) -> None:
    """What is changed or deleted afterwards is found, or not found, through the index."""
    notes = filled.collection("notes", indexes=("cups",))
    assert await notes.where(cups=77).count() == 0
    await notes.put({"n": 0, "cups": 77}, id="00003")
    async with notes.edit("00053") as draft:
        draft["cups"] = 77
    await notes.delete("00103")
    assert [record.id for record in await notes.where(cups=77).all()] == ["00003", "00053"]
    assert [record.id for record in await notes.where(cups=3).limit(2).all()] == ["00153", "00203"]
