"""All that a device needs to open a space: handed to a new device, a member, another device of one's own.

A device pairs with the private space alone. The other spaces of its person it finds in that
one's entries, each as the device said it that made it or joined it, and again when there
were keys that none had said. What is newest counts, for each space and epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez.errors import BadEntry
from chez.keys.epochs import Epoch
from chez.spaces.copies import copy_person
from chez.spaces.membership import Membership
from chez.spaces.rotation import holds, unled
from chez.spaces.space import MAX_SPACES, SpaceKeys, add_to_space, crowded, load_space, note_name, store_space
from chez.spaces.statements import MAX_STATEMENT, Kind, Signed
from chez.store.database import Connection
from chez_wire.limits import MAX_CHANGE, MAX_INBOX_ITEM, MAX_INBOX_ITEMS, MAX_TEXT
from chez_wire.login import handle_of

__all__ = (
    "Deleted",
    "EpochKeys",
    "Handover",
    "Offer",
    "announce",
    "announce_end",
    "announce_missed",
    "announced",
    "buried",
    "bury",
    "hand_over",
    "read_deleted",
    "read_offer",
    "refused",
    "rows_here",
    "take_offer",
)

ROOM: Final = MAX_CHANGE // 2
"""Bytes of statements that one handover in an entry has room for; who opens the space reads the rest at its relay."""

MAX_EPOCHS: Final = 2048
"""Epochs whose keys such a handover has room for beside them, some 142 bytes each."""

PAIRING_ROOM: Final = MAX_INBOX_ITEM * MAX_INBOX_ITEMS // 4
"""The same in pairing, where a handover comes in as many items as an inbox holds, the keys beside them among these."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seed = Annotated[bytes, Meta(max_length=32)]
"""A seed of 32 bytes, or none for who may not have it."""


class EpochKeys(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The keys of one epoch, as far as the receiver may have them."""

    id: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    secret: Id
    append: Seed
    admin: Seed

    def __repr__(self) -> str:
        return f"<keys of epoch {self.number}>"

    @classmethod
    def of(cls, epoch: Epoch) -> "EpochKeys":
        """All that is here of an epoch."""
        return cls(epoch.id, epoch.number, epoch.secret, epoch.append_seed or b"", epoch.admin_seed or b"")

    @property
    def epoch(self) -> Epoch:
        """The epoch; whether it is one, its statement says."""
        return Epoch(self.id, self.number, self.secret, self.append or None, self.admin or None)


class Handover(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A space with its statements, the keys of its epochs, its handle, and the relay that it is at (or none).

    The statements may be cut short, so that what gave the space its handle is still to be read there.
    `farewell` is the device that told who hands it over that its part in it has ended, else
    empty: one that was let in since finds no farewell of its own there, for nobody knew of it.
    """

    space: Id
    handle: Id
    relay: Annotated[str, Meta(max_length=MAX_TEXT)]
    statements: list[Annotated[bytes, Meta(max_length=MAX_STATEMENT + 128)]]
    epochs: list[EpochKeys]
    farewell: Annotated[bytes, Meta(max_length=32)] = b""

    def __repr__(self) -> str:
        return f"<handover of space {self.space.hex()[:8]}…, {len(self.epochs)} epochs>"

    def check(self, *, whole: bool = True) -> tuple[Membership, list[Signed], list[Epoch]]:
        """Its members, statements and epochs, each checked against the others. Raises `BadEntry`.

        Who handed it over is trusted with that, not with what it says. Unless it is `whole`,
        there may be keys whose statement is still to be read: they seal nothing before.
        """
        statements = [Signed.read(raw) for raw in self.statements]
        membership = Membership(self.space)
        membership.add(statements)
        epochs = [keys.epoch for keys in self.epochs]
        if membership.create is None or not epochs:
            raise BadEntry("a space was handed over without its beginning, or without keys")
        said = {epoch.id: membership.epoch(epoch.id) for epoch in epochs}  # also of one that takes no effect
        if not all(not whole if (body := said[epoch.id]) is None else holds(epoch, body) for epoch in epochs):
            raise BadEntry("keys were handed over that are not those of the space's epochs")
        return membership, statements, epochs


def hand_over(space: SpaceKeys, relay: str, *, whole: bool = False) -> Handover:
    """What is here of a space, as much of its statements as there is room for, each with all it builds on.

    `whole` for who checks all of it: without keys whose words are not here, which somebody may have made up.
    """
    statements, size, room = [], 0, PAIRING_ROOM if whole else ROOM
    for statement in space.membership.statements:
        size += len(statement.raw)
        if size > room:
            break
        statements.append(statement.raw)
    farewell = space.told_by if space.farewell and not space.private else None
    epochs = [epoch for epoch in space.epochs.values() if _told(space, epoch)] if whole else _foremost(space)
    return Handover(space.id, space.handle, relay, statements, [EpochKeys.of(epoch) for epoch in epochs],
                    farewell or b"")


def _foremost(space: SpaceKeys) -> list[Epoch]:
    """The epochs whose keys there is room for: of very many those that lead to the others, or to what they do not.

    The newest ones, that which gave the space its handle, and those to which nothing leads from the newest.
    """
    if len(space.epochs) <= MAX_EPOCHS:
        return list(space.epochs.values())
    heads, apart = space.membership.state.epoch_heads, set(unled(space.membership, space.epochs))

    def last(epoch: Epoch) -> tuple[bool, bool, bool, int]:
        made = epoch.admin is not None and handle_of(epoch.admin.public) == space.handle
        return epoch.id not in heads, not made, epoch.id not in apart, -epoch.number

    return sorted(space.epochs.values(), key=last)[:MAX_EPOCHS]


def _told(space: SpaceKeys, epoch: Epoch) -> bool:
    said = space.membership.epoch(epoch.id)
    return said is not None and holds(epoch, said)


# --- among the devices of one person ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """A space that another device of the person says how to open, checked."""

    handover: Handover
    membership: Membership = field(repr=False)
    statements: list[Signed] = field(repr=False)
    epochs: list[Epoch] = field(repr=False)


class Deleted(msgspec.Struct, frozen=True):
    """A space that another device of the person deleted, for all of them."""

    space: bytes


def read_deleted(data: bytes, private: bytes) -> Deleted:
    """What an entry of the space `private` says is deleted. Raises `BadEntry`."""
    if len(data) != 32 or data == private:
        raise BadEntry("the entry deletes no space that there could be")
    return Deleted(data)


def read_offer(data: bytes) -> Offer:
    """What an entry of the private space says of another. Raises `BadEntry`."""
    try:
        handover = msgspec.msgpack.decode(data, type=Handover)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEntry(f"the entry hands over no space: {error}") from None
    offer = Offer(handover, *handover.check(whole=False))
    create = offer.membership.create
    if create is None or create.kind is Kind.PRIVATE:
        raise BadEntry("the entry hands over a private space, of which a person has one")
    return offer


def take_offer(db: Connection, offer: Offer | Deleted, device: bytes, *, late: bool = False) -> int | None:
    """Keep a space that another device of the person offered, or note that it deleted one; returns its row.

    Of a space that is here already, statements and keys that are new are added. What is not in
    that space's log yet is said there by this device too: the other one may be lost before it does.
    None when there is nothing to open, and nothing to erase. `device` is this one. `late`: the device that
    says so was taken out, and this is beyond what was accepted of it: it deletes nothing, and leads no space
    to another relay. What it knew of may be opened nevertheless, for others are in it.
    """
    if isinstance(offer, Deleted):
        if late:
            return None
        bury(db, offer.space, device, deleted=True, told=True)
        found = db.execute("SELECT n FROM space WHERE id = ?", (offer.space,)).fetchone()
        return None if found is None else int(found[0])
    given, state = offer.handover, offer.membership.state
    if _stays_buried(db, offer):
        return None
    (person,) = db.execute("SELECT value FROM meta WHERE key = 'person'").fetchone()
    strange = state.role(person) is None  # who only reads a space says nothing there
    row = db.execute("SELECT n FROM space WHERE id = ?", (given.space,)).fetchone()
    known = {id for (id,) in db.execute("SELECT id FROM epoch WHERE space = ?", (row[0],))} if row else set()
    if row is None:
        place = handle_of(state.admins[-1]) if late else given.handle
        n = store_space(db, given.space, state.name, offer.statements, offer.epochs, place,
                        sent=strange, relay=given.relay or None)
    else:
        (n,) = row
        add_to_space(db, n, offer.statements, offer.epochs, sent=strange)
        note_name(db, load_space(db, n))
    if not late:
        _take_farewell(db, n, given, device, new=any(keys.id not in known for keys in given.epochs))
    copy_person(db, n, offer.membership)
    db.executemany("UPDATE epoch SET announced = 1 WHERE space = ? AND id = ?",
                   [(n, epoch.id) for epoch in offer.epochs])
    db.execute("UPDATE space SET announce = 0 WHERE n = ? AND NOT EXISTS "
               "(SELECT 1 FROM epoch WHERE space = n AND announced = 0)", (n,))
    return n


def _take_farewell(db: Connection, n: int, given: Handover, device: bytes, *, new: bool) -> None:
    """Believe another device of the person that its part in the space in row `n` ended, if nobody there knows of this.

    As long as no key is here that the other one had not: who lets the person in again starts an
    epoch, and if keys are `new` here that another one has, it is in again. An epoch that this device itself began, and
    told nobody of, says nothing of that.
    """
    space, named = load_space(db, n), {keys.id for keys in given.epochs}
    if not given.farewell:
        db.execute("UPDATE space SET farewell = 0 WHERE n = ? AND ?", (n, new))
        return
    epochs = space.epochs.keys() - _own_unsaid(db, space, device)
    if epochs <= named and not _known_to_epochs(space, device, epochs):
        db.execute("UPDATE space SET farewell = 1, told_by = ? WHERE n = ?", (given.farewell, n))


def _own_unsaid(db: Connection, space: SpaceKeys, device: bytes) -> set[bytes]:
    """The epochs that a device, which is this one, started, and of which no entry tells yet."""
    unsaid = {hash for (hash,) in db.execute("SELECT hash FROM statement WHERE space = ? AND sent = 0", (space.n,))}
    return {id for id in unsaid & space.epochs.keys()
            if (body := space.membership.epoch(id)) is not None and body.issuer == device}


def _known_to_epochs(space: SpaceKeys, device: bytes, epochs: Iterable[bytes]) -> bool:
    """Whether who started one of these epochs knew of a device: there is a packet for it."""
    certificates = space.membership.state.certificates.get(device, {})
    return any(space.membership.before(hash, id) for id in epochs if space.membership.knows([id])
               for hash in certificates)


def announce_end(db: Connection, space: SpaceKeys, device: bytes) -> None:
    """Let the private space tell that the person has no part in a space any more, as this `device` knows.

    Devices that are let in later find the space in what was told before, and nobody there knows of them.
    """
    state = space.membership.state
    persons = state.persons_of(device) & state.admissions
    if not space.private and persons and (space.farewell or all(state.role(person) is None for person in persons)):
        db.execute("UPDATE space SET announce = 1 WHERE n = ?", (space.n,))


def refused(db: Connection, offer: Offer | Deleted) -> str | None:
    """Why a space that another device of the person told of is not kept here; None if it can be."""
    if isinstance(offer, Deleted) or not crowded(db) or _stays_buried(db, offer):
        return None
    if db.execute("SELECT 1 FROM space WHERE id = ?", (offer.handover.space,)).fetchone():
        return None
    return f"it hands over a space beside the {MAX_SPACES:,} that a home may have"


def _stays_buried(db: Connection, offer: Offer) -> bool:
    """Whether a space was erased here and is not to come back: deleted, or left, and this person is not in again."""
    row = db.execute("SELECT deleted FROM gone WHERE id = ?", (offer.handover.space,)).fetchone()
    (person,) = db.execute("SELECT value FROM meta WHERE key = 'person'").fetchone()
    return row is not None and (row[0] == 1 or offer.membership.state.role(person) is None)


def bury(db: Connection, space: bytes, device: bytes, *, deleted: bool, told: bool) -> None:
    """Note that a space is about to be erased on this `device`.

    `deleted`: on all devices of the person, which were `told` or are still to be.
    """
    least, most = db.execute(
        "SELECT coalesce(min(sequence) FILTER (WHERE entry.n > there OR sealed.n IS NOT NULL OR entry.n IN "
        "(SELECT entry FROM lacking)) - 1, max(sequence), 0), coalesce(max(sequence), 0) "
        "FROM entry JOIN space ON space.n = entry.space LEFT JOIN sealed ON entry = entry.n "
        "JOIN (SELECT max(acknowledged) AS there FROM cursor WHERE space = (SELECT n FROM space WHERE id = ?1)) "
        "WHERE space.id = ?1 AND author = ?2", (space, device)).fetchone()
    db.execute("INSERT INTO gone (id, deleted, told, least, most) VALUES (?, ?, ?, ?, ?) "
               "ON CONFLICT (id) DO UPDATE SET deleted = max(deleted, excluded.deleted), "
               "told = min(told, excluded.told)", (space, deleted, told, least or 0, most))


def buried(db: Connection, space: bytes) -> bool:
    """Whether a space was deleted by a device of the person."""
    return db.execute("SELECT 1 FROM gone WHERE id = ? AND deleted = 1", (space,)).fetchone() is not None


def rows_here(db: Connection) -> tuple[dict[int, bytes], set[int]]:
    """The handles of all spaces that the store has, by their rows, and the rows of those that are to be erased."""
    found = db.execute("SELECT n, handle, id IN (SELECT id FROM gone WHERE deleted = 1) FROM space").fetchall()
    return {n: handle for n, handle, _ in found}, {n for n, _, deleted in found if deleted}


def announce(db: Connection) -> None:
    """Let the private space tell of each space that has keys of which no entry told the person's devices."""
    db.execute("UPDATE space SET announce = 1 WHERE n IN (SELECT space FROM epoch WHERE announced = 0) "
               "AND n <> (SELECT value FROM meta WHERE key = 'private')")


def announce_missed(db: Connection, space: SpaceKeys, device: bytes) -> None:
    """Let the private space tell of a space whose newest epoch has no packet for some device of the person's.

    Who started it had not heard of that device yet. `device` is this one. Each epoch is told of
    once, and nothing is sent again when all had a packet.
    """
    state, membership = space.membership.state, space.membership
    for person in () if space.private else state.persons_of(device):
        others = [state.certificates[other.id] for other in state.devices_of(person) if other.id != device]
        for id in state.epoch_heads & space.epochs.keys():
            if not all(any(membership.before(hash, id) for hash in certificates) for certificates in others):
                db.execute("UPDATE space SET announce = 1 WHERE n = ? AND EXISTS "
                           "(SELECT 1 FROM epoch WHERE space = n AND id = ? AND announced = 0)", (space.n, id))


def announced(db: Connection, n: int) -> None:
    """An entry of the private space tells all that is here of the keys of the space in row `n`."""
    db.execute("UPDATE space SET announce = 0 WHERE n = ?", (n,))
    db.execute("UPDATE epoch SET announced = 1 WHERE space = ?", (n,))
