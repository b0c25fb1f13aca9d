"""What a device may do in a space, asked before anything is done: others would not count it.

This keeps nobody from anything but in vain: what a device writes that may not is refused
by every other one (`rules`, `sync.intake`).
"""

from chez.errors import NotAllowed
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Role

__all__ = ("check_device", "check_member", "check_owner", "check_writer", "role_of")


def role_of(space: SpaceKeys, device: bytes) -> Role | None:
    """What a device may do in a space, as far as is known here; None for one that has no part in it."""
    return None if space.farewell else space.membership.state.right(device)


def check_device(private: SpaceKeys, device: bytes) -> None:
    """Raises `NotAllowed` for a device that another one of its person took out, as the private space tells."""
    if role_of(private, device) is None:
        raise NotAllowed("this device was removed by another one of yours", "Use that one, or your 24 words.")


def check_member(space: SpaceKeys, device: bytes) -> Role:
    """The role of a device. Raises `NotAllowed` for one that has no part in the space any more."""
    role = role_of(space, device)
    if role is None and space.public:
        raise NotAllowed(f"you read the public space {space.name!r}, and are no member of it",
                         "Who publishes it can let you in.")
    if role is None:
        raise NotAllowed(f"you have no part in the space {space.name!r} any more",
                         "What is here stays yours to read and to export. An owner of the space can add you again.")
    return role


def check_owner(space: SpaceKeys, device: bytes, what: str) -> None:
    """Raises `NotAllowed` unless a device is an owner's. `what` an owner does ("lets somebody in")."""
    if space.private:
        raise NotAllowed("the private space is yours alone", "Make one to share: `chez space create NAME`.")
    role = check_member(space, device)
    if role is not Role.OWNER:
        raise NotAllowed(f"only an owner {what}, and you are a {role.name.lower()} of {space.name!r}",
                         "Ask an owner of the space.")


def check_writer(space: SpaceKeys, device: bytes) -> None:
    """Raises `NotAllowed` unless a device may write records in a space."""
    if space.private:
        return  # a home writes on for itself, also when its device was taken out
    if check_member(space, device) < Role.WRITER:
        raise NotAllowed(f"you may read the space {space.name!r}, not write in it",
                         "An owner of the space can make you a writer.")
    if space.regains is not None:
        raise NotAllowed(f"the space {space.name!r} is being read again, from its beginning", "Sync first.")
    if space.membership.state.archived:
        raise NotAllowed(f"the space {space.name!r} is archived: it is read, and not written",
                         "An owner can take it out again: `chez space archive --undo`.")
