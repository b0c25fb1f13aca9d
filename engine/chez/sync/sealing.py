"""Under which epoch this device's entries are sealed, and which of them anew.

What waits is sealed under the newest epoch. Two things are not: what ends somebody's rights leaves
under the epoch that it ends, so that whom it concerns hears of it. And who is an owner no more
brings the epoch that it had started last to nobody, when another was first at the relay: what it
has to say still, its leaving perhaps, is sealed under that one, which the others have.
"""

from chez.keys.epochs import Epoch
from chez.spaces.rotation import led_to
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Expel, Remove, Retire, Role, SetRole, Signed
from chez.store.database import Connection
from chez.sync.entry import STATEMENT, STATEMENTS, Inner, read_kept
from chez_wire.envelope import Header

__all__ = ("epoch_for", "seal_anew", "stranded")


def seal_anew(db: Connection, space: SpaceKeys, relay: int | None = None, under: bytes | None = None) -> None:
    """Forget what was sealed under an earlier epoch, except what ends that epoch. It is not known to have arrived.

    Each such entry is kept as one that a relay lacks, until it tells otherwise: that it has one that
    was sent later says nothing of those before. With `relay` and `under`, only what was sealed for that one and
    under that epoch.
    """
    for n, where, entry, packed, kind, envelope in db.execute(
            "SELECT sealed.n, relay, entry.n, inner, kind, envelope FROM sealed JOIN entry ON entry.n = sealed.entry "
            "WHERE entry.space = ?", (space.n,)).fetchall():
        if (kind != STATEMENTS or not _takes_rights(read_kept(packed).inner)) and (
                relay is None or (where, Header.decode(envelope).epoch) == (relay, under)):
            db.execute("DELETE FROM sealed WHERE n = ?", (n,))
            db.execute("INSERT OR IGNORE INTO lacking (relay, entry) VALUES (?, ?)", (where, entry))


def epoch_for(space: SpaceKeys, device: bytes, at: Epoch, packed: bytes, kind: int) -> Epoch:
    """The epoch under which a device seals an entry for a relay, which has the keys of the epoch `at`.

    The newest, unless nobody will get its keys: this device started it, is an owner no more, and
    can't bring it to the relay, which has one that it does not follow. What tells somebody that its
    rights end is sealed so that they can read it.
    """
    newest = space.epoch
    if at.id == newest.id or (kind == STATEMENTS and _takes_rights(read_kept(packed).inner)):
        return at
    return at if stranded(space, device, at) else newest


def stranded(space: SpaceKeys, device: bytes, at: Epoch) -> bool:
    """Whether the newest epoch is a device's own, and nobody else will get its keys.

    The epoch `at`, whose keys a relay has, takes effect, or else it was this person's who started it.
    """
    epoch, state = space.epoch, space.membership.state
    if state.right(device) is Role.OWNER:
        return False
    said, there = space.membership.epoch(epoch.id), space.membership.epoch(at.id)
    if said is None or said.issuer != device or there is None:
        return False
    if epoch.id in led_to(space.membership, space.epochs, (at.id,)) or (
            at.admin is not None and space.follows(epoch, at)):
        return False
    return space.proven(at) or bool(state.persons_of(there.issuer) & state.persons_of(device))


def _takes_rights(inner: Inner) -> bool:
    """Whether an entry tells somebody that its rights end: it is sealed so that they can read it."""
    bodies = (Signed.kept(item.data).body for item in inner.items if item.kind == STATEMENT)
    return any(isinstance(body, Remove | SetRole | Retire | Expel) for body in bodies)
