"""Tables such as cities publish, of several kinds, made up: narrow and wide, numbers and texts."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

__all__ = ("KINDS", "ROWS", "tables")

ROWS: Final = 1_000
KINDS: Final = ("counts", "stations", "trees", "holidays", "timetable", "events", "budget", "readings")
_WORDS: Final = ("vélo station arbre école budget marché eau énergie bus tram métro piste cyclable quartier population "
                 "permis chantier parc qualité air bruit stationnement horaire équipement sport culture vote").split()


def tables(folder: Path) -> Iterator[tuple[str, tuple[str, ...], Path]]:
    """Each kind: its name, what identifies a row, and a file of `ROWS` rows."""
    draw = random.Random(1)

    def words(count: int) -> str:
        return " ".join(draw.choices(_WORDS, k=count))

    def place() -> tuple[str, str]:
        return f"{draw.uniform(45.6, 45.9):.6f}", f"{draw.uniform(4.7, 5.0):.6f}"

    def table(name: str, header: str, rows: Iterable[Iterable[object]]) -> Path:
        path = folder / f"{name}.csv"
        path.write_text("\n".join([header, *(";".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
        return path

    every = range(ROWS)
    yield "counts", ("id",), table("counts", "id;bikes", ((n, draw.randrange(900)) for n in every))
    yield "stations", ("id",), table("stations", "id;name;latitude;longitude;bikes", (
        (n, f"Station {n}", *place(), draw.randrange(30)) for n in every))
    yield "trees", (), table("trees", "species;street;latitude;longitude;planted", (
        (words(2), words(3), *place(), 1900 + draw.randrange(120)) for _ in every))
    yield "holidays", (), table("holidays", "description;population;begins;ends;place;zone;year", (
        (words(3), "-", f"2026-{n % 12 + 1:02}-05T23:00:00+00:00", f"2026-{n % 12 + 1:02}-21T23:00:00+00:00", words(1),
         f"Zone {'ABC'[n % 3]}", "2025-2026") for n in every))
    yield "timetable", ("trip", "sequence"), table("timetable", "trip;stop;arrives;departs;sequence;pickup", (
        (f"L{n // 30:06}", f"S{draw.randrange(900)}", f"{n % 18 + 6:02}:{n % 60:02}:00",
         f"{n % 18 + 6:02}:{n % 60:02}:20", n % 30, 0) for n in every))
    yield "events", ("id",), table("events", "id;title;text", ((n, words(6), words(120)) for n in every))
    yield "budget", ("id",), table("budget", ";".join(["id", *(f"column {n}" for n in range(60))]), (
        (n, *(words(1) if at % 3 else draw.randrange(100_000) for at in range(60))) for n in every))
    yield "readings", ("id",), table("readings", "id;signature", ((n, draw.randbytes(300).hex()) for n in every))
