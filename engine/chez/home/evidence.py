"""What devices did that does not count, kept as evidence, and an owner's word on it.

    fork    two or more different entries of one device under one number, on the same one before:
            a device that was restored or copied, or one that lies
    late    entries of a device beyond the last one that its removal accepted
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from chez.errors import NotAllowed, NotFound
from chez.home.held import Held
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.records.counting import BEYOND, COUNTS, FORKED
from chez.spaces.space import keep_statement
from chez.spaces.statements import Cut, Pick, Role, sign_statement
from chez.store.database import Connection
from chez.sync.entry import CHANGES
from chez.sync.standing import Fork, doubtful, forks_of

__all__ = ("Evidence", "audit", "pick")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Entries that do not count: of which device (`name`, if it is known) and space, from which number on.

    `entries` are the hashes, in hexadecimal: of a fork those under its number, one of which `counts`
    once an owner picked it or a removal names it; of late ones the first. `count` is how many entries
    do not count. `found` is when this device saw the fork.
    """

    kind: Literal["fork", "late"]
    space: str
    device: bytes = field(repr=False)
    name: str | None
    sequence: int
    entries: tuple[str, ...]
    counts: str | None
    count: int
    found: datetime | None


def audit(db: Connection, spaces: Iterable[Held]) -> list[Evidence]:
    """All evidence that is kept, by space and device."""
    return [one for held in spaces for author in sorted(doubtful(db, held.space.n))
            for one in (*_forks(db, held, author), *_late(db, held, author))]


def pick(db: Connection, spaces: Iterable[Held], device: DeviceKeys, journal: Journal, entry: str) -> None:
    """Say which entry of a fork counts, by its hash. Raises `NotFound`, `NotAllowed` for who is no owner."""
    for held in spaces:
        for one in audit(db, (held,)):
            if one.kind == "fork" and entry in one.entries:
                held.replica.refresh(db)
                space = held.space
                if space.membership.state.right(device.id) is not Role.OWNER:
                    raise NotAllowed("only an owner's device says which entry counts", "Ask an owner of the space.")
                cut = Cut(one.device, one.sequence, bytes.fromhex(entry))
                keep_statement(db, space.n, space.membership, sign_statement(
                    Pick(space.id, space.membership.named_heads, device.id, cut), device.signing))
                journal.record(db, "entry-picked", {"device": one.device.hex(), "number": one.sequence, "entry": entry,
                                                    "space": held.id})
                held.replica.recount(db)
                return
    raise NotFound(f"no fork has an entry {entry!r}", "`audit()` tells those that there are.")


def _forks(db: Connection, held: Held, author: bytes) -> Iterator[Evidence]:
    for fork in forks_of(db, held.space, author):
        (count,) = db.execute("SELECT count(*) FROM entry WHERE space = ? AND author = ? AND sequence >= ? "
                              "AND standing = ?", (held.space.n, author, fork.sequence, FORKED)).fetchone()
        yield Evidence("fork", held.id, author, _name(held, author), fork.sequence,
                       tuple(hash.hex() for hash, _ in fork.children), _counting(db, held, author, fork), count,
                       datetime.fromtimestamp(fork.found / 1000, UTC))


def _counting(db: Connection, held: Held, author: bytes, fork: Fork) -> str | None:
    row = db.execute("SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence = ? AND standing = ?",
                     (held.space.n, author, fork.sequence, COUNTS)).fetchone()
    return None if row is None else row[0].hex()


def _late(db: Connection, held: Held, author: bytes) -> Iterator[Evidence]:
    # Statements in entries are no matter of standing: who leaves, or reads, says some.
    found = db.execute("SELECT min(sequence), hash, count(*) FROM entry WHERE space = ? AND author = ? "
                       "AND standing = ? AND kind = ?", (held.space.n, author, BEYOND, CHANGES)).fetchone()
    if found[0] is not None:
        yield Evidence("late", held.id, author, _name(held, author), found[0], (found[1].hex(),), None, found[2], None)


def _name(held: Held, author: bytes) -> str | None:
    known = held.space.membership.state.device(author)
    return None if known is None else known.name
