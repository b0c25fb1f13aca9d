"""Prints the golden vectors of the wire: each frame with fixed fields, and bytes that are none, as hexadecimal.

    python tests/vectors/make_frames.py > tests/vectors/frames.json

The file changes only together with the protocol's version.
"""

import json
import sys
from typing import Any, Final

import msgspec

from chez_wire import frames
from chez_wire.chunks import chunk_id
from chez_wire.dropping import drop_hash
from chez_wire.envelope import GENESIS_HEAD, Header, entry_id, fold_head
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

__all__ = ("FRAMES", "SHORTER", "hashes", "vectors")


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
    frames.Early(_id(8), b"envelope"),
)
"""One of each frame, and one more of what has another form."""

SHORTER: Final[dict[str, tuple[list[Any], frames.ClientFrame | frames.RelayFrame]]] = {
    "CreateSpace without a token": (
        [2, 1, _id(2), _id(3), _id(4), _id(5), _id(6), [[_id(21), bytes((21,)) * 256]], _signature(7)],
        frames.CreateSpace(1, _id(2), _id(3), _id(4), _id(5), _id(6), [_packet(21)], _signature(7), "")),
    "Broadcast to all": ([22, _id(8), bytes(140)], frames.Broadcast(_id(8), bytes(140), b"")),
    "Entries without ranges": (
        [37, 4, _id(8), [[18, b"envelope"]], _id(18), 19],
        frames.Entries(4, _id(8), [frames.Entry(18, b"envelope")], _id(18), 19, [])),
    "Failed without a word of retrying": ([39, 3, "quota", "full"], frames.Failed(3, "quota", "full", False)),
}
"""Arrays that leave out the last field, which has a default, and what they mean."""

_HELLO: Final[list[Any]] = [1, [1], _id(1), "relay.example:443"]
_READ: Final[list[Any]] = [7, 5, _id(8), 17, 786_432]

_REFUSED_BY_RELAY: Final[dict[str, Any]] = {
    "an unknown frame": [24, 1],
    "a frame of the relay's": [34, 1],
    "no number": ["Hello", *_HELLO[1:]],
    "an empty array": [],
    "a map": {"versions": [1]},
    "a field too many": [*_HELLO, 0],
    "a field too few": _HELLO[:3],
    "no version": [1, [], *_HELLO[2:]],
    "seventeen versions": [1, [1] * 17, *_HELLO[2:]],
    "a nonce of 31 bytes": [1, [1], bytes(31), _HELLO[3]],
    "a nonce of 33 bytes": [1, [1], bytes(33), _HELLO[3]],
    "text where bytes belong": [1, [1], "1" * 32, _HELLO[3]],
    "bytes where text belongs": [*_HELLO[:3], b"relay.example:443"],
    "a text of 513 characters": [*_HELLO[:3], "x" * 513],
    "a ref of 2^32": [7, 2**32, *_READ[2:]],
    "a ref below 0": [7, -1, *_READ[2:]],
    "a ref that is a fraction": [7, 5.5, *_READ[2:]],
    "an offset above 2^62": [*_READ[:3], 2**62 + 1, _READ[4]],
    "nil for an offset": [*_READ[:3], None, _READ[4]],
    "a limit of 0": [*_READ[:4], 0],
    "a limit above 16 MiB": [*_READ[:4], 16_777_217],
    "a role that is none": [3, 2, [[_id(8), "admin", _signature(9)]]],
    "no claim": [3, 2, []],
    "a signature of 63 bytes": [3, 2, [[_id(8), "read", bytes(63)]]],
    "an inbox for no time": [8, 6, _id(10), _id(11), 0, _signature(12)],
    "an inbox for more than 90 days": [8, 6, _id(10), _id(11), 7_776_001, _signature(12)],
    "an item of no bytes": [9, 7, _id(13), b""],
    "a box of 255 bytes": [2, 1, *[_id(2)] * 5, [[_id(21), bytes(255)]], _signature(7)],
    "a range that begins at 0": [20, 19, *[_id(8)] * 6, [[0, 1, _id(31)]], [], _signature(32), _signature(33)],
    "sixty-three proofs": [21, _id(34), [_id(1)] * 63],
    "a message of 139 bytes": [22, _id(8), bytes(139)],
    "to a sender of 1 byte": [22, _id(8), bytes(140), bytes(1)],
    "to a sender of 15 bytes": [22, _id(8), bytes(140), bytes(15)],
}
_REFUSED_BY_DEVICE: Final[dict[str, Any]] = {
    "an unknown frame": [49, 1],
    "a frame of the device's": _HELLO,
    "a field too many": [34, 1, 0],
    "an entry with a field too many": [37, 4, _id(8), [[18, b"envelope", 0]], _id(18), 19],
    "an entry below 0": [37, 4, _id(8), [[-1, b"envelope"]], _id(18), 19],
    "a range that begins at 0": [37, 4, _id(8), [], _id(18), 19, [[0, 1, _id(18)]]],
    "none kept": [44, 16, 0, _id(31)],
    "a place of 4096": [45, 17, [[4096, 19]], [], _id(32)],
    "a box of 257 bytes": [42, 14, bytes(257)],
    "a sender of 15 bytes": [47, _id(8), bytes(140), bytes(15)],
    "a number where a boolean belongs": [41, 12, [1], _id(35)],
}
_NO_MESSAGEPACK: Final = {
    "an empty message": b"",
    "a byte too many": msgspec.msgpack.encode(_HELLO) + b"\0",
    "a byte too few": msgspec.msgpack.encode(_HELLO)[:-1],
    "an array longer than its message": b"\xdd\xff\xff\xff\xff",
    "text that is not UTF-8": msgspec.msgpack.encode([*_HELLO[:3], "xx"])[:-2] + b"\xff\xfe",
}
"""For no reader, here with what a relay would take."""


def hashes() -> dict[str, str]:
    """The names and signed messages of the protocol, for fixed inputs."""
    greeting = ("relay.example:443", _id(1), _id(14))
    keys = (_id(2), _id(3), _id(4), _id(5), _id(6))
    packets = packets_hash([_packet(21), _packet(26)])
    drop = drop_hash(_id(34), _id(35), [frames.Dropped(1, 16, _id(29)), frames.Dropped(18, 18, _id(18))], [_id(19)])
    messages = {
        "login_message": login_message(*greeting, _id(8), Role.READ),
        "create_inbox_message": create_message(*greeting, "inbox", _id(10), _id(11), (86_400).to_bytes(8, "big")),
        "create_message": create_message(*greeting, "space", *keys, packets_hash([_packet(21)])),
        "rotate_message": rotate_message(*greeting, 13, _id(8), _id(4), _id(22), _id(23), _id(24), _id(25), packets),
        "delete_message": delete_message(*greeting, 15, _id(8)),
        "resume_message": resume_message(*greeting, _id(29)),
        "drop_message": drop_message(*greeting, 16, _id(8), _id(15), drop),
        "vouch_message": vouch_message(_id(8), _id(15), drop),
    }
    envelope = Header(_id(8), _id(36), _id(37), bytes((38,)) * 24).encode() + bytes((39,)) * 900
    first = fold_head(GENESIS_HEAD, entry_id(envelope))
    return {"envelope": envelope.hex(), "entry_id": entry_id(envelope).hex(), "fold_head": first.hex(),
            "fold_head_again": fold_head(first, entry_id(envelope)).hex(), "drop_hash": drop.hex(),
            "handle_of": handle_of(_id(2)).hex(), "inbox_of": inbox_of(_id(10)).hex(),
            "chunk_id": chunk_id(b"chunk").hex(), "packets_hash": packets.hex(),
            "kept_digest": kept_digest([_id(8), _id(9), _id(10)]).hex(),
            "resumed_digest": resumed_digest([(_id(9), 17, _id(16)), (_id(10), 0, bytes(32))]).hex(),
            "channel_of": channel_of(b"certificate").hex(),
            **{f"meeting_proof_{side}": meeting_proof(_id(35), side, *greeting, channel_of(b"certificate")).hex()
               for side in Side},
            **{name: message.hex() for name, message in messages.items()}}


def vectors() -> dict[str, dict[str, str]]:
    """All vectors by kind and name."""
    named = {name: frames.encode(frame).hex() for name, frame in _named()}
    encode = msgspec.msgpack.encode
    return {"frames": named, "shorter": {name: encode(array).hex() for name, (array, _) in SHORTER.items()},
            "messages": hashes(),
            "refused by a relay": {name: encode(array).hex() for name, array in _REFUSED_BY_RELAY.items()}
            | {name: data.hex() for name, data in _NO_MESSAGEPACK.items()},
            "refused by a device": {name: encode(array).hex() for name, array in _REFUSED_BY_DEVICE.items()}}


def _named() -> list[tuple[str, frames.ClientFrame | frames.RelayFrame]]:
    """Each frame with its name; one more of a kind has a number as well."""
    names = [type(frame).__name__ for frame in FRAMES]
    seen = [names[:place].count(name) for place, name in enumerate(names)]
    return [(f"{name} {before + 1}" if before else name, frame)
            for name, before, frame in zip(names, seen, FRAMES, strict=True)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
