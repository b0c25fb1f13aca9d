"""The organisation's book: customers with their addresses, batches, and each message until it is acknowledged.

One SQLite file, readable by its owner only, used by one process at a time. A message's number is durable before the
message leaves, and its sealed bytes are kept until the customer's device has acknowledged them: so whatever is killed
when, the same bytes are sent again, which relay and device know.

    staged ──build──> queued ──send──> sent ──collect──> taken | refused
                        └─ the address is gone ──> gone
"""

import enum
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chez.deposits.address import Address, kept_address, read_address
from chez.errors import InvalidValue, NotFound, StorageFailed
from chez_deposit.keys import OrganisationKeys

__all__ = ("Book", "Customer", "Standing", "State")

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE customer (
    n       INTEGER PRIMARY KEY,
    ref     TEXT NOT NULL UNIQUE,     -- what the organisation calls it
    address TEXT NOT NULL,
    id      BLOB NOT NULL UNIQUE,     -- of the address
    next    INTEGER NOT NULL          -- the number of the next message to this address
);
CREATE TABLE batch (
    n        INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    digest   TEXT NOT NULL,           -- SHA-256 of the file
    at       INTEGER NOT NULL,        -- up to this byte it was read
    line     INTEGER NOT NULL,
    whole    INTEGER NOT NULL,        -- 1: all of it was read
    records  INTEGER NOT NULL,
    rejected INTEGER NOT NULL
);
CREATE TABLE staged (
    n          INTEGER PRIMARY KEY,
    batch      INTEGER NOT NULL REFERENCES batch,
    customer   INTEGER NOT NULL REFERENCES customer,
    collection TEXT NOT NULL,
    record     BLOB NOT NULL          -- JSON
);
CREATE INDEX staged_by_customer ON staged (batch, customer, n);
CREATE TABLE reject (
    batch  INTEGER NOT NULL REFERENCES batch,
    line   INTEGER NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX reject_by_batch ON reject (batch, line);
CREATE TABLE message (
    n        INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer,
    batch    INTEGER NOT NULL REFERENCES batch,
    address  BLOB NOT NULL,
    era      INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    records  INTEGER NOT NULL,
    item     BLOB,                    -- sealed; NULL once nobody needs it any more
    state    INTEGER NOT NULL,
    at       INTEGER NOT NULL,        -- when it came to that, Unix seconds
    refused  INTEGER NOT NULL DEFAULT 0,
    note     TEXT NOT NULL DEFAULT '',
    UNIQUE (address, era, number)
);
CREATE INDEX message_by_state ON message (state, customer, n);
CREATE INDEX message_by_batch ON message (batch, state);
"""

_VERSION: Final = "1"

STEP: Final = 2048
"""Customers in one transaction, where many are added."""


class State(enum.IntEnum):
    """Where a message is."""

    QUEUED = 0
    SENT = 1
    TAKEN = 2
    REFUSED = 3
    GONE = 4


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, by what the organisation calls it, with the address that it gave."""

    ref: str
    address: Address = field(repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the messages of a book, or of one batch, stand; `refused_records` are none of the addresses' types."""

    customers: int
    queued: int
    sent: int
    taken: int
    refused: int
    gone: int
    records: int
    refused_records: int


class Book:
    """The book in a file, made when it is not there; it is one organisation's, by its key.

    A key that succeeds the book's goes on with it. Raises `InvalidValue` for a file that is none or another's,
    `StorageFailed` while another process has it.
    `now` is the time (Unix seconds) of the first era, when it is made.
    """

    def __init__(self, path: Path, keys: OrganisationKeys, *, now: int) -> None:
        self._path = path
        self._own = keys.own
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.db = sqlite3.connect(path, timeout=0.2, isolation_level=None)
            with ExitStack() as opening:
                opening.callback(self.db.close)
                # One process: two would give one number to two messages.
                for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                    self.db.execute(f"PRAGMA {pragma}")
                with self.writing() as db:
                    self._begin(db, keys.signing.public.hex(), now)
                opening.pop_all()
        except OSError as error:
            raise StorageFailed(f"{path} can't be opened: {error.strerror}") from None
        except sqlite3.Error as error:
            raise _failed(path, error) from None

    def __repr__(self) -> str:
        return f"<Book {self._path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing, durable at its end. Raises `StorageFailed`."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _failed(self._path, error) from None

    @property
    def era(self) -> int:
        """The era in which messages are numbered now."""
        return int(self._meta("era") or 1)

    def renew(self, now: int) -> int:
        """Begin a new era: after this book was lost, or was put back from a copy that is older than what was sent."""
        with self.writing() as db:
            era = max(self.era + 1, now)
            db.execute("UPDATE meta SET value = ? WHERE key = 'era'", (str(era),))
            db.execute("UPDATE customer SET next = 1")
        return era

    def add_customer(self, ref: str, text: str) -> Customer:
        """Keep the address that a customer gave; another one than before takes its place.

        What is queued for the former one is gone: it is sealed to that. Raises `InvalidValue` for what is no address,
        one that is for another organisation, or that another customer gave.
        """
        customer = self._checked(ref, text)
        with self.writing() as db:
            self._keep(db, customer)
        return customer

    def add_customers(self, given: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Keep many customers' addresses, thousands in a transaction; why each of the others was refused."""
        refused: dict[str, str] = {}
        rows = iter(given)
        while part := list(islice(rows, STEP)):
            with self.writing() as db:
                for ref, text in part:
                    try:
                        self._keep(db, self._checked(ref, text))
                    except InvalidValue as error:
                        refused[ref] = error.message
        return refused

    def _checked(self, ref: str, text: str) -> Customer:
        if not 1 <= len(ref) <= 128 or not ref.isprintable():
            raise InvalidValue(f"{ref[:64]!r} can't name a customer", "Use 1 to 128 printable characters.")
        address = read_address(text)
        if address.organisation and address.organisation not in self._own:
            raise InvalidValue("this deposit address is for another organisation",
                               "Ask the customer for one that was made with your card.")
        return Customer(ref, address)

    def _keep(self, db: sqlite3.Connection, customer: Customer) -> None:
        """Raises `InvalidValue`, having changed nothing, when another customer gave this address."""
        ref, address = customer.ref, customer.address
        other = db.execute("SELECT ref FROM customer WHERE id = ? AND ref <> ?", (address.key, ref)).fetchone()
        if other is not None:
            raise InvalidValue(f"this deposit address is customer {other[0]!r}'s already")
        # An address may come back, or have been another customer's: numbers go on where its messages are.
        (begin,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM message WHERE address = ? AND era = ?",
                              (address.key, self.era)).fetchone()
        db.execute("INSERT INTO customer (ref, address, id, next) VALUES (?, ?, ?, ?) ON CONFLICT (ref) DO UPDATE "
                   "SET address = excluded.address, id = excluded.id, next = excluded.next",
                   (ref, address.text, address.key, begin))
        db.execute("UPDATE message SET state = ?, item = NULL, note = 'the customer has another address' "
                   "WHERE state = ? AND address <> ? AND customer = (SELECT n FROM customer WHERE ref = ?)",
                   (State.GONE, State.QUEUED, address.key, ref))

    def customers(self) -> Iterator[Customer]:
        """Every customer, by name."""
        for ref, text in self.db.execute("SELECT ref, address FROM customer ORDER BY ref"):
            yield Customer(ref, kept_address(text))

    def customer(self, ref: str) -> tuple[int, Customer]:
        """A customer's row, and the customer. Raises `NotFound`."""
        row = self.db.execute("SELECT n, address FROM customer WHERE ref = ?", (ref,)).fetchone()
        if row is None:
            raise NotFound(f"no customer is called {ref[:64]!r}")
        return row[0], Customer(ref, kept_address(row[1]))

    def standing(self, batch: str | None = None) -> Standing:
        """How all messages stand, or those of a batch. Raises `NotFound`."""
        n = None if batch is None else self.batch(batch)
        (customers,) = self.db.execute("SELECT count(*) FROM customer").fetchone()
        counts = dict.fromkeys(State, 0)
        records = refused = 0
        for state, count, held, lost in self.db.execute(
                "SELECT state, count(*), sum(records), sum(refused) FROM message WHERE ? IS NULL OR batch = ? "
                "GROUP BY state", (n, n)):
            counts[State(state)] = count
            records, refused = records + held, refused + lost
        return Standing(
            customers, counts[State.QUEUED], counts[State.SENT], counts[State.TAKEN], counts[State.REFUSED],
            counts[State.GONE], records, refused)

    def batch(self, id: str) -> int:
        """The row of a batch. Raises `NotFound`."""
        row = self.db.execute("SELECT n FROM batch WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no batch {id[:64]!r} in this book")
        n: int = row[0]
        return n

    def rejects(self, batch: str) -> Iterator[tuple[int, str]]:
        """The lines of a batch that were not taken, each with the reason. Raises `NotFound`."""
        yield from self.db.execute("SELECT line, reason FROM reject WHERE batch = ? ORDER BY line",
                                   (self.batch(batch),))

    def unacknowledged(self, before: int, now: int) -> tuple[int, int]:
        """Queue again what was sent before a time and is not acknowledged.

        How many messages that are, and how many are given up: those that a former key signed, to customers who were
        sent something by its successor since, whose devices take nothing of the former any more.
        """
        late = (State.SENT, before, int(self._meta("succeeded") or 0))
        with self.writing() as db:
            gone = db.execute(
                "UPDATE message SET state = ?, at = ?, item = NULL, note = 'signed by the key before' "
                "WHERE state = ? AND at < ? AND n <= ? AND EXISTS (SELECT 1 FROM message AS later WHERE later.customer "
                "= message.customer AND later.n > ? AND later.state <> ?)",
                (State.GONE, now, *late, late[-1], State.QUEUED)).rowcount
            queued = db.execute("UPDATE message SET state = ?, at = ? WHERE state = ? AND at < ? AND item IS NOT NULL",
                                (State.QUEUED, now, *late[:2])).rowcount
        return queued, gone

    def _meta(self, key: str) -> str:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

    def _begin(self, db: sqlite3.Connection, key: str, now: int) -> None:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)",
                           (("version", _VERSION), ("key", key), ("era", str(max(1, now)))))
        if self._meta("version") != _VERSION:
            raise InvalidValue(f"{self._path} is no book of a version that is known here")
        if self._meta("key") == key:
            return
        if bytes.fromhex(self._meta("key")) not in self._own:
            raise InvalidValue(f"{self._path} is the book of another key", "Each key has a book of its own.")
        # Up to here messages are signed by the key before: devices take them until they heard of this one.
        db.execute("INSERT OR REPLACE INTO meta (key, value) SELECT 'succeeded', coalesce(max(n), 0) FROM message")
        db.execute("UPDATE meta SET value = ? WHERE key = 'key'", (key,))


def _failed(path: Path, error: sqlite3.Error) -> Exception:
    if "locked" in str(error):
        return StorageFailed(f"{path} is in use", "Another chez-deposit works with it: wait until it has ended.")
    if isinstance(error, sqlite3.OperationalError):
        return StorageFailed(f"{path} can't be used: {error}")
    return InvalidValue(f"{path} is no book: {error}")
