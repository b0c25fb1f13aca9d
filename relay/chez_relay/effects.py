"""What a session asks of the shell that drives it."""

from dataclasses import dataclass, field

from chez_relay.storage import ReadChunk, ReadItems, ReadPage, Request

__all__ = ("Ask", "Close", "Effect", "Follow", "PassOn", "Send")


@dataclass(frozen=True, slots=True)
class Send:
    """Send one frame."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
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
        return isinstance(self.request, ReadPage | ReadItems | ReadChunk)


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
    """Close the connection with a websocket close code (RFC 6455, 7.4.1) after what was sent."""

    code: int
    reason: str


Effect = Send | Ask | Follow | PassOn | Close
