"""How many machines ten million devices need: a model on paper, its constants measured, its shape simulated.

`python -m benchmarks.scale --json RESULTS > docs/scale.md` writes the page from the results of `python -m
benchmarks --json RESULTS`. The model is `benchmarks.capacity`. Simulations that take none of its formulas stand
beside it: one plays a part of the world (`benchmarks.played`), one a relay that commits in groups, request by
request, one every client of relay processes that die, with the pauses that devices really make
(`chez.sync.patience`).
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

import click
import msgspec

from benchmarks.capacity import BLOCK_BYTES, PROCESS_CONNECTIONS, Costs, Need, World, need
from benchmarks.harness import Results
from benchmarks.numbers import number
from benchmarks.played import play, seat
from chez.sync.patience import Backoff

__all__ = ("PART", "Side", "commits", "fewest", "group_model", "herd", "main", "page", "sides")

MOST_IN_GROUP: Final = 1024
"""As `chez_relay.bounds` has it."""

SECONDS: Final = 30
"""Of the busiest minute, that are played."""

NEAR: Final = 0.05
"""How far rates and processors may part."""

NEAR_PINGS: Final = 0.2
"""How far pings may part, which cost next to nothing together: the model takes the mean of each silence for it."""

NEAR_WAIT: Final = 0.25
"""How far mean waits may part."""

P99: Final = 12
"""How many times the model's mean wait the longest hundredth begins at, at most."""


PART: Final = " (they part)"


# --- the shape: the world itself --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """One number of the model, beside the one that was simulated, and how far they may part."""

    what: str
    model: float
    simulated: float
    margin: float

    @property
    def holds(self) -> bool:
        """Whether they are as near as that."""
        return abs(self.simulated - self.model) <= self.margin * self.model


def sides(world: World, costs: Costs, random: Random) -> list[Side]:
    """The model beside two plays: a whole cluster with its relay processes, and one process at its half load."""
    found, failing = need(world, costs), world.failing
    share = 1 / found.clusters
    cluster = play(world, costs, share, processes=found.each, clusters=1, room=PROCESS_CONNECTIONS, seconds=SECONDS,
                   random=random)
    held = round(world.connections * share)
    each = max(fewest(held, PROCESS_CONNECTIONS, failing, random), math.ceil(cluster.cores / world.busy) + failing)
    full = play(replace(world, failing=0), costs, 1 / found.cores, processes=1, clusters=found.clusters,
                room=round(world.connections), seconds=SECONDS, random=random)
    many = found.clusters
    return [
        Side("appends a second", found.appends, cluster.appends * many, NEAR),
        Side("deliveries a second", found.deliveries, cluster.deliveries * many, NEAR),
        Side("pings a second", found.pings, cluster.pings * many, NEAR_PINGS),
        Side("processors that relays keep busy", found.cores * world.busy, cluster.cores * many, NEAR),
        Side("part of a cluster's rate that is used", found.appends / many / costs.cluster, cluster.cluster, NEAR),
        Side(f"relay processes of a cluster, of which {failing} may fail", found.each, each, 0),
        Side("connections that find no room when so many fail", 0, cluster.turned_away, 0),
        Side("ms that an entry waits for a cluster, mean", found.cluster_wait * 1e3, cluster.cluster_wait * 1e3,
             NEAR_WAIT),
        Side(f"part of a processor that is used, with {1 / found.cores:.2%} of the world at one process", world.busy,
             full.cores, NEAR),
        Side("ms that an entry waits for that processor, mean", found.relay_wait * 1e3, full.relay_wait * 1e3,
             NEAR_WAIT),
        _tail("ms that one entry of a hundred waits for a cluster", found.cluster_wait, cluster.cluster_wait_p99),
        _tail("ms that one piece of work of a hundred waits for that processor", found.relay_wait,
              full.relay_wait_p99),
    ]


def _tail(what: str, mean: float, p99: float) -> Side:
    """The model knows the mean; it says that the tail is below so many times that."""
    return Side(f"{what}: at most", P99 * mean * 1e3, p99 * 1e3, 1)


def fewest(connections: int, room: int, failing: int, random: Random) -> int:
    """The fewest processes that have room for all when so many are gone, found by seating them."""
    least, most = failing, connections + failing
    top = failing + 1
    while seat(connections, top, room, failing, random)[1]:
        least, top = top, min(2 * top, most)
    while top - least > 1:
        middle = (least + top) // 2
        least, top = (middle, top) if seat(connections, middle, room, failing, random)[1] else (least, middle)
    return top


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
        "processors, where the load took its share of them ([benchmarks.md](benchmarks.md)); what follows from them",
        "is held against simulations below, and in tests/benchmarks/test_scale.py.",
        "",
        *_assumed(world, costs),
        "",
        *_follows(world, found),
        "",
        "Entries of millions of spaces come alone: each is a message of its own to the cluster, and a push of its own",
        "to each follower. Figures of entries that come together (`relay.append`, `relay.append_cluster`,",
        f"`relay.fanout`) are no part of this. For lone entries one process on SQLite takes {number(costs.lone)}/s.",
        "",
        "Relay processes are as many as connections and processors make them, whichever is more. A process takes as",
        f"many connections as a relay does if nothing is said (`limits.connections`, {PROCESS_CONNECTIONS:,}); no more",
        "than 1,000 at one process were measured.",
        "",
        "A cluster was measured with its three nodes, a relay and the load on two processors, of which the nodes had",
        f"{_micro(costs.nodes)} for an entry, all three together. Nodes with machines of their own have more;",
        "what that gives was not measured, and they then wait for a network as well.",
        "",
        "Not modelled: attachments (their bytes are the operator's discs and lines, not the relays' processors),",
        "the processor time of TLS, what checkpoints leave (the size of people's data), a device whose spaces are at",
        "several addresses (it has a connection to each). A relay uses one cluster, so each cluster is a relay address",
        "of its own; spaces are spread by the address that they are made at.",
        "",
        *_beside(sides(world, costs, Random(1))),
        "",
        *_shape(world, costs, found),
    ]
    return "\n".join(lines) + "\n"


def _assumed(world: World, costs: Costs) -> list[str]:
    rows = (
        ("devices", f"{world.devices:,}", ""),
        ("connected at the busiest hour", f"{world.online:.0%}", ""),
        ("spaces that a connection follows", _plain(world.spaces), ""),
        ("entries of a device in a day", _plain(world.entries_a_day), ""),
        ("busiest minute, over the mean", _plain(world.peak), ""),
        ("other devices that are connected when an entry comes", _plain(world.followers), ""),
        ("bytes of an entry", f"{world.entry_bytes:,}", ""),
        ("bytes of state that its block has besides", _plain(BLOCK_BYTES), "docs/decisions/0026"),
        ("a connection stands for", f"{_plain(world.stood)} s", ""),
        ("processors and clusters are used at the peak to", f"{world.busy:.0%}", ""),
        ("entries stay after a checkpoint for", f"{_plain(world.grace_days)} days", ""),
        ("connections of a process", f"{PROCESS_CONNECTIONS:,}", "`limits.connections`"),
        ("lone entries of a relay and three nodes, all on that machine", f"{number(costs.cluster)}/s",
         "`relay.append_cluster_lone`"),
        ("a relay's processor for one", _micro(costs.append), "`relay.append_cluster_lone_used`"),
        ("the three nodes' processors for one, together", _micro(costs.nodes), "`relay.append_cluster_nodes_used`"),
        ("a relay's processor for a push to one follower", _micro(costs.deliver), "`relay.fanout_cluster_lone_used`"),
        ("processor of a bare websocket server for a message: a ping, at most", _micro(costs.ping),
         "`relay.append_lone_used`, its peer"),
        ("a relay's processor for a login at three spaces", _micro(costs.login), "`relay.login_used`"),
        ("memory of a connection with TLS, a space on SQLite included", f"{number(costs.connection_kb)} KB",
         "`relay.idle_memory_tls`"),
        ("memory of a space that is followed, over a cluster", f"{number(costs.space_kb)} KB",
         "`relay.followed_memory_cluster`"),
    )
    return ["## What is assumed, and what was measured", "", "| | | from |", "|---|---:|---|",
            *(f"| {' | '.join(row)} |" for row in rows)]


def _micro(seconds: float) -> str:
    return f"{number(seconds * 1e6)} µs"


def _follows(world: World, found: Need) -> list[str]:
    return [
        "## What follows",
        "",
        "| at the busiest minute | |",
        "|---|---:|",
        f"| connections | {found.connections:,.0f} |",
        f"| appends | {number(found.appends)}/s |",
        f"| deliveries | {number(found.deliveries)}/s |",
        f"| pings (20 s of silence, rising to 4 min) | {number(found.pings)}/s |",
        f"| processors for relays | {number(found.cores)} |",
        f"| JetStream clusters of three small nodes | {found.clusters} |",
        f"| relay processes of a cluster, {world.failing} of which may fail | {found.each} |",
        f"| relay processes | {found.processes} |",
        f"| memory of a relay process with all the connections it takes | {number(found.process_gb)} GB |",
        f"| memory of all connections | {number(found.memory_gb)} GB |",
        f"| entries within their grace, three times on disk | {number(found.stored_tb)} TB |",
    ]


def _beside(found: list[Side]) -> list[str]:
    lines = [
        "## The model, and the world played",
        "",
        f"{SECONDS} s of the busiest minute, event by event: one cluster with its relay processes and all of its",
        "connections, each of which follows its spaces and keeps the silences that devices keep; and one relay process",
        "that has as much of the world as its processor may be used for. Processes and clusters do one piece of work",
        "after the other, each as long as was measured (`benchmarks/played.py`). Rates and processors are times the",
        "number of clusters. Waits are those for a turn: networks and discs come on top.",
        "",
        "| | model | simulated | may part by |",
        "|---|---:|---:|---:|",
    ]
    for one in found:
        margin = "" if one.what.endswith("at most") else f"{one.margin:.0%}"
        lines.append(f"| {one.what}{'' if one.holds else PART} | {_plain(one.model)} | {_plain(one.simulated)} | "
                     f"{margin} |")
    return lines


def _plain(value: float) -> str:
    return number(value) if value % 1 else f"{value:,.0f}"


def _shape(world: World, costs: Costs, found: Need) -> list[str]:
    each, random = 1 / costs.together, Random(1)
    lines = [
        "## The shape: commits in groups",
        "",
        "A relay on SQLite writes all that came during the last fsync together. Model: a group has rate × fsync /",
        "(1 − rate × cost of one) requests, and who asks waits for half a group and then its own. Simulated, request",
        f"by request, with {_micro(costs.fdatasync)} for an fsync and {_micro(each)} for one request:",
        "",
        "| load | group, model | group, simulated | ms until durable, model | simulated |",
        "|---:|---:|---:|---:|---:|",
    ]
    for load in (0.25, 0.5, 0.8, 0.95):
        rate = load * costs.together
        size, wait = group_model(rate, costs.fdatasync, each)
        played, waited = commits(rate, costs.fdatasync, each, 50_000, random)
        row = (size, played, wait * 1e3, waited * 1e3)
        lines.append(f"| {load:.0%} | {' | '.join(map(number, row))} |")
    lines += [
        "",
        "## The shape: everybody comes again",
        "",
        "Relay processes die, and their clients dial those that are there, which let so many in a second and turn the",
        f"others away: what a login at {world.spaces} spaces costs a relay that knows none of them from before",
        f"({_micro(costs.login)}), in the part of the processors that is free at the peak. Each client makes",
        "the pauses that devices make. The least time is clients over logins:",
        "",
        "| what died | clients | logins a second | least, s | simulated, s | tries of a client |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    whole = round(found.connections / found.clusters)
    one = round(whole / found.each)
    for what, clients, processes in (("one process of a cluster", one, found.each - 1),
                                     ("all of a cluster, and are there again", whole, found.each)):
        logins = processes * (1 - found.cores * world.busy / found.processes) / costs.login
        took, tries = herd(clients, logins, random)
        lines.append(f"| {what} | {clients:,} | {number(logins)} | {number(clients / logins)} | {number(took)} | "
                     f"{number(tries)} |")
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
