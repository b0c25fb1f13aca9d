"""What a session asks of the shell that drives it.

Those made for each entry are Structs, which are made five times as fast as frozen dataclasses and are nothing for the
garbage collector to look through.
"""

from dataclasses import dataclass, field

import msgspec

from chez_relay.errors import Code
from chez_relay.storage import PAGES, Request

__all__ = ("Ask", "Close", "Effect", "Follow", "PassOn", "Send")


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send one frame."""

    data: bytes

    def __repr__(self) -> str:
        return f"Send({len(self.data)} bytes)"


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Perform `request` on the storage and hand the result to `RelaySession.completed`.

    `push` marks a page that no frame asked for just now: the shell may hold it back
    while the connection has unsent bytes, and should.
    """

    ticket: int
    request: Request
    push: bool = False

    @property
    def pages(self) -> bool:
        """Whether the answer is a page, up to a frame in size."""
        return isinstance(self.request, PAGES)


@dataclass(frozen=True, slots=True)
class Follow:
    """From now on tell this session of the space or inbox (`grew`, `inbox_grew`, `rotated`)."""

    name: bytes


@dataclass(frozen=True, slots=True)
class PassOn:
    """Give a frame to the other sessions that follow a space and `hear` of it, as far as they keep up.

    With `to`, to the one that is called so there (`ephemeral.called`).
    """

    name: bytes
    data: bytes = field(repr=False)
    to: bytes = b""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with a websocket close code (RFC 6455, 7.4.1) after what was sent.

    `why` is what the client did, where it ends by that; the shell counts it.
    """

    code: int
    reason: str
    why: Code | None = None


Effect = Send | Ask | Follow | PassOn | Close
