"""Which roles are open on one connection, and under which credentials they were proven.

A role is worth what its credential is worth: when a space's credentials are replaced, all
roles that rest on the earlier ones end, whether a request comes for them or not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chez_relay.errors import Code
from chez_relay.storage import Credentials, InboxInfo, SpaceInfo
from chez_wire.limits import MAX_SPACES_PER_CONNECTION
from chez_wire.login import Role

__all__ = ("OpenRoles", "credential")


@dataclass(slots=True)
class _Place:
    """A space or an inbox; `credentials` is None at an inbox, `ended` says why no role is left."""

    credentials: Credentials | None
    roles: dict[Role, bytes] = field(default_factory=dict)
    ended: Code | None = None


class OpenRoles:
    """The roles of one connection, at up to 4096 spaces and inboxes."""

    __slots__ = ("_may", "_places")

    def __init__(self, may: Callable[[], bool] = lambda: True) -> None:
        self._may = may
        self._places: dict[bytes, _Place] = {}

    def under(self, handle: bytes, role: Role) -> bytes | None:
        """The public key that an open role was proven with; None when it is not open."""
        place = self._places.get(handle)
        return None if place is None else place.roles.get(role)

    def refusal(self, handle: bytes) -> Code:
        """Why a role is not open: never proven here, or ended since."""
        place = self._places.get(handle)
        return Code.ROLE if place is None or place.ended is None else place.ended

    def open(self, handle: bytes, known: SpaceInfo | InboxInfo, role: Role, key: bytes) -> bool:
        """Open a role that was proven with `key`; False when it, or its address, holds as many places as it may."""
        place = self._places.get(handle)
        if place is None:
            if len(self._places) >= MAX_SPACES_PER_CONNECTION or not self._may():
                return False
            place = self._places[handle] = _Place(None)
        if isinstance(known, SpaceInfo):
            place.credentials = known.keys.credentials
        place.roles[role], place.ended = key, None
        return True

    @property
    def open_anywhere(self) -> bool:
        """Whether any role is open."""
        return any(place.roles for place in self._places.values())

    def proven(self, handle: bytes) -> dict[Role, bytes]:
        """The roles that are open at a space or inbox, each with the public key that proved it."""
        place = self._places.get(handle)
        return {} if place is None else dict(place.roles)

    def outdated(self, handle: bytes, credentials: Credentials | None) -> bool:
        """Whether roles are open at a space that rest on others than these credentials (None: it is gone)."""
        place = self._places.get(handle)
        return place is not None and bool(place.roles) and place.credentials != credentials

    def end(self, handle: bytes, code: Code) -> None:
        """End all roles at a space."""
        place = self._places[handle]
        place.roles, place.ended = {}, code


def credential(known: SpaceInfo | InboxInfo, role: Role) -> bytes | None:
    """The public key that proves a role, or None where the role makes no sense."""
    if isinstance(known, SpaceInfo):
        keys = known.keys
        return {Role.READ: keys.read, Role.APPEND: keys.append, Role.CONTROL: keys.control}.get(role)
    return {Role.TAKE: known.owner_key, Role.PUT: known.write_key}.get(role)
