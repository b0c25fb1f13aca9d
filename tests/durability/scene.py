"""What the scenarios share: the place they run in, and what must hold of every home afterwards."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chez
from chez.crypto import Kdf
from chez.errors import StorageFailed
from chez.query import fulltext
from chez.store import database

__all__ = ("PASSPHRASE", "Everything", "Place", "Scenario", "Step", "everything", "follow", "made", "opened",
           "write_back_often")

PASSPHRASE = "correct horse"

Everything = dict[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, how to say that something is done, and how to make the disk well again."""

    folder: Path
    say: Callable[[str], None] = lambda what: None
    relieve: Callable[[], None] = lambda: None

    @property
    def home(self) -> Path:
        """Where the home is."""
        return self.folder / "home"


Check = Callable[[Path, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something a home is used for.

    `prepare` makes the folder it begins with; `act` does it, and says what is done; `check`
    holds what is there against what was acknowledged, after whatever happened in between.
    With `taped` that happens to one folder in it, in which `act` works; beside it there is a
    relay in `relay`, which serves meanwhile.
    """

    prepare: Callable[[Path], Awaitable[None]]
    act: Callable[[Place], Awaitable[None]]
    check: Check
    taped: str = ""


Step = Callable[[chez.Home], Awaitable[object]]


async def follow(place: Place, home: chez.Home, steps: Sequence[Step]) -> None:
    """Do one step after the other, saying so. What the disk refuses is done again when it does no more."""
    for number, step in enumerate(steps):
        try:
            await step(home)
        except StorageFailed:
            place.relieve()
            await step(home)
        place.say(f"step {number}")


def write_back_often() -> None:
    """Let this process's stores write their logs back after a few pages, so that scenarios meet it in their middle."""
    database.CHECKPOINT = 12  # type: ignore[misc]


async def made(path: Path) -> None:
    """A new home."""
    await chez.create(path, passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())


async def everything(home: chez.Home) -> Everything:
    """The value of every record."""
    return {(info.name, record.id): record.value for info in await home.collections()
            async for record in home.collection(info.name)}


@asynccontextmanager
async def opened(path: Path, passphrase: str = PASSPHRASE) -> AsyncIterator[chez.Home]:
    """A home that opens, of which the doctor finds nothing, and which takes writes again; open."""
    async with chez.open(path, passphrase=passphrase) as home:
        # It is a copy of what was prepared, which is there still.
        assert [one for one in await home.examine() if one.where != "this folder"] == []
        assert await home._database.read(fulltext.problems) == []
        assert (await home.journal.verify()).ok
        assert not list(path.glob(".backup-*"))
        yield home
        await home.collection("after").put({"writes": "again"}, id="after")
    async with chez.open(path, passphrase=passphrase, read_only=True) as home:
        assert (await home.collection("after").get("after")).value == {"writes": "again"}
