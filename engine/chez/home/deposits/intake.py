"""One message from an organisation becomes records of the private space: in one transaction, or not at all.

    item ── opened, signed for this address ──> by whom? ── new? ── within the day's quota? ──> records, line, receipt

What came is a record too (`chez-deposits`, under a keyed hash of address, era and number), so that each device of the
person knows a message that another took, and a quota counts what all of them did. A record's `_source` says where it
is from: "deposit/1", the organisation's key and the address (16 hexadecimal digits each), era.number.row, and a hash
of what was said. By it

- what was not from this organisation is never touched, whoever guesses its identity ("kept");
- a message that comes late changes nothing that a later one said, also where that one said nothing new;
- what is said again, word for word, leaves the person's own changes as they are.

A message that a new key of the organisation signed has its card with it: by that the address follows, in the same
transaction (`heirs.py`), and the former key signs nothing more. A relay that keeps a message of the former key back
until then keeps it back for good: the organisation sees that it is not acknowledged.
"""

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from chez import crypto
from chez.connectors.api import excerpt
from chez.deposits.ack import Outcome
from chez.deposits.address import AddressKeys
from chez.deposits.card import read_card
from chez.deposits.message import Deposit, deposit_hash, open_deposit
from chez.deposits.types import Checked, RecordType
from chez.errors import BadEntry, InvalidValue
from chez.home.deposits.addresses import AddressBook, Stored, moment
from chez.home.held import Held
from chez.records.imported import record_id
from chez.records.rows import ABSENT, HERE, PURGED, Row
from chez.records.values import to_json
from chez.store.database import Connection
from chez_wire.login import inbox_of

__all__ = ("COLLECTION", "LEAST_COST", "LEFT", "MAX_REJECTS", "Intake", "Stays", "Verdict")

COLLECTION: Final = "chez-deposits"
"""Where the lines about messages are kept in the private space; the store has an index of them by this name."""

LEAST_COST: Final = 10
"""Records of the day's quota that a message uses at least: it leaves a line, which every device has, and a receipt."""

LOOKED_BACK: Final = 256
"""Lines before a message that are looked at for one that says that all before it had come, or for a gap."""

MAX_REJECTS: Final = 20
"""Records of one message that were not taken of which the line about it tells."""

MAX_DIGITS: Final = 16
"""Of the numbers in a source, which are below 2⁵³. Any device of the person may have written it."""

_DAY: Final = 24 * 3600 * 1000

LEFT: Final = 7 * _DAY
"""Milliseconds for which a message that was taken is left for the person's other devices, at most."""

# The collection is no parameter: SQLite takes a partial index only for a condition that it can read.
_OF_LINE: Final = "SELECT 1 FROM change JOIN entry ON entry.n = change.entry WHERE record = ?1"
_LINES: Final = f"space = ? AND collection = '{COLLECTION}' AND json_extract(json, '$.address') = ?"


class Verdict(enum.Enum):
    """What became of an item; the last two are left at the relay for who may take them later."""

    TAKEN = "taken"
    REPEATED = "repeated"
    REFUSED = "refused"
    DROPPED = "dropped"
    UNALLOWED = "nobody said yet whose address it is"
    TOMORROW = "more came today than the address takes"


class Stays(enum.Enum):
    """How long an item that was taken is left at the relay: another device may have to take it, for this one is lost,
    or is taken out before anybody else has read what it made of it."""

    NOT = "another device has the line about it, there is none, or it is long ago"
    ALONE = "a relay has the line, and no other device is known to"
    UNSENT = "the line is nowhere else"


@dataclass(frozen=True)
class _Open:
    """A message of the right organisation."""

    stored: Stored
    keys: AddressKeys
    deposit: Deposit
    organisation: bytes
    hash: bytes
    awaited: bool
    """Whether an earlier message of its era did not come yet, and may come late."""

    former: bool = False
    """Whether its key is one that another has succeeded: it signs nothing more."""

    @cached_property
    def lineage(self) -> frozenset[str]:
        """The organisation's keys, those that it had before too, as sources name them."""
        return frozenset(key.hex()[:16] for key in self.stored.lineage)

    @property
    def name(self) -> str:
        """The organisation's."""
        return "" if self.stored.card is None else self.stored.card.name


class Intake:
    """Takes items in, in the database thread; `later` gives the milliseconds until an acknowledgement may leave."""

    def __init__(self, private: Held, book: AddressBook, later: Callable[[str], int]) -> None:
        self._private = private
        self._engine = private.engine
        self._book = book
        self._later = later

    def take(self, db: Connection, stored: Stored, keys: AddressKeys, item: bytes, now: int, *,
             again: bool = False) -> tuple[Verdict, Counter[str]]:
        """Take one item in at a time (Unix milliseconds); what became of it, and of its records.

        `again`: it was left at the relay when it was judged, and what is to be said of it was said.
        """
        try:
            came = self._opened(db, stored, keys, item, now)
        except BadEntry:
            return Verdict.DROPPED, Counter()
        if came is None:
            return Verdict.UNALLOWED, Counter()
        known = self._known(db, came)
        if came.former and (known is None or known.value.get("hash") != came.hash.hex()):
            return Verdict.DROPPED, Counter()
        if known is not None:
            if known.state == PURGED:
                # What was said of it is gone, and anything else would tell of that; it was said when it was taken.
                return Verdict.REPEATED, Counter()
            if known.value.get("hash") == came.hash.hex():
                outcome: Outcome = "too-large" if known.value.get("outcome") == "too-large" else "taken"
                said = known.value.get("refused")  # an app may have written over the line
                refused = said if type(said) is int and 0 <= said < 2**31 else 0
                if not again:
                    self._acknowledge(db, came, outcome, refused, now)
                return Verdict.REPEATED, Counter()
            if not again:
                self._acknowledge(db, came, "number-used", 0, now)
            return Verdict.DROPPED, Counter()
        quota, deposit = stored.quota, came.deposit
        records, size = self._today(db, stored, now)
        if deposit.count > quota.records or deposit.size > quota.bytes:
            if records >= quota.records:  # it would leave a line and a receipt, which are to have an end as well
                return Verdict.TOMORROW, Counter()
            self._note(db, came, "too-large", Counter(), [], now)
            return Verdict.REFUSED, Counter()
        # The day's first message is taken also where the quota is less than a message costs.
        if records and (records + max(deposit.count, LEAST_COST) > quota.records or size + deposit.size > quota.bytes):
            return Verdict.TOMORROW, Counter()
        outcomes: Counter[str] = Counter()
        rejects: list[dict[str, Any]] = []
        with self._engine.records.together(db):
            self._write(db, came, outcomes, rejects)
            self._note(db, came, "taken", outcomes, rejects, now)
        return Verdict.TAKEN, outcomes

    def stays(self, db: Connection, stored: Stored, keys: AddressKeys, item: bytes, now: int) -> Stays:
        """How long an item is left at the relay that was taken."""
        try:
            came = self._opened(db, stored, keys, item, now)
        except BadEntry:
            return Stays.NOT
        line = None if came is None else self._known(db, came)
        if line is None or line.state == PURGED:
            return Stays.NOT
        device = self._private.replica.access.device
        unsent, others = db.execute(
            f"SELECT EXISTS (SELECT 1 FROM change WHERE record = ?1 AND state = 1) OR EXISTS ({_OF_LINE} "
            "AND author = ?2 AND NOT EXISTS (SELECT 1 FROM cursor WHERE cursor.space = entry.space "
            "AND entry.n <= acknowledged "
            "AND NOT EXISTS (SELECT 1 FROM sealed WHERE sealed.entry = entry.n AND sealed.relay = cursor.relay) "
            "AND NOT EXISTS (SELECT 1 FROM lacking WHERE lacking.entry = entry.n AND lacking.relay = cursor.relay))), "
            f"EXISTS ({_OF_LINE} AND author <> ?2)", (line.n, device)).fetchone()
        if unsent:
            return Stays.UNSENT
        taken = line.value.get("taken")  # an app may have written over it
        recent = isinstance(taken, datetime) and moment(now - LEFT) < taken
        return Stays.ALONE if recent and not others and len(self._private.space.membership.devices) > 1 else Stays.NOT

    def _opened(self, db: Connection, stored: Stored, keys: AddressKeys, item: bytes, now: int) -> _Open | None:
        """What an item is; None while nobody said whose the address is. Raises `BadEntry`."""
        deposit = open_deposit(item, keys.sealing, inbox_of(keys.inbox.public))
        if deposit.address != keys.id:
            raise BadEntry("this deposit is for another address")
        if stored.card is None:
            try:
                card = read_card(deposit.card)
            except InvalidValue as error:
                raise BadEntry(error.message) from None
            if card.key != deposit.key:
                raise BadEntry("this deposit has another organisation's card with it")
            self._book.apply(db, stored.id, card, now)
            return None
        former = not stored.contested and deposit.key != stored.card.key and deposit.key in stored.lineage
        if stored.contested or (deposit.key != stored.card.key and not former):
            heir = self._followed(db, stored, deposit, now)
            if heir is None:
                return None
            stored = heir
        return _Open(stored, keys, deposit, deposit.key, deposit_hash(deposit), self._awaited(db, stored, deposit),
                     former)

    def _followed(self, db: Connection, stored: Stored, deposit: Deposit, now: int) -> Stored | None:
        """The address as it is for a key that goes on as its organisation's; None while it is contested.

        Raises `BadEntry` for a key that does not.
        """
        holder = stored.holder
        assert holder is not None  # who asks at an address that is for nobody was seen to
        if deposit.key in holder.lineage or any(deposit.key == rival.key for rival in holder.rivals):
            return None
        try:
            card = read_card(deposit.card)
        except InvalidValue:
            raise BadEntry("this deposit is of an organisation that the address is not for") from None
        changed = self._book.with_heir(stored, card, now)
        if card.key != deposit.key or changed is None or changed.holder is None:
            raise BadEntry("this deposit is of an organisation that the address is not for")
        if not changed.contested and changed.holder.card.key != deposit.key:
            raise BadEntry("this deposit has a card that does not lead from the organisation's key to its own")
        self._book.put(db, changed)
        about = {"address": stored.id.hex(), "label": stored.label, "organisation": holder.card.name}
        if not changed.contested:
            self._engine.receipt(db, "deposit-address-succeeded", {**about, "name": card.name, "words": card.words})
            return changed
        if not stored.contested:
            self._engine.receipt(db, "deposit-address-contested", about)
        return None

    # --- what came before -------------------------------------------------------------------

    def _identity(self, came: _Open) -> dict[str, Any]:
        return {"address": came.stored.id.hex(), "era": came.deposit.era, "number": came.deposit.number}

    def _known(self, db: Connection, came: _Open) -> Row | None:
        id = record_id(self._private.space.record_key, COLLECTION, self._identity(came))
        row = self._engine.records.rows.find(db, self._engine.space, COLLECTION, id)
        return None if row is None or row.state == ABSENT else row

    def _awaited(self, db: Connection, stored: Stored, deposit: Deposit) -> bool:
        """Whether a message before may still come: also where that was too long ago to look, which costs little."""
        expected = deposit.number - 1
        for number, whole in db.execute(
                f"SELECT json_extract(json, '$.number'), json_extract(json, '$.whole') FROM record WHERE {_LINES} "
                "AND json_extract(json, '$.era') = ? AND json_extract(json, '$.number') < ? "
                "ORDER BY json_extract(json, '$.number') DESC LIMIT ?",
                (self._engine.space, stored.id.hex(), deposit.era, deposit.number, LOOKED_BACK)):
            if number != expected:
                return True
            if whole:
                return False
            expected -= 1
        return expected > 0

    def _today(self, db: Connection, stored: Stored, now: int) -> tuple[int, int]:
        """Records and bytes that were taken at an address since midnight (UTC), by all devices as far as known here.

        Each message counts as `LEAST_COST` records at least, one that was too large as just these.
        """
        since = moment(now // _DAY * _DAY).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = db.execute(
            "SELECT coalesce(sum(iif(taken, max(?, json_extract(json, '$.records')), ?)), 0), "
            "coalesce(sum(iif(taken, json_extract(json, '$.bytes'), 0)), 0) "
            "FROM (SELECT json, json_extract(json, '$.outcome') = 'taken' AS taken FROM record "
            f"WHERE {_LINES} AND json_extract(json, '$.taken') >= ?)",
            (LEAST_COST, LEAST_COST, self._engine.space, stored.id.hex(), since)).fetchone()
        return int(row[0]), int(row[1])

    # --- records ----------------------------------------------------------------------------

    def _write(self, db: Connection, came: _Open, outcomes: "Counter[str]", rejects: list[dict[str, Any]]) -> None:
        key, checks = self._private.space.record_key, dict[str, Callable[[bytes], Checked]]()
        for row, collection, line in came.deposit.records():
            try:
                kind = came.stored.type_of(collection)
                if kind is None:
                    raise InvalidValue(f"this address takes no records of {collection!r}")
                if collection not in checks:
                    checks[collection] = kind.checker()
                    self._engine.news.declare(db, collection, kind.decimals)
                checked = checks[collection](line)
            except InvalidValue as error:
                outcomes["refused"] += 1
                if len(rejects) < MAX_REJECTS:
                    rejects.append({"row": row, "collection": excerpt(collection), "reason": excerpt(error.message),
                                    "text": excerpt(line)})
                continue
            id = record_id(key, collection, checked.identity)
            outcomes[self._put(db, came, row, kind, id, checked)] += 1

    def _put(self, db: Connection, came: _Open, row: int, kind: RecordType, id: str, checked: Checked) -> str:
        engine, deposit, collection, values = self._engine, came.deposit, kind.collection, checked.values
        digest = crypto.hash_fields("chez/1 deposited values", to_json(checked.values)[0].encode())[:8].hex()
        where = came.stored.id.hex()[:16]
        here = f"deposit/1 {came.organisation.hex()[:16]} {where} "
        known = engine.records.rows.find(db, engine.space, collection, id)
        if known is not None and known.state == HERE:
            said = str(known.value.get("_source", "")).split(" ")
            if len(said) != 5 or said[0] != "deposit/1" or said[1] not in came.lineage:
                return "kept"
            late = said[2] == where and _order(said[3]) > (deposit.era, deposit.number, row)
            if late or said[-1] == digest:
                if came.awaited and not late:
                    # What is still to come was said before this: it must not count as the last word.
                    source = f"{here}{deposit.era}.{deposit.number}.{row} {digest}"
                    engine.records.mark_source(db, engine.space, collection, id, source, source.rpartition(" ")[0])
                return "unchanged"
            # What is left out now was said before: a correction takes it back.
            left = kind.fields.keys() & known.value.keys() - checked.identity.keys()
            values = dict.fromkeys(sorted(left)) | values
        source = f"{here}{deposit.era}.{deposit.number}.{row} {digest}"
        return engine.records.put_imported(db, engine.space, collection, id, checked.identity, values, source,
                                           source.rpartition(" ")[0])

    # --- what is said of it -----------------------------------------------------------------

    def _note(self, db: Connection, came: _Open, outcome: Outcome, outcomes: "Counter[str]",
              rejects: list[dict[str, Any]], now: int) -> None:
        """Write the line about a message and its receipt, and let it be acknowledged."""
        engine, deposit, identity = self._engine, came.deposit, self._identity(came)
        counts = {name: outcomes[name] for name in ("added", "updated", "unchanged", "kept", "purged", "refused")}
        values = {**counts, "hash": came.hash.hex(), "taken": moment(now), "records": deposit.count,
                  "bytes": deposit.size, "whole": not came.awaited, "outcome": outcome, "label": came.stored.label,
                  "organisation": came.name, "rejects": rejects}
        id = record_id(self._private.space.record_key, COLLECTION, identity)
        engine.records.put_imported(db, engine.space, COLLECTION, id, identity, values, "deposit/1", "deposit/1")
        about = {"address": came.stored.id.hex(), "label": came.stored.label, "organisation": came.name}
        if outcome == "taken":
            engine.receipt(db, "deposit-taken", {**about, **counts})
        else:
            engine.receipt(db, "deposit-refused", {**about, "why": outcome})
        self._acknowledge(db, came, outcome, counts["refused"], now)

    def _acknowledge(self, db: Connection, came: _Open, outcome: Outcome, refused: int, now: int) -> None:
        acks = came.stored.form.acks
        if acks == "none":
            return
        db.execute("INSERT OR IGNORE INTO deposit_ack (address, era, number, hash, outcome, refused, due) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?)",
                   (came.stored.id, came.deposit.era, came.deposit.number, came.hash, outcome, refused,
                    now + self._later(acks)))


def _order(said: str) -> tuple[int, ...]:
    """Era, number and row of a source; before all others where it says nothing readable."""
    parts = said.split(".")
    readable = len(parts) == 3 and all(part.isdecimal() and len(part) <= MAX_DIGITS for part in parts)
    return tuple(map(int, parts)) if readable else (0, 0, 0)


