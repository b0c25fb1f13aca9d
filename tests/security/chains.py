"""Chains written by hand, that may fork, with statements that end them; and which records should come of it.

`expected` says once more, plainly, which entries and changes count: sync/standing.py and
records/counting.py are held against it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from chez.records import automerge
from chez.records.automerge import RawChange
from chez.records.derived import named
from chez.records.diff import write_difference
from chez.records.encode import encode_fields
from chez.records.store import RecordStore
from chez.records.values import Value, from_json
from chez.spaces.statements import Certify, Cut, Expel, PersonBody, Pick, Retire, Signed, sign_statement
from chez.store.database import Connection
from chez.sync.entry import (
    CHANGE,
    CHANGES,
    GENESIS,
    STATEMENT,
    STATEMENTS,
    Inner,
    Item,
    Part,
    SignedEntry,
    seal,
    sign_entry,
)
from chez.sync.replica import Replica
from chez_wire.frames import Entry
from tests.simulation.household import NOW, Household, Member, household

__all__ = ("NOTES", "Node", "Reader", "Told", "View", "World", "expected")

NOTES = "notes"
HEAD = bytes(32)


@dataclass
class View:
    """What an author has of each record: changes, each after what it builds on."""

    records: dict[str, list[RawChange]] = field(default_factory=dict)

    def copy(self) -> "View":
        """The same, to go on from."""
        return View({id: list(changes) for id, changes in self.records.items()})

    def see(self, id: str, changes: Iterable[RawChange]) -> None:
        """Take in what another wrote."""
        mine = self.records.setdefault(id, [])
        known = {change.hash for change in mine}
        mine += [change for change in changes if change.hash not in known]

    def write(self, actor: bytes, id: str, fields: dict[str, Value]) -> RawChange:
        """A change by `actor` that sets fields of a record."""
        mine = self.records.setdefault(id, [])
        data = b"".join(change.bytes for change in mine)
        document = automerge.load(data, actor) if data else automerge.new(actor)
        before = automerge.extract(document)
        made = write_difference(document, before, before | fields)
        assert made is not None
        mine.append(automerge.read_change(made))
        return mine[-1]


@dataclass
class Node:
    """The place after an entry in an author's chain, and what the author had there."""

    author: Member
    sequence: int = 0
    hash: bytes = GENESIS
    view: View = field(default_factory=View)
    part: int | None = None
    """The part of a batch that the entry is, when more of it must follow."""


@dataclass(frozen=True)
class Told:
    """A removal or a pick that was said."""

    cut: Cut
    pick: bool


class World:
    """A person's devices: an owner, another one that stays, one that goes bad, and those that read."""

    def __init__(self, seed: int = 7) -> None:
        self.random = Random(seed)
        self.house: Household = household(self.random)
        self.owner, self.friend, self.bad, self.reader = self.house.members(self.random, 4)
        self.heads = self.reader.heads
        self.said: list[Signed] = []
        self.told: list[Told] = []

    def reads(self) -> "Reader":
        """A device that takes in what others wrote."""
        return Reader(self.house, self.reader, self.random)

    def entry(self, node: Node, changes: Sequence[tuple[str, RawChange]], *, part: Part | None = None,
              heads: Sequence[bytes] | None = None, items: Sequence[Item] = ()) -> SignedEntry:
        """An entry after a node, which moves to behind it."""
        carried = [Item(CHANGE, NOTES, id, change.bytes) for id, change in changes] + list(items)
        kind = STATEMENTS if any(item.kind == STATEMENT for item in items) else CHANGES
        signed = sign_entry(Inner(1, self.house.space, node.author.keys.id, node.sequence + 1, node.hash, NOW, kind,
                                  carried, sorted(self.heads if heads is None else heads), None, part),
                            node.author.keys.signing)
        node.sequence, node.hash = node.sequence + 1, signed.hash
        node.part = None if part is None or part.last else part.number
        return signed

    def put(self, node: Node, id: str, fields: dict[str, Value], *, part: Part | None = None,
            shared: str | None = None) -> SignedEntry:
        """An entry in which an author sets fields of one record.

        With `shared` it carries, before that, a change that is named after what it holds, as any author may.
        """
        carried = []
        if shared is not None:
            carried.append((id, named(encode_fields(bytes(24), 1, 1, (), {f"{id} {shared}": shared}).bytes)))
            node.view.see(id, [carried[0][1]])
        return self.entry(node, [*carried, (id, node.view.write(node.author.keys.id, id, fields))], part=part)

    def fork(self, node: Node) -> Node:
        """The same place, to write another entry from."""
        return Node(node.author, node.sequence, node.hash, node.view.copy(), node.part)

    def remove(self, node: Node, cut: Cut) -> SignedEntry:
        """The owner takes the bad device out, having accepted it up to `cut`."""
        keys, known = self.owner.keys, [*self.reader.statements, *self.said]
        keep = [one.hash for one in known if isinstance(one.body, Certify) and one.body.issuer == self.bad.keys.id]
        expel = sign_statement(Expel(self.house.person, _heads(known, person=True), keys.id, self.bad.keys.id, keep),
                               keys.signing)
        retire = sign_statement(Retire(self.house.space, _heads([*known, expel]), keys.id, cut), keys.signing)
        self.said += [expel, retire]
        self.told.append(Told(cut, pick=False))
        return self._say(node, expel, retire)

    def pick(self, node: Node, entry: Cut, *, by: Member | None = None) -> SignedEntry:
        """The owner, or another device, says which of two entries under one number counts."""
        keys, known = (by or self.owner).keys, [*self.reader.statements, *self.said]
        pick = sign_statement(Pick(self.house.space, _heads(known), keys.id, entry), keys.signing)
        self.said.append(pick)
        self.told.append(Told(entry, pick=True))
        return self._say(node, pick)

    def _say(self, node: Node, *statements: Signed) -> SignedEntry:
        return self.entry(node, [], items=[Item(STATEMENT, "", "", one.raw) for one in statements])


def _heads(known: Sequence[Signed], *, person: bool = False) -> list[bytes]:
    about = [one for one in known if not person or isinstance(one.body, PersonBody)]
    built_on = {head for one in about for head in one.heads}
    return sorted(one.hash for one in about if one.hash not in built_on)


class Reader:
    """A device that takes in entries, in whatever order."""

    def __init__(self, house: Household, member: Member, random: Random) -> None:
        self.house, self.member, self.random = house, member, random
        self.db: Connection = house.store(member, bytes(32))
        self.receipts: list[tuple[str, object]] = []
        self.offset = 0
        self.restart()
        self.replica.resume(self.db, 1, bytes(32))

    def restart(self) -> None:
        """Begin again from what is stored."""
        self.records = RecordStore(self.member.keys.id)
        self.replica: Replica = self.house.replica(self.member, self.db, self.random, self.records)
        self.replica.write_receipt = lambda db, kind, body: self.receipts.append((kind, body))

    def receive(self, *entries: SignedEntry) -> None:
        """One page."""
        handle, epoch = self.replica.space.handle, self.house.epoch
        page = []
        for entry in entries:
            self.offset += 1
            page.append(Entry(self.offset, seal(entry.packed, handle, epoch, self.random.randbytes(24))))
        self.replica.incoming(self.db, 1, page, HEAD)

    def shown(self) -> dict[str, dict[str, Value]]:
        """Every record as a query sees it."""
        return {id: from_json(json, kinds) for id, json, kinds in self.db.execute(
            "SELECT id, json, kinds FROM record WHERE deleted = 0 ORDER BY id").fetchall()}

    def count(self, table: str) -> int:
        """Rows of a table."""
        found: int = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


# --- the plain definition ---------------------------------------------------------------


def expected(world: World, entries: Iterable[SignedEntry]) -> dict[str, dict[str, Value]]:
    """What every device must show that has these entries, all of the world's statements among them."""
    by_author: dict[bytes, dict[bytes, SignedEntry]] = {}
    for entry in entries:
        by_author.setdefault(entry.inner.author, {})[entry.hash] = entry
    counting: list[RawChange] = []
    bringable: list[tuple[int, RawChange]] = []
    names: dict[bytes, str] = {}
    for author, chain in by_author.items():
        every = _path(world, chain) if author == world.bad.keys.id else sorted(
            chain.values(), key=lambda one: one.inner.sequence)
        path = _whole(every)
        upto = len(_whole(every[:_upto(world, chain, every)])) if author == world.bad.keys.id else len(path)
        for at, entry in enumerate(path):
            for item, change in zip([item for item in entry.inner.items if item.kind == CHANGE], entry.changes or [
                    automerge.read_change(item.data) for item in entry.inner.items if item.kind == CHANGE],
                    strict=True):
                names[change.hash] = item.id
                if at < upto:
                    counting.append(change)
                else:
                    bringable.append((at, change))
    found = {change.hash for change in counting}
    changes = list(counting)
    todo = [hash for change in counting for hash in change.dependencies]
    while todo:
        hash = todo.pop()
        last = next((at for at, (_, change) in enumerate(bringable) if change.hash == hash), None)
        if last is None:
            continue
        for _, change in _brought(bringable[:last + 1]):
            if change.hash not in found and names[change.hash] == names[hash]:
                found.add(change.hash)
                changes.append(change)
                todo += change.dependencies
    return _values(changes, names)


def _path(world: World, chain: dict[bytes, SignedEntry]) -> list[SignedEntry]:
    """The entries of a chain up to its first fork of which no branch was picked or named, along those that were."""
    children: dict[bytes, list[SignedEntry]] = {}
    for entry in chain.values():
        children.setdefault(entry.inner.previous, []).append(entry)
    since = max((at for at, told in enumerate(world.told) if not told.pick), default=-1) + 1
    picks = sorted({told.cut.sequence: told.cut.hash for told in world.told[since:] if told.pick}.items())
    cuts = sorted((-told.cut.sequence, told.cut.hash) for told in world.told if not told.pick)
    wanted = [*picks, *((-number, hash) for number, hash in cuts)]
    path: list[SignedEntry] = []
    at = GENESIS
    while at in children:
        ways = children[at]
        if len(ways) > 1:
            ways = [way for way in ways if way is _way(chain, ways, wanted)]
        if not ways:
            break
        path.append(ways[0])
        at = ways[0].hash
    return path


def _way(chain: dict[bytes, SignedEntry], ways: list[SignedEntry], wanted: list[tuple[int, bytes]]) -> (
        SignedEntry | None):
    for sequence, hash in wanted:
        entry = chain.get(hash)
        if entry is None or entry.inner.sequence != sequence:
            continue
        while entry is not None:
            if entry in ways:
                return entry
            entry = chain.get(entry.inner.previous)
    return None


def _upto(world: World, chain: dict[bytes, SignedEntry], path: list[SignedEntry]) -> int:
    """How many entries of the bad device's path count, none of which knew of its removal."""
    cuts = [told.cut for told in world.told if not told.pick]
    if not cuts:
        return len(path)
    cut = max(cuts, key=lambda cut: (cut.sequence, cut.hash))
    upto = min(cut.sequence, len(path))
    if cut.sequence <= len(path) and cut.sequence and path[cut.sequence - 1].hash != cut.hash:
        return 0
    if cut.hash in chain and chain[cut.hash] not in path:
        return 0
    return upto


def _whole(path: list[SignedEntry]) -> list[SignedEntry]:
    """Without the batch at the end of which not all is there."""
    while path and (part := path[-1].inner.part) is not None and not part.last:
        path = path[:-1]
    return path


def _brought(upto: list[tuple[int, RawChange]]) -> list[tuple[int, RawChange]]:
    """What the last of these brings back with it: what its device made before it, if it is in the name of one."""
    actor = upto[-1][1].actor
    return [one for one in upto if one[1].actor == actor] if len(actor) == 32 else upto[-1:]


def _values(changes: list[RawChange], names: dict[bytes, str]) -> dict[str, dict[str, Value]]:
    applied: dict[str, list[RawChange]] = {}
    there: set[bytes] = set()
    numbers: dict[tuple[str, bytes], int] = {}
    again = True
    while again:
        again = False
        for change in changes:
            key = names[change.hash], change.actor
            if change.hash not in there and set(change.dependencies) <= there and (
                    numbers.get(key, 0) + 1 == change.sequence):
                there.add(change.hash)
                numbers[key] = change.sequence
                applied.setdefault(key[0], []).append(change)
                again = True
    return {id: automerge.extract(automerge.load(b"".join(one.bytes for one in made), bytes(32)))
            for id, made in applied.items()}
