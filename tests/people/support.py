"""Homes that come and go, and what a relay has stored of them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import chez
from chez.crypto import Kdf
from chez.sync.link import Link
from chez_relay.storage.sqlite import FILE_NAME
from tests.home.pairing import PASSPHRASE


@asynccontextmanager
async def join(home: chez.Home, folder: Path, name: str, url: str) -> AsyncIterator[chez.Home]:
    """Another device of the home's person, open, with everything that the relay has."""
    async with home.pair(url) as pairing:
        joined = asyncio.create_task(chez.join(folder, pairing.code, passphrase=PASSPHRASE, name=name, relay=url,
                                               kdf=Kdf.minimum()))
        await pairing.confirm()
        await joined
    await home.sync(url)
    async with open_again(folder) as made:
        await made.sync(url)
        yield made


@asynccontextmanager
async def open_again(folder: Path) -> AsyncIterator[chez.Home]:
    """A home that was made before."""
    async with chez.open(folder, passphrase=PASSPHRASE) as home:
        yield home


async def turned_until(link: Link, reached: Callable[[], Awaitable[bool]]) -> None:
    """Look after each turn of a link. What turns while it is looked counts too: it may have been the last turn."""
    turns = link.turns
    while not await reached():
        await link.turn(turns)
        turns = link.turns


def raw_entries(folder: Path) -> list[bytes]:
    """Every sealed entry that a relay has stored in its folder, in the order it took them in."""
    file = folder / FILE_NAME
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT envelope FROM entries ORDER BY place")]


async def ids(home: chez.Home) -> set[str]:
    """The ids of the notes that are here."""
    return {note.id async for note in home.collection("notes")}
