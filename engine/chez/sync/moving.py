"""A space that goes to another place at relays: another handle, under an admin key that only its owners have now.

Whoever was an owner had the key whose word relays take, and may have replaced all keys before
the others did. Then the old place is lost, and nothing else: the log is here, and is sent to
the new one, whole, under an epoch that only those have who belong.
"""

from collections.abc import Callable

from chez.keys.device import DeviceKeys
from chez.spaces.handover import Offer
from chez.spaces.space import SpaceKeys, load_space
from chez.spaces.statements import Create, Move
from chez.store.database import Connection
from chez.sync.rotating import start_epoch
from chez_wire.login import handle_of

__all__ = ("go_to", "lead", "move", "strayed")

_OF_THE_LOG = ("cursor", "relay_head", "gap", "claim", "locked")
"""What is known of the log at the former place. What speaks against its relay stays."""


def move(db: Connection, space: SpaceKeys, device: DeviceKeys, entropy: Callable[[int], bytes],
         say: Callable[[bytes], object]) -> None:
    """Start the epoch whose admin key gives a space its next handle, and take the space there.

    `say` says the statement, given the public half of that key. Raises `NotAllowed`.
    """
    epoch = start_epoch(db, space, device, entropy, moving=say)
    assert epoch.admin is not None  # it was made just now
    go_to(db, space, handle_of(epoch.admin.public))


def go_to(db: Connection, space: SpaceKeys, handle: bytes) -> None:
    """A space is at another handle: whatever relay has it is read from the beginning, and sent what it lacks."""
    db.execute("DELETE FROM sealed WHERE entry IN (SELECT n FROM entry WHERE space = ?)", (space.n,))
    db.execute("DELETE FROM parted WHERE parting IN (SELECT n FROM parting WHERE space = ?)", (space.n,))
    db.execute("INSERT OR REPLACE INTO former (space, relay, handle, epoch) SELECT space, relay, ?, epoch FROM cursor "
               "JOIN relay ON relay.n = relay WHERE space = ? AND url NOT LIKE 'lan:%'", (space.handle, space.n))
    for table in _OF_THE_LOG:
        db.execute(f"DELETE FROM {table} WHERE space = ?", (space.n,))
    db.execute("DELETE FROM blob_relay WHERE blob IN (SELECT n FROM blob WHERE space = ?)", (space.n,))
    db.execute("UPDATE space SET handle = ?, announce = 1 WHERE n = ?", (handle, space.n))
    space.handle = handle


def strayed(space: SpaceKeys) -> bytes | None:
    """The handle that the space has by its owners' word, if it is another than the one it is looked for at.

    None too where no word that is here speaks of that one: it is to be read there.
    """
    handle = _last_place(space)
    return handle if handle != space.handle and space.handle in _spoken_of(space) else None


def lead(db: Connection, n: int, offer: Offer) -> None:
    """A space that was here already goes where another device of the person has it, at the relay that it names.

    Where the words that are here lead there, for two devices may have moved it at the same time, and one of these
    moves counts; or tell nothing of that place: a handover has room for so many statements. In
    the transaction that takes the offer in: who is killed after it finds the space at its place.
    """
    space, given = load_space(db, n), offer.handover
    spoken = _spoken_of(space)
    if given.handle != space.handle and space.handle in spoken and (
            given.handle == _last_place(space) or given.handle not in spoken):
        go_to(db, space, given.handle)
        db.execute("UPDATE space SET relay = ? WHERE n = ?", (given.relay or None, n))
    elif (place := strayed(space)) is not None:
        go_to(db, space, place)


def _last_place(space: SpaceKeys) -> bytes:
    return handle_of(space.membership.state.admins[-1])


def _spoken_of(space: SpaceKeys) -> set[bytes]:
    """The handles that statements speak of that are here, whether they take effect."""
    return {handle_of(one.body.admin) for one in space.membership.statements if isinstance(one.body, Create | Move)}
