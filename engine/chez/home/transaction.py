"""`Transaction`: records, receipts and debits that are written together or not at all.

The work of one transaction is a plain function on the database's writing thread. What it
reads is what is true until it is committed, for there is no other writer; what it raises
undoes everything it did. So a condition that must hold for a write is checked here, not
before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import isawaitable, iscoroutine
from typing import Any, Final, TypeVar

from chez.errors import InvalidValue, Misuse, NotAllowed, NotFound
from chez.journal import Journal, Receipt
from chez.records.collection import Collection
from chez.records.engine import Engine
from chez.records.feed import check_cursor
from chez.records.record import Record
from chez.records.values import check_id
from chez.store.database import Connection

__all__ = ("MAX_KEPT", "Transaction", "cursor_key", "kept_key", "transact")

MAX_KEPT: Final = 1 << 20
"""Bytes that may be kept under one name: each change writes them whole."""

R = TypeVar("R")
T = TypeVar("T")


class Transaction:
    """What the function given to `Home.transaction` reads and writes with, until it returns.

    Collections are those of the same home; reading sees what this transaction wrote.
    `NotFound` and `NotAllowed` leave everything as it was and may be caught; any other
    error of a write ends the transaction, also when it is caught. Afterwards every call
    raises `Misuse`.
    """

    def __init__(self, db: Connection, engine: Engine, journal: Journal) -> None:
        self._open: Connection | None = db
        self.failed: BaseException | None = None
        """What a write raised that may have been done by half."""
        self._engine = engine
        self._journal = journal

    def __repr__(self) -> str:
        return f"<Transaction, {'ended' if self._open is None else 'open'}>"

    def get(self, collection: Collection[T], id: str) -> Record[T]:
        """The record with this id. Raises `NotFound`."""
        self._check(collection)
        return collection.get_in(self._db, id)

    def put(self, collection: Collection[T], value: T, *, id: str | None = None) -> Record[T]:
        """Store a record, like `Collection.put`. Raises `InvalidValue`.

        It does not wait for an open edit of the record: the edit merges when it ends.
        """
        with self._writing(collection) as db:
            return collection.put_in(db, value, id)

    def delete(self, collection: Collection[Any], id: str) -> None:
        """Delete a record. Raises `NotFound`."""
        with self._writing(collection) as db:
            collection.delete_in(db, id)

    def receipts(self, kind: str | None = None, **fields: str | int) -> list[Receipt]:
        """The receipts in order; of one kind, and whose body has these values, where given."""
        return self._journal.find(self._db, kind, fields)

    def receipt(self, kind: str, body: Mapping[str, Any], *, waits: bool = False) -> Receipt:
        """Write a receipt; `body` is JSON-able. Raises `InvalidValue`.

        The journal's head goes to the person's other devices at once, as an entry, by which a relay sees that
        something was done. Of one that `waits` they are told with the next one that doesn't: for what must not
        show when it was done.
        """
        with self._writing() as db:
            return self._journal.record(db, kind, body, waits=waits)

    def reserve(self, accounts: Mapping[str, float], bits: float, kind: str, body: Mapping[str, Any]) -> Receipt:
        """Debit `bits` from every account (name -> limit) and write the receipt, like `Journal.reserve`.

        Raises `NotAllowed` when an account would exceed its limit, `InvalidValue`.
        """
        with self._writing() as db:
            return self._journal.debit(db, accounts, bits, kind, body)

    def former_receipts(self, kind: str | None = None, **fields: str | int) -> list[Receipt]:
        """As `receipts`, of the devices that this home was before it was restored or copied."""
        return self._journal.find_former(self._db, kind, fields)

    def allow(self, accounts: Iterable[str], bits: float) -> None:
        """Let so many more bits be debited from accounts that are closed here, like `Journal.allow`.

        Raises `InvalidValue`.
        """
        with self._writing() as db:
            self._journal.allow_in(db, accounts, bits)

    def save_cursor(self, name: str, cursor: str) -> None:
        """Keep the cursor of a change feed on this device under a name (`Home.saved_cursor` has it again).

        Written together with what was made of the page it came with, each page is made use
        of exactly once. Raises `InvalidValue` for what is no cursor of this home.
        """
        with self._writing() as db:
            check_cursor(cursor, self._engine.records.actor)
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                       (cursor_key(name), cursor.encode()))

    def keep(self, name: str, value: bytes) -> None:
        """Keep a few bytes on this device under a name; never synced, and this device's alone.

        For what must be written together with a receipt, and would else be counted again from
        all receipts. A home that was restored or copied has nothing of it. Raises
        `InvalidValue` for a name that is none, or more than 1 MiB.
        """
        if len(value) > MAX_KEPT:
            raise InvalidValue(f"{len(value)} bytes are too many to keep under a name, at most {MAX_KEPT} are",
                               "Put them into a record.")
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (kept_key(name), value))

    def kept(self, name: str) -> bytes | None:
        """What `keep` kept under a name, None if nothing. Raises `InvalidValue` for a name that is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (kept_key(name),)).fetchone()
        return None if row is None else bytes(row[0])

    def end(self) -> None:
        """Let nothing through any more."""
        self._open = None

    @property
    def _db(self) -> Connection:
        if self._open is None:
            raise Misuse("this transaction has ended", "Read and write inside the function given to `transaction`.")
        return self._open

    @contextmanager
    def _writing(self, collection: Collection[Any] | None = None) -> Iterator[Connection]:
        db = self._db
        if collection is not None:
            self._check(collection)
        try:
            yield db
        except (NotFound, NotAllowed):
            raise
        except BaseException as error:
            # Half of the write may be done, in the store and in what is cached of it.
            self.failed = error
            raise

    def _check(self, collection: Collection[Any]) -> None:
        if not isinstance(collection, Collection):
            raise InvalidValue(f"a collection is wanted, not of the type {type(collection).__name__}",
                               "Give the one that home.collection(...) returned.")
        if not collection.belongs_to(self._engine):
            raise Misuse(f"the collection {collection.name!r} is another home's", "One transaction is in one home.")


def kept_key(name: str) -> str:
    """Where the bytes of this name are kept. Raises `InvalidValue`."""
    return f"kept {check_id(name)}"


def cursor_key(name: str) -> str:
    """Where the cursor of this name is kept. Raises `InvalidValue`."""
    return f"cursor {check_id(name)}"


def transact(engine: Engine, journal: Journal, work: Callable[[Transaction], R]) -> Callable[[Connection], R]:
    """The work of a transaction, as a function over a connection."""

    def run(db: Connection) -> R:
        transaction = Transaction(db, engine, journal)
        try:
            with engine.records.together(db):
                result = work(transaction)
        finally:
            transaction.end()
        if transaction.failed is not None:
            raise transaction.failed
        if isawaitable(result):
            if iscoroutine(result):
                result.close()
            raise Misuse("the work of a transaction is a plain function", "It can't wait: fetch what it needs before.")
        return result

    return run
