"""What an operator may tune of a running relay, each with its reason; times are in seconds.

The limits of the protocol itself, which no operator changes, are in `chez_wire/limits.py`; what one
space or inbox may hold is `storage.Quotas`.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from chez_wire.limits import MIB

__all__ = ("SPARE_FILES", "Limits", "connections_by", "reasons")

SPARE_FILES: Final = 64
"""File descriptors beside those of connections: the store, the log, listeners, and who hears that it is one too many.
"""


def connections_by(files: int) -> int:
    """How many connections are taken where the system allows so many files."""
    return max(files - SPARE_FILES, 1)


def _limit(default: Any, why: str) -> Any:
    return field(default=default, metadata={"why": why})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a relay does for all, for one address and for one connection."""

    connections: int = _limit(
        20_000, "Connections at a time: about 15 KB each (50 with TLS), and a file descriptor; fewer where the system "
                "allows fewer files.")
    connections_per_address: int = _limit(
        1_000, "Connections of one address at a time, from its first byte on: many devices can be behind one.")
    dials_burst_per_address: float = _limit(
        2000.0, "New connections of one address at once: everybody behind it comes back after a cut.")
    dials_rate_per_address: float = _limit(50.0, "New connections of one address each second after that.")
    places_per_address: int = _limit(
        65_536, "Spaces and inboxes that all connections of one address hold open: about 1 KB each, and on a cluster "
        "13 for each that is followed.")
    logins_burst_per_address: float = _limit(
        262_144.0, "Roles that connections of one address prove at once: a few at each place that it may hold open. "
        "What is signed by itself, as a rotation is, counts as one.")
    logins_rate_per_address: float = _limit(
        4096.0, "Roles proven from one address each second after that: some sixty microseconds each, right or wrong.")
    memory: int = _limit(
        1024 * MIB, "Bytes held for all connections: what they sent and wait for. Above, the largest are let go.")
    memory_per_address: int = _limit(
        256 * MIB, "Bytes held for all connections of one address, so that one can't use up what all have.")
    spaces_burst_per_address: float = _limit(4096.0, "Spaces made from one address at once: a home can move.")
    spaces_rate_per_address: float = _limit(1.0, "Spaces made from one address each second after that.")
    inboxes_burst_per_address: float = _limit(4096.0, "Inboxes made or renewed from one address at once.")
    inboxes_rate_per_address: float = _limit(4.0, "Inboxes made or renewed from one address each second after that.")
    packets_burst: float = _limit(
        4096.0, "Packets asked for on one connection, which needs no role, at once: a device with thousands of spaces.")
    packets_rate: float = _limit(16.0, "Packets asked for on one connection each second after that.")
    packets_burst_per_address: float = _limit(16_384.0, "Packets asked for from one address at once.")
    packets_rate_per_address: float = _limit(64.0, "Packets asked for from one address each second after that.")
    ephemeral_burst: float = _limit(256.0, "Ephemeral messages of one connection at once: presence in many spaces.")
    ephemeral_rate: float = _limit(
        64.0, "Ephemeral messages of one connection each second after that: half as many show a pointer well. What is "
        "beyond is let go, for each is sent to all who read the space.")
    ephemeral_burst_per_address: float = _limit(4096.0, "Ephemeral messages from one address at once.")
    ephemeral_rate_per_address: float = _limit(
        1024.0, "Ephemeral messages from one address each second after that: sixteen that show all they can.")
    puts_burst_per_inbox: float = _limit(
        2048.0, "Items put into one inbox at once, by all who have its key: as many as wait in two.")
    puts_rate_per_inbox: float = _limit(
        64.0, "Items put into one inbox each second after that: who refills it keeps its owner busy no more than so.")
    puts_burst_per_inbox_and_address: float = _limit(
        1024.0, "Items of these from one address at once: whoever is one of many that have the key, as of an inbox for "
        "acknowledgements, keeps the others out by no more than half.")
    puts_rate_per_inbox_and_address: float = _limit(32.0, "Items of these from one address each second after that.")
    kept_bytes: int = _limit(64 * MIB, "Bytes kept of connections that ended and may be taken up again.")
    kept_bytes_per_address: int = _limit(8 * MIB, "Bytes of these that connections of one address may leave.")
    kept_burst_per_address: float = _limit(
        131_072.0, "Spaces that connections of one address have kept, or take up, at once: each that it may hold open, "
        "both ways.")
    kept_rate_per_address: float = _limit(
        8192.0, "Spaces kept or taken up from one address each second after that: some ten microseconds each, of which "
        "a frame of forty bytes asks for thousands.")
    kept_seconds: float = _limit(24 * 3600.0, "What is kept of an ended connection is forgotten after this.")
    hello: float = _limit(10.0, "For TLS and the websocket's handshake, and then for Hello: one round trip.")
    frame: float = _limit(120.0, "For one frame, from its first byte to its last: 1 MiB at 9 KB a second.")
    stall: float = _limit(60.0, "A client that takes nothing of what waits for it is let go after this.")
    ping_interval: float = _limit(
        300.0, "Between two pings of the relay's own, for connections whose device is gone: a device asks by itself, "
        "as often as its path needs (docs/connections.md), and this is above its longest silence.")
    ping_timeout: float = _limit(20.0, "For the answer to a ping: a connection that is open on one side only ends.")
    expiry_interval: float = _limit(60.0, "Between two looks for what has expired.")
    drain: float = _limit(5.0, "For a client to answer the end of its connection, and to take what is left for it.")


def reasons() -> dict[str, str]:
    """Each limit's reason, by its name."""
    return {one.name: one.metadata["why"] for one in fields(Limits)}
