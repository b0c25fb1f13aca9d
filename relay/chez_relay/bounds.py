"""What a relay holds itself to, whoever asks: fixed bounds that no operator needs to tune, each with its reason.

What an operator may tune is in `limits.py`; the limits of the protocol, on which both sides rely, are in
`chez_wire/limits.py`. Sizes and pauses that bound nothing for a client stand where they are used.
"""

from typing import Final

from chez_wire.limits import KIB, MAX_FRAME, MIB

__all__ = (
    "GROUPS_AT_ONCE", "MAX_CACHED_SPACES", "MAX_DROPS", "MAX_FRAGMENTS", "MAX_GROUP", "MAX_GROUP_BYTES", "MAX_HELLO",
    "MAX_PASSING", "MAX_REPLICAS", "MAX_REQUEST", "MAX_SHARDS", "MAX_UNSENT", "MAX_VIEWS", "MAX_VIEW_BYTES",
    "MAX_WAITING_BYTES", "MAX_WAITING_FRAMES", "MOST_AT_REST", "MOST_WAITING", "QUANTUM", "SPARE", "TAKEN", "TURN",
    "WINDOW",
)

# Before there is a websocket

MAX_HELLO: Final = 32 * KIB
"""Bytes that a client may send before both sides agree on TLS. Its part takes two kilobytes; the library would hold
128."""

MAX_REQUEST: Final = 16 * KIB
"""Bytes before there is a websocket: a device's request takes less than one kilobyte, and what a proxy adds is a few
more. The library would hold a megabyte of headers."""

SPARE: Final = 32
"""Connections above the limit that get an answer (HTTP 429) instead of nothing."""

MOST_AT_REST: Final = 4096
"""Accounts of addresses above which those at rest are forgotten at once, a kilobyte each: on one network everybody has
as many addresses as he likes. Where more are not at rest, when they are twice as many again."""

# What one connection may have the relay hold, or do

WINDOW: Final = 2 * MAX_FRAME
"""Load above which a connection waits: one page under way and one being prepared."""

TURN: Final = 64
"""Frames of one client handled before others get their turn: tiny ones come by the thousand in one read."""

TAKEN: Final = 4096
"""Bytes that a client takes at least between two looks, if any wait for it; else it is stalled."""

MAX_FRAGMENTS: Final = 16
"""Websocket fragments of one message. Devices send none, and each takes some two hundred bytes, however small;
newer versions of the library stop at 4096."""

MAX_UNSENT: Final = 4 * MAX_FRAME
"""Bytes that the socket has not taken. The relay itself waits from 32 KiB on; pongs don't, which answer
whoever pings and never reads."""

MAX_WAITING_BYTES: Final = 4 * MAX_FRAME
"""Bytes of frames that may wait behind an Open: a burst, not a way to fill memory. (A shell
that stops reading while `busy` never comes near it.)"""

MAX_WAITING_FRAMES: Final = 4096
"""Frames that may wait behind an Open: small frames cost more memory than their bytes."""

MAX_PASSING: Final = 64 * KIB
"""Bytes of ephemeral messages that wait for one reader: four of the largest, fifty of the smallest. What a reader did
not get to in so many is out of date."""

# What all of them have done together

MAX_GROUP: Final = 1024
"""Requests in one group: bounds how long a commit, and the loop after it, takes."""

MAX_GROUP_BYTES: Final = 8 * MIB
"""Bytes written or read by one group, for the same reason."""

QUANTUM: Final = 16 * KIB
"""Bytes of one address's turn where several wait: ten entries of the usual size. What costs more is paid for by turns
that are passed over."""

GROUPS_AT_ONCE: Final = 32
"""Groups under way at a shared store: what waits for a node that is gone keeps nobody else waiting."""

# What all of them may have a store remember, or a space drop

MAX_CACHED_SPACES: Final = 16_384
"""Spaces remembered between groups, about 1 KB each."""

MAX_VIEWS: Final = 16_384
"""Spaces of a cluster that are remembered, about 1 KB each beside their ids."""

MAX_VIEW_BYTES: Final = 128 * MIB
"""Bytes remembered of all spaces of a cluster beside that: their ids (eight million entries are half of it), where
their blocks are, and what was dropped there."""

MAX_DROPS: Final = 16_384
"""Ranges and chunks that one space of a cluster may have dropped, or wait to be: a block holds them all, and has 1 MiB.
"""

MOST_WAITING: Final = 1024
"""Ephemeral messages that wait for the cluster, or come from it to one space, before more are let go: 16 MiB at most.
"""

# How a store on a cluster may be made

MAX_REPLICAS: Final = 5
"""Nodes that a stream of NATS has at most."""

MAX_SHARDS: Final = 1024
"""Streams of each kind: three thousand are all looked for when the store is opened."""
