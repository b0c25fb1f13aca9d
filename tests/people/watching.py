"""What devices hold and show, and which of it must be so: the books that the state machine keeps."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import chez
from chez.spaces.rotation import awaited
from chez.spaces.statements import Expel, Role
from chez.store.database import Connection
from chez.sync.chains import known_whole
from chez.sync.replica import Replica
from tests.people.knowing import Said, View
from tests.people.persons import values
from tests.people.world import Device

__all__ = ("Books", "Holding", "Writing", "leftovers", "view_of")

LEFT = ("quarantine", "parked", "locked", "set_aside", "recount", "missing")


@dataclass
class Writing:
    """One token that a device wrote into a record, and what it knew then."""

    token: str
    record: str
    device: Device
    known: View
    barred: frozenset[bytes]
    """The devices that must never read it, as nobody gives their persons a role again."""
    arrived: bool = False
    """Whether the device was in step after it, and might write still."""
    built_on: bool = False
    """Whether another device changed the record since."""


@dataclass
class Holding:
    """What a device holds of the shared space."""

    said: frozenset[bytes]
    farewell: bool
    lacks: bool
    """Whether it has no keys of an epoch that a new one would have to follow."""
    whole: bool
    """Whether it read the log to the end once, or made the space: else it takes nobody out."""


@dataclass
class Books:
    """Everything that was said and written, and who was shown what."""

    spaces: dict[bytes, Said] = field(default_factory=dict)
    writings: list[Writing] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    shown: dict[bytes, set[str]] = field(default_factory=dict)
    """By device, the tokens that it ever showed."""
    accepted: dict[bytes, frozenset[str]] = field(default_factory=dict)
    """By statement, what its author had been shown when it said so."""

    def of(self, space: bytes) -> Said:
        """What was said in a space."""
        if space not in self.spaces:
            self.spaces[space] = Said(space)
        return self.spaces[space]

    async def holding(self, device: Device, space: chez.Space) -> Holding:
        """What a device holds; what it said since it was asked last is noted with what it had been shown."""
        replica = space._held.replica

        def read(db: Connection) -> Holding:
            replica.refresh(db)
            keys = replica.space
            said = self.of(keys.id)
            for one in keys.membership.statements:
                if one.issuer == device.id and one.hash not in self.accepted:
                    self.accepted[one.hash] = frozenset(self.shown.get(device.id, ()))
            return Holding(said.note(keys.membership.statements), keys.farewell,
                           awaited(keys.membership.state, keys.epochs), known_whole(db, keys, device.id))

        return await device.home._database.read(read)

    async def show(self, device: Device, space: chez.Space) -> set[str]:
        """The tokens that a device shows; it has seen them then."""
        now = {token for value in (await values(space)).values() for token in value}
        self.shown.setdefault(device.id, set()).update(now)
        return now

    # --- what follows ----------------------------------------------------------------------

    def owed(self, space: bytes, final: View) -> Iterable[Writing]:
        """What every member must show: it had arrived, and whoever took its author's right away had been shown it."""
        said = self.of(space)
        for one in self.writings:
            if one.arrived and one.record not in self.deleted and self._stood(one, final) and all(
                    one.token in self.accepted[taker.hash] for taker in said.takers(one.device.id, final.held)
                    if taker.hash not in one.known.held):
                yield one

    def denied(self, space: bytes, final: View) -> Iterable[Writing]:
        """What no member may show: its author's right was taken, and nobody who did so had been shown it."""
        said = self.of(space)
        everything = frozenset(said.everything)
        for one in self.writings:
            takers = [taker for taker in said.takers(one.device.id, final.held) if taker.hash not in one.known.held]
            if takers and not one.built_on and not any(
                    isinstance(taker.body, Expel) or one.token in self.accepted[taker.hash] for taker in takers
            ) and not said.gave_back(one.known.persons(one.device.id), everything, one.known.held):
                yield one

    def secret(self, space: bytes, device: Device) -> Iterable[Writing]:
        """What a device may not show, for who wrote it knew that it was taken out, and had an epoch that followed."""
        said = self.of(space)
        everything = frozenset(said.everything)
        for one in self.writings:
            if device.id in one.barred and not said.gave_back(
                    one.known.persons(device.id), everything, one.known.held):
                yield one

    def _stood(self, one: Writing, final: View) -> bool:
        """Whether all that its author's right rested on still stands."""
        return one.known.effective <= final.effective


def view_of(books: Books, space: bytes, holding: Holding) -> View:
    """The space as a device must see it."""
    return books.of(space).view(holding.said, deaf=holding.farewell)


def leftovers(db: Connection, replica: Replica) -> dict[str, int]:
    """The rows of tables that are empty in a space where everybody keeps to the rules, and everything arrived."""
    counts = {table: db.execute(f"SELECT count(*) FROM {table}" + (
        "" if table == "missing" else f" WHERE space = {replica.space.n}")).fetchone()[0] for table in LEFT}
    return {table: count for table, count in counts.items() if count}


def may_write(view: View, device: bytes) -> bool:
    """Whether a device may write, as far as it knows."""
    right = view.right(device)
    return right is not None and right >= Role.WRITER
