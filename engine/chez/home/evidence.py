"""What does not count, kept as evidence, and an owner's word on it.

    fork    two or more different entries of one device under one number, on the same one before:
            a device that was restored or copied, or one that lies
    late    entries of a device beyond the last one that its removal accepted
    refused what came in and broke a rule: it was set aside, and nothing of it is shown
    void    a word about who belongs that has no effect: its author had no right to it, or
            somebody took that right away at the same time
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.held import LEAST_PREFIX, Held
from chez.keys.device import DeviceKeys
from chez.records.counting import BEYOND, COUNTS, FORKED
from chez.records.values import moment
from chez.spaces.saying import say
from chez.spaces.statements import Cut, Enrol, Pick, Role
from chez.store.database import Connection
from chez.sync.entry import CHANGE, CHANGES, read_kept
from chez.sync.heads import Alarm, alarms
from chez.sync.standing import Fork, doubtful, forks_of

__all__ = ("Branch", "Evidence", "audit", "pick", "told")

_LOOK: Final = 100
"""Entries of a branch that are read to tell what it holds."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the entries of a fork, and what its device wrote on it: `count` entries, the last `written` when.

    By the device's own clock. `records` are those that the first hundred entries changed, as
    "collection/id". `broken` says that the entry broke a rule: it can't be picked.
    """

    entry: str
    count: int
    written: datetime | None
    records: tuple[str, ...] = field(repr=False)
    broken: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that does not count: of which device (`name`, if it is known) and space, from which number on.

    `device` is empty where nobody is known to have signed it; of what the root key of a person
    said it is that person. `entries` are the hashes, in hexadecimal: of a fork those under its
    number (more about each in `branches`), one of which `counts` once an owner picked it or a
    removal names it; of late ones the first; of a void word its own. `count` is how many
    entries, or words, do not count. `found` is when this device saw the fork. `reason` is why
    something was refused or void, `said` what kind of word it was (`Add`, `Remove`...).
    """

    kind: Literal["fork", "late", "refused", "void"]
    space: str
    device: bytes = field(repr=False)
    name: str | None
    sequence: int
    entries: tuple[str, ...]
    counts: str | None
    count: int
    found: datetime | None
    reason: str = ""
    said: str = ""
    branches: tuple[Branch, ...] = ()


def audit(db: Connection, spaces: Iterable[Held]) -> list[Evidence]:
    """All evidence that is kept, by space: what devices did, what was refused, words without effect."""
    found: list[Evidence] = []
    for held in spaces:
        held.replica.refresh(db)
        for author in sorted(doubtful(db, held.space.n)):
            found += [*_forks(db, held, author), *_late(db, held, author)]
        found += [*_refused(db, held), *_void(held)]
    return found


def told(db: Connection, spaces: Iterable[Held]) -> list[Alarm]:
    """The alarms that were raised about relays in these spaces, each with the name of the device that tells of it."""
    known = {held.space.id: held for held in spaces}
    return [replace(one, name=_name(known[one.space], one.author)) for one in alarms(db) if one.space in known]


def pick(db: Connection, spaces: Iterable[Held], device: DeviceKeys, entry: str) -> None:
    """Say which entry of a fork counts, by its hash or the beginning of that.

    Raises `NotFound`, `InvalidValue` when several begin so, `NotAllowed` for who is no owner, and for an entry that
    broke a rule.
    """
    held, one, branch = _named(db, spaces, entry)
    if branch.broken:
        raise NotAllowed("this entry broke a rule, so nothing can make it count", "Pick the other one.")
    if held.space.membership.state.right(device.id) is not Role.OWNER:
        raise NotAllowed("only an owner's device says which entry counts", "Ask an owner of the space.")
    cut = Cut(one.device, one.sequence, bytes.fromhex(branch.entry))
    say(db, held.space, device.signing, Pick(held.space.id, held.space.membership.named_heads, device.id, cut))
    held.engine.receipt(db, "entry-picked", {"device": one.device.hex(), "name": one.name or "",
                                             "number": one.sequence, "entry": branch.entry})
    held.replica.recount(db)


def _named(db: Connection, spaces: Iterable[Held], entry: str) -> tuple[Held, Evidence, Branch]:
    found = [(held, one, branch) for held in spaces for one in audit(db, (held,)) for branch in one.branches
             if branch.entry == entry or (len(entry) >= LEAST_PREFIX and branch.entry.startswith(entry.lower()))]
    if not found:
        raise NotFound(f"no fork has an entry {entry!r}", "`chez space audit` shows those that there are.")
    if len(found) > 1:
        raise InvalidValue(f"{len(found)} entries begin with {entry!r}", "Give more of it.")
    return found[0]


# --- forks, and what is beyond a removal ------------------------------------------------


def _forks(db: Connection, held: Held, author: bytes) -> Iterator[Evidence]:
    for fork in forks_of(db, held.space, author):
        (count,) = db.execute("SELECT count(*) FROM entry WHERE space = ? AND author = ? AND sequence >= ? "
                              "AND standing = ?", (held.space.n, author, fork.sequence, FORKED)).fetchone()
        yield Evidence("fork", held.id, author, _name(held, author), fork.sequence,
                       tuple(hash.hex() for hash, _ in fork.children), _counting(db, held, author, fork), count,
                       moment(fork.found), branches=tuple(_branches(db, held, author, fork)))


def _counting(db: Connection, held: Held, author: bytes, fork: Fork) -> str | None:
    row = db.execute("SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence = ? AND standing = ?",
                     (held.space.n, author, fork.sequence, COUNTS)).fetchone()
    return None if row is None else row[0].hex()


def _branches(db: Connection, held: Held, author: bytes, fork: Fork) -> Iterator[Branch]:
    for hash, branch in fork.children:
        if branch is None:
            yield Branch(hash.hex(), 1, None, (), True)
            continue
        on = (held.space.n, author, branch, fork.sequence)
        where = "FROM entry WHERE space = ? AND author = ? AND branch = ? AND sequence >= ?"
        (count,) = db.execute(f"SELECT count(*) {where}", on).fetchone()
        (last,) = db.execute(f"SELECT inner {where} ORDER BY sequence DESC LIMIT 1", on).fetchone()
        entries = db.execute(f"SELECT inner {where} ORDER BY sequence LIMIT ?", (*on, _LOOK))
        records = {f"{item.collection}/{item.id}": None for (packed,) in entries
                   for item in read_kept(packed).inner.items if item.kind == CHANGE}
        yield Branch(hash.hex(), count, moment(read_kept(last).inner.time), tuple(records), False)


def _late(db: Connection, held: Held, author: bytes) -> Iterator[Evidence]:
    # Statements in entries are no matter of standing: who leaves, or reads, says some.
    found = db.execute("SELECT min(sequence), hash, count(*) FROM entry WHERE space = ? AND author = ? "
                       "AND standing = ? AND kind = ?", (held.space.n, author, BEYOND, CHANGES)).fetchone()
    if found[0] is not None:
        yield Evidence("late", held.id, author, _name(held, author), found[0], (found[1].hex(),), None, found[2], None)


# --- what was refused, and what has no effect -------------------------------------------


def _refused(db: Connection, held: Held) -> Iterator[Evidence]:
    for author, reason, count in db.execute(
            "SELECT author, reason, count(*) FROM quarantine WHERE space = ? GROUP BY author, reason "
            "ORDER BY min(n)", (held.space.n,)).fetchall():
        yield Evidence("refused", held.id, author or b"", None if author is None else _name(held, author), 0, (), None,
                       count, None, reason)


def _void(held: Held) -> Iterator[Evidence]:
    for statement, reason in held.space.membership.void():
        body = statement.body
        issuer = body.person if isinstance(body, Enrol) else body.issuer
        yield Evidence("void", held.id, issuer, _name(held, issuer), 0, (statement.hash.hex(),), None, 1, None, reason,
                       type(body).__name__)


def _name(held: Held, author: bytes) -> str | None:
    state = held.space.membership.state
    device, person = state.device(author), state.persons.get(author)
    return device.name if device is not None else None if person is None else person.name
