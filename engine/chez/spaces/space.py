"""A space as this device holds it: its keys and members, read from the store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chez import crypto
from chez.errors import Damaged, InvalidValue, NotFound
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.spaces.farewells import Farewell, kept_farewells
from chez.spaces.membership import Membership
from chez.spaces.rotation import first_epoch, holds, led_to
from chez.spaces.statements import Create, Kind, Role, Signed, sign_statement
from chez.store.database import Connection
from chez_wire.limits import MAX_SPACES_PER_CONNECTION
from chez_wire.login import handle_of

__all__ = ("MAX_SPACES", "SpaceKeys", "add_to_space", "create_space", "crowded", "inherit_farewells",
           "keep_statement", "load_space", "make_space", "note_name", "store_epoch", "store_space")

MAX_SPACES: Final = MAX_SPACES_PER_CONNECTION
"""Spaces in a home: as many as one connection to a relay opens. A device of the person that went bad can tell the
others of any number, and each is one that they keep in step."""


@dataclass(slots=True)
class SpaceKeys:
    """One space: `n` is its row in this store, `handle` what relays call it."""

    n: int
    id: bytes
    name: str
    handle: bytes
    membership: Membership
    epochs: dict[bytes, Epoch] = field(repr=False)
    farewell: bool = False
    """Whether somebody who might told this device that it was taken out."""
    private: bool = False
    """Whether it is the person's own: it carries the journal's heads, and the keys of the others."""
    public: bool = False
    """Whether everybody reads it who has its address."""
    relay: str | None = None
    """The relay where it is kept in step; None: where the private space is."""
    told_by: bytes | None = None
    """The device that told so with a `farewell`."""
    regains: tuple[int, int] | None = None
    """Of a space that was erased here and came back: the numbers of this device's entries in it, those
    that a relay had and all. Nothing is written before they were read again, or it would take their place."""
    inherited: bool = False
    """Whether the `farewell` was told to the device that the home was just before: that may be let in again."""
    said: Mapping[bytes, Farewell] = field(default_factory=dict, repr=False)
    """What devices that are out are told whenever an epoch starts here, by their sealing keys."""
    _chosen: tuple[tuple[int, int], Epoch] | None = field(default=None, repr=False)

    @property
    def epoch(self) -> Epoch:
        """The epoch to seal under: the newest that an owner started and whose keys are here."""
        known = (len(self.membership), len(self.epochs))
        if self._chosen is None or self._chosen[0] != known:
            self._chosen = known, self._choose()
        return self._chosen[1]

    def _choose(self) -> Epoch:
        state, known = self.membership.state, list(self.epochs.values())  # others may come meanwhile, in another thread
        # Of hundreds of epochs one is a head: the keys of the others are looked at only where that is of no use.
        heads = [epoch for id in state.epoch_heads if (epoch := self.epochs.get(id)) is not None and self.proven(epoch)]
        proven = heads or [epoch for epoch in known if self.proven(epoch)]

        def last(epoch: Epoch) -> tuple[bool, int, bytes]:
            # What somebody started who is an owner no more, others may have no keys of.
            said = state.epochs.get(epoch.id)
            return said is not None and state.right(said.issuer) is Role.OWNER, epoch.number, epoch.id

        return max(proven or known, key=last)

    def proven(self, epoch: Epoch) -> bool:
        """Whether an owner's statement commits to these keys; until then they read, and nothing is sealed by them."""
        said = self.membership.state.epochs.get(epoch.id)
        return said is not None and holds(epoch, said)

    def follows(self, epoch: Epoch, before: Epoch) -> bool:
        """Whether one epoch was started in the knowledge of another: of one that takes no effect, has its keys."""
        if self.void(before):
            return before.id in led_to(self.membership, self.epochs, (epoch.id,))
        known = self.membership.knows((epoch.id, before.id))
        return known and self.membership.before(before.id, epoch.id)

    def void(self, epoch: Epoch) -> bool:
        """Whether the words about an epoch are here and take no effect: its author was taken out at the same time."""
        return self.membership.knows((epoch.id,)) and epoch.id not in self.membership.state.epochs

    @property
    def admin(self) -> crypto.SigningKey | None:
        """The key whose word relays take for the space, for owners."""
        return self.epoch.admin

    def control_of(self, epoch: Epoch) -> crypto.SigningKey | None:
        """The credential for control entries of an epoch: in a public space, who only reads has none."""
        return epoch.public_control if self.public else epoch.control

    @property
    def record_key(self) -> bytes:
        """The key of imported records' ids: of what the space's id is the hash of, so that it is one for ever."""
        create = self.membership.create
        assert create is not None  # load_space refuses a space without it
        return crypto.derive(create.nonce, "chez/1 record id key")


def create_space(name: str, kind: Kind, person: bytes, log: Sequence[Signed], device: DeviceKeys,
                 admin_seed: bytes, entropy: bytes) -> tuple[bytes, list[Signed], Epoch]:
    """A new space that a device of `person` owns.

    `log` are the statements about the person, all of them; `entropy` is 96 random bytes, of
    which the first 32 are the space's nonce: a private space's is the person's (`Person.nonce`).
    Returns the space's id, its first statements, those of the person included, and its
    first epoch.
    """
    nonce = entropy[:32]
    admin = crypto.SigningKey.from_seed(admin_seed).public
    about = Membership(bytes(32))
    about.add(log)
    heads = about.person_heads(person, device.id)
    create = sign_statement(Create(heads, device.id, person, kind, admin, nonce, name), device.signing)
    first = first_epoch(create, device.signing, admin_seed, entropy[32:])
    return create.hash, [*log, create, first.statement], first.epoch


def make_space(db: Connection, private: SpaceKeys, device: DeviceKeys, name: str, kind: Kind,
               entropy: Callable[[int], bytes], relay: str | None = None) -> int:
    """Make a space of the person whose private one this is, in an open transaction; returns its row.

    The person's other devices will hear of it. `relay` is where it is kept in step, if not
    where the private space is.
    """
    create = private.membership.create
    assert create is not None  # load_space refuses a space without it
    seed = entropy(32)
    id, statements, epoch = create_space(name, kind, create.person, private.membership.person_log(create.person),
                                         device, seed, entropy(96))
    return store_space(db, id, name, statements, [epoch], handle_of(crypto.SigningKey.from_seed(seed).public),
                       sent=False, relay=relay, announce=True)


def store_space(db: Connection, id: bytes, name: str, statements: Iterable[Signed], epochs: Iterable[Epoch],
                handle: bytes, *, sent: bool, relay: str | None = None, announce: bool = False) -> int:
    """Write a new space; returns its row.

    `sent` tells whether its statements were read in the space's log, or are not this device's to
    say. Otherwise they wait for an entry of this device, unless the log turns out to have them:
    whoever told of them may be lost before it says them there. `announce` tells whether the
    person's other devices are still to be told of the space. One that was here before `regains`
    this device's entries first. Raises `InvalidValue` for more than `MAX_SPACES`.
    """
    if crowded(db):
        raise InvalidValue(f"this home has {MAX_SPACES:,} spaces, as many as one connection to a relay opens",
                           "Take off those that you left (`chez space forget`), or delete some.")
    n: int = db.execute("INSERT INTO space (id, name, handle, relay, announce) VALUES (?, ?, ?, ?, ?)",
                        (id, name, handle, relay, announce)).lastrowid
    add_to_space(db, n, statements, epochs, sent=sent)
    db.execute("UPDATE space SET (least, most) = (SELECT least, most FROM gone WHERE id = ?1) WHERE n = ?2 "
               "AND EXISTS (SELECT 1 FROM gone WHERE id = ?1)", (id, n))
    db.execute("DELETE FROM gone WHERE id = ?", (id,))
    return n


def crowded(db: Connection) -> bool:
    """Whether a home has as many spaces as it may."""
    (count,) = db.execute("SELECT count(*) FROM space").fetchone()
    return bool(count >= MAX_SPACES)


def add_to_space(db: Connection, n: int, statements: Iterable[Signed], epochs: Iterable[Epoch], *,
                 sent: bool) -> None:
    """Statements and keys of the space in row `n`; what is here stays. `sent` as in `store_space`."""
    db.executemany("INSERT OR IGNORE INTO statement (space, hash, body, sent) VALUES (?, ?, ?, ?)",
                   [(n, statement.hash, statement.raw, sent) for statement in statements])
    for epoch in epochs:
        store_epoch(db, n, epoch)


def keep_statement(db: Connection, n: int, membership: Membership, statement: Signed) -> None:
    """A statement made or copied here, about the space in row `n`: it is in effect, and waits for its entry."""
    add_to_space(db, n, [statement], [], sent=False)
    membership.add([statement])


def note_name(db: Connection, space: SpaceKeys) -> None:
    """The space is called as its owners say."""
    named = space.membership.state.name
    if named != space.name and not space.private:
        db.execute("UPDATE space SET name = ? WHERE n = ?", (named, space.n))
        space.name = named


def store_epoch(db: Connection, n: int, epoch: Epoch) -> None:
    """Keep the keys of an epoch of the space in row `n`; those that are known of it stay."""
    db.execute("INSERT INTO epoch (space, id, number, secret, append_, admin) VALUES (?, ?, ?, ?, ?, ?) "
               "ON CONFLICT (space, id) DO UPDATE SET append_ = coalesce(append_, excluded.append_), "
               "admin = coalesce(admin, excluded.admin) WHERE secret = excluded.secret",
               (n, epoch.id, epoch.number, epoch.secret, epoch.append_seed, epoch.admin_seed))


def inherit_farewells(db: Connection) -> None:
    """The home becomes another device: what it was told was told to the former one (2), or to one before that."""
    db.execute("UPDATE space SET farewell = iif(farewell = 1, 2, 1) WHERE farewell")


def load_space(db: Connection, n: int) -> SpaceKeys:
    """Read a space back. Raises `Damaged` when its statements do not hold together, `NotFound` when it was erased."""
    row = db.execute("SELECT id, name, handle, farewell, relay, told_by, least, most FROM space WHERE n = ?",
                     (n,)).fetchone()
    if row is None:
        raise NotFound("this space is on this device no more", "`chez space list` shows those that are.")
    id, name, handle, farewell, relay, told_by, least, most = row
    membership = Membership(id)
    membership.add(Signed.kept(body) for (body,) in
                   db.execute("SELECT body FROM statement WHERE space = ? ORDER BY n", (n,)))
    epochs = {row[0]: Epoch(*row) for row in
              db.execute("SELECT id, number, secret, append_, admin FROM epoch WHERE space = ?", (n,))}
    if membership.create is None or not epochs:
        raise Damaged(f"the statements or keys of space {name!r} are missing",
                      "Restore a backup, or join again from another device.")
    kind = membership.create.kind
    return SpaceKeys(n, id, name, handle, membership, epochs, bool(farewell), kind is Kind.PRIVATE,
                     kind is Kind.PUBLIC, relay, told_by, (least, most) if most else None,
                     farewell == 2, kept_farewells(db, id))
