"""A space as this device holds it: its keys and members, read from the store."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chez import crypto
from chez.errors import Damaged
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch, commitment
from chez.keys.person import Person
from chez.spaces.membership import Membership
from chez.spaces.statements import Certify, Create, NewEpoch, Signed, sign_statement
from chez.store.database import Connection
from chez_wire.login import handle_of

__all__ = ("Space", "create_space", "load_space", "store_space")


@dataclass(slots=True)
class Space:
    """One space: `n` is its row in this store, `handle` what relays call it."""

    n: int
    id: bytes
    name: str
    handle: bytes
    admin: crypto.SigningKey | None = field(repr=False)
    membership: Membership
    epochs: dict[bytes, Epoch] = field(repr=False)

    @property
    def epoch(self) -> Epoch:
        """The newest epoch whose key this device has."""
        return max(self.epochs.values(), key=lambda epoch: (epoch.number, epoch.id))

    @property
    def record_key(self) -> bytes:
        """The key of imported records' ids: of the first epoch, so that it never changes."""
        first = min(self.epochs.values(), key=lambda epoch: (epoch.number, epoch.id))
        return crypto.derive(first.secret, "chez/1 record id key")


def create_space(name: str, person: Person, device: DeviceKeys, device_name: str,
                 entropy: bytes) -> tuple[bytes, list[Signed], Epoch, bytes]:
    """A new space with one owner and one device.

    `entropy` is 128 random bytes. Returns the space's id, its first statements, its
    first epoch and the seed of its admin key.
    """
    admin_seed, nonce, secret, append_seed = (entropy[i : i + 32] for i in range(0, 128, 32))
    admin = crypto.SigningKey.from_seed(admin_seed)
    create = sign_statement(Create(person.root.public, person.recovery.public, person.relay_recovery.public,
                                   admin.public, nonce, name), person.root)
    first = sign_statement(Certify(create.hash, [create.hash], person.root.public, person.root.public,
                                   device.id, device.sealing.public, device_name), person.root)
    append = crypto.SigningKey.from_seed(append_seed)
    epoch = sign_statement(NewEpoch(create.hash, [first.hash], device.id, 1, b"", commitment(secret), append.public),
                           device.signing)
    return create.hash, [create, first, epoch], Epoch(epoch.hash, 1, secret, append_seed), admin_seed


def store_space(db: Connection, id: bytes, name: str, statements: Iterable[Signed], epochs: Iterable[Epoch],
                admin_seed: bytes | None, admin_public: bytes, *, sent: bool) -> int:
    """Write a new space; `sent` tells whether its statements are already in somebody's entries."""
    n: int = db.execute("INSERT INTO space (id, name, handle, admin) VALUES (?, ?, ?, ?)",
                        (id, name, handle_of(admin_public), admin_seed)).lastrowid
    for statement in statements:
        db.execute("INSERT INTO statement (space, hash, body, sent) VALUES (?, ?, ?, ?)",
                   (n, statement.hash, statement.raw, sent))
    for epoch in epochs:
        db.execute("INSERT INTO epoch (space, id, number, secret, append_) VALUES (?, ?, ?, ?, ?)",
                   (n, epoch.id, epoch.number, epoch.secret, epoch.append_seed))
    return n


def load_space(db: Connection, n: int) -> Space:
    """Read a space back. Raises `Damaged` when its statements do not hold together."""
    id, name, handle, admin = db.execute("SELECT id, name, handle, admin FROM space WHERE n = ?", (n,)).fetchone()
    membership = Membership(id)
    membership.add(Signed.read(body) for (body,) in
                   db.execute("SELECT body FROM statement WHERE space = ? ORDER BY n", (n,)))
    epochs = {row[0]: Epoch(*row) for row in
              db.execute("SELECT id, number, secret, append_ FROM epoch WHERE space = ?", (n,))}
    if membership.create is None or not epochs:
        raise Damaged(f"the statements or keys of space {name!r} are missing",
                      "Restore a backup, or join again from another device.")
    return Space(n, id, name, handle, None if admin is None else crypto.SigningKey.from_seed(admin), membership, epochs)
