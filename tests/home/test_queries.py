"""The query builder: its answers are those of plain Python, whatever the records and whatever is declared."""

import operator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chez
from chez import field
from chez.errors import InvalidValue, Misuse
from tests.home.answers import NAMES, NUMBERS, SCALARS, Case, answer, cases, ordered, place, values
from tests.tries import tries

FRESH = count()
INDEXES = st.lists(st.lists(st.sampled_from([*NAMES]), min_size=1, max_size=3, unique=True).map(tuple), max_size=3)
ORDERS = st.lists(st.tuples(st.sampled_from([*NAMES, "_id"]), st.sampled_from(["", "-"])), max_size=3,
                  unique_by=lambda pair: pair[0])
SHARED = settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def filled(home: chez.Home, records: list[dict[str, Any]], indexes: Any = ()) -> Any:
    """A new collection with these records, under ids in their order."""
    made = home.collection(f"c{next(FRESH)}", indexes=indexes)
    await made.put_many(records, ids=[f"{n:03d}" for n in range(len(records))])
    return made


@SHARED
@given(records=st.lists(values(), max_size=12), asked=st.lists(cases(), min_size=1, max_size=6), indexes=INDEXES)
async def test_answers_are_those_of_python(home: chez.Home, records: list[dict[str, Any]], asked: list[Case],
                                           indexes: list[tuple[str, ...]]) -> None:
    """Any condition on any records finds those of which Python says so; so do counting, existence, iteration."""
    made = await filled(home, records, indexes)
    for condition, said in asked:
        wanted = [f"{n:03d}" for n, record in enumerate(records) if said(record)]
        query = made.where(condition)
        assert await answer(query) == wanted
        assert await query.count() == len(wanted) and await query.exists() == bool(wanted)
        assert [record.id async for record in query] == wanted
        assert await answer(query.offset(1).limit(2)) == wanted[1:3]
        first = await query.first()
        assert (first and first.id) == (wanted[0] if wanted else None)


@SHARED
@given(records=st.lists(values(), max_size=12), orders=st.lists(ORDERS, min_size=1, max_size=4), indexes=INDEXES)
async def test_sorting_is_one_order_of_all_values(home: chez.Home, records: list[dict[str, Any]],
                                                  orders: list[list[tuple[str, str]]], indexes: Any) -> None:
    """None, numbers, texts: sorting by several fields, each up or down, is the same with and without indexes."""
    made = await filled(home, records, indexes)
    for order in orders:
        rows = [(f"{n:03d}", record) for n, record in enumerate(records)]
        rows.sort(key=lambda row: row[0], reverse=bool(order) and order[-1][1] == "-")
        for name, way in reversed(order):
            rows.sort(key=lambda row, name=name: ordered(row[0] if name == "_id" else place(row[1], NAMES[name])),  # type: ignore[misc]
                      reverse=way == "-")
        query = made.where().order_by(*(way + name for name, way in order))
        assert await answer(query) == [id for id, _ in rows]
        assert [record.id async for record in query] == [id for id, _ in rows]


@SHARED
@given(records=st.lists(st.fixed_dictionaries({}, optional={
    "key": st.none() | st.sampled_from([1, 1.0, True, "1", b"\x01"]) | SCALARS, "n": NUMBERS | st.text(max_size=2)}),
    max_size=12))
async def test_groups_are_those_of_python(home: chez.Home, records: list[dict[str, Any]]) -> None:
    """Counts, sums, means, least and greatest for each group of equal values are what Python makes of them."""
    made = await filled(home, records)
    groups: dict[Any, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(ordered(record.get("key")), []).append(record)
    try:
        rows = await made.where().group_by("key").aggregate(
            n=chez.count(), some=field("n").count(), total=field("n").sum(), mean=field("n").avg(),
            least=field("n").min(), most=field("n").max())
    except InvalidValue as error:
        assert "64 bits" in error.message
        return
    assert [ordered(row["key"]) for row in rows] == sorted(groups)
    for row in rows:
        group = groups[ordered(row["key"])]
        there = [record["n"] for record in group if "n" in record]
        numbers = [n for n in there if not isinstance(n, str)]
        assert (row["n"], row["some"]) == (len(group), len(there))
        assert row["total"] == pytest.approx(sum(numbers), rel=1e-9, abs=1e-300) or abs(sum(numbers)) > 1e300 or \
            max(map(abs, numbers)) > 1e15 * abs(sum(numbers))
        assert (row["mean"] is None) == (not numbers)
        assert ordered(row["least"]) == min(map(ordered, there), default=(0, 0))
        assert ordered(row["most"]) == max(map(ordered, there), default=(0, 0))
        kinds = {type(record.get("key")) for record in group}
        assert len(kinds) > 1 or kinds == {type(row["key"])}


HARD = ("0", "-0.00", "1.1", "1.10", "0.1", "1E+3", "1E+400", "-1E+400", "0.1000000000000000000000001",
        "12345678901234567890.5", "32004.130325868891306", "1E-400")
DECIMALS = (st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=2)
            | st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from([Decimal(text) for text in HARD]))


class Cost(msgspec.Struct):
    """A record with decimals."""

    __collection__: ClassVar[str] = "costs"

    amount: Decimal
    tax: "Tax | None" = None


class Tax(msgspec.Struct):
    """A nested one."""

    rate: Decimal | None = None


@SHARED
@given(amounts=st.lists(DECIMALS, max_size=10), indexed=st.booleans(),
       wanted=DECIMALS | st.integers(-5, 5) | st.sampled_from([0.1, -0.5, 1e3]))
async def test_decimals_are_compared_exactly(home: chez.Home, amounts: list[Decimal], wanted: Any, indexed: bool
                                             ) -> None:
    """However many digits: a decimal is found by its value, not by its spelling nor by its nearest float."""
    costs = home.collection(Cost, name=f"c{next(FRESH)}", indexes=("amount",) if indexed else ())
    await costs.put_many([Cost(one, Tax(one)) for one in amounts], ids=[f"{n:03d}" for n in range(len(amounts))])
    for name in ("amount", "tax.rate"):
        at = field(name)
        for compare in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
            found = [f"{n:03d}" for n, amount in enumerate(amounts) if compare(amount, wanted)]
            assert await answer(costs.where(compare(at, wanted))) == found
        found = [f"{n:03d}" for n, amount in enumerate(amounts) if amount == wanted]
        assert await answer(costs.where(at.in_([wanted, None]))) == found


@SHARED
@given(amounts=st.lists(st.decimals(-10**6, 10**6, places=3), min_size=1, max_size=10))
async def test_decimals_are_sorted_and_summed_exactly(home: chez.Home, amounts: list[Decimal]) -> None:
    """Amounts of money come in order, their sum is exact, their groups are by value."""
    costs = home.collection(Cost, name=f"c{next(FRESH)}")
    await costs.put_many([Cost(one) for one in amounts])
    query = costs.where()
    assert [record.value.amount for record in await query.order_by("amount").all()] == sorted(amounts)
    assert await query.sum("amount") == sum(amounts)
    assert await query.avg("amount") == sum(amounts) / len(amounts)
    assert (await query.min("amount"), await query.max("amount")) == (min(amounts), max(amounts))
    few = query.order_by("-amount").limit(3)
    assert await few.sum("amount") == sum(sorted(amounts)[-3:])
    assert await few.min("amount") == sorted(amounts)[-3:][0]
    rows = await query.group_by("amount").aggregate(n=chez.count(), least=field("amount").min())
    assert [row["amount"] for row in rows] == sorted(set(amounts)) == [row["least"] for row in rows]
    assert sum(row["n"] for row in rows) == len(amounts)


async def test_a_mean_has_all_the_digits_of_its_sum(home: chez.Home) -> None:
    """Of one long amount it is that amount, of two their middle; what has no end is rounded as the app would."""
    costs = home.collection(Cost, name=f"c{next(FRESH)}")
    long = Decimal("1234567890123456789012345678901.5")
    for amounts, mean in (([Decimal("1e2000000")], Decimal("1e2000000")), ([long], long),
                          ([long, Decimal(1)], Decimal("617283945061728394506172839451.25")),
                          ([Decimal(1), Decimal(2), Decimal(2)], None)):
        await costs.put_many([Cost(one) for one in amounts], ids=[f"{n}" for n in range(len(amounts))])
        assert await costs.where().avg("amount") == (Decimal(5) / 3 if mean is None else mean)


class Folder(msgspec.Struct):
    """A record that may hold one of its own kind."""

    cost: Decimal
    inside: "Folder | None" = None


async def test_decimals_of_a_type_that_holds_itself(home: chez.Home) -> None:
    """Its fields have no end; those within are compared exactly as well."""
    folders = home.collection(Folder, name="folders")
    await folders.put_many([Folder(Decimal("1"), Folder(Decimal(text))) for text in ("0.1", "0.10000000000000000001")],
                           ids=["a", "b"])
    assert [one.id async for one in folders.where(field("inside.cost") > Decimal("0.1"))] == ["b"]


class Summary(msgspec.Struct):
    """A typed row."""

    city: str | None
    n: int
    cost: Decimal
    since: date


async def test_groups_as_a_struct(home: chez.Home) -> None:
    """Rows come as the Struct that is asked for, sorted and cut as asked; what does not fit is a typed error."""
    trips = home.collection(Trip)
    await trips.put_many([
        Trip("Paris", Decimal("1.10"), date(2024, 5, 1)), Trip("Oslo", Decimal("2"), date(2023, 1, 1)),
        Trip("Paris", Decimal("0.05"), date(2022, 2, 2)), Trip(None, Decimal("7"), date(2020, 2, 2))])
    groups = trips.where().group_by("city")
    asked = {"n": chez.count(), "cost": field("cost").sum(), "since": field("day").min()}
    rows = await groups.order_by("-n", "city").limit(2).aggregate(Summary, **asked)
    assert rows == [Summary("Paris", 2, Decimal("1.15"), date(2022, 2, 2)),
                    Summary(None, 1, Decimal("7"), date(2020, 2, 2))]
    assert await groups.order_by("-cost").limit(1).aggregate(cost=field("cost").max()) == [
        {"city": None, "cost": Decimal("7")}]
    with pytest.raises(InvalidValue, match="Summary"):
        await groups.aggregate(Summary, n=chez.count())
    with pytest.raises(InvalidValue, match="among"):
        await groups.order_by("nothing").aggregate(n=chez.count())
    with pytest.raises(InvalidValue, match="names both"):
        await groups.aggregate(city=chez.count())
    with pytest.raises(InvalidValue, match="no aggregate"):
        await groups.aggregate(n=3)
    assert await trips.where().aggregate(n=chez.count(), least=field("day").min()) == {"n": 4, "least": "2020-02-02"}


class Trip(msgspec.Struct):
    """A record of several kinds."""

    __collection__: ClassVar[str] = "trips"

    city: str | None
    cost: Decimal
    day: date


async def test_values_come_back_as_what_they_were(home: chez.Home) -> None:
    """Least, greatest and groups are times, bytes, booleans and lists again, where all of them were."""
    made = await filled(home, [{"k": key, "t": datetime(2020, 1, n + 1, tzinfo=UTC), "b": bytes([n])}
                               for n, key in enumerate([True, False, True])])
    rows = await made.where().group_by("k").aggregate(t=field("t").max(), b=field("b").min())
    assert rows == [{"k": False, "t": datetime(2020, 1, 2, tzinfo=UTC), "b": b"\x01"},
                    {"k": True, "t": datetime(2020, 1, 3, tzinfo=UTC), "b": b"\x00"}]
    assert await made.where().min("t") == datetime(2020, 1, 1, tzinfo=UTC) and await made.where().max("b") == b"\x02"
    assert await made.where().max("none") is None and await made.where().sum("none") == 0
    lists = await filled(home, [{"k": [1, "a"]}, {"k": [1, "a"]}, {"k": {"x": 1}}])
    assert await lists.where().group_by("k").aggregate(n=chez.count()) == [
        {"k": [1, "a"], "n": 2}, {"k": {"x": 1}, "n": 1}]


async def test_texts_and_counters_are_text_and_numbers(home: chez.Home) -> None:
    """What merges by itself is compared, sorted, summed and grouped as what it says."""
    made = await filled(home, [{"t": chez.Text("tea"), "n": chez.Counter(3)}, {"t": "milk", "n": 2},
                               {"t": "tea", "n": 3}])
    assert await answer(made.where(t="tea", n=3)) == ["000", "002"]
    assert await answer(made.where(t=chez.Text("tea")).where(field("n") >= chez.Counter(3))) == ["000", "002"]
    assert await answer(made.where().order_by("t", "-n")) == ["001", "002", "000"]
    assert await made.where().sum("n") == 8 and await made.where().max("n") == 3
    rows = await made.where().group_by("t").aggregate(n=field("n").sum())
    assert rows == [{"t": "milk", "n": 2}, {"t": "tea", "n": 6}]


async def test_a_text_is_no_list_that_is_written_so_and_a_prefix_may_end_with_the_last_sign(home: chez.Home) -> None:
    """What is nested is kept as JSON, which a text may be as well: each is found as what it is."""
    last = chr(0x10FFFF)
    made = await filled(home, [{"t": "[1]"}, {"t": [1]}, {"t": f"a{last}"}, {"t": f"a{last}{last}b"}, {"t": "b"}])
    assert await answer(made.where(field("t").in_(["[1]", "b"]))) == ["000", "004"]
    assert await answer(made.where(field("t").prefix("["))) == ["000"]
    assert await answer(made.where(field("t").prefix(f"a{last}"))) == ["002", "003"]
    assert await answer(made.where(field("t").prefix(last))) == []


@pytest.mark.parametrize("indexed", [True, False])
async def test_what_is_no_number_among_decimals(home: chez.Home, indexed: bool) -> None:
    """A text that another app left in a field of decimals is in no comparison, sum, least or greatest with them."""
    costs = home.collection(Cost, name=f"c{next(FRESH)}", indexes=("amount",) if indexed else ())
    await costs.put_many([Cost(Decimal("3")), Cost(Decimal("-1.5"))], ids=["a", "b"])
    plain = home.collection(costs.name)
    await plain.put_many([{"amount": one} for one in ("much", [1], 2, None)], ids=["c", "d", "e", "f"])
    query = plain.where()
    assert (await query.min("amount"), await query.max("amount")) == (Decimal("-1.5"), Decimal("3"))
    assert (await query.limit(9).min("amount"), await query.sum("amount")) == (Decimal("-1.5"), Decimal("3.5"))
    assert await answer(plain.where(field("amount") > -2)) == ["a", "b", "e"]
    assert await answer(plain.where(amount="much")) == ["c"]
    assert await answer(plain.where(field("amount").in_(["much", Decimal("3.0"), None, 2]))) == ["a", "c", "e", "f"]
    with pytest.raises(InvalidValue, match="can't be compared with inf"):
        await plain.where(field("amount") > float("inf")).all()
    assert await answer(query.order_by("amount")) == ["c", "d", "f", "b", "e", "a"]


async def test_times_and_dates_are_compared_as_instants(home: chez.Home) -> None:
    """A time is found by any of its spellings, and a day stands before every time on it."""
    made = await filled(home, [{"t": datetime(2024, 2, 29, 23, 30, tzinfo=UTC)},
                               {"t": datetime(2024, 3, 1, tzinfo=UTC)}])
    paris = datetime.fromisoformat("2024-03-01T00:30:00+01:00")
    assert await answer(made.where(t=paris)) == ["000"]
    assert await answer(made.where(field("t") >= date(2024, 3, 1))) == ["001"]
    assert await answer(made.where(field("t").prefix("2024-02"))) == ["000"]
    with pytest.raises(InvalidValue, match="time zone"):
        await made.where(field("t") > datetime(2024, 1, 1)).all()


@pytest.mark.parametrize("wanted", [2**63, -(2**63) - 1, float("nan"), Decimal("nan"), Decimal("inf"), "\ud800",
                                    object(), [1], {"a": 1}, {1},
                                    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
                                    datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2)))])
async def test_what_can_not_be_compared(home: chez.Home, wanted: Any) -> None:
    """A value that no record can hold, or that has no order, is a typed error wherever it is used."""
    made = await filled(home, [{"a": 1}])
    for condition in (field("a") == wanted, field("a") < wanted, field("a").in_([1, wanted]), ~(field("a") == wanted),
                      (field("a") == 1) | (field("a") > wanted)):
        with pytest.raises(InvalidValue):
            await made.where(condition).all()


async def test_wrong_queries(home: chez.Home) -> None:
    """Names, limits and operators that make no sense are typed errors, and Python's own `and` is caught."""
    made = await filled(home, [{"a": 1}])
    for name in ("", "a..b", ".", "a.", "\ud800", 3):
        with pytest.raises(InvalidValue):
            field(name)  # type: ignore[arg-type]
        with pytest.raises(InvalidValue):
            made.where().order_by(name)
        with pytest.raises(InvalidValue):
            made.where().group_by(name)
    for number in (-1, 1.5, True, "3", None):
        with pytest.raises(InvalidValue):
            made.where().limit(number)
        with pytest.raises(InvalidValue):
            made.where().offset(number)
    assert await made.where().limit(10**30).offset(10**30).all() == []
    with pytest.raises(InvalidValue):
        await made.where(field("a") < None).all()
    with pytest.raises(InvalidValue):
        await made.where(field("a").prefix(3)).all()  # type: ignore[arg-type]
    for several in ("abc", b"abc", 3, None):
        with pytest.raises(InvalidValue):
            field("a").in_(several)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="&"):
        made.where(field("a") == 1 and field("a") == 2)
    with pytest.raises(Misuse, match="between"):
        0 < field("a") < 3  # type: ignore[operator]  # noqa: B015
    with pytest.raises(Misuse, match="condition"):
        made.where(True)
    with pytest.raises(Misuse, match="condition"):
        (field("a") == 1) | 3  # type: ignore[operator]


class Cup(msgspec.Struct, rename="camel"):
    """A type whose fields are called otherwise in a record."""

    cup_count: int
    kind: str = ""
    place: dict[str, str] | None = None


async def test_a_field_that_the_type_has_not_is_named_with_those_there_are(home: chez.Home) -> None:
    """A misspelt field of a typed collection finds nothing for ever, so that it is refused wherever one is named; what
    is inside one, the id, where it came from, and what an untyped collection has, are asked for as ever."""
    cups = home.collection(Cup, name="cups")
    await cups.put(Cup(3, "tea", {"city": "Oslo"}), id="a")
    query = cups.where(field("place.city") == "Oslo", kind="tea").where(field("_source.file").is_null())
    assert await query.order_by("-cupCount", "_id").count() == 1 and await query.sum("cupCount") == 3
    mistakes: list[Any] = [
        lambda: cups.where(cup_count=3), lambda: cups.where(~((field("cup") > 3) | (field("kind") == "tea"))),
        lambda: query.where(field("cup").is_null()), lambda: query.order_by("-cup"), lambda: query.group_by("cup"),
    ]
    for mistake in mistakes:
        with pytest.raises(InvalidValue, match=r"has no field 'cup.*: it has cupCount, kind, place"):
            mistake()
    for read in (query.sum, query.avg, query.min, query.max):
        with pytest.raises(InvalidValue, match="has no field 'cup'"):
            await read("cup")
    assert await home.collection("cups").where(cup=3).count() == 0


async def test_conditions_of_any_size(home: chez.Home) -> None:
    """Thousands of alternatives and of values are answered; nesting without end is a typed error."""
    made = await filled(home, [{"a": n} for n in range(50)])
    many = field("a") == -1
    for n in range(3000):
        many = many | (field("a") == n)
    assert await made.where(many).count() == 50
    assert await made.where(field("a").in_(range(40, 100_000))).count() == 10
    deep = field("a") == 1
    for _ in range(2000):
        deep = ~(deep & (field("a") >= 0)) | (field("a") == 2)
    with pytest.raises(InvalidValue, match="nested"):
        await made.where(deep).all()


async def test_a_query_tells_what_it_is_about(home: chez.Home) -> None:
    """It is a value that can be kept, told apart and run again, and says which records alone can matter."""
    made = await filled(home, [{"a": 1}])
    query = made.where(field("_id").in_(["000", "x"]), a=1)
    assert query.collection == made.name and query.ids == {"000", "x"} and made.where(a=1).ids is None
    assert query == made.where(field("_id").in_(["000", "x"]), a=1) != made.where()
    assert await answer(query) == await answer(query) == ["000"]
    assert made.where((field("a") > 0) & (field("_id") == "000")).ids == {"000"}
    assert made.where(_id="000").ids == {"000"} and made.where(field("_id") > "0").ids is None


async def test_an_overflowing_sum_is_said(home: chez.Home) -> None:
    """Whole numbers whose sum has no 64 bits are a typed error, and floats beside them a float."""
    made = await filled(home, [{"a": 2**63 - 1}, {"a": 1}, {"b": 1.5}, {"b": 2}, {"b": "7"}])
    with pytest.raises(InvalidValue, match="64 bits"):
        await made.where().sum("a")
    assert await made.where().sum("b") == 3.5 and await made.where().avg("b") == 1.75


