"""Ephemeral messages at a relay: who may send one, and what waits for a reader who is slow.

They are passed on to the other subscribers of their space at once and kept nowhere: not in the storage, not in
a log, and for a slow reader only a few of the newest, behind everything else that it is sent.
"""

import hashlib
from collections import deque

from chez_relay.allowances import May
from chez_relay.bounds import MAX_PASSING
from chez_relay.effects import Effect, PassOn
from chez_relay.errors import Code
from chez_relay.replies import fail
from chez_relay.roles import OpenRoles
from chez_wire.ephemeral import SENDER_BYTES, Broadcast, Ephemeral, ephemeral_header
from chez_wire.errors import EnvelopeError
from chez_wire.frames import encode
from chez_wire.login import Role

__all__ = ("Passing", "broadcast", "called")


def called(nonce: bytes, handle: bytes) -> bytes:
    """How a connection, by the nonce that it alone was told, is called at a space: the same name leads nowhere else."""
    return hashlib.blake2b(handle, key=nonce, digest_size=SENDER_BYTES).digest()


def broadcast(frame: Broadcast, roles: OpenRoles, may: May, nonce: bytes) -> list[Effect]:
    """Pass a message on, if its sender may.

    Every member has the role control, a reader too; who only reads a public space has not, and anybody may be that.
    What is beyond the sender's rate is let go without a word, for the next message says more than a refusal.
    """
    if roles.under(frame.handle, Role.CONTROL) is None:
        why = roles.refusal(frame.handle)
        # One whose role ended may not know yet. A ref of 0 is about the connection, which a device ends then.
        return fail(0, why, "a broadcast needs the role control, opened first") if why is Code.ROLE else []
    try:
        header = ephemeral_header(frame.message)
    except EnvelopeError as error:
        return fail(0, Code.BAD_ENTRY, str(error))
    if header.handle != frame.handle:
        return fail(0, Code.BAD_ENTRY, "the message is sealed for another space")
    if not may.broadcast():
        return []
    data = encode(Ephemeral(frame.handle, frame.message, called(nonce, frame.handle)))
    return [PassOn(frame.handle, data, frame.to)]


class Passing:
    """What waits to be passed on to one reader: frames with their spaces, bounded in bytes, the oldest goes first."""

    __slots__ = ("_bytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, name: bytes, data: bytes) -> list[bytes]:
        """Let a frame about a space wait; what had to go for it."""
        self._waiting.append((name, data))
        self._bytes += len(data)
        gone = []
        while self._bytes > MAX_PASSING:
            gone.append(self.take()[1])
        return gone

    def take(self) -> tuple[bytes, bytes]:
        """The oldest frame, which does not wait any more, behind the name of its space."""
        name, data = self._waiting.popleft()
        self._bytes -= len(data)
        return name, data
