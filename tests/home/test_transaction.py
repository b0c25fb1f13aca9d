"""Transactions: records, receipts and debits together, or not at all."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import HomeBusy, InvalidValue, Misuse, NotAllowed, NotFound
from tests.home.pairing import PASSPHRASE, paired
from tests.relay.within import relay as running_relay

HUGE = "x" * (2 << 20)
"""More than one change may hold."""


async def everything(home: chez.Home) -> dict[str, Any]:
    """All records and the kinds of all receipts."""
    found: dict[str, Any] = {"receipts": [receipt.kind for receipt in await home.journal.receipts()]}
    for info in await home.collections():
        found[info.name] = {record.id: record.value async for record in home.collection(info.name)}
    return found


async def test_records_and_receipts_are_written_together(home: chez.Home) -> None:
    """One transaction puts into two collections, deletes, debits and receipts; it reads what it wrote."""
    notes, drafts = home.collection("notes"), home.collection("drafts")
    await drafts.put({"title": "Tea"}, id="tea")

    def move(transaction: chez.Transaction) -> str:
        draft = transaction.get(drafts, "tea")
        note = transaction.put(notes, draft.value)
        transaction.delete(drafts, "tea")
        with pytest.raises(NotFound):
            transaction.get(drafts, "tea")
        transaction.reserve({"account": 2.0}, 1.5, "spent", {"note": note.id})
        transaction.receipt("moved", {"note": note.id})
        (receipt,) = transaction.receipts("moved", note=note.id)
        assert receipt == transaction.receipts()[-1] and transaction.receipts("moved", note="another") == []
        return note.id

    id = await home.transaction(move)
    assert (await notes.get(id)).value == {"title": "Tea"}
    assert await home.journal.spent("account") == 1.5
    assert (await everything(home))["receipts"][-2:] == ["spent", "moved"]
    assert (await home.journal.verify()).ok


async def test_what_is_kept_is_kept_with_the_rest(home: chez.Home) -> None:
    """Bytes under a name are written with their transaction, or not; too many, or under no name, are refused."""
    assert await home.transaction(lambda transaction: transaction.kept("purse")) is None
    await home.transaction(lambda transaction: transaction.keep("purse", b"12"))

    def half(transaction: chez.Transaction) -> None:
        transaction.keep("purse", b"11")
        assert transaction.kept("purse") == b"11"
        raise NotAllowed("no")

    with pytest.raises(NotAllowed):
        await home.transaction(half)
    for name, value in (("", b"1"), ("purse", bytes((1 << 20) + 1))):
        with pytest.raises(InvalidValue):
            await home.transaction(lambda transaction, n=name, v=value: transaction.keep(n, v))
    assert await home.transaction(lambda transaction: transaction.kept("purse")) == b"12"
    assert await home.saved_cursor("purse") is None


async def test_what_raises_leaves_nothing(home: chez.Home) -> None:
    """An error at the end undoes every write before it, what is cached of them included."""
    notes = home.collection("notes")
    await notes.put({"cups": 1}, id="tea")
    before = await everything(home)

    def half(transaction: chez.Transaction) -> None:
        transaction.put(notes, {"cups": 2}, id="tea")
        transaction.put(home.collection("drafts"), {"cups": 3})
        transaction.reserve({"account": 2.0}, 1.5, "spent", {})
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await home.transaction(half)
    assert await everything(home) == before and await home.journal.spent("account") == 0
    await notes.put({"cups": 4}, id="tea")
    assert (await notes.get("tea")).value == {"cups": 4}


async def test_a_caught_refusal_leaves_the_rest(home: chez.Home) -> None:
    """`NotFound` and `NotAllowed` wrote nothing, so a transaction may go on after them."""
    notes = home.collection("notes")

    def work(transaction: chez.Transaction) -> None:
        with pytest.raises(NotFound):
            transaction.delete(notes, "nothing")
        with pytest.raises(NotAllowed):
            transaction.reserve({"large": 9.0, "small": 1.0}, 2.0, "spent", {})
        transaction.put(notes, {"cups": 1}, id="tea")

    await home.transaction(work)
    assert (await notes.get("tea")).value == {"cups": 1} and await home.journal.spent("large") == 0


@pytest.mark.parametrize("write", ["put", "receipt", "reserve"])
async def test_a_caught_failure_of_a_write_still_undoes_everything(write: str, home: chez.Home) -> None:
    """A write that failed halfway is not kept because the work went on."""
    notes = home.collection("notes")
    await notes.put({"cups": 1}, id="tea")
    before = await everything(home)
    not_json: dict[str, Any] = {"what": object()}

    def work(transaction: chez.Transaction) -> None:
        with pytest.raises(InvalidValue):
            if write == "put":
                transaction.put(notes, {"cups": HUGE}, id="tea")
            elif write == "receipt":
                transaction.receipt("kind", not_json)
            else:
                transaction.reserve({"account": 9.0}, 1.0, "kind", not_json)
        transaction.put(notes, {"cups": 3}, id="coffee")

    with pytest.raises(InvalidValue):
        await home.transaction(work)
    assert await everything(home) == before and await home.journal.spent("account") == 0
    async with notes.edit("tea") as draft:
        draft["cups"] += 1
    assert (await notes.get("tea")).value == {"cups": 2}


async def test_reading_and_writing_is_one_step(home: chez.Home) -> None:
    """A hundred transactions that add one to what they read add a hundred."""
    counts = home.collection("counts")
    await counts.put({"n": 0}, id="all")

    def add(transaction: chez.Transaction) -> None:
        transaction.put(counts, {"n": transaction.get(counts, "all").value["n"] + 1}, id="all")

    await asyncio.gather(*(home.transaction(add) for _ in range(100)))
    assert (await counts.get("all")).value == {"n": 100}


async def test_an_edit_that_is_open_merges(home: chez.Home) -> None:
    """A transaction does not wait for an edit of the same record; both are in it afterwards."""
    notes = home.collection("notes")
    await notes.put({"cups": 1}, id="tea")
    async with notes.edit("tea") as draft:
        draft["mine"] = "kept"
        await home.transaction(lambda transaction: transaction.put(notes, {"cups": 2}, id="tea"))
    assert (await notes.get("tea")).value == {"cups": 2, "mine": "kept"}


async def test_misuse_is_told(home: chez.Home, tmp_path: Path) -> None:
    """A coroutine function, a transaction that ended, another home's collection, a field that is none: typed errors."""
    kept: list[chez.Transaction] = []

    async def waits(transaction: chez.Transaction) -> None:
        """Never run."""

    with pytest.raises(Misuse, match="plain function"):
        await home.transaction(waits)  # type: ignore[unused-coroutine]  # the checker says so too
    await home.transaction(kept.append)
    for late in (lambda: kept[0].receipt("late", {}), lambda: kept[0].receipts()):
        with pytest.raises(Misuse, match="ended"):
            late()
    await chez.create(tmp_path / "other", passphrase="x", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "other", passphrase="x") as other:
        foreign = other.collection("notes")
        for use in (lambda t: t.put(foreign, {}), lambda t: t.get(foreign, "a"), lambda t: t.delete(foreign, "a")):
            with pytest.raises(Misuse, match="another home"):
                await home.transaction(use)
    with pytest.raises(InvalidValue, match="names no field"):
        await home.transaction(lambda transaction: transaction.receipts("kind", **{'a"b': 1}))


async def test_a_collections_name_is_no_collection(home: chez.Home) -> None:
    """It is told so, by whatever is asked for first; nothing is written."""
    for act in (lambda t: t.put("notes", {"cups": 1}), lambda t: t.get("notes", "tea"),
                lambda t: t.delete("notes", "tea")):
        with pytest.raises(InvalidValue, match="a collection is wanted, not of the type str"):
            await home.transaction(act)
    assert await home.collection("notes").count() == 0


async def test_a_program_that_opens_a_home_twice_is_told_that_it_has_it(home: chez.Home) -> None:
    """No other process is waited for that never ends."""
    with pytest.raises(HomeBusy, match="this program has this home open already") as told:
        async with chez.open(home.path, passphrase=PASSPHRASE):
            pass
    assert "Wait" not in told.value.hint


async def test_a_transaction_shows_elsewhere_together(tmp_path: Path) -> None:
    """However large it is (here three entries), another device sees all of its records in one answer."""
    async with running_relay(tmp_path / "relay") as relay, paired(tmp_path, relay.url) as (a, b):
        notes, tasks = a.collection("notes"), a.collection("tasks")

        def work(transaction: chez.Transaction) -> None:
            for number in range(40):
                transaction.put(notes, {"body": f"{number} " + "x" * 30_000})
            transaction.put(tasks, {"done": False}, id="one")

        async with a.connect(relay.url) as theirs, b.connect(relay.url) as ours:
            await theirs.synced(90)
            await ours.synced(90)
            answers = b.collection("notes").where().live()
            async with aclosing(answers):
                assert await anext(answers) == []
                await a.transaction(work)
                assert len(await anext(answers)) == 40
            assert (await b.collection("tasks").get("one")).value == {"done": False}
        parts = await a._database.read(lambda db: db.execute("SELECT part FROM entry ORDER BY sequence").fetchall())
        assert [part for (part,) in parts][-3:] == [0, 1, None]


async def test_a_transaction_too_large_to_show_together_is_refused_at_once(home: chez.Home) -> None:
    """What could not be sent as one is not written at all."""
    notes = home.collection("notes")

    def work(transaction: chez.Transaction) -> None:
        for _ in range(30):
            transaction.put(notes, {"body": "x" * 700_000})

    with pytest.raises(InvalidValue, match="transaction"):
        await home.transaction(work)
    assert await notes.count() == 0
