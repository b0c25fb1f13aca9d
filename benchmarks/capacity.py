"""The model on paper of docs/scale.md: what a world of devices takes, from what each thing costs.

`need` multiplies rates by costs. `benchmarks.played` plays the same world event by event and takes none of this
module's formulas; the page and tests/benchmarks/test_scale.py hold one against the other.
"""

import math
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.harness import Results
from chez.sync.pulse import Pulse
from chez_relay.limits import Limits

__all__ = ("BLOCK_BYTES", "FIGURES", "PROCESS_CONNECTIONS", "Costs", "Need", "World", "need", "pings", "waiting")

BLOCK_BYTES: Final = 330
"""State in the block of a lone entry: docs/decisions/0026."""

PROCESS_CONNECTIONS: Final = Limits().connections
"""As a relay takes them if its operator says nothing (`limits.connections`)."""

DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class World:
    """Who uses it, and how much. Rates are for each device."""

    devices: int = 10_000_000
    online: float = 0.3
    """Part of the devices that are connected at the busiest hour. They write all that is written then."""
    spaces: int = 3
    """Spaces that a connection follows, all at one address."""
    entries_a_day: float = 60
    peak: float = 3
    """How many times the mean the busiest minute has."""
    followers: float = 2.5
    """Other devices of the space that are connected when an entry comes."""
    entry_bytes: int = 1_300
    """A sealed entry: the padding's floor of 1 KiB, header and signature."""
    stood: float = 3_600
    """Seconds that a connection stands. Its first silences are the short ones (`chez.sync.pulse`)."""
    busy: float = 0.5
    """How much of a processor, and of a cluster's rate, may be used at the peak."""
    grace_days: float = 7
    """How long entries stay after a checkpoint covers them."""
    failing: int = 1
    """Relay processes of each cluster of which any may be gone without the others being too few."""

    @property
    def connections(self) -> float:
        """At the busiest hour."""
        return self.devices * self.online

    @property
    def appends(self) -> float:
        """A second, in the busiest minute."""
        return self.devices * self.entries_a_day / DAY * self.peak


FIGURES: Final = ("relay.append", "relay.append_lone", "relay.append_lone_used", "relay.append_cluster_lone",
                  "relay.append_cluster_lone_used", "relay.append_cluster_nodes_used",
                  "relay.fanout_cluster_lone_used", "relay.login_used", "relay.idle_memory_tls",
                  "relay.followed_memory_cluster")
"""What the model reads: see docs/benchmarks.md for each."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured; times in seconds, those of a relay's process as time of a processor."""

    together: float
    """Appends a second by one relay on SQLite that come together: the shape of commits in groups is played with it."""
    lone: float
    """Appends a second by one relay on SQLite, each alone in its space. No part of the model, which has clusters."""
    cluster: float
    """The same over a cluster of three nodes: relay, nodes and load on one machine of two processors."""
    append: float
    """A relay's, for a lone entry over a cluster."""
    nodes: float
    """The three nodes', for the same entry."""
    deliver: float
    """A relay's, for a push of one entry to one follower, where the entry came to another relay."""
    ping: float
    """A bare websocket server's for a message that it sends back: what a ping costs at most."""
    login: float
    """A relay's, for a connection with three spaces."""
    connection_kb: float
    """With TLS, the first of its spaces included as far as SQLite has it."""
    space_kb: float
    """A space that is followed, over a cluster."""
    fdatasync: float

    @classmethod
    def read(cls, results: Results) -> "Costs":
        """From results that have these figures. Raises `KeyError` for one that is missing."""
        found = {name: results.figures[name] for name in FIGURES}
        value = {name: figure.value for name, figure in found.items()}
        return cls(
            together=value["relay.append"], lone=value["relay.append_lone"],
            cluster=value["relay.append_cluster_lone"], append=value["relay.append_cluster_lone_used"] / 1e6,
            nodes=value["relay.append_cluster_nodes_used"] / 1e6,
            deliver=value["relay.fanout_cluster_lone_used"] / 1e6,
            ping=median(found["relay.append_lone_used"].peers["echo"]) / 1e6, login=value["relay.login_used"] / 1e6,
            connection_kb=value["relay.idle_memory_tls"], space_kb=value["relay.followed_memory_cluster"],
            fdatasync=results.machine["fdatasync_us"] / 1e6)


@dataclass(frozen=True, slots=True)
class Need:
    """What a world takes at its busiest."""

    connections: float
    appends: float
    deliveries: float
    pings: float
    cores: float
    """Processors that relay processes need, each of which uses one."""
    clusters: int
    """JetStream clusters of three nodes, each as fast as the one that was measured."""
    each: int
    """Relay processes of a cluster."""
    processes: int
    process_gb: float
    """Memory of a relay process that has as many connections as it takes."""
    memory_gb: float
    """Of all connections."""
    stored_tb: float
    """Entries that wait for the end of their grace, three times."""
    relay_wait: float
    """Mean seconds that an entry waits for its relay's processor where that is used as much as it may be, and has all
    followers as well."""
    cluster_wait: float
    """The same before a cluster, where each has its share."""


def need(world: World, costs: Costs) -> Need:
    """The model: rates times what each thing costs."""
    connections, appends = world.connections, world.appends
    deliveries = appends * world.followers
    # A connection hears of its own entries, which are acknowledged, and of those that are pushed to it.
    asked = connections * pings(world.stood, (appends + deliveries) / connections)
    work = appends * costs.append + deliveries * costs.deliver + asked * costs.ping
    cores, clusters = work / world.busy, math.ceil(appends / costs.cluster / world.busy)
    each = max(math.ceil(cores / clusters), math.ceil(connections / clusters / PROCESS_CONNECTIONS)) + world.failing
    kilobytes = costs.connection_kb + world.spaces * costs.space_kb
    stored = world.devices * world.entries_a_day * world.grace_days * (world.entry_bytes + BLOCK_BYTES) * 3
    # What an entry has for the followers of one process is one piece of work.
    pieces = ((appends, costs.append), (appends, world.followers * costs.deliver), (asked, costs.ping))
    return Need(connections, appends, deliveries, asked, cores, clusters, each, clusters * each,
                PROCESS_CONNECTIONS * kilobytes / 1e6, connections * kilobytes / 1e6, stored / 1e12,
                waiting([(rate / cores, cost) for rate, cost in pieces]),
                waiting([(appends / clusters, 1 / costs.cluster)]))


def waiting(pieces: list[tuple[float, float]]) -> float:
    """Mean seconds that work waits for who does one piece after the other; so many of each come a second, at random.

    The formula of Pollaczek and Khinchine: what is under way, and who is before.
    """
    used = sum(rate * cost for rate, cost in pieces)
    return sum(rate * cost * cost for rate, cost in pieces) / 2 / (1 - used)


def pings(stood: float, heard: float) -> float:
    """Pings a second of a connection that stands for so many seconds and hears something so many times a second.

    Only after a silence is one sent, and each makes the next silence longer. At random times a silence of T
    seconds takes (e^(heard T) - 1) / heard to come.
    """
    pulse, left, count = Pulse(), stood, 0
    while True:
        silence = pulse.pause(0.5)
        takes = math.expm1(heard * silence) / heard if heard else silence
        if takes > left:
            return (count + left / takes) / stood
        left -= takes
        pulse.answered()
        count += 1
