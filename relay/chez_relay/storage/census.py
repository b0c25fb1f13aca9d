"""What a store holds, in numbers: all that an operator can know."""

from dataclasses import dataclass
from pathlib import Path

from chez_relay.errors import StoreUnusable
from chez_relay.storage.copies import FILE_NAME, looking
from chez_relay.storage.integrity import INCARNATION_BYTES
from chez_relay.storage.migrations import checked_version, steps

__all__ = ("Census", "SpaceSize", "census")


@dataclass(frozen=True, slots=True)
class SpaceSize:
    """How much one space holds; nothing says which."""

    entries: int
    bytes: int
    chunks: int
    blob_bytes: int
    packets: int


@dataclass(frozen=True, slots=True)
class Census:
    """What a store holds, in numbers: all that an operator can know."""

    incarnation: str
    spaces: int
    entries: int
    bytes: int
    chunks: int
    blob_bytes: int
    packets: int
    inboxes: int
    items: int
    sizes: tuple[SpaceSize, ...]


def census(folder: Path) -> Census:
    """Count what the store in `folder` holds, read-only, also beside a running relay.

    Raises `StoreUnusable` when there is none, a newer version made it, or damage shows in what is counted.
    """
    with looking(folder / FILE_NAME) as db:
        checked_version(db, len(steps()))
        facts = db.execute("SELECT value FROM facts WHERE name = 'incarnation'").fetchone()
        rows = db.execute(
            "SELECT last - (SELECT coalesce(sum(dropped.last - dropped.first + 1), 0) FROM dropped"
            " WHERE dropped.space = spaces.space), data_bytes + control_bytes,"
            " (SELECT count(*) FROM chunks WHERE chunks.space = spaces.space), blob_bytes, packets"
            " FROM spaces ORDER BY space").fetchall()
        (inboxes,) = db.execute("SELECT count(*) FROM inboxes").fetchone()
        (items,) = db.execute("SELECT count(*) FROM items").fetchone()
    if (facts is None or type(facts[0]) is not bytes or len(facts[0]) != INCARNATION_BYTES
            or any(type(number) is not int or number < 0 for row in rows for number in row)):
        raise StoreUnusable("the store is damaged", "`chez-relay check` tells where")
    sizes = tuple(SpaceSize(*row) for row in rows)
    return Census(facts[0].hex(), len(sizes), sum(s.entries for s in sizes), sum(s.bytes for s in sizes),
                  sum(s.chunks for s in sizes), sum(s.blob_bytes for s in sizes), sum(s.packets for s in sizes),
                  inboxes, items, sizes)
