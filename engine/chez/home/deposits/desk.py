"""`home.deposits`: addresses for organisations, and what they left."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from chez import crypto
from chez.checked import checked
from chez.deposits.address import Quota
from chez.deposits.card import read_card
from chez.deposits.types import RecordType, check_types, type_named
from chez.errors import InvalidValue, NotAllowed
from chez.home.deposits.addresses import Acks, AddressBook, Stored, moment
from chez.home.deposits.intake import COLLECTION, Intake
from chez.home.deposits.reports import Deposit, DepositAddress, DepositReject, DepositsReport
from chez.home.deposits.taking import Taking
from chez.home.held import Held
from chez.home.names import check_name
from chez.records.values import from_json
from chez.store.database import Connection, Database

__all__ = ("Deposits",)

YEAR: Final = timedelta(days=366)
LEAST: Final = timedelta(minutes=1)
MOST: Final = timedelta(days=3660)

_MILLISECONDS: Final = 86_400_000


def _wait(acks: str) -> int:
    """Milliseconds until an acknowledgement may leave: "later" is some moment of the next day, so that an organisation
    learns on which day a device was there, and not when."""
    return random.randrange(_MILLISECONDS) if acks == "later" else 0


@checked
class Deposits:
    """What organisations may leave in a home, and did: `home.deposits`."""

    def __init__(self, database: Database, private: Held, relay: Callable[[], tuple[str, tuple[str, ...]]],
                 now: Callable[[], int], changed: Callable[[], None]) -> None:
        self._database = database
        self._private = private
        self._relay = relay
        self._now = now
        self._book = AddressBook(private)
        self._taking = Taking(database, private, self._book, Intake(private, self._book, _wait), now)
        self._changed = changed

    def __repr__(self) -> str:
        return "<Deposits>"

    async def new(self, label: str, types: Sequence[str | RecordType], *, card: str | None = None,
                  quota: Quota | None = None, expires: timedelta = YEAR, acks: Acks = "later") -> DepositAddress:
        """Make an address for one organisation: `text` is what it is given.

        `label` is what the person calls it; `types` are collections of the vocabulary, or types of one's own
        (`RecordType`). With the organisation's `card` nobody else can ever leave anything; without, the first message
        waits until the person says whose it is (`allow`). `quota` is for a day, `expires` a minute to ten years;
        `acks` says when messages are acknowledged: "soon", "later" (some time within a day), or "none". It takes
        messages after the next sync. Raises `InvalidValue`, and `NotFound` for a collection that the vocabulary has
        not, or where the home has no relay.
        """
        check_name(label, "deposit address")
        if acks not in ("none", "soon", "later"):
            raise InvalidValue(f"messages are acknowledged 'soon', 'later' or 'none', not {acks!r}")
        if not isinstance(expires, timedelta) or not LEAST <= expires <= MOST:
            raise InvalidValue(f"an address lasts from a minute to {MOST.days} days, not {expires!s}")
        chosen = check_types(type_named(one) if isinstance(one, str) else one for one in types)
        most = Quota() if quota is None else quota
        most.check()
        organisation = None if card is None else read_card(card)
        url, pins = self._relay()
        made = moment(self._now())

        def work(db: Connection) -> DepositAddress:
            stored = self._book.make(db, label, crypto.random_bytes(32), url, pins, chosen, most, acks, made,
                                     made + expires, organisation)
            self._receipt_made(db, stored)
            return self._book.shown(db, stored, self._now())

        found = await self._database.write(work)
        self._changed()
        return found

    async def addresses(self) -> list[DepositAddress]:
        """Every address, the oldest first, with those that ended."""
        return await self._database.read(lambda db: [
            self._book.shown(db, one, self._now()) for one in self._book.all(db)])

    async def address(self, which: str) -> DepositAddress:
        """An address by its label, or by the beginning of its id (4 digits or more).

        Raises `NotFound`, `InvalidValue` when several are called so.
        """
        return await self._database.read(lambda db: self._book.shown(db, self._book.find(db, which), self._now()))

    async def revoke(self, which: str) -> DepositAddress:
        """Take nothing more at an address; what was taken stays. The relay forgets what lies there, at the next sync.

        Raises as `address`.
        """
        def change(db: Connection, stored: Stored) -> None:
            if stored.form.revoked is None:
                self._end(db, stored)

        return await self._change(which, change)

    async def renew(self, which: str) -> DepositAddress:
        """Put a new address in the place of one, for the same organisation, with the same terms, for as long again.

        What lies at the former one is taken first, as far as its relay is there, and the former is revoked: give the
        new `text` to the organisation. So no device that was removed can read what is left from then on. Raises as
        `address`, `NotAllowed` for one that was revoked, or is contested, and `InvalidValue` for one that another
        version made, of whose types none may be left any more.
        """
        stored = await self._database.read(lambda db: self._book.find(db, which))
        await self.take()
        url, pins = self._relay()
        made = moment(self._now())

        def change(db: Connection) -> DepositAddress:
            former = self._book.by_id(db, stored.id)
            if former is None or former.revoked or former.contested:
                state = "is contested" if former is not None and former.contested else "was revoked"
                raise NotAllowed(f"the deposit address {stored.label!r} {state}", "Make another one.")
            form = former.form
            check_types(former.types)
            self._end(db, former)
            new = self._book.make(db, form.label, crypto.random_bytes(32), url, pins, former.types, former.quota,
                                  form.acks, made, made + (form.until - form.made), former.card)
            self._receipt_made(db, new)
            return self._book.shown(db, new, self._now())

        found = await self._database.write(change)
        self._changed()
        return found

    async def allow(self, which: str, words: str) -> DepositAddress:
        """Say that an address is for the organisation whose key has these words (`DepositAddress.applicants`).

        What it left is taken at the next sync; who else left something is forgotten. Of two who claim to go on as its
        organisation it is the one that does, whatever else is signed. Raises `NotFound` for words that nobody has who
        left something, `NotAllowed` for an address that is somebody's already, or was revoked.
        """
        def change(db: Connection, stored: Stored) -> None:
            if stored.revoked or (stored.card is not None and not stored.contested):
                whose = "was revoked" if stored.card is None or stored.revoked else f"is {stored.card.name!r}'s"
                raise NotAllowed(f"the deposit address {stored.label!r} {whose}", "Make another one.")
            card = self._book.applicant(db, stored, words)
            if stored.contested:
                stored.form.settled = card.key.hex()
                # What the others signed is forgotten, so that it takes no room from who comes after this one.
                goes_on = {card.key, *(one.old for one in card.formerly)}
                stored.form.heirs = {key: heir for key, heir in stored.form.heirs.items()
                                     if bytes.fromhex(key) in goes_on}
            else:
                stored.form.card = card.text
            self._book.put(db, stored)
            self._book.forget_applicants(db, stored.id)
            self._private.engine.receipt(db, "deposit-address-allowed", {
                "address": stored.id.hex(), "label": stored.label, "organisation": card.name, "words": card.words})

        return await self._change(which, change)

    async def all(self, which: str | None = None) -> list[Deposit]:
        """What came, the first first: at one address, or at all. Raises as `address`."""
        def work(db: Connection) -> list[Deposit]:
            id = None if which is None else self._book.find(db, which).id.hex()
            return [one for one in self._deposits(db) if id in (None, one.address)]

        return await self._database.read(work)

    async def take(self) -> DepositsReport:
        """Look at the inboxes now, as each sync does; never raises for a relay (`DepositsReport.problems`)."""
        return await self._taking.once()

    # --- in the database's thread -------------------------------------------------------------

    def _end(self, db: Connection, stored: Stored) -> None:
        stored.form.revoked = moment(self._now())
        self._book.put(db, stored)
        self._book.forget_applicants(db, stored.id)
        self._private.engine.receipt(db, "deposit-address-revoked", {
            "address": stored.id.hex(), "label": stored.label})

    def _receipt_made(self, db: Connection, stored: Stored) -> None:
        self._private.engine.receipt(db, "deposit-address-made", {
            "address": stored.id.hex(), "label": stored.label,
            "collections": [one.collection for one in stored.types],
            "organisation": "" if stored.card is None else stored.card.name})

    async def _change(self, which: str, change: Callable[[Connection, Stored], None]) -> DepositAddress:
        def work(db: Connection) -> DepositAddress:
            stored = self._book.find(db, which)
            change(db, stored)
            again = self._book.by_id(db, stored.id)
            assert again is not None  # it was just written
            return self._book.shown(db, again, self._now())

        found = await self._database.write(work)
        self._changed()
        return found

    def _deposits(self, db: Connection) -> list[Deposit]:
        rows = db.execute("SELECT json, kinds FROM record WHERE space = ? AND collection = ? AND deleted = 0 ",
                          (self._private.engine.space, COLLECTION)).fetchall()
        return _counted([one for json, kinds in rows if (one := _read(from_json(json, kinds))) is not None])


def _counted(found: list[Deposit]) -> list[Deposit]:
    """These in the order in which they came, each with how many numbers directly before it are not there."""
    told, before = [], ("", 0, 0)
    for one in sorted(found, key=lambda one: (one.address, one.era, one.number)):
        last = before[2] if before[:2] == (one.address, one.era) else 0
        told.append(replace(one, missing=max(0, one.number - last - 1)))
        before = (one.address, one.era, one.number)
    return sorted(told, key=lambda one: (one.taken, one.address, one.era, one.number))


_COUNTS: Final = ("era", "number", "records", "added", "updated", "unchanged", "kept", "purged", "refused")


def _read(value: dict[str, Any]) -> Deposit | None:
    """The line about a message that a record is, None for another thing: the collection takes any."""
    try:
        rejects = tuple(DepositReject(one["row"], one["collection"], one["reason"], one["text"])
                        for one in value["rejects"])
        taken, texts = value["taken"], [value[name] for name in ("address", "label", "organisation", "outcome")]
        counts = {name: value[name] for name in _COUNTS}
    except (KeyError, TypeError):
        return None
    if not isinstance(taken, datetime) or not all(isinstance(text, str) for text in texts) or not all(
            type(count) is int and count >= 0 for count in counts.values()):
        return None
    address, label, organisation, outcome = texts
    return Deposit(address, label, organisation, taken=taken, outcome=outcome, missing=0, rejects=rejects, **counts)
