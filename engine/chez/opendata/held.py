"""What a home holds of a public space of open data: its editions and its rows, for publisher and follower alike."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chez.opendata.editions import COLLECTION, MAX_EDITIONS, SUCCESSION, Chain, invalid, read_chain, read_formerly
from chez.opendata.rows import Content, Digest, Row, recorded

if TYPE_CHECKING:
    from chez.home.space import Space

__all__ = ("chain_of", "content_of", "filled", "own_chain_of")

_BATCH: Final = 1_000

T = TypeVar("T", Content, Digest)


async def chain_of(space: "Space") -> Chain:
    """The editions of a space, verified in a thread: a hostile one takes a while. Raises `DataInvalid`."""
    records: list[dict[str, Any]] = []
    formerly: dict[str, Any] | None = None
    async for record in space.collection(COLLECTION):
        if record.id == SUCCESSION:
            formerly = record.value
            continue
        records.append(record.value)
        if len(records) > 2 * MAX_EDITIONS:
            break  # too many, as the reader says
    said = await asyncio.to_thread(read_formerly, formerly) if formerly is not None else ()
    return await asyncio.to_thread(read_chain, records, bytes.fromhex(space.id), said)


async def own_chain_of(space: "Space") -> Chain:
    """The same for who is to go on with it. Raises `DataInvalid` as well for an edition that two devices wrote at once:
    one of the two shows, and whoever saw the other is not led on by what follows.
    """
    chain = await chain_of(space)
    twice = [id for _, id in await space.conflicts(COLLECTION) if id.isdecimal()]
    if twice:
        raise invalid(f"two devices published its edition {int(twice[0])}")
    return chain


async def content_of(space: "Space", tables: Iterable[str]) -> Content:
    """The rows that are in these collections of a space. Raises `DataInvalid` for what is more than a dataset holds."""
    return await filled(Content(), space, tables)


async def filled(found: T, space: "Space", tables: Iterable[str]) -> T:
    """The same with the rows that are in these collections of a space. Raises `DataInvalid`."""
    batch = list[tuple[str, dict[str, Any]]]()
    for table in tables:
        async for record in space.collection(table):
            batch.append((record.id, record.value))
            if len(batch) == _BATCH:  # it ends at the first one beyond the bounds, however many there are
                await asyncio.to_thread(_fill, found, table, batch)
                batch.clear()
        await asyncio.to_thread(_fill, found, table, batch)
        batch.clear()
    return found


def _fill(found: Content | Digest, table: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for id, value in rows:
        found.add(Row(table, id, recorded(value)))
