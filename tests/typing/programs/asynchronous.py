"""An asynchronous application, as a type checker sees it. Checked, never run."""

from collections.abc import AsyncIterator
from typing import Any, assert_type

import msgspec

import chez


class Note(msgspec.Struct):
    """A typed record."""

    title: str
    cups: int = 0
    body: chez.Text = msgspec.field(default_factory=chez.Text)


async def homes() -> None:
    """A home is created and opened."""
    assert_type(await chez.create("home", passphrase="..."), str)
    async with chez.open("home", passphrase="...") as home:
        assert_type(home, chez.Home)
        assert_type(await home.status(), chez.HomeStatus)
        assert_type(await home.sync(), chez.SyncReport)
        assert_type(await home.import_file("checking.ofx"), chez.ImportReport)
        assert_type(await home.export("all", progress=lambda done, total: None), chez.ExportReport)
        assert_type(await home.keyring.add(), str)
        await home.change_passphrase("...", "new")
        assert_type((await home.sql("select 1")).rows, list[tuple[Any, ...]])


async def records(home: chez.Home) -> None:
    """A collection of a type gives that type back, one of plain records gives dicts."""
    notes, plain = home.collection(Note), home.collection("notes", indexes=("cups", ("title", "cups")))
    assert_type(notes, chez.Collection[Note])
    assert_type(plain, chez.Collection[dict[str, Any]])
    assert_type(await notes.put(Note("Tea")), chez.Record[Note])
    assert_type((await notes.get("tea")).value, Note)
    async with notes.edit("tea") as draft:
        assert_type(draft, Note)
        draft.body.append(" Wait.")
    async with plain.edit("tea") as fields:
        fields["cups"] = 3
    async for record in notes:
        assert_type(record, chez.Record[Note])


async def queries(notes: chez.Collection[Note]) -> None:
    """Queries keep the type to their end."""
    query = notes.where(chez.field("cups") > 1, title="Tea").order_by("-cups").limit(3)
    assert_type(query, chez.Query[chez.Record[Note]])
    assert_type(await query.all(), list[chez.Record[Note]])
    assert_type(await query.first(), chez.Record[Note] | None)
    assert_type(await query.count(), int)
    assert_type(query.live(), AsyncIterator[list[chez.Record[Note]]])
    assert_type(await notes.search("tea"), list[chez.Hit[chez.Record[Note]]])
    assert_type(await notes.where().group_by("title").aggregate(Note, cups=chez.field("cups").sum()), list[Note])


async def transactions(home: chez.Home, notes: chez.Collection[Note]) -> None:
    """What the function of a transaction returns, the transaction returns."""
    def add(transaction: chez.Transaction) -> str:
        return transaction.put(notes, Note("Tea")).id

    assert_type(await home.transaction(add), str)
