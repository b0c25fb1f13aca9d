"""Declared indexes are what queries go by: the plans of the statements that SQLite really ran."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import chez
from chez import field
from chez.crypto import Kdf
from chez.errors import InvalidValue
from chez.query.indexes import KEPT, present
from tests.home.conftest import PASSPHRASE

COUNT = 2500  # more than two pages of an iteration
Notes = Any

QUERIES: dict[str, Callable[[Notes], Awaitable[Any]]] = {
    "range": lambda notes: notes.where(field("cups") >= 3).all(),
    "below": lambda notes: notes.where(field("cups") < 3).all(),
    "between": lambda notes: notes.where(field("cups").between(3, 5)).all(),
    "equal": lambda notes: notes.where(cups=3).all(),
    "none": lambda notes: notes.where(cups=None).all(),
    "is null": lambda notes: notes.where(field("cups").is_null()).all(),
    "there": lambda notes: notes.where(field("cups") != None).count(),  # noqa: E711
    "one of": lambda notes: notes.where(field("cups").in_([1, 2])).all(),
    "count": lambda notes: notes.where(field("cups") < 3).count(),
    "exists": lambda notes: notes.where(cups=49).exists(),
    "first": lambda notes: notes.where(cups=3).first(),
    "iterated": lambda notes: listed(notes.where(cups=3)),
    "another condition too": lambda notes: notes.where(field("cups") >= 3, even=True).all(),
    "joined by and": lambda notes: notes.where((field("even") == True) & (field("cups") < 2)).all(),  # noqa: E712
    "sorted": lambda notes: notes.where().order_by("cups").all(),
    "sorted down": lambda notes: notes.where().order_by("-cups").limit(3).all(),
    "sorted by two": lambda notes: notes.where().order_by("cups", "n").limit(3).all(),
    "filtered and sorted": lambda notes: notes.where(field("cups") >= 3).order_by("cups").all(),
    "least": lambda notes: notes.where().min("cups"),
    "greatest": lambda notes: notes.where().max("cups"),
    "summed": lambda notes: notes.where(cups=3).sum("n"),
    "in groups": lambda notes: notes.where().group_by("cups").aggregate(n=chez.count()),
}


class Cost(msgspec.Struct):
    """A record with a decimal."""

    __collection__: ClassVar[str] = "costs"

    amount: Decimal


async def listed(query: AsyncIterator[Any]) -> list[Any]:
    """Everything that an iteration gives."""
    return [record async for record in query]


async def fill(home: chez.Home) -> None:
    """Write enough records that a walk through all of them would be felt."""
    values = [{"n": n, "even": n % 2 == 0, "cups": n % 50} for n in range(COUNT)]
    await home.collection("notes").put_many(values, ids=[f"{n:05d}" for n in range(COUNT)])
    await home.collection("Notes").put({"cups": 3})


@pytest.fixture(scope="module")
async def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a filled home that is not open, to be copied: filling one takes most of a second."""
    path = tmp_path_factory.mktemp("once") / "home"
    await chez.create(path, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await fill(home)
    return path


@pytest.fixture
async def filled(once: Path, tmp_path: Path) -> AsyncIterator[chez.Home]:
    """A home of the test's own, filled."""
    async with chez.open(shutil.copytree(once, tmp_path / "filled"), passphrase=PASSPHRASE) as home:
        yield home


@pytest.fixture(scope="module")
async def plain(once: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[chez.Home]:
    """A filled home, for tests that only read; no index is declared before `answers` has asked without one."""
    path = shutil.copytree(once, tmp_path_factory.mktemp("plain") / "home")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        yield home


@pytest.fixture(scope="module")
async def answers(plain: chez.Home) -> dict[str, Any]:
    """What each query answers where there is no index, having gone through the collection."""
    found = {}
    for name, query in QUERIES.items():
        found[name], ways = await plans(plain, lambda query=query: query(plain.collection("notes")))
        assert ways and all("SEARCH record USING INDEX sqlite_autoindex_record_1" in way
                            or "SEARCH record USING INTEGER PRIMARY KEY" in way for way in ways), (name, ways)
    return found


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
        if "sqlite_master" in statement or "decimal_field" in statement or " record" not in statement:
            continue  # what is declared is looked up once
        rows = await home._database.read(lambda db, one=statement: db.execute(f"EXPLAIN QUERY PLAN {one}").fetchall())
        found.append("; ".join(row[3] for row in rows))
    return answer, found


@pytest.mark.parametrize("name", QUERIES)
async def test_a_declared_index_is_used_and_changes_no_answer(
        plain: chez.Home, answers: dict[str, Any], name: str) -> None:
    """Filters and sorting search the declared index; without one they go through the collection, to the same answer."""
    declared = plain.collection("notes", indexes=("cups",))
    answer, ways = await plans(plain, lambda: QUERIES[name](declared))
    assert answer == answers[name] and (answer or name in ("none", "is null", "least"))
    assert "SEARCH record USING INDEX declared notes cups" in ways[0], ways
    assert all("SEARCH record USING INTEGER PRIMARY KEY" in way for way in ways[1:]), ways


TEXTS: dict[str, Callable[[Notes], Awaitable[Any]]] = {
    "prefix": lambda notes: notes.where(field("place.city").prefix("Par")).all(),
    "equal": lambda notes: notes.where(field("place.city") == "Paris").all(),
    "range of text": lambda notes: notes.where(field("place.city") > "Paris").all(),
    "two equal": lambda notes: notes.where(field("place.city") == "Paris", year=2001).all(),
    "equal and a range": lambda notes: notes.where(field("place.city") == "Paris").where(field("year") > 2020).all(),
    "equal and sorted": lambda notes: notes.where(field("place.city") == "Paris").order_by("-year").limit(3).all(),
}


@pytest.mark.parametrize("name", TEXTS)
async def test_an_index_on_several_fields_serves_them_in_their_order(home: chez.Home, name: str) -> None:
    """A composite index finds by its first field, by both, and has the order of the second within the first."""
    cities = ("Paris", "Parma", "Oslo", "Zagreb")
    values = [{"place": {"city": cities[n % 4]}, "year": 2000 + n // 4} for n in range(200)]
    await home.collection("notes").put_many(values)
    wanted, _ = await plans(home, lambda: TEXTS[name](home.collection("notes")))
    declared = home.collection("notes", indexes=(("place.city", "year"), "year"))
    answer, (way,) = await plans(home, lambda: TEXTS[name](declared))
    assert answer == wanted and answer
    assert "USING INDEX declared notes place.city year " in way, way
    assert name != "equal and sorted" or "TEMP B-TREE" not in way
    columns = {"two equal": "<expr>=? AND <expr>=?", "equal and a range": "<expr>=? AND <expr>>?"}.get(name, "<expr>")
    assert columns in way, way


async def test_a_decimal_is_found_by_an_index_on_its_number(home: chez.Home) -> None:
    """Where a type declares a decimal, the index is on the number, and comparisons stay exact."""
    costs = home.collection(Cost, indexes=("amount",))
    exact = [Decimal("0.1"), Decimal("0.10000000000000000000000001"), Decimal("-3"), Decimal("12.50"), Decimal("9")]
    await costs.put_many([Cost(amount) for amount in exact])
    found, (way,) = await plans(home, lambda: costs.where(field("amount") > Decimal("0.10")).order_by("amount").all())
    assert [record.value.amount for record in found] == [exact[1], exact[4], exact[3]]
    assert "SEARCH record USING INDEX declared costs amount" in way and "TEMP" not in way
    found, (way,) = await plans(home, lambda: costs.where(amount=Decimal("12.5")).all())
    assert [record.value.amount for record in found] == [Decimal("12.50")] and "declared costs amount" in way


async def test_alternatives_go_by_an_index_each(filled: chez.Home) -> None:
    """With an index for every alternative of `|` each is searched; with one missing, the collection is gone through."""
    notes = filled.collection("notes", indexes=("cups", "n"))
    query = notes.where((field("cups") == 3) | (field("n") < 2))
    found, (way,) = await plans(filled, query.all)
    assert [record.id for record in found] == [f"{n:05d}" for n in range(COUNT) if n % 50 == 3 or n < 2]
    assert "declared notes cups" in way and "declared notes n" in way and "USING INTEGER PRIMARY KEY" in way
    assert await query.where(even=True).count() == 1
    other, (way,) = await plans(filled, notes.where((field("cups") == 3) | (field("even") == True)).count)  # noqa: E712
    assert other == COUNT // 2 + COUNT // 50 and "sqlite_autoindex_record_1" in way and "declared" not in way


async def test_an_index_serves_whoever_did_not_declare_it(filled: chez.Home) -> None:
    """What one part of an app declared is there for another, and for the command line."""
    await filled.collection("notes", indexes=("cups",)).count()
    _, (way,) = await plans(filled, lambda: filled.collection("notes").where(cups=3).all())
    assert "SEARCH record USING INDEX declared notes cups" in way


@pytest.mark.parametrize(("condition", "searched"), [
    (field("_id") == "00007", "id=?"), (field("_id").in_(["00007", "x"]), "id=?"), (field("_id") > "02498", "id>?"),
    (field("_id").prefix("0000"), "id>? AND id<?"), (field("_id").between("00003", "00005"), "id>? AND id<?")])
async def test_ids_need_no_declaration(plain: chez.Home, condition: Any, searched: str) -> None:
    """Records are found by their ids, or the beginnings of them, and sorted by them, as they lie."""
    for order in ("_id", "-_id"):
        found, (way,) = await plans(plain, plain.collection("notes").where(condition).order_by(order).all)
        assert found and f"(space=? AND collection=? AND {searched})" in way and "TEMP" not in way


@pytest.mark.slow
async def test_the_cost_grows_with_the_answer(home: chez.Home) -> None:
    """Steps of SQLite's machine: twenty records cost the same among four thousand as among four hundred."""
    notes = home.collection("notes", indexes=("city", ("done", "n")), search=("city",))
    asked: list[Callable[[], Awaitable[Any]]] = [
        notes.where(city="city 003").all, notes.where(city="city 003").count, notes.where().order_by("city").first,
        notes.where(field("city").prefix("city 003")).all, notes.where(done=True).order_by("-n").limit(20).all,
        notes.where((field("city") == "city 003") | (field("city") == "city 005")).all,
        lambda: notes.where().max("city"), notes.where(field("_id") > "z").all, lambda: notes.get("a"),
        lambda: notes.search("003")]
    costs = []
    for size in (20, 200):
        await notes.put_many([{"city": f"city {n % size:03d}", "done": n % 2 == 0, "n": n} for n in range(size * 20)],
                             ids=[f"{n:05d}" for n in range(size * 20)])
        await notes.put({"n": 0}, id="a")
        costs.append([await steps(home, ask) for ask in asked])
    for few, many in zip(*costs, strict=True):
        assert many <= few * 1.3 + 50, costs


async def steps(home: chez.Home, ask: Callable[[], Awaitable[Any]]) -> int:
    """Instructions that SQLite runs to answer."""
    seen = 0

    def step() -> int:
        nonlocal seen
        seen += 1
        return 0

    await ask()
    await home._database.read(lambda db: db.set_progress_handler(step, 1))
    await ask()
    await home._database.read(lambda db: db.set_progress_handler(None, 0))
    return seen


async def test_declaring_again_writes_nothing(filled: chez.Home) -> None:
    """With its indexes in place a collection is read without a transaction of the writer; it may look there."""
    await filled.collection("notes", indexes=("cups", ("n", "cups"))).count()
    seen: list[str] = []
    await filled._database.write(lambda db: db.set_trace_callback(seen.append))
    seen.clear()
    await filled.collection("notes", indexes=("cups", ("n", "cups"))).where(cups=3).all()
    assert [sql for sql in seen if not sql.startswith("SELECT")] == []


@pytest.mark.parametrize("indexes", ["cups", [()], [("a", "a")], [""], ["a..b"], [3], ["_id"], [tuple("abcdefghi")],
                                     ["\ud800"], [["a", ["b"]]]])
async def test_what_can_not_be_an_index(home: chez.Home, indexes: Any) -> None:
    """A wrong declaration is refused when it is made."""
    with pytest.raises(InvalidValue):
        home.collection("notes", indexes=indexes)


async def test_sorting_by_a_declared_index_sorts_nothing(filled: chez.Home) -> None:
    """The index has the order already, ties by id included, so that a limit ends the work early."""
    notes = filled.collection("notes", indexes=("cups",))
    await notes.count()
    found, (way,) = await plans(filled, lambda: notes.where(field("cups") >= 3).order_by("cups").limit(2).all())
    assert [record.id for record in found] == ["00003", "00053"] and "TEMP B-TREE" not in way


async def test_a_long_iteration_is_complete_and_linear(filled: chez.Home) -> None:
    """The index is gone through once, for the rows' numbers; each page then looks its records up by them."""
    notes = filled.collection("notes", indexes=("cups",))
    await notes.count()
    found, ways = await plans(filled, lambda: listed(notes.where(field("cups") >= 0)))
    assert [record.id for record in found] == [f"{n:05d}" for n in range(COUNT)]
    assert "declared" in ways[0] and len(ways) == 4
    assert all("SEARCH record USING INTEGER PRIMARY KEY" in way for way in ways[1:])
    found, ways = await plans(filled, lambda: listed(notes))
    assert [record.id for record in found] == [f"{n:05d}" for n in range(COUNT)]
    assert all("sqlite_autoindex_record_1 (space=? AND collection=? AND id>?)" in way for way in ways[1:])


async def test_a_long_iteration_in_order_while_it_changes(filled: chez.Home) -> None:
    """Sorted, from an offset, to a limit; a record deleted or changed meanwhile comes as it is then, or not."""
    notes = filled.collection("notes", indexes=("cups",))
    query = notes.where(field("cups") >= 25).order_by("-cups", "n").offset(10).limit(1200)
    wanted = [record.id for record in await query.all()]
    assert [record.id for record in await listed(query)] == wanted and len(wanted) == 1200
    seen = []
    async for record in query:
        if not seen:
            await notes.delete(wanted[1100])
            await notes.put({"n": 1, "cups": 0}, id=wanted[1101])
            await notes.put({"n": 1, "cups": 25, "new": 1}, id=wanted[1102])
        seen.append(record)
    assert [record.id for record in seen] == wanted[:1100] + wanted[1102:] and "new" in seen[1100].value


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


async def there(home: chez.Home, collection: str = "notes") -> set[str]:
    """The fields of the declared indexes that the store has."""
    return {" ".join(name for name, _ in index.keys)
            for index in await home._database.read(lambda db: present(db, collection))}


async def opened(path: Path, *declared: str) -> set[str]:
    """Open a home, read a collection with these indexes, close; which indexes were there after that."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes", indexes=declared)
        assert [record.id for record in await notes.where(old=1, new=2).all()] == ["a"]
        return await there(home)


async def test_an_index_that_nobody_declares_any_more_is_dropped(path: Path) -> None:
    """After so many openings that declared its collection without it, and not before; the answers stay the same."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"old": 1, "new": 2}, id="a")
        await home.collection("others", indexes=("old",)).put({"old": 1})
    assert await opened(path, "old") == {"old"}
    for number in range(KEPT - 1):
        assert await opened(path, "new") == {"old", "new"}, number
        assert await opened(path) == {"old", "new"}  # the command line, or a script, declares nothing
    assert await opened(path, "new") == {"new"}
    assert await opened(path, "old") == {"old", "new"}
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert await there(home, "others") == {"old"}  # of a collection that nobody declared meanwhile


async def test_two_apps_keep_each_others_indexes(path: Path) -> None:
    """Apps that share a home by turns, or parts of one app that declare a collection each in its way, lose nothing."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"old": 1, "new": 2}, id="a")
    for _ in range(KEPT):
        await opened(path, "old")
        assert await opened(path, "new") == ({"old", "new"})
    for _ in range(KEPT + 1):
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            for declared in ("new", "old", "new"):
                await asyncio.gather(*[home.collection("notes", indexes=(declared,)).count() for _ in range(3)])
            assert await there(home) == {"old", "new"}


async def test_a_query_outlives_the_index_it_would_go_by(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is dropped under a collection, an iteration or a reader beside changes no answer."""
    monkeypatch.setattr("chez.query.indexes.KEPT", 1)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put_many([{"old": 1, "new": n} for n in range(2500)])
        early = home.collection("notes", indexes=("old",))
        assert await early.where(old=1).count() == 2500
    async with (chez.open(path, passphrase=PASSPHRASE) as home,
                chez.open(path, passphrase=PASSPHRASE, read_only=True) as beside):
        early, reader = home.collection("notes"), beside.collection("notes")
        assert await early.where(old=1).count() == await reader.where(old=1).count() == 2500
        counted = 0
        async for _ in early.where(old=1):
            if not counted:
                assert await home.collection("notes", indexes=("new",)).where(new=3).count() == 1
                assert await there(home) == {"new"}
            counted += 1
        assert counted == 2500
        assert await early.where(old=1).count() == await reader.where(old=1).count() == 2500
        assert await reader.where(old=1).max("new") == 2499
