"""Where a connection to a relay is, and which frame leads where; `chez_relay.session` tells what each state means."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chez_relay.storage import Found, Refused
from chez_wire.frames import (
    Ack,
    Append,
    Broadcast,
    CreateInbox,
    CreateSpace,
    Credit,
    DeleteSpace,
    Drop,
    GetChunk,
    GetPacket,
    GetUsage,
    HasChunks,
    Hello,
    Keep,
    Meet,
    Open,
    Put,
    PutChunk,
    Read,
    Resume,
    Rotate,
    Subscribe,
    Watch,
)

__all__ = ("TRANSITIONS", "State")


class State(enum.Enum):
    """Where a connection is."""

    __hash__ = object.__hash__  # each is there once; the one that it inherits is Python, and called for every frame

    GREETING = enum.auto()
    MEETING = enum.auto()
    READY = enum.auto()
    OPENING = enum.auto()
    CLOSED = enum.auto()


_REQUESTS = (CreateSpace, Append, Subscribe, Credit, Read, CreateInbox, Put, Watch, Ack, PutChunk, GetChunk, HasChunks,
             Rotate, GetPacket, DeleteSpace, Keep, Drop, Broadcast, GetUsage)

TRANSITIONS: Final[Mapping[State, Mapping[type[Any], State]]] = MappingProxyType({
    # state: {what happens: the state after it}; `Found` is the storage's answer to an Open or a Resume
    State.GREETING: {Hello: State.READY},  # or MEETING
    State.MEETING: {Meet: State.READY},
    State.READY: {Open: State.OPENING, Resume: State.OPENING, **dict.fromkeys(_REQUESTS, State.READY)},
    State.OPENING: {Found: State.READY, Refused: State.READY},
    State.CLOSED: {},
})
