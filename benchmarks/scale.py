"""How many machines ten million devices need: a model on paper, its constants measured, its shape simulated.

`python -m benchmarks.scale --json RESULTS > docs/scale.md` writes the page from the results of `python -m
benchmarks --json RESULTS`. The constants are those of the machine that measured them; the simulations take
none of the model's formulas: one plays a relay that commits in groups, request by request, the other plays
every client of a relay process that dies, with the pauses that devices really make (`chez.sync.patience`).
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import click
import msgspec

from benchmarks.harness import Results
from benchmarks.numbers import number
from chez.sync.patience import Backoff

__all__ = ("Costs", "Need", "World", "commits", "group_model", "herd", "main", "need", "page")

MOST_IN_GROUP: Final = 1024
"""As `chez_relay.committer` has it."""

PING_SECONDS: Final = 20
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class World:
    """Who uses it, and how much. Rates are for each device."""

    devices: int = 10_000_000
    online: float = 0.3
    """Part of the devices that are connected at the busiest hour."""
    entries_a_day: float = 60
    peak: float = 3
    """How many times the mean the busiest minute has."""
    followers: float = 2.5
    """Other devices of the space that are connected when an entry comes."""
    entry_bytes: int = 1_300
    """A sealed entry: the padding's floor of 1 KiB, header and signature."""
    busy: float = 0.5
    """How much of a processor may be used at the peak."""
    grace_days: float = 7
    """How long entries stay after a checkpoint covers them."""
    failing: int = 1
    """Relay processes of which any may be gone without the others being too few."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: see docs/benchmarks.md for each."""

    append: float
    """Appends a second by one relay process on SQLite: one processor of it, and some of another."""
    append_cluster: float
    """The same through one relay over a cluster of three nodes, all on one machine of two processors."""
    deliver: float
    """Entries pushed to followers a second."""
    echo: float
    """Messages a second through a bare websocket server: what a ping costs at most."""
    connection_kb: float
    fdatasync: float
    """Seconds."""

    @classmethod
    def read(cls, results: Results) -> "Costs":
        """From results that have these figures. Raises `KeyError` for one that is missing."""
        figures = results.figures
        return cls(figures["relay.append"].value, figures["relay.append_cluster"].value,
                   figures["relay.fanout"].value, median(figures["relay.append"].peers["echo"]),
                   figures["relay.idle_memory"].value, results.machine["fdatasync_us"] / 1e6)


@dataclass(frozen=True, slots=True)
class Need:
    """What a world takes at its busiest."""

    connections: float
    appends: float
    deliveries: float
    pings: float
    cores: float
    """Processors that relay processes need, each of which uses one."""
    processes: int
    memory_gb: float
    """Of all relay processes, for connections alone."""
    clusters: int
    """JetStream clusters of three nodes, each as fast as the one that was measured on two processors."""
    stored_tb: float
    """Entries that wait for the end of their grace, three times."""


def need(world: World, costs: Costs) -> Need:
    """The model: rates times what each thing costs."""
    connections = world.devices * world.online
    appends = world.devices * world.entries_a_day / DAY * world.peak
    deliveries = appends * world.followers
    pings = connections / PING_SECONDS
    cores = (appends / costs.append + deliveries / costs.deliver + pings / costs.echo) / world.busy
    processes = math.ceil(cores) + world.failing
    stored = world.devices * world.entries_a_day * world.grace_days * world.entry_bytes * 3
    return Need(connections, appends, deliveries, pings, cores, processes, connections * costs.connection_kb / 1e6,
                math.ceil(appends / costs.append_cluster / world.busy), stored / 1e12)


# --- the shape: a relay that commits in groups -------------------------------------------------


def group_model(rate: float, fsync: float, each: float) -> tuple[float, float]:
    """The mean size of a group, and the mean seconds from asking until durable, when `rate` come a second.

    A group takes `fsync + size * each`, and the next one is who came meanwhile: size = rate * (fsync + size *
    each). Who comes waits for half a group and then for its own.
    """
    size = max(1.0, rate * fsync / (1 - rate * each))
    return size, 1.5 * (fsync + size * each) if size > 1 else fsync + each


def commits(rate: float, fsync: float, each: float, count: int, random: Random) -> tuple[float, float]:
    """The same, played: `count` requests at random times, each in the group that begins when the one before ends."""
    due, now = deque[float](), 0.0
    for _ in range(count):
        now += random.expovariate(rate)
        due.append(now)
    free, groups, waited = 0.0, 0, 0.0
    while due:
        begin = max(free, due[0])
        group = []
        while due and due[0] <= begin and len(group) < MOST_IN_GROUP:
            group.append(due.popleft())
        free = begin + fsync + len(group) * each
        groups += 1
        waited += sum([free - one for one in group])
    return count / groups, waited / count


# --- the shape: everybody comes again ----------------------------------------------------------


def herd(clients: int, logins: float, random: Random) -> tuple[float, float]:
    """Seconds until all clients of a relay that died are in at those that are left, which take `logins` a second.

    Who comes when the second's logins are taken is turned away, and tries after its next pause. Returns the time,
    and how often a client tried.
    """
    backoffs = [Backoff() for _ in range(clients)]
    coming = [(backoff.pause(60.0, random.random()), n) for n, backoff in enumerate(backoffs)]
    heapq.heapify(coming)
    second, taken, tries, last = 0, 0.0, 0, 0.0
    while coming:
        now, n = heapq.heappop(coming)
        tries += 1
        if int(now) != second:
            second, taken = int(now), 0.0
        if taken < logins:
            taken, last = taken + 1, now
        else:
            heapq.heappush(coming, (now + backoffs[n].pause(0.0, random.random()), n))
    return last, tries / clients


# --- the page ----------------------------------------------------------------------------------


def page(results: Results) -> str:
    """docs/scale.md."""
    world, costs = World(), Costs.read(results)
    found = need(world, costs)
    lines = [
        "# Ten million devices",
        "",
        "Generated by `python -m benchmarks.scale --json FILE` from the results of `python -m benchmarks --json FILE`.",
        "A model on paper: no ten million devices were there. Its constants were measured on one machine of two",
        "processors, where the load took its share of them ([benchmarks.md](benchmarks.md)); its shape is",
        "held against a simulation below, and in tests/benchmarks/test_scale.py.",
        "",
        "## What is assumed, and what was measured",
        "",
        "| | |",
        "|---|---:|",
        f"| devices | {world.devices:,} |",
        f"| connected at the busiest hour | {world.online:.0%} |",
        f"| entries of a device in a day | {number(world.entries_a_day)} |",
        f"| busiest minute, over the mean | {number(world.peak)} |",
        f"| other devices that are connected when an entry comes | {number(world.followers)} |",
        f"| bytes of an entry | {world.entry_bytes:,} |",
        f"| processors are used at the peak to | {world.busy:.0%} |",
        f"| entries stay after a checkpoint for | {number(world.grace_days)} days |",
        f"| measured: appends of one relay process (SQLite) | {number(costs.append)}/s |",
        f"| measured: appends by a relay and three nodes, all on that machine | {number(costs.append_cluster)}/s |",
        f"| measured: entries delivered | {number(costs.deliver)}/s |",
        f"| measured: messages of a bare websocket server (a ping every {PING_SECONDS} s) | {number(costs.echo)}/s |",
        f"| measured: memory of a connection | {number(costs.connection_kb)} KB |",
        "",
        "## What follows",
        "",
        "| at the busiest minute | |",
        "|---|---:|",
        f"| connections | {found.connections:,.0f} |",
        f"| appends | {number(found.appends)}/s |",
        f"| deliveries | {number(found.deliveries)}/s |",
        f"| pings | {number(found.pings)}/s |",
        f"| processors for relays | {number(found.cores)} |",
        f"| relay processes, {world.failing} of which may fail | {found.processes} |",
        f"| memory for connections, all processes together | {number(found.memory_gb)} GB |",
        f"| JetStream clusters of three small nodes | {found.clusters} |",
        f"| entries within their grace, three times on disk | {number(found.stored_tb)} TB |",
        "",
        "Not modelled: attachments (their bytes are the operator's discs and lines, not the relays' processors),",
        "TLS in the relay's process (put it in front), what checkpoints leave (the size of people's data). A relay",
        "uses one cluster, so each cluster is a relay address of its own; spaces are spread by the address that they",
        "are made at.",
        "",
        *_shape(costs),
    ]
    return "\n".join(lines) + "\n"


def _shape(costs: Costs) -> list[str]:
    each, random = 1 / costs.append, Random(1)
    lines = [
        "## The shape: commits in groups",
        "",
        "A relay writes all that came during the last fsync together. Model: a group has rate × fsync / (1 − rate ×",
        "cost of one) requests, and who asks waits for half a group and then its own. Simulated, request by",
        f"request, with {number(costs.fdatasync * 1e6)} µs for an fsync and {number(each * 1e6)} µs for one request:",
        "",
        "| load | group, model | group, simulated | ms until durable, model | simulated |",
        "|---:|---:|---:|---:|---:|",
    ]
    for load in (0.25, 0.5, 0.8, 0.95):
        rate = load * costs.append
        size, wait = group_model(rate, costs.fdatasync, each)
        played, waited = commits(rate, costs.fdatasync, each, 50_000, random)
        row = (size, played, wait * 1e3, waited * 1e3)
        lines.append(f"| {load:.0%} | {' | '.join(map(number, row))} |")
    lines += [
        "",
        "## The shape: everybody comes again",
        "",
        "A relay process dies, and its clients dial those that are left, which let so many in a second and turn the",
        "others away. Each client makes the pauses that devices make. The least time is clients over logins:",
        "",
        "| clients | logins a second | least, s | simulated, s | tries of a client |",
        "|---:|---:|---:|---:|---:|",
    ]
    for clients, logins in ((20_000, 2_000), (100_000, 2_000), (100_000, 10_000)):
        took, tries = herd(clients, logins, random)
        lines.append(f"| {clients:,} | {logins:,} | {number(clients / logins)} | {number(took)} | {number(tries)} |")
    return lines


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(file: Path) -> None:
    """Print docs/scale.md from the results of a session."""
    try:
        print(page(msgspec.json.decode(file.read_bytes(), type=Results)), end="")
    except KeyError as error:
        raise click.ClickException(f"the results have no figure {error}") from None


if __name__ == "__main__":
    main()
