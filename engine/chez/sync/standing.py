"""Which entries count: up to where a removal cuts a chain, and which branch of one that forks.

Follows from the entries and statements that are here, in whatever order they came:

- A chain that *forks* (two different entries on the same one) counts up to the fork. On it
  goes along the branch that an owner picked (`Pick`), or else the one that a removal's cut
  names. What broke a rule counts as an entry here and leads nowhere.
- Of what is left, an entry counts up to its *cut*: in the state of the statements that it
  names its author may write, and nobody who did not know of it took that away, or else named
  it or a later one of the chain as accepted. What is before an entry that counts counts too:
  who got the right back, and goes on, stands by all that it wrote.
- A batch counts as a whole or not at all.

This device's own entries count while it may write; where others need more for that, it goes on
(`unseconded`). When it was taken out they stay here as they are: it is shown nothing new that it
could differ from.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chez.records.counting import BEYOND, COUNTS, FORKED
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Role
from chez.store.database import Connection

__all__ = ("Flipped", "Fork", "doubtful", "forks_of", "reconsider", "unseconded", "writers")

_ALL: Final = 2**62


class Fork(msgspec.Struct, frozen=True):
    """Two or more different entries that an author made on the same one, under number `sequence`.

    `children` are their hashes, each with the branch that it is on; None for one that broke a rule.
    """

    sequence: int
    children: tuple[tuple[bytes, int | None], ...]
    found: int


class Flipped(msgspec.Struct, frozen=True):
    """An entry that counts otherwise than it did."""

    row: int
    author: bytes
    before: int
    now: int


class _Segment(msgspec.Struct, frozen=True):
    """A stretch of one branch, both ends included."""

    branch: int
    first: int
    last: int


def writers(db: Connection, space: int) -> set[bytes]:
    """Whoever has entries here."""
    return {author for (author,) in db.execute("SELECT DISTINCT author FROM named WHERE space = ?", (space,))}


def doubtful(db: Connection, space: int) -> set[bytes]:
    """The authors of whom not everything counts, or of whom that must be looked into at each entry."""
    return {author for (author,) in db.execute(
        "SELECT author FROM branch WHERE space = ? UNION SELECT author FROM set_aside WHERE space = ? "
        "UNION SELECT author FROM entry WHERE space = ? AND standing > 0", (space, space, space))}


def reconsider(db: Connection, space: SpaceKeys, device: bytes, authors: Iterable[bytes]) -> list[Flipped]:
    """Decide anew which entries of some authors count, and write it down; `device` is this one."""
    flipped: list[Flipped] = []
    for author in sorted(authors):
        flipped += _Chain(db, space, author).decide(_exempt(space, author) if author == device else False)
    db.executemany("UPDATE entry SET standing = ? WHERE n = ?", [(one.now, one.row) for one in flipped])
    return flipped


def unseconded(db: Connection, space: SpaceKeys, device: bytes) -> list[int]:
    """The rows of entries of this device that count for itself alone: it may write, and made none since that was so."""
    right = space.membership.state.right(device)
    if right is None or right < Role.WRITER:
        return []
    return [one.row for one in _Chain(db, space, device).decide(exempt=False) if one.now == BEYOND]


def forks_of(db: Connection, space: SpaceKeys, author: bytes) -> list[Fork]:
    """Where an author's chain forks, by number."""
    return _Chain(db, space, author).forks()


def _exempt(space: SpaceKeys, device: bytes) -> bool:
    right = space.membership.state.right(device)
    return right is None or right >= Role.WRITER


class _Chain:
    """One author's entries."""

    def __init__(self, db: Connection, space: SpaceKeys, author: bytes) -> None:
        self._db, self._space, self._author = db, space, author
        self._key = space.n, author
        self._branches: dict[int, tuple[int, int, int]] = {
            branch: (parent, sequence, found) for branch, parent, sequence, found in db.execute(
                "SELECT branch, parent, sequence, found FROM branch WHERE space = ? AND author = ?", self._key)}

    # --- forks --------------------------------------------------------------------------

    def forks(self) -> list[Fork]:
        """Every fork, by number."""
        return sorted((fork for _, fork in self._forks()), key=lambda fork: (fork.sequence, fork.children))

    def _forks(self) -> Iterator[tuple[int, Fork]]:
        """Each fork, and the branch that it is on."""
        at: dict[tuple[int, int], dict[bytes, int | None]] = {}
        found: dict[tuple[int, int], int] = {}
        for branch, (parent, sequence, when) in self._branches.items():
            children = at.setdefault((parent, sequence), {})
            children[self._hash(branch, sequence)] = branch
            found[parent, sequence] = min(when, found.get((parent, sequence), when))
        for sequence, hash, previous, when in self._db.execute(
                "SELECT sequence, hash, previous, found FROM set_aside WHERE space = ? AND author = ?", self._key):
            parent_branch = self._branch_of(sequence - 1, previous)
            if parent_branch is not None:
                at.setdefault((parent_branch, sequence), {})[hash] = None
                found[parent_branch, sequence] = min(when, found.get((parent_branch, sequence), when))
        for (branch, sequence), children in at.items():
            if (next_ := self._hash(branch, sequence)) and branch not in children.values():
                children[next_] = branch
            if len(children) > 1:
                yield branch, Fork(sequence, tuple(sorted(children.items(), key=lambda item: item[0])),
                                   found[branch, sequence])

    def _hash(self, branch: int, sequence: int) -> bytes:
        row: tuple[bytes] | None = self._db.execute(
            "SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence = ? AND branch = ?",
            (*self._key, sequence, branch)).fetchone()
        return b"" if row is None else row[0]

    def _branch_of(self, sequence: int, hash: bytes) -> int | None:
        if sequence == 0:
            return 0
        row = self._db.execute("SELECT branch FROM entry WHERE space = ? AND author = ? AND sequence = ? AND hash = ?",
                               (*self._key, sequence, hash)).fetchone()
        return None if row is None else row[0]

    def _path(self) -> tuple[list[_Segment], bool]:
        """The branches along which the chain goes, and whether it ends at a fork of which nobody picked a branch."""
        forks: dict[int, dict[int, Fork]] = {}
        for on, fork in self._forks():
            forks.setdefault(on, {})[fork.sequence] = fork
        path: list[_Segment] = []
        branch, first = 0, 1
        while True:
            turn = next((fork for sequence, fork in sorted(forks.get(branch, {}).items()) if sequence >= first), None)
            if turn is None:
                path.append(_Segment(branch, first, _ALL))
                return path, False
            chosen = self._chosen(turn)
            if chosen == branch:
                path.append(_Segment(branch, first, turn.sequence))
                first = turn.sequence + 1
                continue
            path.append(_Segment(branch, first, turn.sequence - 1))
            if chosen is None:
                return path, True
            branch, first = chosen, turn.sequence

    def _chosen(self, fork: Fork) -> int | None:
        """The branch of a fork that an owner picked, or a removal names."""
        members = self._space.membership
        for sequence, hash in [(one.sequence, one.hash) for one in (
                *members.picks(self._author), *members.cuts(self._author))]:
            if sequence < fork.sequence or (branch := self._branch_of(sequence, hash)) is None:
                continue
            line = self._lineage(branch, sequence)
            for _, child in fork.children:
                if child is not None and line.get(child, 0) >= fork.sequence:
                    return child
        return None

    def _lineage(self, branch: int, sequence: int) -> dict[int, int]:
        """The branches that lead to an entry, and up to which number each does."""
        line = {branch: sequence}
        while branch in self._branches:
            branch, first, _ = self._branches[branch]
            line[branch] = first - 1
        return line

    # --- cuts ---------------------------------------------------------------------------

    def decide(self, exempt: bool) -> list[Flipped]:
        """The entries that count otherwise than is written down; all count of an author that is `exempt`."""
        path, forked = self._path()
        upto = _ALL if exempt else max((self._upto(path, *run) for run in self._runs(path)), default=0)
        end = path[-1].last if forked else _ALL
        upto = self._whole(path, min(upto, end))
        past = self._whole(path, end)
        flipped = []
        for row, branch, sequence, before in self._db.execute(
                "SELECT n, branch, sequence, standing FROM entry WHERE space = ? AND author = ? AND sequence >= ?",
                (*self._key, self._lowest(path, upto))):
            on = any(one.branch == branch and one.first <= sequence <= one.last for one in path)
            now = FORKED if not on or sequence > past else COUNTS if sequence <= upto else BEYOND
            if now != before:
                flipped.append(Flipped(row, self._author, before, now))
        return flipped

    def _lowest(self, path: list[_Segment], upto: int) -> int:
        """From which number on anything may not count, or did not."""
        (excluded,) = self._db.execute("SELECT coalesce(min(sequence), ?) FROM entry WHERE space = ? AND author = ? "
                                       "AND standing > 0", (_ALL, *self._key)).fetchone()
        return min([int(excluded), upto + 1, *[sequence for _, sequence, _ in self._branches.values()]])

    def _runs(self, path: list[_Segment]) -> Iterator[tuple[list[bytes], int, int]]:
        """The statements that entries along the path name, and from where to where they do."""
        runs: list[tuple[int, int, bytes]] = []
        for one in path:
            rows = self._db.execute(
                "SELECT sequence, heads FROM named WHERE space = ? AND author = ? AND branch = ? AND sequence <= ? "
                "ORDER BY sequence", (*self._key, one.branch, one.last)).fetchall()
            for (sequence, heads), after in zip(rows, [*[next_ for next_, _ in rows[1:]], one.last + 1], strict=False):
                if after > one.first:
                    runs.append((max(sequence, one.first), after - 1, heads))
        for first, last, heads in runs:
            yield [heads[at : at + 32] for at in range(0, len(heads), 32)], first, last

    def _upto(self, path: list[_Segment], heads: list[bytes], first: int, last: int) -> int:
        """Up to where the entries from `first` to `last`, which name `heads`, count; 0 if none of them does."""
        right = self._space.membership.right(self._author, heads)
        if right.role is None or right.role < Role.WRITER:
            return 0
        if right.cut is None:
            return last
        upto: int = min(right.cut.sequence, last)
        if upto < first:
            return 0
        there = [self._hash(one.branch, right.cut.sequence) for one in path
                 if one.first <= right.cut.sequence <= one.last]
        # A cut ahead of what is here binds nothing yet; one that names another chain leaves nothing.
        if there != [right.cut.hash] and self._branch_of(right.cut.sequence, right.cut.hash) is not None:
            return 0
        return upto if set(there) <= {b"", right.cut.hash} else 0

    def _whole(self, path: list[_Segment], upto: int) -> int:
        """`upto`, or the number before the batch that it would tear."""
        for one in path:
            if one.first <= upto <= one.last and upto < _ALL:
                row = self._db.execute("SELECT part FROM entry WHERE space = ? AND author = ? AND sequence = ? "
                                       "AND branch = ?", (*self._key, upto, one.branch)).fetchone()
                if row is not None and row[0] is not None:
                    return upto - int(row[0]) - 1
        return upto
