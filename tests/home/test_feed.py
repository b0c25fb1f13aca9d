"""The change feed: everything that happens to records, in order, through crashes."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

import chez
from chez.errors import InvalidValue
from chez.records import feed
from chez.records.encode import encode_fields
from chez.records.store import Incoming
from tests.home.conftest import PASSPHRASE
from tests.home.test_crash import app, killed

OTHER = b"o" * 32


async def caught_up(pages: Any, mirror: dict[str, Any], cursor: str | None = None) -> str | None:
    """Apply pages to a copy of the records; the cursor after them."""
    async for page in pages:
        for change in page.changes:
            assert change.kind != "updated" or change.id in mirror
            if change.kind == "deleted":
                mirror.pop(change.id, None)
            else:
                mirror[change.id] = change.record.value
        cursor = page.cursor
    return cursor


async def test_a_copy_follows_by_the_feed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens between two looks, restarts included: a copy fed from its cursor equals the collection."""
    monkeypatch.setattr(feed, "PAGE", 7)
    random = Random(1)
    mirror: dict[str, Any] = {}
    cursor: str | None = None
    for _ in range(6):
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            notes = home.collection("notes")
            for _ in range(random.randint(0, 40)):
                id = f"n{random.randint(0, 25)}"
                try:
                    match random.randrange(5):
                        case 0 | 1:
                            await notes.put({"n": random.random()}, id=id)
                        case 2:
                            await home.collection("others").put({"x": 1}, id=id)
                        case 3:
                            async with notes.edit(id) as draft:
                                draft["m"] = random.random()
                        case _:
                            await notes.delete(id)
                except chez.ChezError:
                    continue
            cursor = await caught_up(notes.changes(cursor, live=False), mirror, cursor)
            assert mirror == {record.id: record.value async for record in notes}
            assert await caught_up(notes.changes(cursor, live=False), {}) is None


async def test_it_tells_what_who_and_where(home: chez.Home) -> None:
    """Collections of all names, in the order of the last changes, with the device that made them; one that came too."""
    await home.collection("a").put({"n": 1}, id="x")
    await home.collection("b").put({"n": 1}, id="y")
    (page,) = [page async for page in home.changes(live=False)]

    def arrives(db: Any) -> None:
        db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
                   "VALUES (77, 1, ?, 1, x'00', 0, x'00')", (OTHER,))
        change = encode_fields(OTHER, 1, 1, (), {"n": 2})
        assert home._engine.records.merge(db, 1, [Incoming("c", "z", change, 77)]) == []

    await home._database.write(arrives)
    await home.collection("a").put({"n": 2}, id="x")
    await home.collection("b").delete("y")
    (more,) = [page async for page in home.changes(page.cursor, live=False)]
    told = [(one.collection, one.kind, one.record and one.record.value, one.device) for one in more.changes]
    assert told == [("c", "created", {"n": 2}, OTHER), ("a", "updated", {"n": 2}, home.device_id),
                    ("b", "deleted", None, home.device_id)]
    assert [one.device_name for one in more.changes] == [None, "laptop", "laptop"]


async def test_it_goes_on_as_it_happens(home: chez.Home) -> None:
    """After what was there each commit comes, bursts together, and the feed ends when the home closes."""
    notes = home.collection("notes")
    await notes.put({"n": 0}, id="a")
    seen: list[str] = []
    ready = asyncio.Event()

    async def follow() -> None:
        async for page in notes.changes():
            seen.extend(change.id for change in page.changes)
            ready.set()

    task = asyncio.create_task(follow())
    await ready.wait()
    ready.clear()
    await home.collection("others").put({"n": 0})
    await notes.put_many([{"n": 1}, {"n": 2}], ids=["b", "c"])
    await ready.wait()
    assert seen == ["a", "b", "c"]
    await home.end_shared()
    await task


async def test_a_cursor_of_elsewhere_is_refused(home: chez.Home) -> None:
    """What is no cursor, another device's, or ahead of this store is a typed error, and is not kept either."""
    await home.collection("notes").put({"n": 0})
    (page,) = [page async for page in home.changes(live=False)]
    _, store, number, _ = page.cursor.split(".")
    for bad in ("", "x", f"2.{store}.{number}.0", f"1.{'0' * 16}.{number}.0", f"1.{store}.-1.0",
                f"1.{store}.{10**30}.0", f"1.{store}.².0", f"1.{store}.{int(number) + 1}.0"):
        with pytest.raises(InvalidValue):
            _ = [page async for page in home.changes(bad, live=False)]
    with pytest.raises(InvalidValue):
        await home.transaction(lambda transaction: transaction.save_cursor("mine", "x"))
    await home.transaction(lambda transaction: transaction.save_cursor("mine", page.cursor))
    assert await home.saved_cursor("mine") == page.cursor
    assert await home.saved_cursor("other") is None


@pytest.mark.slow
async def test_each_change_is_used_exactly_once_through_kills(path: Path) -> None:
    """An app that keeps the cursor in the transaction with what it made of a page, killed and killed again."""
    for number, lines in enumerate((1, 40, 7, 90)):
        async with app("feeding", path, "-", str(number)) as process:
            await killed(process, lines)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        times = Counter({record.id: record.value["times"] async for record in home.collection("seen")})
        async for page in home.collection("notes").changes(await home.saved_cursor("count"), live=False):
            times.update(change.id for change in page.changes)
        notes = {record.id async for record in home.collection("notes")}
    assert times == dict.fromkeys(notes, 1) and len(notes) > 10


async def test_each_change_is_seen_at_least_once_through_kills(path: Path, tmp_path: Path) -> None:
    """An app that keeps its cursor in a file, after what it made of a page: nothing is missed, some may come twice."""
    for number, lines in enumerate((3, 40, 90)):
        async with app("feeding", path, tmp_path, str(number)) as process:
            await killed(process, lines)
    seen = set((tmp_path / "seen").read_text().splitlines())
    since = (tmp_path / "cursor").read_text() if (tmp_path / "cursor").exists() else None
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        async for page in home.collection("notes").changes(since, live=False):
            seen.update(change.id for change in page.changes)
        assert {record.id async for record in home.collection("notes")} <= seen
