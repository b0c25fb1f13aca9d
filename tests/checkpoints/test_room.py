"""How much a space takes at its relay once a checkpoint stands for what was written."""

from pathlib import Path
from typing import Any

import zstandard

import chez
from chez_relay.storage.census import census
from chez_wire.limits import MIN_ENVELOPE
from tests.checkpoints.test_homes import shrunk
from tests.people.persons import persons
from tests.relay.within import Within

RECORDS = 50
EDITS = 40
LEFT = 10
"""Entries that a checkpoint leaves or brings: statements, and what says that there is one, and what it stands for."""

FLOOR = MIN_ENVELOPE + 256
"""Bytes of the smallest envelope: its header and its seal are beside the padding."""


async def documents(home: chez.Home) -> int:
    """What the saved documents of all records take, compressed together."""
    rows: Any = home._spaces.records.rows

    def saved(db: Any) -> list[bytes]:
        return [bytes(rows.load(db, n).save()) for (n,) in db.execute("SELECT n FROM record").fetchall()]

    found = await home._database.write(saved)
    assert len(found) == RECORDS
    return len(zstandard.compress(b"".join(found), 3))


async def test_a_space_shrinks_to_near_the_size_of_its_documents(tmp_path: Path, server: Within) -> None:
    """After many edits to few records a relay holds what the documents take, and the few entries that are not changes:
    of each of these the padding alone is most."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        items = anna.space().collection("items")
        for edit in range(EDITS):
            await items.put_many([{"title": f"item {n}", "amount": n * edit, "note": f"edited {edit} times, {n}"}
                                  for n in range(RECORDS)], ids=[f"item {n}" for n in range(RECORDS)])
            if edit % 2:
                await anna.sync()
        before = census(server.data).bytes
        done = await anna.space().checkpoint()
        assert done is not None and done.dropped
        await shrunk(server, before // 3)
        held, plain = census(server.data), await documents(anna)
        assert held.entries <= LEFT
        assert held.bytes + held.blob_bytes <= 1.3 * plain + LEFT * FLOOR < before / 3
        assert held.blob_bytes <= 1.3 * plain
