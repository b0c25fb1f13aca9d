"""The pilot, from an empty folder to what each party saw. Each step looks at what is there, and goes on from that."""

import asyncio
import base64
import mmap
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from examples.demo.search import search
from examples.pilot import parties, seen
from examples.pilot.crew import crew
from examples.pilot.person import ARRIVED, LIVED, Arrived, Lived, sandbox
from examples.pilot.plan import ORGANISATIONS, SERVICES, PilotFailed, Places, Plan, keep
from examples.pilot.programs import run
from examples.pilot.wire import Wire, counted

from chez_deposit import Standing

__all__ = ("Outcome", "Step", "Told", "play")

STEPS: Final = "steps.json"
BEFORE: Final = "before.json"
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Step(msgspec.Struct):
    """What one step of the pilot took, in all goes: seconds, bytes between everybody and the relay, connections."""

    seconds: float = 0.0
    bytes: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """Where the pilot says what it does: a heading for each step, and how many people are through."""

    title: Callable[[str], None]
    progress: Callable[[int, int], None]


@dataclass(slots=True)
class Outcome:
    """What came of it. `relay_before` is what was found at the relay while everything lay there."""

    plan: Plan
    steps: dict[str, Step]
    wanted: seen.Needles
    relay_before: seen.Found
    found: list[seen.Found]
    messages: int
    """Of the sealed results of the people that were looked at, how many were found, as bytes, in the relay's store."""
    arrived: list[Arrived] = field(repr=False)
    lived: list[Lived] = field(repr=False)
    counted: str
    """What the relay's operator counts in its store."""
    standing: dict[str, Standing]
    """How each organisation's messages stand."""
    results: dict[str, list[dict[str, Any]]] = field(repr=False)
    """What each service has, by its job."""
    relay_bytes: int = 0
    relay_cpu: float = 0.0
    """Seconds of processor since the relay was started last."""


async def play(places: Places, plan: Plan, workers: int, told: Told) -> Outcome:
    """Everything that is still to do. Raises `PilotFailed`."""
    book = _Steps(places)
    keep(places.passphrase, b"everybody in this pilot has the same one\n")
    told.title("The sandbox that jobs run in (compiled once)")
    async with sandbox() as runtime:
        await runtime.prepare()
    async with counted(plan.port, plan.relay_port) as wire, parties.relay(places, plan) as relay:
        with book.step("prepare", wire):
            told.title("A relay, a city that publishes its stations, four organisations, four services")
            await parties.publish(places, plan)
            await asyncio.gather(*(parties.found_organisation(places, plan, one) for one in ORGANISATIONS),
                                 *(parties.found_service(places, plan, one) for one in SERVICES))
        with book.step("arrive", wire):
            told.title(f"{plan.people:,} people make a home, four addresses, and subscribe the city's data")
            await crew(places, plan, "arrive", ARRIVED, workers, told.progress)
        with book.step("deposit", wire):
            told.title("Each organisation gives every customer back what it holds, in one batch")
            await asyncio.gather(*(parties.deposit(places, plan, partner) for partner in ORGANISATIONS))
        with book.step("live", wire):
            told.title("Everybody takes it home, grants a job, runs it, and sends the result")
            await crew(places, plan, "live", LIVED, workers, told.progress)
        return await _evidence(places, plan, relay, wire, book, told)


async def _evidence(places: Places, plan: Plan, relay: int, wire: Wire, book: "_Steps", told: Told) -> Outcome:
    wanted = seen.needles(plan)
    told.title("What the relay holds, before the services fetch their results")
    before = await asyncio.to_thread(_before, places, wanted)
    with book.step("collect", wire):
        told.title("The services take their results")
        await parties.results(places)
    told.title("What everybody holds in the end")
    found = [await seen.at_home(places, plan, wanted)]
    found += [await asyncio.to_thread(seen.hunt, place, folders, wanted)
              for place, folders in seen.parties(places, wanted)]
    people = [places.person(number) for number in range(plan.people)]
    return Outcome(
        plan, book.steps, wanted, before.found, found, before.messages,
        [msgspec.json.decode((folder / ARRIVED).read_bytes(), type=Arrived) for folder in people],
        [msgspec.json.decode((folder / LIVED).read_bytes(), type=Lived) for folder in people],
        await parties.counted(places), {partner.key: parties.standing(places, partner) for partner in ORGANISATIONS},
        {service.job: parties.told(places, service) for service in SERVICES},
        _used(places.relay / "store" / "relay.sqlite"), _cpu(relay))


class _Before(msgspec.Struct, frozen=True):
    """What was found at the relay while everything lay there; `messages` as in `Outcome`."""

    found: seen.Found
    messages: int


def _before(places: Places, wanted: seen.Needles) -> _Before:
    """Look at the relay, once: when a pilot is gone on with, its services may have fetched what lay there."""
    path = places.folder / BEFORE
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=_Before)
    found = seen.hunt("the relay", (places.relay,), wanted)
    _control(places, wanted)
    before = _Before(found, _sealed(places, wanted))
    keep(path, msgspec.json.encode(before))
    return before


def _control(places: Places, wanted: seen.Needles) -> None:
    """That the search would find a value in the relay's store, were one there. Raises `PilotFailed`."""
    with (places.relay / "store" / "relay.sqlite").open("rb") as file:
        store = file.read(1 << 20)
    draw = Random(len(store))
    for text in sorted(min(texts) for texts in wanted.texts.values()):
        at = draw.randrange(len(store))
        for hidden in (text.encode(), base64.b64encode(b"?" + text.encode() + b"?"), text.encode("utf-16-le")):
            if not any(search(store[:at] + hidden + store[at:], [text.encode()])):
                raise PilotFailed("the search does not find what was hidden on purpose: it proves nothing")


def _sealed(places: Places, wanted: seen.Needles) -> int:
    """How many of the sealed results lie at the relay: what is looked at is what the relay keeps."""
    # SQLite parts a long item; its beginning is in one piece.
    missing = {message[:64] for message in seen.messages(places, wanted)}
    count = len(missing)
    for path in sorted((places.relay / "store").glob("relay.sqlite*")):
        if path.stat().st_size:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stored:
                missing = {one for one in missing if stored.find(one) < 0}
    return count - len(missing)


def _used(store: Path) -> int:
    """Bytes of the relay's store that hold something: the file does not shrink when deposits have been taken."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0]
                             for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def _cpu(process: int) -> float:
    """Seconds of processor that a process used; 0.0 where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


class _Steps:
    """What each step took, kept beside the pilot: one that was interrupted adds what it takes to go on."""

    def __init__(self, places: Places) -> None:
        self._path = places.folder / STEPS
        try:
            self.steps = msgspec.json.decode(self._path.read_bytes(), type=dict[str, Step])
        except FileNotFoundError:
            self.steps = {}

    @contextmanager
    def step(self, name: str, wire: Wire) -> Iterator[None]:
        """One of them."""
        began, bytes, connections = time.monotonic(), wire.total, wire.connections
        try:
            yield
        finally:
            step = self.steps.setdefault(name, Step())
            step.seconds += time.monotonic() - began
            step.bytes += wire.total - bytes
            step.connections += wire.connections - connections
            keep(self._path, msgspec.json.encode(self.steps))


async def words_of(places: Places, number: int) -> tuple[str, str]:
    """What one person reads at home: `chez left`, and the journal."""
    chez = ("chez", "--home", str(places.person(number) / "home"), "--passphrase-file", str(places.passphrase))
    return await run(places.folder, *chez, "left"), await run(places.folder, *chez, "journal")
