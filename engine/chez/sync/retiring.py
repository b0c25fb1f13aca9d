"""Devices of the person that were expelled have no part in its spaces: said in each, with what is accepted of them."""

from chez.keys.device import DeviceKeys
from chez.spaces.permits import role_of
from chez.spaces.space import SpaceKeys, keep_statement
from chez.spaces.statements import Add, Create, Cut, Retire, sign_statement
from chez.store.database import Connection
from chez.sync.chains import last_counted

__all__ = ("retire", "retire_expelled")


def retire(db: Connection, space: SpaceKeys, device: DeviceKeys, gone: bytes) -> None:
    """Say, as a device of the same person, that an expelled one has no part in a space: what is here of it counts.

    Nothing, in a space where this device may say nothing itself.
    """
    if space.membership.state.right(device.id) is not None:
        sequence, last = last_counted(db, space.n, gone)
        keep_statement(db, space.n, space.membership, sign_statement(Retire(
            space.id, space.membership.named_heads, device.id, Cut(gone, sequence, last)), device.signing))


def retire_expelled(db: Connection, space: SpaceKeys, device: DeviceKeys) -> bool:
    """Retire the expelled devices of the person that might have a part in a space still; whether there were any.

    Whoever took them out retired them in the spaces that it knew, and could read whole. In another one nothing
    else bounds what they say there by what was known before.
    """
    state = space.membership.state
    if role_of(space, device.id) is None:
        return False
    gone = [(id, person) for id in sorted(state.expelled - state.retired)
            for person in sorted(state.persons_of(id) & state.persons_of(device.id))]
    found = [id for id, person in gone if _took_part(space, person)]
    for id in dict.fromkeys(found):
        retire(db, space, device, id)
    return bool(found)


def _took_part(space: SpaceKeys, person: bytes) -> bool:
    """Whether a person came into a space by a word that did not know of all devices that it had expelled."""
    membership = space.membership
    came = [statement.hash for statement in membership.statements
            if isinstance(statement.body, Add | Create) and statement.body.person == person]
    return any(not membership.before(expelled, one)
               for expelled in membership.state.expulsions.get(person, ()) for one in came)
