"""A publisher for tests: its key, what it says of datasets, and how it publishes them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import chez
from chez.crypto import SigningKey
from chez.opendata.following import add_catalogue, subscribe
from chez.opendata.metadata import About, Card
from chez.opendata.publishing import AT_ONCE, Draft, Said, compose, publish
from chez.succession import Succession

Two = tuple[chez.Home, chez.Home]

KEY = SigningKey.from_seed(b"publisher".ljust(32, b"."))
NEW = SigningKey.from_seed(b"the next key".ljust(32, b"."))
OTHER = SigningKey.from_seed(b"another one".ljust(32, b"."))
CARD = Card(title="Open data of Lyon", name="Grand Lyon", contact="data@example.org", language="fr")
TIME = 1_790_000_000
LICENCE = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"


def about(id: str = "velov", **said: Any) -> About:
    """What is said of a dataset."""
    return About(**({"id": id, "title": f"Stations of {id}", "description": "Where bikes are.", "licence": LICENCE,
                     "identity": ("id",)} | said))


def table(folder: Path, rows: Iterable[tuple[object, ...]], name: str = "data.csv",
          header: str = "id,name,bikes") -> Path:
    """A CSV file of these rows."""
    path = folder / name
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
    return path


def stations(count: int, **changed: int) -> list[tuple[object, ...]]:
    """Rows of stations; `n7=5` gives the station 7 so many bikes."""
    return [(number, f"Station {number}", changed.get(f"n{number}", number % 20)) for number in range(count)]


async def put_up(home: chez.Home, *abouts: About, file: Path | None = None, key: SigningKey = KEY, time: int = TIME,
                 withdrawn: tuple[str, ...] = (), at_once: int = AT_ONCE, anew: bool = False,
                 formerly: Sequence[Succession] = ()) -> list[Draft]:
    """Compose, sign and publish until nothing is left, as the command does; what was published."""
    said = Said(key.public, CARD, "Open data", abouts, withdrawn, file, anew=anew, at_once=at_once,
                formerly=tuple(formerly))
    drafts = []
    while True:
        draft = await compose(home, said, time)
        assert not draft.rejected, draft.rejects
        if not draft.parts:
            return drafts
        signed = [(edition.encoded, edition.sign(key)) for edition in draft.editions]
        drafts.append(await publish(home, said, time, signed))
        if drafts[-1].whole:
            await home.sync()
            return drafts


def address(home: chez.Home) -> str:
    """Of the publisher's catalogue."""
    return home.space("Open data").address


async def follow(city: chez.Home, anna: chez.Home, name: str = "velov") -> str:
    """Anna follows the city's catalogue, and subscribes a dataset; its space."""
    await add_catalogue(anna, address(city))
    await anna.sync()
    id = await subscribe(anna, name)
    await anna.sync()
    return id
