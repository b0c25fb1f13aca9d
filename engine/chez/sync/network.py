"""Whether the way out of this device changed, asked of its own routing table: no packet leaves it."""

import socket
from contextlib import suppress
from typing import Final

__all__ = ("ways_out",)

_FAR: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that are nobody's (RFC 5737 and RFC 3849)."""


def ways_out() -> tuple[str, ...]:
    """The addresses from which this device would speak to the world; none without a network.

    Another answer than before means another network, or one that came or went.
    """
    found = []
    for family, address in _FAR:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # for a datagram socket this looks up the route, and sends nothing
            found.append(str(probe.getsockname()[0]))
    return tuple(found)
