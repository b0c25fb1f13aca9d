"""Makes the pictures of README.md: `python -m examples.apps.pictures`, from the repository's own files.

Bank, receipts, readings and Tempo's calendar are the real files of tests/data; calendar, places and
messages are made up (`sample/`).
"""

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from examples.apps import my_energy, my_money, my_year
from examples.apps.start import Page

import chez
from chez.vocabulary import Message, Visit

__all__ = ("ENERGY", "HERE", "MONEY", "SAMPLE", "fill", "fill_year", "made")

HERE = Path(__file__).parent
SAMPLE = HERE / "sample"
DATA = HERE.parents[1] / "tests" / "data"
MONEY = (DATA / "bank-mesinfos" / "bank.json", DATA / "mesinfos" / "receiptdetail.json")
ENERGY = (DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv",
          DATA / "energy-linky-fr" / "tempo_days_2014.csv", SAMPLE / "calendar.ics")


async def fill(home: chez.Home, files: Iterable[Path]) -> None:
    """Import files of this repository, in this process: they are known."""
    for file in files:
        await home.import_file(file, in_process=True)


async def fill_year(home: chez.Home) -> None:
    """The made-up year: what a calendar, a phone and a mailbox would bring home."""
    await fill(home, [SAMPLE / "calendar.ics"])
    visits = [msgspec.json.decode(line, type=Visit) for line in (SAMPLE / "visits.jsonl").read_bytes().splitlines()]
    sent = [msgspec.json.decode(line, type=Message) for line in (SAMPLE / "messages.jsonl").read_bytes().splitlines()]
    await home.collection(Visit).put_many(visits)
    await home.collection(Message).put_many(sent)


async def made(home: chez.Home) -> dict[str, Page]:
    """Fill an empty home, and show it by each application: their pages, by name."""
    await fill(home, [*MONEY, *ENERGY[:2]])
    await fill_year(home)
    return {"my_money": await my_money.look(home), "my_energy": await my_energy.look(home),
            "my_year": await my_year.look(home)}


async def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await chez.create(Path(folder) / "home", passphrase="a rainy day in Brest", name="pictures")
        async with chez.open(Path(folder) / "home", passphrase="a rainy day in Brest") as home:
            for name, page in (await made(home)).items():
                (HERE / f"{name}.svg").write_text(page.svg, encoding="utf-8")
                click.echo(f"{name}\n{page.text}\n")


if __name__ == "__main__":
    asyncio.run(_write())
