"""Contacts: the persons one knows, by the names that one gives them.

A contact is a record of the private space in the collection `chez-contacts`, under the
person's id in hexadecimal: {name, card, verified, added}. So all devices of the person have
it. The name is this person's own word, where a card's is what somebody calls itself.
"""

import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from string import hexdigits
from typing import Any, Final

from chez.checked import checked
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.held import LEAST_PREFIX, Held
from chez.home.names import check_name
from chez.home.sharing import Member
from chez.home.transaction import Transaction, transact
from chez.journal import Journal
from chez.records.collection import Collection
from chez.spaces.card import Card
from chez.store.database import Connection, Database

__all__ = ("COLLECTION", "Contact", "Contacts", "card_of", "named", "person_called")

COLLECTION: Final = "chez-contacts"
"""Where contacts are kept in the private space."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A person one knows: `id` is its root key, `name` what one calls it, `called` what it calls itself.

    `verified` says that the two compared their safety words; `devices` are those that the card
    names, which is the newest that was seen.
    """

    id: bytes = field(repr=False)
    name: str
    called: str
    devices: tuple[str, ...]
    verified: bool
    added: datetime
    card: str = field(repr=False)


@checked
class Contacts:
    """The contacts of a home's person: `home.contacts`."""

    def __init__(self, database: Database, private: Held, journal: Journal, person: bytes) -> None:
        self._database = database
        self._engine = private.engine
        self._journal = journal
        self._person = person
        self._records: Collection[dict[str, Any]] = Collection(private.engine, COLLECTION, None)

    def __repr__(self) -> str:
        return "<Contacts>"

    async def all(self) -> list[Contact]:
        """Every contact, by name. A record of the collection that is no contact is left out."""
        return await self._database.read(self._all)

    async def find(self, which: str | bytes) -> Contact:
        """A contact by its name, its id, or the beginning of that in hexadecimal (8 digits or more).

        Raises `NotFound`, `InvalidValue` when several are called so.
        """
        return await self._database.read(lambda db: self._find(db, which))

    async def add(self, card: str, name: str | None = None) -> Contact:
        """Keep a person's card (`Home.card` there) under a name, or else what the card says that it is called.

        Of a person who is a contact already it adds what is new: devices, and that some were
        taken out; with a name it is called so from now on. Whether it is the person one means,
        the safety words tell (`words`). Raises `InvalidValue` for what is no card or no name,
        `NotAllowed` when another person has the name, and for one's own card.
        """
        given = Card.read(card)
        return await self._write(lambda transaction, db: self._add(transaction, db, given, name))

    async def remove(self, which: str | bytes) -> Contact:
        """Forget a contact; spaces that are shared with it stay as they are. Raises as `find`."""
        def work(transaction: Transaction, db: Connection) -> Contact:
            found = self._find(db, which)
            transaction.delete(self._records, found.id.hex())
            self._tell(transaction, "contact-removed", found)
            return found

        return await self._write(work)

    async def words(self, which: str | bytes) -> str:
        """The twelve safety words of this person and a contact: the other one sees the same. Raises as `find`.

        Compare them where nobody sits between: face to face, or by voice. They stay the same
        when devices come and go.
        """
        from chez.spaces.safety import safety_words  # the list of words takes its time

        return safety_words(self._person, (await self.find(which)).id)

    async def verify(self, which: str | bytes, verified: bool = True) -> Contact:
        """Say that the two compared their safety words, and that they are the same; or take it back.

        Raises as `find`.
        """
        def work(transaction: Transaction, db: Connection) -> Contact:
            found = self._find(db, which)
            if found.verified == verified:
                return found
            self._tell(transaction, "contact-verified" if verified else "contact-doubted", found)
            return self._put(transaction, replace(found, verified=verified))

        return await self._write(work)

    # --- in the database's thread -----------------------------------------------------------

    async def _write(self, work: Callable[[Transaction, Connection], Contact]) -> Contact:
        def whole(db: Connection) -> Contact:
            return transact(self._engine, self._journal, lambda transaction: work(transaction, db))(db)

        return await self._database.write(whole)

    def _add(self, transaction: Transaction, db: Connection, card: Card, name: str | None) -> Contact:
        if card.person == self._person:
            raise NotAllowed("this is your own card", "Give it to others; add theirs.")
        known = self._read(db, card.person.hex())
        called = _check_name(name if name is not None else card.name if known is None else known.name)
        self._check_free(db, called, card.person)
        whole = card if known is None else Card.read(known.card).joined(card)
        if known is None:
            made = Contact(card.person, called, card.name, card.devices, False, _now(), card.text)
            self._tell(transaction, "contact-added", made)
            return self._put(transaction, made)
        now = replace(known, name=called, called=whole.name, devices=whole.devices, card=whole.text)
        if now != known:
            self._tell(transaction, "contact-changed", now)
            self._put(transaction, now)
        return now

    def _check_free(self, db: Connection, name: str, person: bytes) -> None:
        """Raise `NotAllowed` when another person has the name."""
        same = self._reads(db, (id for id, other in self._names(db) if _folded(other) == _folded(name)))
        other = next((one for one in same if one.id != person), None)
        if other is not None:
            state = "whose safety words you compared" if other.verified else f"added {other.added.date().isoformat()}"
            raise NotAllowed(
                f"{other.name!r} is another person already, {state}: the new card is not that person's",
                "If it is somebody else, choose another name. If it should be the same person, compare safety words "
                "before you trust it: a new person was made there, or somebody pretends to be it.")

    def _put(self, transaction: Transaction, contact: Contact) -> Contact:
        transaction.put(self._records, {"name": contact.name, "card": contact.card, "verified": contact.verified,
                                        "added": contact.added}, id=contact.id.hex())
        return contact

    def _tell(self, transaction: Transaction, kind: str, contact: Contact) -> None:
        transaction.receipt(kind, {"person": contact.id.hex(), "name": contact.name})

    def _all(self, db: Connection) -> list[Contact]:
        found = self._reads(db, (id for id, _ in self._names(db)))
        return sorted(found, key=lambda one: (one.name, one.id))

    def _names(self, db: Connection) -> list[tuple[str, str]]:
        """The records that may be contacts, with the name of each: reading a card has its price."""
        return list(db.execute("SELECT id, json_extract(json, '$.name') FROM record WHERE space = ? AND collection = ? "
                               "AND deleted = 0 AND json_type(json, '$.name') = 'text'",
                               (self._engine.space, COLLECTION)))

    def _reads(self, db: Connection, ids: Iterable[str]) -> list[Contact]:
        return [contact for id in ids if (contact := self._read(db, id)) is not None]

    def _read(self, db: Connection, id: str) -> Contact | None:
        """The contact in a record; None where none is, or another thing, for the collection takes any."""
        try:
            value = self._records.get_in(db, id).value
        except NotFound:
            return None
        name, text, verified, added = (value.get(key) for key in ("name", "card", "verified", "added"))
        if not isinstance(name, str) or not isinstance(text, str) or not isinstance(added, datetime):
            return None
        try:
            card = Card.read(text)
        except InvalidValue:
            return None
        if card.person.hex() != id:
            return None
        return Contact(card.person, name, card.name, card.devices, verified is True, added, text)

    def _find(self, db: Connection, which: str | bytes) -> Contact:
        if isinstance(which, bytes):
            found = self._reads(db, (which.hex(),))
        else:
            name, known = unicodedata.normalize("NFC", which), self._names(db)
            found = self._reads(db, (id for id, other in known if other == name)) or self._reads(
                db, (id for id, _ in known if len(which) >= LEAST_PREFIX and id.startswith(which.lower())))
        if len(found) > 1:
            raise InvalidValue(f"{len(found)} contacts are called {which!r}",
                               f"Name one by its id: {', '.join(one.id.hex()[:LEAST_PREFIX] for one in found)}.")
        if not found:
            shown = which.hex() if isinstance(which, bytes) else which
            raise NotFound(f"you have no contact {shown!r}", "`chez contact list` shows those that there are.")
        return found[0]


async def card_of(contacts: Contacts, text: str) -> Card:
    """The card that a text is, or that of the contact it names. Raises `InvalidValue`, `NotFound`."""
    return Card.read(text if text.lstrip().startswith("chez-") else (await contacts.find(text)).card)


async def person_called(contacts: Contacts, name: str) -> bytes | None:
    """The id of the contact whom a name means; None when none is called so. Raises `InvalidValue`."""
    with suppress(NotFound):
        return (await contacts.find(name)).id
    return None


async def named(contacts: Contacts, members: Iterable[Member]) -> list[Member]:
    """Members, each with the name that it has as a contact."""
    return [await _named(contacts, member) for member in members]


async def _named(contacts: Contacts, member: Member) -> Member:
    try:
        known = await contacts.find(member.id)
    except NotFound:
        return member
    return replace(member, contact=known.name, verified=known.verified)


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)  # as records keep it


def _folded(name: str) -> str:
    """A name as people see it, who take two for one that differ in the case, or in how an accent is written."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _check_name(name: str) -> str:
    """The name as it is kept. Raises `InvalidValue`."""
    check_name(name, "contact")
    if name.startswith("chez-"):
        raise InvalidValue(f"{name!r} looks like a card or a link, so it can't be a contact's name", "Choose another.")
    if len(name) >= LEAST_PREFIX and not set(name.lower()) - set(hexdigits):
        raise InvalidValue(f"{name!r} looks like a person's id, so it can't be a contact's name", "Choose another.")
    return unicodedata.normalize("NFC", name)
