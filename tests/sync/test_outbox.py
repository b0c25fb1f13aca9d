"""What waits is put into entries at a cost that follows from the entries, however much waits at once."""

import asyncio
from pathlib import Path

import chez
from chez.crypto import Kdf
from chez.store.database import Connection

PASSPHRASE = "correct horse"


async def test_what_waits_costs_statements_by_the_entry(tmp_path: Path) -> None:
    """Ten times as many changes in one entry take no more statements; those of another space, between them, wait on."""
    await chez.create(tmp_path, passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with chez.open(tmp_path, passphrase=PASSPHRASE) as home:
        notes, others = home.collection("notes"), (await home.create_space("Trip")).collection("notes")
        seen: list[str] = []

        def collected(db: Connection) -> tuple[int, int]:
            seen.clear()
            db.set_trace_callback(seen.append)
            made = home.space()._held.replica.author.collect(db)
            db.set_trace_callback(None)
            (left,) = db.execute("SELECT count(*) FROM change WHERE state = 1").fetchone()
            return len(made), left

        await home._database.write(collected)  # what was said when the spaces were made
        costs = []
        for count in (30, 300):
            await asyncio.gather(*(one.put({"n": n}, id=f"{count} {n}") for n in range(count)
                                   for one in ((notes, others) if n % 10 == 0 else (notes,))))
            made, left = await home._database.write(collected)
            assert made == 1
            costs.append(len(seen))
        assert left == 33
        assert costs[1] <= costs[0]
