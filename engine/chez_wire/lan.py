"""What a home and the relay that it runs on its own network tell each other: lines of JSON over a pipe.

The home writes `Secrets` to the relay's standard input, a line whenever they changed; its end is
the relay's end. The relay writes `Listening` once, and `Guests` whenever they changed. Bytes are
in base64, as msgspec writes them.
"""

import ipaddress
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez_wire.fields import Id
from chez_wire.limits import MAX_SPACES_PER_CONNECTION

__all__ = ("Guests", "Hosted", "Listening", "MeetingSecret", "Report", "Secrets", "is_near")

_NEAR_V6: Final = tuple(map(ipaddress.IPv6Network, ("fc00::/7", "fe80::/10", "::1/128")))
"""What Python calls private is more: Teredo (RFC 4380) leads through the internet, for one."""


class MeetingSecret(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One space that is served, by its handle, and one of the secrets that its members recognise each other by."""

    handle: Id
    secret: Id

    def __repr__(self) -> str:
        return "MeetingSecret(…)"


class Hosted(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A space that the relay is to have though nobody comes who could make it: its handle, and public keys."""

    handle: Id
    admin: Id
    recovery: Id
    read: Id
    append: Id
    control: Id


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The spaces that are served from now on, and all their secrets; a line of JSON to the relay's standard input.

    `hosted` are those of them that the relay makes by itself, where it has them not.
    """

    spaces: Annotated[list[MeetingSecret], Meta(max_length=MAX_SPACES_PER_CONNECTION)]
    hosted: Annotated[list[Hosted], Meta(max_length=MAX_SPACES_PER_CONNECTION)] = []

    def __repr__(self) -> str:
        return f"Secrets({len(self.spaces)} of them)"

    @property
    def by_handle(self) -> dict[bytes, tuple[bytes, ...]]:
        """The secrets of each space."""
        found: dict[bytes, tuple[bytes, ...]] = {}
        for one in self.spaces:
            found[one.handle] = (*found.get(one.handle, ()), one.secret)
        return found


class Listening(msgspec.Struct, frozen=True, tag="listening", forbid_unknown_fields=True):
    """The relay can be dialled at this port; its store's incarnation, and the seed of the key that it shows (Ed25519).

    The key's public half is what the relay is announced as; with the seed the home proves elsewhere that it is its own.
    """

    port: Annotated[int, Meta(ge=1, le=65535)]
    incarnation: Id
    seed: Id

    def __repr__(self) -> str:
        return f"Listening({self.port})"


class Guests(msgspec.Struct, frozen=True, tag="guests", forbid_unknown_fields=True):
    """The instances whose devices are connected now, and with which a space was found (zeros: of no instance)."""

    instances: Annotated[list[Id], Meta(max_length=MAX_SPACES_PER_CONNECTION)]


Report = Listening | Guests
"""What the relay tells its home: lines of JSON on its standard output."""


def is_near(host: str) -> bool:
    """Whether an address is of a network at hand: private, link-local or loopback (RFC 1918, 3927, 4193, 4291).

    Who is met on a network has such a one; others are neither dialled nor let in.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return any(address in network for network in _NEAR_V6)
        address = address.ipv4_mapped
    return address.is_private and not address.is_unspecified
