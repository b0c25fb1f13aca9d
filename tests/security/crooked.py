"""Changes of operations that no edit makes, and chains of every kind of change, good and bad."""

import struct
from random import Random

from chez.errors import InvalidValue
from chez.records import automerge
from chez.records.automerge import BadChange, RawChange, read_change
from chez.records.counter import Counter
from chez.records.derived import check_derived, named
from chez.records.diff import write_difference
from chez.records.encode import encode_fields, sleb, uleb
from chez.records.ground import Ground
from chez.records.imported import identity_change
from chez.records.operations import HEAD, Operation, OpId, decode, encode
from chez.records.text import Mark, Text
from chez.records.values import Value
from chez.sync.entry import CHANGE, CHANGES, Inner, Item, Part, SignedEntry, sign_entry
from tests.security.test_poison import COLLECTION, Author
from tests.simulation.household import NOW

UNNAMED = bytes(24)


def crooked(random: Random, actor: bytes, sequence: int, made: list[RawChange], known: list[Operation]) -> RawChange:
    """A change whose operations may name anything that any change has, fitting or not."""
    ground = random.sample(made, min(len(made), random.randint(0, 2))) if random.random() < 0.5 else _heads(made)
    mine = [one for one in made if one.actor == actor]
    start = max([one.last for one in (*ground, *mine[-1:])], default=0) + 1
    local = list(known)
    for number in range(start, start + random.randint(1, 4)):
        local.append(_operation(random, (number, actor), local))
    return encode(actor, sequence, start, [one.hash for one in ground], local[len(known):])


def _heads(made: list[RawChange]) -> list[RawChange]:
    inside = {hash for one in made for hash in one.dependencies}
    return [one for one in made if one.hash not in inside]


def _operation(random: Random, id: tuple[int, bytes], known: list[Operation]) -> Operation:
    made = {one.id: one.action for one in known if one.action in (0, 2, 4)}
    obj = random.choice([None, *made, *made])
    if random.random() < 0.04 and known:
        obj = random.choice(known).id
    inside = [one for one in known if one.obj == obj]
    listed = (made.get(obj, 0) != 0) ^ (random.random() < 0.04) if obj else random.random() < 0.02
    elements = [one.id for one in inside if one.insert]
    insert = listed and (random.random() < 0.6 or not elements)
    key: str | OpId = random.choice(["a", "n", "_deleted", f"_counter:{id[1].hex()}:n", "_version:3"])
    if listed:
        key = random.choice([*elements, HEAD] if insert or not elements else elements)
    if random.random() < 0.04 and known:
        key = random.choice(known).id if random.random() < 0.5 else random.choice(["", "\0"])
    place = [] if insert else [one.id for one in inside if one.place == (obj, key)]
    before = [one for one in place if random.random() < 0.7]
    if random.random() < 0.04 and known:
        before.append(random.choice(known).id)
    action = random.choice((1, 1, 1, 0, 2, 4, 3 if before or random.random() < 0.1 else 1))
    if random.random() < 0.03:
        action, insert = random.choice((5, 6, 7, 8)), random.random() < 0.5
    kind, raw = _scalar(random) if action == 1 or random.random() < 0.02 else (0, b"")
    return Operation(id, obj, key, insert, action, kind, raw, tuple(before))


def _scalar(random: Random) -> tuple[int, bytes]:
    return random.choice([(0, b""), (2, b""), (3, uleb(2**64 - 1)), (4, sleb(random.randrange(-99, 99))),
                          (4, sleb(-(2**63))), (5, struct.pack("<d", float("nan"))), (6, b""), (6, b"x"),
                          (6, b"abc"), (6, "é😀".encode()), (7, b"\0\xff"), (9, sleb(5))])


class Crook(Author):
    """A member that writes every kind of change into its chain, good and bad, and cuts batches."""

    imported: tuple[str, dict[str, Value]]

    def page(self, made: dict[str, list[RawChange]], known: dict[str, list[Operation]]) -> list[SignedEntry]:
        """Its next entries: one, or a batch in parts."""
        parts = self.random.choice((1, 1, 1, 2, 3))
        bodies = [[self._item(made, known) for _ in range(self.random.randint(1, 3))] for _ in range(parts)]
        return [self._signed([item for item in items if item is not None],
                             None if parts == 1 else Part(n, n == parts - 1)) for n, items in enumerate(bodies)]

    def _signed(self, items: list[Item], part: Part | None) -> SignedEntry:
        self.sequence += 1
        signed = sign_entry(Inner(1, self.house.space, self.keys.id, self.sequence, self.previous, NOW, CHANGES, items,
                                  self.heads, None, part), self.keys.signing)
        self.previous = signed.hash
        return signed

    def _item(self, made: dict[str, list[RawChange]], known: dict[str, list[Operation]]) -> Item | None:
        id = self.random.choice(list(made))
        try:
            change = self._change(id, made[id], known[id])
        except BadChange:  # damaged beyond being a change at all, or the honest document can't follow
            return None
        if change is None:
            return None
        made[id].append(change)
        try:
            known[id] += decode(change)
        except BadChange:
            pass
        return Item(CHANGE, COLLECTION, id, change.bytes)

    def _change(self, id: str, made: list[RawChange], known: list[Operation]) -> RawChange | None:
        number = self.number.setdefault(id, 0) + 1
        match self.random.randrange(8):
            case 0 | 1:
                change = read_change(crooked(self.random, self.keys.id, number, made, known).bytes)
            case 2:
                deps = self.random.sample(made, min(len(made), 2))
                start = max([one.last for one in deps], default=0) + self.random.choice((1, 1, 1, 2))
                change = named(encode_fields(UNNAMED, 1, start, [one.hash for one in deps],
                                             {f"f{self.random.randrange(3)}": self.random.randrange(3)}).bytes)
                check_derived(change)
                return change
            case 3 if id == self.imported[0]:
                return identity_change(self.imported[1])
            case 4 if made:
                change = read_change(self._damaged(self.random.choice(made).bytes))
                if change.actor != self.keys.id:
                    return None
            case 5:
                change = read_change(encode_fields(self.keys.id, self.random.randint(1, number + 1), 1,
                                                   [self.random.randbytes(32)], {"n": 1}).bytes)
            case _:
                return self._edited(id, made)
        if change.sequence == number:
            self.number[id] = number
        return change

    def _edited(self, id: str, made: list[RawChange]) -> RawChange | None:
        """What an honest device would write, which has only its own work and some of the others'."""
        document = self.documents.setdefault(id, automerge.new(self.keys.id))
        ground = Ground()
        ground.learn(document)
        for one in made:
            if self.random.random() < 0.3 and set(one.dependencies) <= {p.hash for p in automerge.history(document)}:
                try:
                    ground.take(one)  # or it would crash this very process
                    document = self.documents[id] = automerge.applied(document, [one])
                except BadChange:
                    continue
        before = automerge.extract(document)
        body = Text("ab" * self.random.randint(1, 3), (Mark(0, 2, "bold", True),))
        value = self.random.choice((7, None, ["a", {"x": 1}], {"x": [1]}, b"raw", body, "plain", Counter(3)))
        after = before | {self.random.choice("abc"): value, "z": self.random.random()}
        if self.random.random() < 0.2:
            after["_deleted"] = True
        try:
            change = write_difference(document, before, after)
        except InvalidValue:  # a crook put a number there from which no counter comes within 64 bits: it is told so
            return None
        if change is None:
            return None
        info = read_change(change)
        self.number[id] = max(self.number.get(id, 0), info.sequence)
        return info


__all__ = ("Crook", "crooked")
