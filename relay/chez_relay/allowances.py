"""What a connection may still do, beyond what its roles allow: whoever runs a session counts, the session asks."""

from typing import Protocol

__all__ = ("ANYTHING", "May")


class May(Protocol):
    """Asked before each such thing; each yes is used."""

    def look_up(self) -> bool:
        """Look up one more packet, which needs no role."""

    def make_space(self) -> bool:
        """Make one more space."""

    def make_inbox(self) -> bool:
        """Make or renew one more inbox."""

    def open_place(self) -> bool:
        """Hold one more space or inbox open."""

    def prove(self, signatures: int) -> bool:
        """Have so many signatures looked at, of roles or of what brings its own."""

    def keep(self, spaces: int) -> bool:
        """Keep so many spaces for a later connection, or take up as many."""

    def put(self, inbox: bytes) -> bool:
        """Put one more item into an inbox."""

    def broadcast(self) -> bool:
        """Pass on one more ephemeral message."""


class _Anything:
    def look_up(self) -> bool:
        return True

    make_space = make_inbox = open_place = broadcast = look_up

    def keep(self, spaces: int) -> bool:
        return True

    prove = keep

    def put(self, inbox: bytes) -> bool:
        return True


ANYTHING: May = _Anything()
"""Nobody counts: for sessions in tests and simulations."""
