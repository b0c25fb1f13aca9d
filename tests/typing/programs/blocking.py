"""A script without an event loop, as a type checker sees it. Checked, never run."""

from typing import Any, assert_type

import msgspec

from chez import blocking


class Note(msgspec.Struct):
    """A typed record."""

    title: str
    cups: int = 0


def homes() -> None:
    """A home is created and opened, in a block or without one."""
    assert_type(blocking.create("home", passphrase="..."), str)
    with blocking.open("home", passphrase="...") as home:
        assert_type(home, blocking.Home)
        assert_type(home.status(), blocking.HomeStatus)
        assert_type(home.sync(), blocking.SyncReport)
        with home.connect() as link:
            assert_type(link, blocking.Link)
        with home.pair() as pairing:
            assert_type(pairing.confirm(lambda question, default="no": "yes").name, str)
    blocking.open("home", passphrase="...").close()


def records(home: blocking.Home) -> None:
    """A collection of a type gives that type back, one of plain records gives dicts."""
    notes, plain = home.collection(Note), home.collection("notes")
    assert_type(notes, blocking.Collection[Note])
    assert_type(plain, blocking.Collection[dict[str, Any]])
    assert_type(notes.put(Note("Tea")), blocking.Record[Note])
    with notes.edit("tea") as draft:
        assert_type(draft, Note)
    for record in notes:
        assert_type(record, blocking.Record[Note])
    for found in notes.live("tea"):
        assert_type(found, blocking.Record[Note] | None)


def queries(home: blocking.Home, notes: blocking.Collection[Note]) -> None:
    """Queries, attachments and transactions keep their types to the end."""
    query = notes.where(blocking.field("cups") > 1).order_by("-cups")
    assert_type(query, blocking.Query[blocking.Record[Note]])
    assert_type(query.all(), list[blocking.Record[Note]])
    for records in query.live():
        assert_type(records, list[blocking.Record[Note]])
    photo = home.blobs.add("photo.jpg", progress=lambda done, total: None)
    assert_type(b"".join(home.blobs.read(photo)), bytes)

    def add(transaction: blocking.Transaction) -> str:
        return transaction.put(notes, Note("Tea")).id

    assert_type(home.transaction(add), str)
