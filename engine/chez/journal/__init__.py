"""The journal: a person's tamper-evident record of what happened on this device.

One hash chain of receipts per device. Each receipt is hashed with the one before it and
signed by the device; the chain's head travels inside the device's entries, so that a
journal cut short shows against what other devices have seen. Budgets are debited in the
same transaction as the receipt that says so.

A device that was restored or copied starts at zero: whatever an account's limit, nothing is
debited from it but what was allowed on this device since. For what was left belongs to the
device that this one was, which may spend it still.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from chez import crypto
from chez.checked import checked
from chez.errors import InvalidValue, NotAllowed
from chez.keys.device import DeviceKeys
from chez.store.database import Connection, Database

__all__ = ("Journal", "Receipt", "Verification", "close_accounts", "succeed", "verify_journal", "write_receipt")

GENESIS = bytes(32)
_COLUMNS = "number, time, kind, body, previous, hash, signature"
_CLOSED = "accounts.closed"
"""A setting that is there once this home was another device."""
_canonical = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Receipt:
    """One line of the journal; `time` is RFC 3339 in UTC, `hash` covers all but itself."""

    number: int
    time: str
    kind: str
    body: dict[str, Any] = field(repr=False)
    previous: bytes = field(repr=False)
    hash: bytes = field(repr=False)


class Verification(msgspec.Struct, frozen=True):
    """Whether the chain holds, how many receipts it has, and otherwise what is wrong."""

    ok: bool
    receipts: int
    problem: str = ""


def _hash(number: int, time: str, kind: str, body: str, previous: bytes) -> bytes:
    return crypto.hash_fields("chez/1 receipt", number.to_bytes(8, "big"), time.encode(), kind.encode(),
                              body.encode(), previous)


def _name(name: str) -> str:
    if not name.isidentifier():
        raise InvalidValue(f"{name!r} names no field of a receipt")
    return name


@checked
class Journal:
    """The journal of one home; made by it. `now` gives Unix milliseconds."""

    def __init__(self, database: Database, device: DeviceKeys, now: Callable[[], int]) -> None:
        self._database = database
        self._device = device
        self._now = now

    def __repr__(self) -> str:
        return f"<Journal of device {self._device.id.hex()[:8]}…>"

    async def append(self, kind: str, body: Mapping[str, Any]) -> Receipt:
        """Write a receipt; durable when it returns. `body` is JSON-able."""
        return await self._database.write(lambda db: self.record(db, kind, body))

    async def reserve(self, accounts: Mapping[str, float], bits: float, kind: str, body: Mapping[str, Any]) -> Receipt:
        """Debit `bits` from every account (name -> limit) and write the receipt, in one transaction.

        Raises `NotAllowed`, debiting nothing, when an account would exceed its limit, or on a
        device that was restored or copied what was allowed there since.
        """
        return await self._database.write(lambda db: self.debit(db, accounts, bits, kind, body))

    async def allow(self, accounts: Iterable[str], bits: float) -> None:
        """Let so many more bits be debited from each of these accounts, where a restored or copied device has none.

        The person's word on this device, as a grant is. A limit still bounds what is spent in
        all, and on any other device nothing changes. Raises `InvalidValue`.
        """
        names = tuple(accounts)
        await self._database.write(lambda db: self.allow_in(db, names, bits))

    async def spent(self, account: str) -> float:
        """The bits debited from an account so far."""
        return await self._database.read(lambda db: self._spent(db, account))

    async def receipts(self, kind: str | None = None, **fields: str | int) -> list[Receipt]:
        """The receipts in order; of one kind, and whose body has these values, where given."""
        return await self._database.read(lambda db: self.find(db, kind, fields))

    async def former(self) -> list[tuple[bytes, Receipt]]:
        """The receipts of the devices that this home was before it was restored or copied, with their ids."""
        return await self._database.read(lambda db: [
            (device, Receipt(n, time, kind, msgspec.json.decode(body), previous, hash))
            for device, n, time, kind, body, previous, hash in db.execute(
                "SELECT device, number, time, kind, body, previous, hash FROM former_receipt "
                "ORDER BY time, device, number")])

    async def verify(self) -> Verification:
        """Fold the chain again, check every signature, and the head other devices were told.

        The same for the journals of devices that this home was before, up to the heads
        that its own journal names.
        """
        return await self._database.read(lambda db: verify_journal(db, self._device.id))

    # --- inside a transaction that is open ------------------------------------------------

    def find(self, db: Connection, kind: str | None, fields: Mapping[str, str | int]) -> list[Receipt]:
        """The receipts in order; of one kind, and whose body has these values, where given."""
        return _find(db, "receipt", "number", kind, fields)

    def find_former(self, db: Connection, kind: str | None, fields: Mapping[str, str | int]) -> list[Receipt]:
        """The same of the devices that this home was before."""
        return _find(db, "former_receipt", "time, device, number", kind, fields)

    def debit(self, db: Connection, accounts: Mapping[str, float], bits: float, kind: str,
              body: Mapping[str, Any]) -> Receipt:
        """What `reserve` does; the caller undoes the transaction when this raises `NotAllowed`."""
        if not bits >= 0:
            raise InvalidValue(f"a debit is a number from 0, not {bits}")
        closed = db.execute("SELECT 1 FROM meta WHERE key = ?", (_CLOSED,)).fetchone() is not None
        for name, limit in accounts.items():
            spent, allowed = db.execute("SELECT spent, allowed FROM account WHERE name = ?",
                                        (name,)).fetchone() or (0.0, 0.0)
            if closed and spent + bits > allowed + 1e-9:
                raise NotAllowed(f"the account of {name} is closed on this device, which was restored or copied: "
                                 f"{allowed - spent:g} bits were allowed here since, this takes {bits:g}; what was "
                                 "left of it is the former device's",
                                 "Grant the job anew on this device, or run it on another.")
            if spent + bits > limit + 1e-9:
                why = (f"the budget of {name} is {limit:g} bits, {spent:g} are spent, this takes {bits:g}")
                raise NotAllowed(why, "Raise the budget in a new grant, or leave it at that.")
        for name in accounts:
            db.execute("INSERT INTO account (name, spent, allowed) VALUES (?, ?, 0) "
                       "ON CONFLICT (name) DO UPDATE SET spent = spent + excluded.spent", (name, bits))
        return self.record(db, kind, body)

    def allow_in(self, db: Connection, accounts: Iterable[str], bits: float) -> None:
        """What `allow` does."""
        if not 0 <= bits < math.inf:
            raise InvalidValue(f"what is allowed is a number of bits from 0, not {bits}")
        db.executemany("INSERT INTO account (name, spent, allowed) VALUES (?, 0, ?) "
                       "ON CONFLICT (name) DO UPDATE SET allowed = allowed + excluded.allowed",
                       [(name, bits) for name in accounts])

    def record(self, db: Connection, kind: str, body: Mapping[str, Any], *, waits: bool = False) -> Receipt:
        """Write a receipt."""
        return write_receipt(db, self._device, self._now(), kind, body, waits=waits)

    def _spent(self, db: Connection, account: str) -> float:
        row = db.execute("SELECT spent FROM account WHERE name = ?", (account,)).fetchone()
        return float(row[0]) if row is not None else 0.0


def _find(db: Connection, table: str, order: str, kind: str | None, fields: Mapping[str, str | int]) -> list[Receipt]:
    conditions: list[str] = ["? IS NULL OR kind = ?"]
    values: list[str | int | None] = [kind, kind]
    for name, value in fields.items():
        conditions.append("json_extract(body, ?) = ?")
        values += [f'$."{_name(name)}"', value]
    rows = db.execute(f"SELECT number, time, kind, body, previous, hash FROM {table} "
                      f"WHERE ({') AND ('.join(conditions)}) ORDER BY {order}", values)
    return [Receipt(n, time, what, msgspec.json.decode(body), previous, hash)
            for n, time, what, body, previous, hash in rows]


def write_receipt(db: Connection, device: DeviceKeys, now: int, kind: str, body: Mapping[str, Any], *,
                  waits: bool = False) -> Receipt:
    """Write a receipt of a device, in an open transaction; `now` is in Unix milliseconds. Raises `InvalidValue`.

    Of one that `waits` other devices are told together with the next one that doesn't.
    """
    last = db.execute("SELECT number, hash FROM receipt ORDER BY number DESC LIMIT 1").fetchone()
    number, previous = (last[0] + 1, last[1]) if last is not None else (1, GENESIS)
    time = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        text = _canonical.encode(body).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"a receipt holds JSON values only: {error}") from None
    if not isinstance(kind, str) or not kind.isprintable():
        raise InvalidValue(f"{kind!r} is no kind of a receipt", "Name it by a word, such as 'note'.")
    digest = _hash(number, time, kind, text, previous)
    db.execute("INSERT INTO receipt (number, time, kind, body, previous, hash, signature, waits) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
               (number, time, kind, text, previous, digest, device.signing.sign("chez/1 receipt", digest), waits))
    return Receipt(number, time, kind, msgspec.json.decode(text), previous, digest)


def close_accounts(db: Connection) -> None:
    """From now on nothing is debited but what is allowed anew, from whichever account, in an open transaction."""
    db.execute("UPDATE account SET allowed = spent")
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, x'01')", (_CLOSED,))


def succeed(db: Connection, device: DeviceKeys, now: int, former: bytes, why: str) -> None:
    """Begin a device's journal where a former device's ends; its receipts stay, bound by the first line."""
    head = db.execute("SELECT number, hash FROM receipt ORDER BY number DESC LIMIT 1").fetchone() or (0, GENESIS)
    db.execute(f"INSERT INTO former_receipt (device, {_COLUMNS}) SELECT ?, {_COLUMNS} FROM receipt", (former,))
    db.execute("DELETE FROM receipt")
    write_receipt(db, device, now, "device-renewed",
                  {"former": former.hex(), "why": why, "receipts": head[0], "head": head[1].hex()})


def verify_journal(db: Connection, device: bytes) -> Verification:
    """What `Journal.verify` does, on a connection, for the device that the store is."""
    # First what was told, for that takes in what is written while the receipts are read.
    told = db.execute("SELECT number, hash FROM witness WHERE author = ?", (device,)).fetchall()
    own = _fold(db.execute(f"SELECT {_COLUMNS} FROM receipt ORDER BY number"), device)
    if isinstance(own, Verification):
        return own
    for number, digest in told:
        if own.get(number) != digest:
            return Verification(False, len(own) - 1,
                                f"the journal was cut: other devices were told of receipt {number}")
    return _verify_former(db) or Verification(True, len(own) - 1)


def _verify_former(db: Connection) -> Verification | None:
    """What is wrong with the journals before this one; each names the one before it in its first line."""
    first = db.execute("SELECT kind, body FROM receipt WHERE number = 1").fetchone()
    while first is not None and first[0] == "device-renewed":
        said = msgspec.json.decode(first[1])
        device = bytes.fromhex(said["former"])
        chain = _fold(db.execute(f"SELECT {_COLUMNS} FROM former_receipt WHERE device = ? ORDER BY number",
                                 (device,)), device)
        if isinstance(chain, Verification):
            return Verification(False, chain.receipts,
                                f"in the journal of device {device.hex()[:16]}: {chain.problem}")
        if max(chain) != said["receipts"] or chain[said["receipts"]].hex() != said["head"]:
            return Verification(False, max(chain), f"the journal of device {device.hex()[:16]} was cut")
        first = db.execute("SELECT kind, body FROM former_receipt WHERE device = ? AND number = 1",
                           (device,)).fetchone()
    return None


def _fold(rows: Iterable[Any], device: bytes) -> dict[int, bytes] | Verification:
    """The hash of each receipt of a chain by its number, with the beginning's at 0; or what is wrong with it."""
    hashes = {0: GENESIS}
    for count, (number, time, kind, body, previous, digest, signature) in enumerate(rows, 1):
        if number != count:
            return Verification(False, count, f"receipt {count} is missing")
        if previous != hashes[count - 1]:
            return Verification(False, count, f"receipt {number} does not follow the one before it")
        if digest != _hash(number, time, kind, body, previous):
            return Verification(False, count, f"receipt {number} was changed")
        try:
            crypto.verify(device, signature, "chez/1 receipt", digest)
        except crypto.CryptoFailed:
            return Verification(False, count, f"receipt {number} is not signed by this device")
        hashes[count] = digest
    return hashes
