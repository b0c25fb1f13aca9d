"""What a device makes of messages, one at a time and at any time; no relay between."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec import structs

import chez
from chez.deposits.address import Quota, read_address
from chez.deposits.types import RecordType
from chez.errors import InvalidValue, NotAllowed
from chez.home.deposits.desk import _counted
from chez.home.deposits.intake import Verdict
from chez.home.deposits.reports import Deposit
from chez.records.imported import record_id
from tests.deposits.support import (
    POLICIES,
    TRANSACTIONS,
    Insurer,
    given,
    judged,
    message,
    organisation,
    policy,
    values,
)
from tests.tries import tries


@pytest.fixture(scope="module")
def url() -> str:
    """Nobody listens there: no test of this module needs a relay."""
    return "ws://127.0.0.1:1"


NOON = 1_800_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000
"""The noon of some day, Unix milliseconds."""

DAY = 86_400_000


async def test_records_become_records_with_their_source(home: chez.Home, insurer: Insurer) -> None:
    """Records are there under the organisation's name, exact amounts included; what is no record is told with why."""
    to = await given(home, insurer, "source")
    said: list[dict[str, Any] | bytes] = [policy("s1", "12.30"), policy("s2", "abc"), b"no JSON"]
    item = message(to, insurer.keys, said)
    verdict, counts = await judged(home, to, item, NOON)
    assert verdict is Verdict.TAKEN and counts == {"added": 1, "refused": 2}
    for _ in range(2):  # each time it comes the organisation hears how many were refused
        assert await home._database.write(lambda db: db.execute(
            "DELETE FROM deposit_ack WHERE address = ? RETURNING outcome, refused",
            (to.key,)).fetchall()) == [("taken", 2)]
        assert (await judged(home, to, item, NOON))[0] is Verdict.REPEATED
    (record,) = await home.collection("policies").where(number="s1").all()
    assert record.source is not None and record.source.startswith(f"deposit/1 {insurer.keys.signing.public.hex()[:16]}")
    (told,) = await home.deposits.all("source")
    assert (told.organisation, told.added, told.refused, told.records) == ("Insurer SA", 1, 2, 3)
    assert [(one.row, one.reason) for one in told.rejects] == [(2, "its field 'premium' is no decimal"),
                                                               (3, "it is no JSON object")]
    rows = await home.sql("SELECT sum(premium) AS total FROM policies WHERE number = 's1'")
    assert [str(total) for (total,) in rows.rows] == ["12.3"]


async def test_what_is_not_the_organisations_word_is_dropped(home: chez.Home, insurer: Insurer) -> None:
    """Another organisation's message, one for another address of the same person, and bytes change nothing."""
    to, beside = await given(home, insurer, "forged"), await given(home, insurer, "beside")
    for item in (message(to, organisation("Forger"), [policy("f1")]), message(beside, insurer.keys, [policy("f1")]),
                 b"", bytes(4096)):
        assert await judged(home, to, item, NOON) == (Verdict.DROPPED, {})
    assert "f1" not in await values(home)


async def test_who_asks_at_an_address_for_nobody_is_shown_by_its_own_card(home: chez.Home, insurer: Insurer) -> None:
    """Nobody asks in another's name, nor with a card that is none; of a flood the first eight are shown. Who is allowed
    is taken, and the others are dropped and forgotten, as all are when the address is revoked."""
    made = [await home.deposits.new(f"asked {n}", [POLICIES], acks="none") for n in (1, 2)]
    to, other = (read_address(one.text or "") for one in made)
    asking = [organisation(f"Asks {n}") for n in range(9)]
    for item in (message(to, asking[0], [policy("t1")], card=asking[1].card.text),
                 message(to, asking[0], [policy("t1")], card=asking[0].card.text[:-4]), message(to, asking[0], [{}])):
        assert (await judged(home, to, item, NOON))[0] is Verdict.DROPPED
    assert (await home.deposits.address("asked 1")).state == "open"
    for place in (to, other):
        items = [message(place, one, [policy("t1")], card=one.card.text) for one in asking]
        assert {(await judged(home, place, item, NOON))[0] for item in items} == {Verdict.UNALLOWED}
    shown = await home.deposits.address("asked 1")
    assert shown.state == "asked" and {one.name for one in shown.applicants} == {f"Asks {n}" for n in range(8)}
    allowed = await home.deposits.allow("asked 1", asking[2].card.words.upper())
    assert (allowed.organisation, allowed.state, allowed.applicants) == ("Asks 2", "open", ())
    (said,) = await home.journal.receipts("deposit-address-allowed", label="asked 1")
    assert said.body["words"] == asking[2].card.words
    told = [(await judged(home, to, message(to, one, [policy("t1")]), NOON))[0] for one in asking]
    assert told == [Verdict.TAKEN if n == 2 else Verdict.DROPPED for n in range(9)]
    assert (await home.deposits.revoke("asked 2")).applicants == ()
    with pytest.raises(NotAllowed, match="was revoked"):
        await home.deposits.allow("asked 2", asking[2].card.words)
    assert await home._database.read(lambda db: db.execute("SELECT n FROM deposit_ack WHERE address IN (?, ?)", (
        to.key, other.key)).fetchall()) == []  # both were made to acknowledge nothing


async def test_a_collection_that_the_address_does_not_name_is_not_written(home: chez.Home, insurer: Insurer) -> None:
    """Contacts, Chez's own lists and other types can't be written, whatever the organisation signs."""
    to = await given(home, insurer, "other types")
    for number, collection in enumerate(("transactions", "chez-contacts", "chez-deposit-addresses", "x\x1b[31m"), 1):
        item = message(to, insurer.keys, [policy("o1")], number=number, collection=collection)
        assert (await judged(home, to, item, NOON))[1] == {"refused": 1}
    told = await home.deposits.all("other types")
    assert all(one.refused == 1 and "takes no records" in one.rejects[0].reason for one in told)
    assert all(text.isprintable() for one in told for each in one.rejects for text in (each.reason, each.collection))
    assert {one.label for one in await home.deposits.addresses()} >= {"other types"}


async def test_a_type_that_is_refused_since_takes_nothing_else_away(home: chez.Home, insurer: Insurer) -> None:
    """An address of another version, with a type that this one would not have, is shown, and takes its other types."""
    to = await given(home, insurer, "older")
    addresses = home.collection("chez-deposit-addresses")
    value = (await addresses.get(to.key.hex())).value
    bills = {**structs.asdict(POLICIES), "collection": "open_bills"}
    await addresses.put({**value, "types": [*value["types"], bills]}, id=to.key.hex())
    assert {one.label for one in await home.deposits.addresses()} >= {"older"}
    for number, (collection, wanted) in enumerate((("policies", "added"), ("open_bills", "refused")), 1):
        item = message(to, insurer.keys, [policy(f"old{number}")], number=number, collection=collection)
        assert (await judged(home, to, item, NOON))[1] == {wanted: 1}
    await home.deposits.revoke("older")
    kept = (await addresses.get(to.key.hex())).value
    assert len(kept["types"]) == 2 and kept["revoked"]  # another device may take both: the record keeps them
    bare = await given(home, insurer, "bare")
    value = (await addresses.get(bare.key.hex())).value
    await addresses.put({**value, "types": [bills]}, id=bare.key.hex())
    with pytest.raises(InvalidValue, match="takes 1 to"):
        await home.deposits.renew("bare")  # nobody could leave anything at what came in its place
    assert {one.label: one.state for one in await home.deposits.addresses()}["bare"] == "open"


async def test_a_message_is_taken_once(home: chez.Home, insurer: Insurer) -> None:
    """Repeated by the organisation or a relay it changes nothing, whatever the person did since; a number that was
    used is worth nothing for another message."""
    to = await given(home, insurer, "once")
    item = message(to, insurer.keys, [policy("n1", "1.00")])
    assert (await judged(home, to, item, NOON))[0] is Verdict.TAKEN
    policies = home.collection("policies")
    (record,) = await policies.where(number="n1").all()
    await policies.put({"number": "n1", "premium": "9.00", "until": None}, id=record.id)
    assert (await judged(home, to, item, NOON + 9 * DAY))[0] is Verdict.REPEATED
    other = message(to, insurer.keys, [policy("n1", "5.00")])
    assert (await judged(home, to, other, NOON))[0] is Verdict.DROPPED
    assert (await values(home))["n1"]["premium"] == "9.00" and len(await home.deposits.all("once")) == 1
    said = await home._database.read(lambda db: db.execute(
        "SELECT hash, outcome FROM deposit_ack WHERE address = ?", (to.key,)).fetchall())
    assert sorted(outcome for _, outcome in said) == ["number-used", "taken"] and len(dict(said)) == 2


async def test_a_correction_replaces_what_was_said_before(home: chez.Home, insurer: Insurer) -> None:
    """The same identity again is the same record: what is said anew is changed, what is left out is taken back, what
    the person added stays; a message that comes late changes nothing."""
    to = await given(home, insurer, "correction")
    first, second, third = (message(to, insurer.keys, [record], number=number) for number, record in enumerate((
        policy("c1", "1.00", note="old"), policy("c1", "2.00"), policy("c1", "3.00", note="new")), 1))
    assert (await judged(home, to, first, NOON))[1] == {"added": 1}
    policies = home.collection("policies")
    (record,) = await policies.where(number="c1").all()
    await policies.put({**record.value, "mine": "a word of my own"}, id=record.id)
    assert (await judged(home, to, third, NOON))[1] == {"updated": 1}
    assert (await judged(home, to, second, NOON))[1] == {"unchanged": 1}  # sent before the third
    assert (await values(home))["c1"] == policy("c1", "3.00", note="new") | {"mine": "a word of my own"}
    fourth = message(to, insurer.keys, [policy("c1", "4.00")], number=4)
    assert (await judged(home, to, fourth, NOON))[1] == {"updated": 1}
    assert (await values(home))["c1"] == policy("c1", "4.00") | {"mine": "a word of my own"}


COUNT = count()
WORDS = st.sampled_from(("1.00", "2.00", "2.00 note", ""))
"""What a message says of one policy: nothing, a premium, or a premium and a note."""


@hypothesis.given(said=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5), drawn=st.lists(
    st.integers(0, 4), max_size=8))
@hypothesis.example(said=[("1.00", ""), ("2.00", ""), ("1.00", "")], drawn=[0, 2, 1])
@hypothesis.example(said=[("1.00", ""), ("1.00", ""), ("2.00", ""), ("3.00", "")], drawn=[3, 1, 2, 0])
@hypothesis.example(said=[("1.00", ""), ("2.00", ""), ("", "1.00"), ("1.00", "")], drawn=[0, 2, 3, 1])
@settings(max_examples=tries(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_last_word_counts_in_whatever_order_it_comes(
        home: chez.Home, insurer: Insurer, said: list[tuple[str, ...]], drawn: list[int]) -> None:
    """Messages in any order, some of them more than once, leave what the last one that says anything says of each."""
    order = [number for number in drawn if number < len(said)]
    order += [number for number in range(len(said)) if number not in order]
    name = f"order {next(COUNT)}"
    to = await given(home, insurer, name)
    records = [[policy(f"{name}-{n}", *word.split(" ")[:1], **({"note": word} if "note" in word else {}))
                for n, word in enumerate(words) if word] or [policy(f"{name}-x")] for words in said]
    for number in order:
        await judged(home, to, message(to, insurer.keys, records[number], number=number + 1), NOON)
    last = {one["number"]: one for each in records for one in each}
    assert {number: one for number, one in (await values(home)).items() if number.startswith(f"{name}-")} == last


async def test_the_persons_own_word_stays_where_nothing_new_is_said(home: chez.Home, insurer: Insurer) -> None:
    """A nightly batch that says the same again leaves what the person corrected; what it deleted stays deleted, what
    it purged is not brought back."""
    to = await given(home, insurer, "own word")
    said = [policy("w1", "1.00"), policy("w2"), policy("w3")]
    await judged(home, to, message(to, insurer.keys, said), NOON)
    policies = home.collection("policies")
    found = {record.value["number"]: record.id async for record in policies}
    await policies.put({"number": "w1", "premium": "1.05"}, id=found["w1"])
    await policies.delete(found["w2"])
    await policies.purge(found["w3"])
    again = message(to, insurer.keys, said, number=2)
    assert (await judged(home, to, again, NOON))[1] == {"unchanged": 2, "purged": 1}
    now = await values(home)
    assert now["w1"]["premium"] == "1.05" and "w2" not in now and "w3" not in now


async def test_what_is_from_elsewhere_is_never_touched(home: chez.Home, insurer: Insurer) -> None:
    """A record that another organisation left, or a file brought, stays as it is, whoever guesses its identity."""
    to = await given(home, insurer, "first")
    await judged(home, to, message(to, insurer.keys, [policy("e1", "1.00")]), NOON)
    rival = organisation("Rival SA")
    made = await home.deposits.new("second", list(to.types), card=rival.card.text)
    assert made.text is not None
    theirs = read_address(made.text)
    assert (await judged(home, theirs, message(theirs, rival, [policy("e1", "999.00")]), NOON))[1] == {"kept": 1}
    assert (await values(home))["e1"] == policy("e1", "1.00")


@pytest.mark.parametrize("place", ["9" * 5000 + ".1.1", "\u00b2.1.1", "1.1", "1.1.1.1"], ids=range(4))
async def test_a_source_that_says_no_place_keeps_nothing_from_being_taken(
        home: chez.Home, insurer: Insurer, place: str) -> None:
    """Another device of the person may have written whatever it likes: what comes now was said later."""
    label = f"odd place {len(place)}"
    to, engine = await given(home, insurer, label), home.deposits._private.engine
    await judged(home, to, message(to, insurer.keys, [policy(label)]), NOON)
    id = record_id(home.deposits._private.space.record_key, "policies", {"number": label})

    def work(db: Any) -> None:
        source = f"deposit/1 {insurer.keys.card.key.hex()[:16]} {to.key.hex()[:16]} {place} {'0' * 16}"
        engine.records.mark_source(db, engine.space, "policies", id, source, "deposit/1")

    await home._database.write(work)
    assert (await judged(home, to, message(to, insurer.keys, [policy(label, "2.00")], number=2), NOON))[1] == {
        "updated": 1}


async def test_a_deposit_is_the_record_that_an_import_makes(home: chez.Home, insurer: Insurer) -> None:
    """A transaction that a bank leaves has the id that a connector gives the same line: no file doubles it."""
    made = await home.deposits.new("bank", ["transactions"], card=insurer.keys.card.text)
    assert made.text is not None
    to = read_address(made.text)
    assert to.types == (TRANSACTIONS,)
    line = {"account": "b/1", "reference": "r1", "posted": "2026-01-31", "amount": "-4.20", "currency": "EUR",
            "kind": "fee"}
    await judged(home, to, message(to, insurer.keys, [line], collection="transactions"), NOON)
    (record,) = await home.collection("transactions").where(reference="r1").all()
    key = home._spaces.private.space.record_key
    assert record.id == record_id(key, "transactions", {"account": "b/1", "reference": "r1"})


async def test_more_than_a_day_takes_waits_until_tomorrow(home: chez.Home, insurer: Insurer) -> None:
    """Beyond the day's records or bytes a message is not taken, and is the next day; one that no day has room for is
    refused for good, and the person hears of it, of as many a day as messages may come; so does the organisation,
    also of a device that knows of it from another one."""
    to = await given(home, insurer, "quota", quota=Quota(records=25, bytes=1024))
    small = [message(to, insurer.keys, [policy(f"q{n}"), policy(f"r{n}")], number=n) for n in (1, 2, 3)]
    assert [(await judged(home, to, item, NOON))[0] for item in small] == [Verdict.TAKEN] * 2 + [Verdict.TOMORROW]
    assert (await judged(home, to, small[2], NOON + DAY))[0] is Verdict.TAKEN
    large = message(to, insurer.keys, [policy("q9", note="x" * 1000)], number=4)
    many = message(to, insurer.keys, [{}] * 26, number=5)
    assert [(await judged(home, to, item, NOON + 2 * DAY))[0] for item in (large, many)] == [Verdict.REFUSED] * 2
    refused = await home.journal.receipts("deposit-refused", label="quota")
    assert [one.body["why"] for one in refused] == ["too-large"] * 2 and "q9" not in await values(home)
    await home._database.write(lambda db: db.execute("DELETE FROM deposit_ack"))  # as another device has none of them
    for item in (small[0], large):
        assert (await judged(home, to, item, NOON + 2 * DAY))[0] is Verdict.REPEATED
    said = await home._database.read(lambda db: db.execute(
        "SELECT number, outcome FROM deposit_ack WHERE address = ?", (to.key,)).fetchall())
    assert dict(said) == {1: "taken", 4: "too-large"}
    flood = [message(to, insurer.keys, [policy("q9", note="x" * 1000)], number=n) for n in (6, 7)]
    assert [(await judged(home, to, item, NOON + 2 * DAY))[0] for item in flood] == [Verdict.REFUSED, Verdict.TOMORROW]
    assert (await judged(home, to, flood[1], NOON + 3 * DAY))[0] is Verdict.REFUSED


@pytest.mark.parametrize(("records", "came", "taken"), [(30, [1, 1, 1, 1], 3), (30, [20, 11], 1), (30, [20, 10], 2),
                                                        (5, [5, 1], 1), (1, [1, 1], 1)])
async def test_a_message_counts_as_ten_records(home: chez.Home, insurer: Insurer, records: int, came: list[int],
                                               taken: int) -> None:
    """However few records a message has it uses ten of the day's; the day's first is taken where there are fewer."""
    to = await given(home, insurer, f"ten {records} {came}", quota=Quota(records, 1 << 20))
    said = [(await judged(home, to, message(to, insurer.keys, [{}] * count, number=n), NOON))[0]
            for n, count in enumerate(came, 1)]
    assert said == [Verdict.TAKEN] * taken + [Verdict.TOMORROW] * (len(came) - taken)


async def test_what_came_on_other_days_costs_a_message_nothing(home: chez.Home, insurer: Insurer) -> None:
    """The database takes as many steps for a message after thousands of others as before them."""
    to = await given(home, insurer, "steps")
    desk, items = home.deposits, [message(to, insurer.keys, [{}], number=n) for n in (1, 2, 3004, 3005)]

    class Undone(Exception):
        """The lines of this test stay in no home."""

    def work(db: Any) -> None:
        stored = desk._book.by_id(db, to.key)
        assert stored is not None
        keys = desk._book.keys(stored)
        assert keys is not None

        def steps(item: bytes) -> int:
            taken = count()
            db.set_progress_handler(lambda: next(taken) and 0, 100)
            try:
                assert desk._taking._intake.take(db, stored, keys, item, NOON)[0] is Verdict.TAKEN
            finally:
                db.set_progress_handler(None, 0)
            return next(taken)

        steps(items[0])  # what is made once
        before = steps(items[1])
        (space, last) = desk._private.engine.space, db.execute("SELECT max(changed) FROM record").fetchone()[0]
        db.execute(
            "WITH RECURSIVE line (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM line WHERE i < 3002) INSERT INTO record "
            "(space, collection, id, json, deleted, tail, changed, born) SELECT ?, 'chez-deposits', 'old ' || i, "
            "json_object('address', ?, 'era', 1, 'number', i, 'taken', '2020-01-01T00:00:00.000Z', 'outcome', 'taken', "
            "'records', 1, 'bytes', 10), 0, 0, ? + i, ? + i FROM line", (space, to.key.hex(), last, last))
        # A hundred steps each; every line looked at were a multiple. Of those behind a gap some are looked at.
        gap, since = steps(items[2]), steps(items[3])
        assert gap < 2 * before + 10 and since < 2 * before + 10
        raise Undone

    with pytest.raises(Undone):
        await desk._database.write(work)


async def test_what_did_not_come_is_told(home: chez.Home, insurer: Insurer) -> None:
    """A relay that keeps a message back is seen by the number that is missing; when it comes, nothing is."""
    to = await given(home, insurer, "gap")
    one, two, three = (message(to, insurer.keys, [policy(f"g{n}")], number=n) for n in (1, 2, 3))
    for item in (one, three):
        await judged(home, to, item, NOON)
    assert [(each.number, each.missing) for each in await home.deposits.all("gap")] == [(1, 0), (3, 1)]
    await judged(home, to, two, NOON)
    assert {each.missing for each in await home.deposits.all("gap")} == {0}


def deposit(address: str, era: int, number: int) -> Deposit:
    """What came under a number, of which nothing is told yet."""
    taken = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number * 7919 % 97)
    return Deposit(address, "", "", era, number, taken, "taken", 1, 1, 0, 0, 0, 0, 0, 0, ())


@hypothesis.given(st.sets(st.tuples(st.sampled_from("ab"), st.integers(1, 2), st.integers(1, 12))))
@settings(max_examples=tries(50))
def test_what_is_missing_is_what_did_not_come_before(came: set[tuple[str, int, int]]) -> None:
    """Each has the count of numbers of its address and era between it and the one before, in the order they came."""
    told = _counted([deposit(*one) for one in came])
    assert [one.taken for one in told] == sorted(one.taken for one in told) and len(told) == len(came)
    for one in told:
        before = [number for address, era, number in came if (address, era) == (one.address, one.era)
                  and number < one.number]
        assert one.missing == one.number - 1 - max(before, default=0)


@pytest.mark.slow
def test_many_messages_are_told_at_once() -> None:
    """A year of as many as a day takes: looked at once each, and not once for each of the others."""
    told = _counted([deposit("a", 1, 2 * number + 1) for number in range(100_000)])
    assert sum(one.missing for one in told) == 99_999


async def test_an_acknowledgement_tells_nothing_of_the_home(home: chez.Home, insurer: Insurer) -> None:
    """What an organisation hears of a message is the same whether its records were new, known, deleted or another's.
    Whether the person purged the line about it can't be asked by sending again."""
    to = await given(home, insurer, "silent")
    await judged(home, to, message(to, insurer.keys, [policy("a1")]), NOON)
    (record,) = await home.collection("policies").where(number="a1").all()
    await home.collection("policies").purge(record.id)
    await judged(home, to, message(to, insurer.keys, [policy("a1")], number=2), NOON)
    said = await home._database.read(lambda db: db.execute(
        "SELECT outcome, refused FROM deposit_ack WHERE address = ? ORDER BY number", (to.key,)).fetchall())
    assert said == [("taken", 0), ("taken", 0)]
    asking = message(to, insurer.keys, [{}], number=3)
    await judged(home, to, asking, NOON)
    for line in [one.id async for one in home.collection("chez-deposits") if one.value["number"] == 3]:
        await home.collection("chez-deposits").purge(line)
    await home._database.write(lambda db: db.execute("DELETE FROM deposit_ack"))
    for item in (asking, message(to, insurer.keys, [policy("a2")], number=3)):
        assert (await judged(home, to, item, NOON))[0] is Verdict.REPEATED
    assert await home._database.read(lambda db: db.execute("SELECT n FROM deposit_ack").fetchall()) == []


@pytest.mark.parametrize("odd", [
    {"taken": "yesterday"}, {"label": 7}, {"era": "1"}, {"number": 1.5}, {"refused": "none"}, {"refused": True},
    {"refused": -1}, {"rejects": 7}, {"rejects": ["x"]}, {"rejects": [{"row": 1}]}, {"outcome": None}], ids=str)
async def test_a_line_that_an_app_wrote_over_costs_itself(
        home: chez.Home, insurer: Insurer, odd: dict[str, Any]) -> None:
    """The collection takes any record: one that tells of no message is none that came, and the message that comes again
    changes nothing, as any that is known."""
    to = await given(home, insurer, f"odd {odd}")
    item = message(to, insurer.keys, [policy("o1")])
    assert (await judged(home, to, item, NOON))[0] is Verdict.TAKEN
    lines = home.collection("chez-deposits")
    (line,) = [one async for one in lines if one.value["address"] == to.key.hex()]
    await lines.put({**line.value, **odd}, id=line.id)
    assert await home.deposits.all(f"odd {odd}") == []
    await home._database.write(lambda db: db.execute("DELETE FROM deposit_ack"))
    assert (await judged(home, to, item, NOON))[0] is Verdict.REPEATED
    assert await home._database.read(lambda db: db.execute("SELECT outcome, refused FROM deposit_ack").fetchall()) == [
        ("taken", 0)]
    await lines.purge(line.id)


async def test_what_nobody_hears_is_said_for_ninety_days(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement waits while its organisation can't be reached, and is let go after three months of that."""
    to = await given(home, insurer, "gone")
    await judged(home, to, message(to, insurer.keys, [policy("h1")]), NOON)
    for days, waiting in ((89, 1), (91, 0)):
        monkeypatch.setattr(home.deposits._taking, "_now", lambda then=NOON + days * DAY: then)
        await home.deposits.take()
        assert len(await home._database.read(lambda db: db.execute(
            "SELECT n FROM deposit_ack WHERE address = ?", (to.key,)).fetchall())) == waiting


POISON = (
    rb'{"key":"\ud800"}', rb'{"key":"a","data":{"\ud800":1}}', b'{"key":"a","data":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"key":"a","data":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, b'{"key":"a","number":1e999}',
    b'{"key":"a","data":18446744073709551615}', b'{"key":"a","time":"0001-01-01T00:00:00+23:59"}',
    b'{"key":"a","time":"9999-12-31T23:59:59.999999-23:59"}', b'{"key":"a","data":{"":1}}', b'{"key":"a","_id":"x"}',
    b'{"key":"a","_source":"deposit/1"}', b'{"key":{}}', b"", b"[]", b"\xff\xfe",
)
"""Records that no home keeps."""

ODD = (
    b'{"key":"\\u0000\\u001b[31m\\u202e"}', b'{"key":"' + b"k" * 50_000 + b'"}', b'{"key":"b","number":-0.0}',
    b'{"key":"c","decimal":"' + b"9" * 64 + b"." + b"9" * 64 + b'"}',
    b'{"key":"d","data":[' + b",".join([b"{}"] * 15_000) + b"]}",
)
"""Records that a home keeps, as data."""


async def test_no_record_keeps_those_behind_it_from_being_taken(home: chez.Home, insurer: Insurer) -> None:
    """Whatever a record is, it costs itself at most: surrogates, depths, numbers and times that are none, Chez's own
    fields; what is odd is kept as data, counted, asked for by SQL, and shown without a control character."""
    kind = RecordType("anything", ("key",), {"key": "text", "data": "data?", "time": "time?", "number": "number?",
                                             "decimal": "decimal?"})
    made = await home.deposits.new("poison", [kind], card=insurer.keys.card.text)
    assert made.text is not None
    to, number = read_address(made.text), count(1)
    for records, outcome in ((POISON, "refused"), (ODD, "added")):
        for one in records:
            item = message(to, insurer.keys, [one], number=next(number), collection="anything")
            assert await judged(home, to, item, NOON) == (Verdict.TAKEN, {outcome: 1}), one[:60]
    rows = await home.sql("SELECT count(*) AS many, sum(decimal) AS total FROM anything")
    assert rows.rows[0][0] == len(ODD)
    assert len(await home.collection("anything").where().all()) == len(ODD)
    rejects = [reject for one in await home.deposits.all("poison") for reject in one.rejects]
    assert len(rejects) == len(POISON)
    assert all(text.isprintable() for one in rejects for text in (one.reason, one.text, one.collection))
