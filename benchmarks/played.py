"""A part of the world of docs/scale.md, played event by event: relay processes and clusters that do one piece of work
after the other.

Each connection is at a process that has room, follows its spaces and keeps the silences that devices keep
(`chez.sync.pulse`). An entry costs its relay, then a cluster, then each process where somebody follows the space.
What comes out is counted; nothing is taken from `benchmarks.capacity` but what the world is and what things cost.
"""

import heapq
from collections import Counter
from copy import copy
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Final

from benchmarks.capacity import Costs, World
from chez.sync.pulse import Pulse

__all__ = ("Played", "play", "seat")

SAMPLE: Final = 3_000
"""Connections that are played for all the time that one stands, to know which silences those of a world keep."""

_ENTRY, _STORE, _PUSH, _PING = range(4)


@dataclass(frozen=True, slots=True)
class Played:
    """What was counted. Rates are a second's; waits are seconds: means of entries, the longest hundredth of all
    work."""

    appends: float
    deliveries: float
    pings: float
    cores: float
    """Processors that were busy, of all relay processes together."""
    cluster: float
    """Part of the time that a cluster was busy."""
    fullest: int
    """Connections of the fullest process."""
    turned_away: int
    """Connections for which no process had room once those that may fail were gone."""
    relay_wait: float
    relay_wait_p99: float
    cluster_wait: float
    cluster_wait_p99: float


class Worker:
    """Does one piece of work after the other."""

    def __init__(self) -> None:
        self.free = self.busy = 0.0
        self.waits: list[float] = []
        self.entries: list[float] = []

    def work(self, now: float, cost: float, *, entry: bool = False) -> float:
        """When a piece that comes now is done."""
        start = max(now, self.free)
        self.waits.append(start - now)
        if entry:
            self.entries.append(start - now)
        self.busy += cost
        self.free = start + cost
        return self.free


def play(world: World, costs: Costs, part: float, *, processes: int, clusters: int, room: int, seconds: float,
         random: Random) -> Played:
    """So many seconds of the busiest minute of a part of the world. A process takes `room` connections."""
    connections = round(world.connections * part)
    seats, turned_away = seat(connections, processes, room, world.failing, random)
    follows, members = _spaces(world, connections, random)
    relays, stores = [Worker() for _ in range(processes)], [Worker() for _ in range(clusters)]
    rate = world.appends * part
    pulses, heard, pauses = _silences(world, connections, random)
    coming: list[tuple[float, int, int, int]] = [
        (heard[n] + pauses[n], _PING, n, 0) for n in range(connections) if heard[n] + pauses[n] < seconds]
    coming.append((random.expovariate(rate), _ENTRY, 0, 0))
    heapq.heapify(coming)
    count = Counter[int]()
    while coming:
        now, kind, who, what = heapq.heappop(coming)
        if now >= seconds:
            break
        if kind == _ENTRY:
            writer = random.randrange(connections)
            done = relays[seats[writer]].work(now, costs.append, entry=True)
            heapq.heappush(coming, (done, _STORE, writer, random.choice(follows[writer])))
            heapq.heappush(coming, (now + random.expovariate(rate), _ENTRY, 0, 0))
        elif kind == _STORE:
            done = stores[what % clusters].work(now, 1 / costs.cluster, entry=True)
            heapq.heappush(coming, (done, _PUSH, who, what))
        elif kind == _PUSH:
            heard[who] = now
            others = [one for one in members[what] if one != who]
            for relay, followers in Counter([seats[one] for one in others]).items():
                relays[relay].work(now, followers * costs.deliver)
            for one in others:
                heard[one] = now
            count["deliveries"] += len(others)
        elif (due := heard[who] + pauses[who]) > now:
            heapq.heappush(coming, (due, _PING, who, 0))
            continue
        else:
            relays[seats[who]].work(now, costs.ping)
            pulses[who].answered()
            heard[who], pauses[who] = now, pulses[who].pause(random.random())
            heapq.heappush(coming, (now + pauses[who], _PING, who, 0))
        count[kind] += 1
    waits, stored = _sorted(relays), _sorted(stores)
    return Played(
        count[_ENTRY] / seconds, count["deliveries"] / seconds, count[_PING] / seconds,
        sum(one.busy for one in relays) / seconds, sum(one.busy for one in stores) / seconds / clusters,
        max(Counter(seats).values()), turned_away, _mean(relays), waits[len(waits) * 99 // 100],
        _mean(stores), stored[len(stored) * 99 // 100])


def seat(connections: int, processes: int, room: int, failing: int, random: Random) -> tuple[list[int], int]:
    """The process of each connection, and how many find none any more when so many processes are gone.

    Each asks two at random and takes the one with fewer; where both are full, any that has room.
    """
    seats, held = list[int](), [0] * processes

    def place(among: range) -> int | None:
        one = min(random.choice(among), random.choice(among), key=held.__getitem__)
        if held[one] >= room:
            one = min(among, key=held.__getitem__)
        if held[one] >= room:
            return None
        held[one] += 1
        return one

    away = 0
    for _ in range(connections):
        found = place(range(processes))
        away += found is None
        seats.append(found or 0)
    lost = sum(held[:failing])
    return seats, away + sum([place(range(failing, processes)) is None for _ in range(lost)])


def _spaces(world: World, connections: int, random: Random) -> tuple[list[list[int]], list[list[int]]]:
    """The spaces of each connection, and the connections of each space.

    Spaces have as many connections as make an entry's followers right in the mean: of two sizes that follow each
    other.
    """
    follows: list[list[int]] = [[] for _ in range(connections)]
    members: list[list[int]] = []
    places = [one for one in range(connections) for _ in range(world.spaces)]
    random.shuffle(places)
    least, more = divmod(world.followers + 1, 1)
    # Of the larger ones fewer, for more entries come to each: so much as it has connections more.
    larger = more * least / (least + 1 - more)
    at = 0
    while at < len(places):
        size = int(least) + (random.random() < larger)
        for one in places[at:at + size]:
            follows[one].append(len(members))
        members.append(places[at:at + size])
        at += size
    return follows, members


def _silences(world: World, connections: int, random: Random) -> tuple[list[Pulse], list[float], list[float]]:
    """For each connection the pauses it is at, when it heard something last (before now, which is 0), and its pause.

    They are as old as those of a world are: somewhere between new and gone. Some are played from their beginning,
    with something to hear at random times; each connection is one of those at some time.
    """
    rate = world.appends * (1 + world.followers) / world.connections
    seen: list[tuple[Pulse, float, float]] = []
    for _ in range(SAMPLE):
        pulse, now, heard = Pulse(), 0.0, 0.0
        pause, news = pulse.pause(random.random()), random.expovariate(rate)
        looks = sorted(random.uniform(0, world.stood) for _ in range(3))
        while looks:
            now = min(news, heard + pause, looks[0])
            if now == looks[0]:
                seen.append((copy(pulse), heard - now, pause))
                looks.pop(0)
            elif now == news:
                heard, news = now, now + random.expovariate(rate)
            else:
                pulse.answered()
                heard, pause = now, pulse.pause(random.random())
    chosen = [random.choice(seen) for _ in range(connections)]
    return [copy(one[0]) for one in chosen], [one[1] for one in chosen], [one[2] for one in chosen]


def _mean(workers: list[Worker]) -> float:
    return fmean([wait for one in workers for wait in one.entries] or [0.0])


def _sorted(workers: list[Worker]) -> list[float]:
    return sorted(wait for one in workers for wait in one.waits) or [0.0]
