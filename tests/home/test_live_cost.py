"""Live queries hold what `all()` would say, and ask no more of the store than what changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chez
from chez import field
from chez.query.answer import Answer, Row
from chez.query.live import MOST_CHANGED
from tests.home.answers import NAMES, Case, cases, values
from tests.tries import tries

FRESH = count()
IDS = st.sampled_from([f"{n}" for n in range(6)])
STEPS = st.lists(st.lists(st.tuples(IDS, st.none() | values()), min_size=1, max_size=4), min_size=1, max_size=6)
"""Transactions; each puts values under ids, or (None) deletes what is there."""
ORDERS = st.lists(st.tuples(st.sampled_from(["", "-"]), st.sampled_from([*NAMES, "_id"])).map("".join), max_size=2)
CUTS = st.tuples(st.none() | st.integers(0, 3), st.integers(0, 2))
MARK = "SELECT id, json, kinds"
"""How a statement begins that asks a query in full."""
LOOK = "SELECT changed, hit"
"""How one begins that looks at what was written."""


@settings(max_examples=tries(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, asked=st.lists(st.tuples(cases(), ORDERS, CUTS), min_size=1, max_size=4))
async def test_a_live_answer_is_what_asking_would_say(
        home: chez.Home, steps: list[list[tuple[str, dict[str, Any] | None]]],
        asked: list[tuple[Case, list[str], tuple[int | None, int]]]) -> None:
    """Whatever is put and deleted: new answers are those of `all()`, and none comes without a difference."""
    made: chez.Collection[dict[str, Any]] = home.collection(f"c{next(FRESH)}")
    queries = []
    for (condition, _), order, (limit, offset) in asked:
        query = made.where(condition).order_by(*order).offset(offset)
        queries.append(query if limit is None else query.limit(limit))
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        answers = [await stack.enter_async_context(aclosing(query.live())) for query in queries]
        last = [await anext(one) for one in answers]

        def write(transaction: chez.Transaction, step: list[tuple[str, dict[str, Any] | None]]) -> None:
            for id, value in step:
                if value is not None:
                    transaction.put(made, value, id=id)
                elif there.pop(id, None):
                    transaction.delete(made, id)
                    continue
                there[id] = value is not None or there.get(id, False)

        there: dict[str, bool] = {}
        for step in steps:
            await home.transaction(lambda transaction, step=step: write(transaction, step))  # type: ignore[misc]
            for n, query in enumerate(queries):
                if (wanted := await query.all()) != last[n]:
                    assert await anext(answers[n]) == wanted
                    last[n] = wanted



@given(directions=st.tuples(st.booleans(), st.booleans()), most=st.none() | st.integers(0, 4),
       steps=st.lists(st.dictionaries(IDS, st.none() | st.integers(-2, 2) | st.sampled_from("ab"), max_size=4)))
def test_what_is_held_is_the_beginning_of_the_order(directions: tuple[bool, bool], most: int | None,
                                                    steps: list[dict[str, Any]]) -> None:
    """After any changes, the rows held are the first of all matching ones in order, or it is said that they are not."""
    answer = Answer(directions, most)
    matching: dict[str, Row] = {}
    for step in steps:
        full = most is not None and len(answer) == most
        changed = {id: None if value is None else answer.row(id, "{}", None, (value,)) for id, value in step.items()}
        matching = {id: row for id, row in (matching | changed).items() if row is not None}
        wanted = sorted(matching.values(), key=lambda row: row.place)[:most]
        if not answer.take(changed.items()):
            assert full and changed
            answer.begin(wanted)
        assert answer[:] == wanted and len(answer) == len(wanted)


class Price(msgspec.Struct):
    """A record with a decimal."""

    __collection__: ClassVar[str] = "prices"

    amount: Decimal


async def test_decimals_are_sorted_as_numbers_in_live_answers(home: chez.Home) -> None:
    """A new record comes where its decimal belongs, not where its text would."""
    prices = home.collection(Price)
    async with aclosing(prices.where(field("amount") > Decimal(1)).order_by("amount").live()) as answers:
        assert await anext(answers) == []
        for amount in ("9.5", "10", "0.5", "1.1"):
            await prices.put(Price(Decimal(amount)), id=amount)
        assert [record.id for record in await anext(answers)] == ["1.1", "9.5", "10"]


async def test_what_becomes_a_decimal_is_one_to_who_asked_before(home: chez.Home) -> None:
    """A collection that was asked already, and who follows it, go by a type that another part of the app declares, at
    its first read or write; so do the records that are there."""
    plain = home.collection("prices")
    await plain.put({"amount": "9.5"}, id="text")
    query = plain.where(field("amount") > 1).order_by("amount")
    async with aclosing(query.live()) as answers, aclosing(plain.where().order_by("amount").live()) as sorted_:
        assert await anext(answers) == [] == await query.all() and len(await anext(sorted_)) == 1
        assert await home.collection(Price).count() == 1
        await home.collection(Price).where().all()
        assert [record.id for record in await anext(answers)] == ["text"]
        await home.collection(Price).put(Price(Decimal("10")), id="more")
        assert [record.id for record in await anext(answers)] == ["text", "more"]
        assert [record.id for record in await query.all()] == ["text", "more"]
        assert [record.id for record in await anext(sorted_)] == ["text", "more"]


@pytest.fixture
async def statements(home: chez.Home) -> AsyncIterator[list[str]]:
    """What is asked of the store from here on."""
    seen: list[str] = []
    await home._database.read(lambda db: db.set_trace_callback(seen.append))
    yield seen
    await home._database.read(lambda db: db.set_trace_callback(None))


async def test_a_query_is_asked_in_full_once(home: chez.Home, statements: list[str]) -> None:
    """Without an index too: what matters, comes, moves or goes is taken in; what does not matter only looked at."""
    notes = home.collection("notes")
    await notes.put_many([{"n": n} for n in range(20)], ids=[f"{n:02d}" for n in range(20)])
    async with aclosing(notes.where(field("n") >= 10).order_by("-n").live()) as answers:
        assert len(await anext(answers)) == 10
        await notes.put({"n": 3}, id="more")
        await notes.delete("00")
        await notes.put({"n": 30}, id="05")
        assert [record.id for record in await anext(answers)][:2] == ["05", "19"]
        await notes.put({"n": 1}, id="19")
        await notes.put({"n": 40}, id="10")
        assert [record.id for record in await anext(answers)] == ["10", "05", *(f"{n}" for n in range(18, 10, -1))]
    assert len([one for one in statements if one.startswith(MARK)]) == 1


async def test_a_cut_query_is_asked_again_only_when_something_leaves_it(
        home: chez.Home, statements: list[str]) -> None:
    """What comes before the end of a limit is taken in; what leaves lets in a record that only asking can find."""
    notes = home.collection("notes")
    await notes.put_many([{"n": n} for n in range(20)], ids=[f"{n:02d}" for n in range(20)])
    async with aclosing(notes.where().order_by("n").limit(2).offset(1).live()) as answers:
        assert [record.id for record in await anext(answers)] == ["01", "02"]
        await notes.put({"n": -1}, id="first")
        await notes.delete("15")
        assert [record.id for record in await anext(answers)] == ["00", "01"]
        assert len([one for one in statements if one.startswith(MARK)]) == 1
        await notes.delete("first")
        assert [record.id for record in await anext(answers)] == ["01", "02"]
        assert len([one for one in statements if one.startswith(MARK)]) == 2


async def test_a_look_goes_by_the_order_of_writes(home: chez.Home, statements: list[str]) -> None:
    """What a look reads is found by the number of the last write seen: its cost does not grow with the store."""
    notes = home.collection("notes")
    await notes.put_many([{"n": n} for n in range(50)])
    async with aclosing(notes.where(field("n") > 3, title="x").order_by("n").live()) as answers:
        await anext(answers)
        await notes.put({"n": 7, "title": "x"})
        await anext(answers)
    (look,) = [one for one in statements if one.startswith(LOOK)]
    plan = await home._database.read(lambda db: db.execute(f"EXPLAIN QUERY PLAN {look}").fetchall())
    assert [row[3] for row in plan] == ["SEARCH record USING INDEX record_by_change (changed>?)"], plan


async def test_a_query_that_names_its_records_is_not_told_of_others(home: chez.Home, statements: list[str]) -> None:
    """Where the conditions say which ids, commits that touch other records wake nobody; those that touch them do."""
    notes = home.collection("notes")
    async with aclosing(notes.where(field("_id").in_(["a", "b"]), done=False).live()) as answers:
        assert await anext(answers) == []
        waiting = asyncio.ensure_future(anext(answers))
        for _ in range(3):
            await notes.put({"done": False}, id="c")
            await home._database.read(lambda db: None)
        await notes.put({"done": False}, id="b")
        assert [record.id for record in await waiting] == ["b"]
    assert len([one for one in statements if one.startswith(LOOK)]) == 1


async def test_a_transaction_is_in_an_answer_whole_or_not_at_all(home: chez.Home) -> None:
    """While amounts move between records, every live answer has the same sum, however late the reader comes."""
    accounts, random = home.collection("accounts"), Random(7)
    names = [f"{n}" for n in range(8)]
    await accounts.put_many([{"amount": 0} for _ in names], ids=names)
    moved = asyncio.Event()

    async def move() -> None:
        for n in range(150):
            a, b = random.sample(names, 2)

            def work(transaction: chez.Transaction, a: str = a, b: str = b, n: int = n) -> None:
                for id, part in ((a, n), (b, -n)):
                    transaction.put(accounts, {"amount": transaction.get(accounts, id).value["amount"] + part}, id=id)

            await home.transaction(work)
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
        await accounts.put({"amount": 0, "last": True}, id="end")
        moved.set()

    mover = asyncio.create_task(move())
    async with asyncio.timeout(90), aclosing(accounts.where().order_by("amount").live()) as answers:
        async for records in answers:
            assert sum(record.value["amount"] for record in records) == 0
            if any(record.id == "end" for record in records):
                break
    await mover
    assert moved.is_set()


async def test_more_than_is_taken_one_by_one_is_asked_for(home: chez.Home, statements: list[str]) -> None:
    """A commit of very many records gives one answer with all of them, asked in full."""
    notes = home.collection("notes")
    async with aclosing(notes.where().live()) as answers:
        assert await anext(answers) == []
        await notes.put_many([{"n": n} for n in range(MOST_CHANGED + 1)])
        assert len(await anext(answers)) == MOST_CHANGED + 1
        await notes.put({"n": -1}, id="one more")
        assert len(await anext(answers)) == MOST_CHANGED + 2
    assert len([one for one in statements if one.startswith(MARK)]) == 2


async def test_what_a_reader_does_to_its_answer_is_its_own(home: chez.Home) -> None:
    """Values and lists that were handed out may be changed: the next answer is that of the store."""
    notes = home.collection("notes")
    await notes.put({"tags": ["a"]}, id="a")
    async with aclosing(notes.where().live()) as answers:
        records = await anext(answers)
        records[0].value["tags"].append("mine")
        records.clear()
        await notes.put({"tags": []}, id="b")
        assert [record.value for record in await anext(answers)] == [{"tags": ["a"]}, {"tags": []}]
