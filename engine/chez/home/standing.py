"""Whether this device still has its part in a space, and who said that it has not."""

from chez.home.held import Held
from chez.spaces.removals import name_of, removed_by

__all__ = ("standing",)


def standing(held: Held, device: bytes) -> tuple[bool, str | None, bool, bool]:
    """What `SpaceStatus` says of a space from `removed` on: that, by whom, whether an epoch is owed, whether left."""
    state = held.space.membership.state
    if not held.replica.access.removed:
        return False, None, state.rotation_owed, False
    by, own = removed_by(held.space, device), state.persons_of(device)
    left = by is not None and bool(state.persons_of(by) & own) and not any(state.role(one) for one in own)
    return True, None if by is None else name_of(state, by, own), False, left
