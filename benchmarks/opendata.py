"""opendata.*: what a city's catalogue of 900 datasets, and a version of one of them, cost a device on the wire.

Beside: the same said as JSON-LD (DCAT-AP) and the same table as CSV, each zstd-compressed as one file, as a portal that
compresses would give it out whole.

opendata.takes_*: what tables of several kinds take in a follower's store, beside what their catalogue estimates.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import zstandard

import chez
from benchmarks.counting import Counter, counting
from benchmarks.harness import Bench, Benchmark, Figure, Runs
from benchmarks.processes import command, free_port, start, wait_for_port
from benchmarks.store import PASSPHRASE
from benchmarks.tables import KINDS, tables
from benchmarks.tables import ROWS as ROWS_OF_KIND
from chez.crypto import Kdf, SigningKey
from chez.opendata.dcat import jsonld
from chez.opendata.following import add_catalogue, catalogues, find, subscribe
from chez.opendata.metadata import About, Card
from chez.opendata.publishing import Said, compose, publish

__all__ = ("benchmarks",)

DATASETS: Final = 900
ROWS: Final = 10_000
CHANGED: Final = 100
KEY: Final = SigningKey.from_seed(b"a city".ljust(32))
CARD: Final = Card(title="Open data", name="A city", contact="data@example.org", language="fr")
CATALOGUE: Final = "Open data"
WORDS: Final = ("vélo station arbre école budget marché eau énergie bus tram métro piste cyclable quartier population "
                "permis chantier parc qualité air bruit stationnement horaire équipement sport culture vote").split()


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("opendata.catalogue", "KB", "less", f"Bytes both ways through a TCP proxy for a device that follows a "
               f"catalogue of {DATASETS} datasets (some 400 characters said of each), from the address to all of it.",
               350, {"jsonld": "the same as one file of DCAT-AP JSON-LD, zstd"}),
        Figure("opendata.catalogue_turns", "round trips", "less", "How often it waits for the relay in that.", 20),
        Figure("opendata.catalogue_update", "KB", "less", "The same bytes of a later sync, when what is said of one "
               "dataset changed.", 10, {"jsonld": "the file again"}),
        Figure("opendata.version", "KB", "less", f"The same bytes of a later sync, when {CHANGED} of the {ROWS:,} rows "
               "of a subscribed table changed.", 30, {"csv": "the table again, zstd"}),
    ), _measured), Benchmark(tuple(_takes(kind) for kind in KINDS), _taken, once=True))


def _takes(kind: str) -> Figure:
    return Figure(f"opendata.takes_{kind}", "bytes", "less", f"What each of {ROWS_OF_KIND:,} rows of a made-up table "
                  f"of {kind} takes in the store of a device that subscribed it (`Space.room`).", None,
                  {"estimate": "what `chez data show` says beforehand"}, {"estimate": 1.3})


async def _taken(bench: Bench) -> dict[str, Runs]:
    """Once: bytes are the same each time."""
    found = {kind: Runs() for kind in KINDS}
    async with _city(bench.folder("takes")) as (city, anna, _, folder):
        for kind, identity, path in tables(folder):
            await _put_up(city, (msgspec.structs.replace(_about(1, ""), id=kind, identity=identity),), path, 1)
        await add_catalogue(anna, city.space(CATALOGUE).address)
        await anna.sync()
        for kind, runs in found.items():
            metadata = (await find(anna, kind)).metadata
            space = await subscribe(anna, kind)
            await anna.sync()
            if (room := await anna.space(space).room()) is not None:
                runs.add(room.bytes / metadata.rows, estimate=metadata.takes / metadata.rows)
    return {f"opendata.takes_{kind}": runs for kind, runs in found.items()}


async def _measured(bench: Bench) -> dict[str, Runs]:
    found = {name: Runs() for name in ("catalogue", "catalogue_turns", "catalogue_update", "version")}
    for run in range(bench.runs):
        async with _city(bench.folder(f"opendata{run}")) as (city, anna, counter, folder):
            abouts = [_about(number, "") for number in range(DATASETS)]
            await _put_up(city, tuple(abouts), None, 1)
            counter.clear()
            await add_catalogue(anna, city.space(CATALOGUE).address)
            await anna.sync()
            first, turns = counter.up + counter.down, counter.turns
            (there,) = await catalogues(anna)
            whole = _packed(msgspec.json.encode(jsonld(CARD, KEY.public.hex(), there.datasets.values())))
            found["catalogue"].add(first / 1e3, jsonld=whole / 1e3)
            found["catalogue_turns"].add(turns)
            await _put_up(city, (_about(7, "Nouveau."),), None, 2)
            found["catalogue_update"].add(await _sync(anna, counter), jsonld=whole / 1e3)

            about = _about(3, "")
            await _put_up(city, (about,), _table(folder, 0), 3)
            await anna.sync()
            await subscribe(anna, about.id)
            await anna.sync()
            path = _table(folder, 1)
            await _put_up(city, (about,), path, 4)
            found["version"].add(await _sync(anna, counter), csv=_packed(path.read_bytes()) / 1e3)
    return {f"opendata.{name}": runs for name, runs in found.items()}


async def _sync(home: chez.Home, counter: Counter) -> float:
    """Kilobytes of one sync."""
    counter.clear()
    await home.sync()
    return (counter.up + counter.down) / 1e3


def _packed(data: bytes) -> int:
    return len(zstandard.ZstdCompressor(level=9).compress(data))


def _about(number: int, more: str) -> About:
    draw = random.Random(number)
    title = " ".join(draw.choices(WORDS, k=6)).capitalize()
    return About(id=f"dataset-{number}", title=title, description=" ".join(draw.choices(WORDS, k=45)) + more,
                 licence="https://www.etalab.gouv.fr/licence-ouverte-open-licence", themes=("TRAN",),
                 keywords=tuple(draw.sample(WORDS, 4)), frequency="MONTHLY", language="fr", identity=("id",),
                 landing_page=f"https://data.example.org/dataset-{number}")


def _table(folder: Path, version: int) -> Path:
    draw, later = random.Random(1), random.Random(version)
    changed = set(later.sample(range(ROWS), CHANGED)) if version else set()
    lines = ["id,name,latitude,longitude,bikes"]
    for number in range(ROWS):
        place = f"{draw.uniform(45.6, 45.9):.6f},{draw.uniform(4.7, 5.0):.6f}"
        lines.append(f"{number},Station {number},{place},{draw.randrange(30) + 50 * (number in changed)}")
    path = folder / "table.csv"
    path.write_text("\n".join(lines))
    return path


async def _put_up(home: chez.Home, abouts: tuple[About, ...], file: Path | None, time: int) -> None:
    """Publish, as the command does, and send it."""
    said, whole = Said(KEY.public, CARD, CATALOGUE, abouts, file=file), False
    while not whole:
        draft = await compose(home, said, time)
        done = await publish(home, said, time, [(one.encoded, one.sign(KEY)) for one in draft.editions])
        whole = done.whole
    await home.sync()


@asynccontextmanager
async def _city(folder: Path) -> AsyncIterator[tuple[chez.Home, chez.Home, Counter, Path]]:
    """The homes of a city and of a person, at a relay behind a proxy."""
    port = free_port()
    async with (
        counting(port) as counter,
        start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "relay"),
              "--name", f"127.0.0.1:{counter.port}", log=folder / "relay.log"),
    ):
        await wait_for_port(port)
        for name in ("city", "anna"):
            await chez.create(folder / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
        async with (chez.open(folder / "city", passphrase=PASSPHRASE) as city,
                    chez.open(folder / "anna", passphrase=PASSPHRASE) as anna):
            for home in (city, anna):
                await home.set_relay(f"ws://127.0.0.1:{counter.port}")
                await home.sync()
            yield city, anna, counter, folder
