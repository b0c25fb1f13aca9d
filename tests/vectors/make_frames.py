"""Prints the golden vectors of the wire: each frame with fixed fields, as hexadecimal.

    python tests/vectors/make_frames.py > tests/vectors/frames.json

The file changes only together with the protocol's version.
"""

import json
import sys

from chez_wire import frames
from chez_wire.chunks import chunk_id
from chez_wire.dropping import drop_hash
from chez_wire.kept import kept_digest, resumed_digest
from chez_wire.login import (
    Role,
    create_message,
    delete_message,
    drop_message,
    handle_of,
    inbox_of,
    login_message,
    resume_message,
    rotate_message,
    vouch_message,
)
from chez_wire.meeting import LEAST_PROOFS, Side, channel_of, meeting_proof
from chez_wire.packets import packets_hash

__all__ = ("FRAMES", "hashes", "vectors")


def _id(number: int) -> bytes:
    return bytes((number,)) * 32


def _signature(number: int) -> bytes:
    return bytes((number,)) * 64


def _packet(number: int) -> frames.SealedPacket:
    return frames.SealedPacket(_id(number), bytes((number,)) * 256)


FRAMES: tuple[frames.ClientFrame | frames.RelayFrame, ...] = (
    frames.Hello([1], _id(1), "relay.example:443"),
    frames.CreateSpace(1, _id(2), _id(3), _id(4), _id(5), _id(6), [_packet(21)], _signature(7), "token"),
    frames.Open(2, [frames.Claim(_id(8), Role.READ, _signature(9)),
                    frames.Claim(_id(8), Role.APPEND, _signature(9))]),
    frames.Append(3, _id(8), Role.APPEND, b"envelope"),
    frames.Subscribe(4, _id(8), 17, 2_097_152),
    frames.Credit(_id(8), 65_536),
    frames.Read(5, _id(8), 17, 786_432),
    frames.CreateInbox(6, _id(10), _id(11), 86_400, _signature(12)),
    frames.Put(7, _id(13), b"item"),
    frames.Watch(8, _id(13), 0),
    frames.Ack(9, _id(13), 3),
    frames.PutChunk(10, _id(8), b"chunk"),
    frames.GetChunk(11, _id(8), _id(19)),
    frames.HasChunks(12, _id(8), [_id(19), _id(20)]),
    frames.Rotate(13, _id(8), _id(2), _id(4), _id(22), _id(23), _id(24), _id(25), [_packet(21), _packet(26)],
                  _signature(27)),
    frames.GetPacket(14, _id(8), _id(21)),
    frames.DeleteSpace(15, _id(8), _id(22), _signature(28)),
    frames.Keep(16, _id(29)),
    frames.Resume(17, _id(29), _signature(30), 18, 65_536, [17, None, 300]),
    frames.Drop(19, _id(8), _id(22), _id(25), _id(15), _id(34), _id(35),
                [frames.Dropped(1, 16, _id(31)), frames.Dropped(18, 18, _id(18))], [_id(19)],
                _signature(32), _signature(33)),
    frames.Meet(_id(34), [_id(number) for number in range(LEAST_PROOFS)]),
    frames.Broadcast(_id(8), bytes(140), bytes(16)),
    frames.GetUsage(20, _id(8)),
    frames.Welcome(1, _id(14), _id(15)),
    frames.Done(1),
    frames.Opened(2, [frames.OpenedSpace(_id(8), Role.READ, "", 17, _id(16)),
                      frames.OpenedSpace(_id(8), Role.APPEND, "denied", 0, _id(0))]),
    frames.Appended(3, _id(8), _id(17), 18, _id(18), 4),
    frames.Entries(4, _id(8), [frames.Entry(18, b"envelope")], _id(18), 19),
    frames.Entries(4, _id(8), [frames.Entry(17, b"envelope")], _id(18), 19,
                   [frames.Dropped(1, 16, _id(29)), frames.Dropped(18, 18, _id(18))]),
    frames.InboxItems(8, _id(13), [frames.InboxItem(1, b"item")]),
    frames.Failed(3, "quota", "the space is full", False),
    frames.Chunk(11, b"chunk"),
    frames.ChunksHeld(12, [True, False], _id(35)),
    frames.Packet(14, bytes((21,)) * 256),
    frames.Ended(_id(8), "rotated"),
    frames.Kept(16, 3, _id(31)),
    frames.Resumed(17, [frames.Ahead(0, 19)], [frames.Lost(2, "rotated")], _id(32)),
    frames.Met(_id(15), [_id(number) for number in range(LEAST_PROOFS)]),
    frames.Ephemeral(_id(8), bytes(140), bytes(16)),
    frames.Usage(20, frames.Used(4096, 2**30), frames.Used(0, 8 * 2**20), frames.Used(600_000, 2**34)),
)
"""One of each frame."""


def hashes() -> dict[str, str]:
    """The names and signed messages of the protocol, for fixed inputs."""
    greeting = ("relay.example:443", _id(1), _id(14))
    keys = (_id(2), _id(3), _id(4), _id(5), _id(6))
    packets = packets_hash([_packet(21), _packet(26)])
    drop = drop_hash(_id(34), _id(35), [frames.Dropped(1, 16, _id(29)), frames.Dropped(18, 18, _id(18))], [_id(19)])
    messages = {
        "login_message": login_message(*greeting, _id(8), Role.READ),
        "create_message": create_message(*greeting, "space", *keys, packets_hash([_packet(21)])),
        "rotate_message": rotate_message(*greeting, 13, _id(8), _id(4), _id(22), _id(23), _id(24), _id(25), packets),
        "delete_message": delete_message(*greeting, 15, _id(8)),
        "resume_message": resume_message(*greeting, _id(29)),
        "drop_message": drop_message(*greeting, 16, _id(8), _id(15), drop),
        "vouch_message": vouch_message(_id(8), _id(15), drop),
    }
    return {"handle_of": handle_of(_id(2)).hex(), "inbox_of": inbox_of(_id(10)).hex(),
            "chunk_id": chunk_id(b"chunk").hex(), "packets_hash": packets.hex(),
            "kept_digest": kept_digest([_id(8), _id(9), _id(10)]).hex(),
            "resumed_digest": resumed_digest([(_id(9), 17, _id(16)), (_id(10), 0, bytes(32))]).hex(),
            "channel_of": channel_of(b"certificate").hex(),
            **{f"meeting_proof_{side}": meeting_proof(_id(35), side, *greeting, channel_of(b"certificate")).hex()
               for side in Side},
            **{name: message.hex() for name, message in messages.items()}}


def vectors() -> dict[str, dict[str, str]]:
    """All vectors by kind and name."""
    return {"frames": {type(frame).__name__: frames.encode(frame).hex() for frame in FRAMES},
            "messages": hashes()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
