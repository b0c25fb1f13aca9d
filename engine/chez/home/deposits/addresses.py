"""The deposit addresses of a person: records of the private space, which all of its devices have.

Each is a record of `chez-deposit-addresses` under the address's id. What it holds is no secret of the address: its keys
follow from it together with an epoch of the private space (`chez.deposits.address`), so an export gives nobody the
power to take or to leave anything.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from chez.deposits.address import Address, AddressKeys, Quota, Terms, address_words, sign_address
from chez.deposits.card import Organisation, read_card
from chez.deposits.types import RecordType, check_types
from chez.errors import InvalidValue, NotFound
from chez.home.deposits.heirs import Holder, holder_of
from chez.home.deposits.reports import Applicant, DepositAddress
from chez.home.held import Held
from chez.records.collection import Collection
from chez.spaces.statements import Expel
from chez.store.database import Connection

__all__ = ("COLLECTION", "Acks", "AddressBook", "Stored", "moment")

COLLECTION: Final = "chez-deposit-addresses"
"""Where addresses are kept in the private space."""

LEAST_PREFIX: Final = 4
"""Characters of an address's id that may stand for it."""

MOST_APPLICANTS: Final = 8
"""Who asks at one address, at most: more is a flood by somebody who found the text."""

MOST_HEIRS: Final = 16
"""Keys that succeeded the one that an address is for, or claim to, at most."""

Acks = Literal["none", "soon", "later"]
"""When messages are acknowledged: never, at once, some time within a day."""


class _Heir(msgspec.Struct, forbid_unknown_fields=False):
    """Who claims to succeed the key that an address is for: the card, and when it came."""

    card: str
    seen: datetime


class _Form(msgspec.Struct, forbid_unknown_fields=False):
    """The record's value."""

    label: str
    nonce: bytes
    epoch: bytes
    relay: str
    pins: list[str]
    types: list[RecordType]
    records: int
    bytes: int
    acks: Acks
    made: datetime
    until: datetime
    card: str = ""
    bound: bool = False
    revoked: datetime | None = None
    closed: bool = False
    heirs: dict[str, _Heir] = msgspec.field(default_factory=dict)
    settled: str = ""


class Stored(msgspec.Struct, frozen=True):
    """An address as it is kept; `holder` says whose it is, `bound` whether the address names that in its text.

    `closed` says that the relay was told of the revocation.
    """

    id: bytes
    form: "_Form"
    holder: Holder | None

    @property
    def card(self) -> Organisation | None:
        """The organisation's, None while it is for nobody."""
        return None if self.holder is None else self.holder.card

    @property
    def lineage(self) -> frozenset[bytes]:
        """The organisation's keys, those that it had before too."""
        return frozenset() if self.holder is None else self.holder.lineage

    @property
    def contested(self) -> bool:
        """Whether two claim to go on as its organisation."""
        return self.holder is not None and bool(self.holder.rivals)

    @property
    def revoked(self) -> bool:
        """Whether nothing is taken any more, whatever comes."""
        return self.form.revoked is not None

    @property
    def label(self) -> str:
        """What the person calls the organisation."""
        return self.form.label

    @property
    def quota(self) -> Quota:
        """What it takes a day."""
        return Quota(self.form.records, self.form.bytes)

    @property
    def types(self) -> tuple[RecordType, ...]:
        """What may be left: of the types it was made with those that this version takes. The others stay in its record,
        for devices that take them."""
        return tuple(one for one in self.form.types if _is_taken(one))

    def type_of(self, collection: str) -> RecordType | None:
        """The type of a collection that it takes, None for another."""
        return next((one for one in self.form.types if one.collection == collection and _is_taken(one)), None)

    def live(self, now: int) -> bool:
        """Whether it takes anything at a time, in Unix milliseconds."""
        return not self.revoked and now < self.until

    @property
    def until(self) -> int:
        """When it ends, in Unix milliseconds."""
        return int(self.form.until.timestamp() * 1000)


class AddressBook:
    """The addresses in the database thread; `private` is the person's private space."""

    def __init__(self, private: Held) -> None:
        self._private = private
        self._records: Collection[dict[str, Any]] = Collection(private.engine, COLLECTION, None)

    def keys(self, stored: Stored) -> AddressKeys | None:
        """The keys of an address, None while its epoch has not come to this device."""
        epoch = self._private.space.epochs.get(stored.form.epoch)
        if epoch is None:
            return None
        keys = AddressKeys.derive(epoch, stored.form.nonce)
        return keys if keys.id == stored.id else None

    def all(self, db: Connection) -> list[Stored]:
        """Every address, the oldest first. A record of the collection that is none is left out."""
        ids = [id for (id,) in db.execute("SELECT id FROM record WHERE space = ? AND collection = ? AND deleted = 0",
                                          (self._private.engine.space, COLLECTION))]
        found = [stored for id in ids if (stored := self._read(db, id)) is not None]
        return sorted(found, key=lambda one: (one.form.made, one.id))

    def readers(self, stored: Stored) -> list[str]:
        """The names of the removed devices that have an address's keys: its epoch knew nothing of their removal."""
        members = self._private.space.membership
        state, create = members.state, members.create
        if create is None or stored.form.epoch not in self._private.space.epochs:
            return []
        known = {one.body.device for one in members.person_log(create.person)
                 if isinstance(one.body, Expel) and members.before(one.hash, stored.form.epoch)}
        return sorted(device.name for id in state.expelled - known if (device := state.device(id)) is not None)

    def find(self, db: Connection, which: str) -> Stored:
        """An address by its label or the beginning of its id. Raises `NotFound`, `InvalidValue`."""
        known = self.all(db)
        found = ([one for one in known if one.label == which and not one.revoked]
                 or [one for one in known if len(which) >= LEAST_PREFIX and one.id.hex().startswith(which.lower())]
                 or [one for one in known if one.label == which])
        if not found:
            raise NotFound(f"there is no deposit address {which!r}", "`chez deposit-address list` shows them.")
        if len(found) > 1:
            raise InvalidValue(f"{len(found)} deposit addresses are called {which!r}",
                               f"Name one by its id: {', '.join(one.id.hex()[:8] for one in found)}.")
        return found[0]

    def by_id(self, db: Connection, id: bytes) -> Stored | None:
        """An address by its id, None where it is not here."""
        return self._read(db, id.hex())

    def put(self, db: Connection, stored: Stored) -> Stored:
        """Keep an address."""
        self._records.put_in(db, msgspec.to_builtins(stored.form, builtin_types=(bytes, datetime)), stored.id.hex())
        return stored

    def make(self, db: Connection, label: str, nonce: bytes, relay: str, pins: tuple[str, ...],
             types: tuple[RecordType, ...], quota: Quota, acks: Acks, made: datetime, until: datetime,
             card: Organisation | None) -> Stored:
        """A new address. Raises `InvalidValue`, also for a label that another has."""
        if any(one.label == label and not one.revoked for one in self.all(db)):
            raise InvalidValue(f"there is a deposit address {label!r} already",
                               "Choose another name, or revoke that one.")
        epoch = self._private.space.epoch
        form = _Form(label, nonce, epoch.id, relay, list(pins), list(types), quota.records, quota.bytes, acks, made,
                     until, "" if card is None else card.text, card is not None)
        return self.put(db, Stored(AddressKeys.derive(epoch, nonce).id, form, holder_of(form.card, {}, "")))

    def address(self, stored: Stored) -> Address | None:
        """What the organisation is given, the same on each device; None while the keys are not here."""
        keys, form = self.keys(stored), stored.form
        if keys is None:
            return None
        organisation = stored.holder.first.key if form.bound and stored.holder is not None else b""
        return sign_address(keys, Terms(form.label, form.relay, tuple(form.pins), stored.types, stored.quota,
                                        form.acks != "none", stored.until, organisation))

    def shown(self, db: Connection, stored: Stored, now: int) -> DepositAddress:
        """An address as people and programs see it."""
        form, card, address = stored.form, stored.card, self.address(stored)
        applicants = tuple(self.applicants(db, stored))
        state: Literal["open", "asked", "contested", "expired", "revoked"] = (
            "contested" if stored.contested else "asked" if applicants else "open")
        if stored.revoked:
            state = "revoked"
        elif now >= stored.until:
            state = "expired"
        return DepositAddress(
            stored.id.hex(), form.label, address_words(stored.id), "" if card is None else card.name,
            "" if card is None else card.words, stored.types, stored.quota, form.acks, form.relay, form.made,
            form.until, state, applicants, () if state == "revoked" else tuple(self.readers(stored)),
            None if address is None else address.text)

    # --- who asks at an address that is for nobody yet --------------------------------------

    def apply(self, db: Connection, id: bytes, card: Organisation, now: int) -> None:
        """Note who left something; of a flood the first few."""
        (count,) = db.execute("SELECT count(*) FROM deposit_applicant WHERE address = ?", (id,)).fetchone()
        if count < MOST_APPLICANTS:
            db.execute("INSERT OR IGNORE INTO deposit_applicant (address, key, card, seen) VALUES (?, ?, ?, ?)",
                       (id, card.key, card.text, now))

    def applicants(self, db: Connection, stored: Stored) -> Iterator[Applicant]:
        """Who left something, the first first."""
        for card, seen in self._cards(db, stored):
            yield Applicant(card.key, card.name, card.contact, card.domain, card.words, seen)

    def applicant(self, db: Connection, stored: Stored, words: str) -> Organisation:
        """The card of who left something, by the words of its key. Raises `NotFound`."""
        wanted = " ".join(words.split()).lower()
        found = [card for card, _ in self._cards(db, stored) if card.words == wanted]
        if not found:
            raise NotFound("nobody with these words left anything at this address",
                           "`chez deposit-address show` has those that did. Ask the organisation which words are its.")
        return found[0]

    def forget_applicants(self, db: Connection, id: bytes) -> None:
        """The address is for somebody now, or for nobody any more."""
        db.execute("DELETE FROM deposit_applicant WHERE address = ?", (id,))

    def _cards(self, db: Connection, stored: Stored) -> Iterator[tuple[Organisation, datetime]]:
        if stored.holder is not None:
            for card in stored.holder.rivals:
                yield card, stored.form.heirs[card.key.hex()].seen
            return
        for text, seen in db.execute("SELECT card, seen FROM deposit_applicant WHERE address = ? ORDER BY seen",
                                     (stored.id,)):
            with suppress(InvalidValue):
                yield read_card(text), moment(seen)

    # --- who goes on as its organisation ------------------------------------------------------

    def with_heir(self, stored: Stored, card: Organisation, now: int) -> Stored | None:
        """An address as it is when this card claims to succeed, None where that says nothing of it or too many do."""
        heirs = stored.form.heirs
        if card.key.hex() in heirs or len(heirs) >= MOST_HEIRS:
            return None
        form = msgspec.structs.replace(stored.form, heirs=heirs | {card.key.hex(): _Heir(card.text, moment(now))})
        changed = Stored(stored.id, form, _holder(form))
        return None if changed.holder in (None, stored.holder) else changed

    def _read(self, db: Connection, id: str) -> Stored | None:
        try:
            form = msgspec.convert(self._records.get_in(db, id).value, _Form)
            return Stored(bytes.fromhex(id), form, _holder(form))
        except (NotFound, InvalidValue, ValueError, msgspec.ValidationError):
            return None


def _is_taken(one: RecordType) -> bool:
    """Whether a type that an address was made with may be left: by another version it was. The address itself stays, to
    be shown and revoked."""
    try:
        check_types([one])
    except InvalidValue:
        return False
    return True


def _holder(form: _Form) -> Holder | None:
    return holder_of(form.card, {key: heir.card for key, heir in form.heirs.items()}, form.settled)


def moment(milliseconds: int) -> datetime:
    """A time as records keep it, of Unix milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
