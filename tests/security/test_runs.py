"""Operations looked at by runs: the same verdicts as one by one, for the work of a few."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge, ground
from chez.records.automerge import BadChange, RawChange
from chez.records.ground import Ground
from chez.records.operations import (
    DELETE,
    HEAD,
    MAKE_LIST,
    MAKE_TEXT,
    MARK,
    SET,
    Operation,
    OpId,
    decode,
    encode,
)
from chez.records.runs import unpack
from tests.security.crooked import crooked
from tests.security.test_poison import sealed
from tests.tries import tries

ACTORS = [bytes((n,)) * 32 for n in (1, 2)]


def told(change: RawChange) -> list[Operation] | None:
    """A change's operations one by one, None when they can't be read."""
    try:
        return decode(change)
    except BadChange:
        return None


def by_runs(change: RawChange) -> list[Operation] | None:
    """The same by runs; each is found by its number as well."""
    try:
        found = unpack(change)
    except BadChange:
        return None
    every = [run.at(n) for run in found.all for n in range(run.count)]
    assert [found.find(one.id[0]) for one in every] == every
    return every


@settings(max_examples=tries(300), deadline=None)
@given(st.integers(0, 2**32))
def test_runs_tell_the_operations_that_one_by_one_are_told(seed: int) -> None:
    """Whatever a change holds, damaged or not: the same operations, or neither reading takes it."""
    random = Random(seed)
    made = dense(random)
    changes = [*made, crooked(random, ACTORS[0], 2, made, [one for change in made for one in decode(change)])]
    for change in changes:
        assert by_runs(change) == told(change) != []
        for _ in range(6):
            tail = bytearray(change.bytes[8:])
            for _ in range(random.randint(1, 3)):
                tail[random.randrange(len(tail))] = random.randrange(256)
            try:
                damaged = automerge.read_change(sealed(bytes(tail)))
            except BadChange:
                continue
            assert by_runs(damaged) == told(damaged)


def dense(random: Random) -> list[RawChange]:
    """Changes of long runs in lists and texts, each on some of those before; now and then an operation is wrong."""
    made: list[RawChange] = []
    known: list[Operation] = []
    tips: dict[bytes, RawChange] = {}
    for _ in range(random.randint(2, 5)):
        actor = random.choice(ACTORS)
        needs = {one.hash: one for one in ([tips[actor]] if actor in tips else [])}
        needs |= {one.hash: one for one in random.sample(made, min(len(made), random.randint(0, 2)))}
        start = max([one.last for one in needs.values()], default=0) + 1
        fresh: list[Operation] = []
        for _ in range(random.randint(1, 3)):
            fresh += stretch(random, (start + len(fresh), actor), [*known, *fresh])
        sequence = 1 if actor not in tips else tips[actor].sequence + 1
        change = encode(actor, sequence, start, list(needs), fresh)
        made.append(change)
        known += fresh
        tips[actor] = change
    return made


def stretch(random: Random, id: OpId, known: list[Operation]) -> list[Operation]:
    """Operations that go on alike: an object made, items put in one after the other, deleted or replaced in a row."""
    start, actor = id
    objects = [one.id for one in known if one.action in (MAKE_LIST, MAKE_TEXT)]
    if not objects or random.random() < 0.15:
        return [Operation(id, None, random.choice("abc"), False, random.choice((MAKE_LIST, MAKE_TEXT)), 0, b"", ())]
    obj = random.choice(objects)
    anywhere = random.random() < 0.3  # the items of another object may be the next by number
    elements = sorted([one.id for one in known if one.insert and (one.obj == obj or anywhere)])
    count = random.randint(1, 12)
    if not elements or random.random() < 0.5:
        at: OpId = random.choice([*elements, HEAD])
        out = []
        for n in range(count):
            out.append(Operation((start + n, actor), obj, at, True, SET, 6, b"x", ()))
            at = (start + n, actor) if random.random() < 0.97 else random.choice([*elements, HEAD])
        return out
    first = random.randrange(len(elements))
    named = elements[first : first + count]
    if random.random() < 0.3:
        named.reverse()
    if random.random() < 0.1:
        named = [named[0]] * count
    elif random.random() < 0.2:  # beyond what is there, or in another's name
        named = [(named[0][0] + n, random.choice(ACTORS) if random.random() < 0.1 else named[0][1])
                 for n in range(count)]
    action, replaced = random.choice((DELETE, DELETE, SET)), random.random()
    out = []
    for n, element in enumerate(named):
        before: tuple[OpId, ...] = () if action == SET and replaced < 0.2 else (element,)
        if replaced > 0.9:  # another's in step, or the first one's over and over
            before = (named[0],) if replaced > 0.95 else ((element[0] + 1, element[1]),)
        if random.random() < 0.03:
            before = (random.choice(elements),)
        out.append(Operation((start + n, actor), obj, element, False, action, 0, b"", before))
    return out


def verdicts(made: list[RawChange]) -> list[bool]:
    """Which changes fit what they build on; what builds on one that does not is not looked at."""
    held, out, taken = Ground(), [], set()
    for change in made:
        try:
            if not set(change.dependencies) <= taken:
                raise BadChange("it builds on what is not there")
            held.take(change)
            taken.add(change.hash)
            out.append(True)
        except BadChange:
            out.append(False)
    return out


@settings(max_examples=tries(300), deadline=None)
@given(st.integers(0, 2**32))
def test_runs_fit_exactly_when_each_operation_does(seed: int) -> None:
    """Elements of several changes, in rows and backwards, gaps, wrong objects and names: verdicts as one by one."""
    made = dense(Random(seed))
    found = verdicts(made)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ground._Check, "_in_step", lambda self, run: False)
        assert found == verdicts(made)


def rows() -> list[RawChange]:
    """A text (1) and a list (2) of four items each, 3 to 6 and 7 to 10, and what stands in their places."""
    a, (text, items) = ACTORS[0], ((1, ACTORS[0]), (2, ACTORS[0]))
    made = [Operation((1, a), None, "t", False, MAKE_TEXT, 0, b"", ()),
            Operation((2, a), None, "l", False, MAKE_LIST, 0, b"", ())]
    made += [Operation((n, a), text if n < 7 else items, HEAD, True, SET, 6, b"x", ()) for n in range(3, 11)]
    made += [Operation((n, a), items, (of, a), False, SET, 6, b"y", ((before, a),)) for n, of, before in (
        (11, 7, 7), (12, 8, 8), (13, 9, 9), (14, 7, 11), (15, 7, 14), (16, 7, 15), (17, 8, 12))]
    made += [Operation((n, a), text, HEAD, True, SET, 6, b"x", ()) for n in (18, 19, 20)]
    made.append(Operation((21, a), text, HEAD, True, MARK, 0, b"", ()))
    first = encode(a, 1, 1, [], made)
    return [first, encode(a, 2, 22, [first.hash], [
        Operation((n, a), text, HEAD, True, SET, 6, b"x", ()) for n in (22, 23, 24)])]


@pytest.mark.parametrize(("obj", "keys", "before", "fits"), [
    (1, (3, 4, 5, 6), (3, 4, 5, 6), True),
    (1, (6, 5, 4, 3), (6, 5, 4, 3), True),
    (1, (4, 5, 6, 7), (4, 5, 6, 7), False),  # on into the list
    (2, (8, 9, 10, 11), (8, 9, 10, 11), False),  # on into what is no item
    (2, (7, 8, 9), (11, 12, 13), True),
    (2, (7, 8, 9, 10), (11, 12, 13, 14), False),  # the last one stands in another place
    (2, (7, 7, 7), (14, 15, 16), True),
    (2, (7, 7, 7, 7), (14, 15, 16, 17), False),
    (2, (7, 7, 7), (11, 11, 11), True),
    (2, (8, -7, 8, 9, 10), (8, 8, 8, 8), False),  # all replace the first one's; an item put in comes in between
    (1, (18, 19, 20), (18, 19, 20), True),
    (1, (18, 19, 20, 21), (18, 19, 20, 21), False),  # on into the end of a mark
    (1, (22, 23, 24), (22, 23, 24), False),  # in a change that it does not build on
])
def test_a_row_fits_to_its_end_or_not_at_all(
    obj: int, keys: tuple[int, ...], before: tuple[int, ...], fits: bool
) -> None:
    """What begins well and goes on wrong, by one number, is refused as if it were looked at one by one."""
    (first, second), (a, b) = rows(), ACTORS
    held = Ground()
    held.take(first)
    held.take(second)
    made, replaced = [], list(before)
    for n, key in enumerate(keys, 22):
        put_in = key < 0  # behind that item
        made.append(Operation((n, b), (obj, a), (abs(key), a), put_in, SET if put_in else DELETE, 6 if put_in else 0,
                              b"x" if put_in else b"", () if put_in else ((replaced.pop(0), a),)))
    change = encode(b, 1, 22, [first.hash], made)
    assert max(run.count for run in unpack(change).all) > 1
    if fits:
        held.take(change)
    else:
        with pytest.raises(BadChange):
            held.take(change)


def test_a_row_that_overtakes_itself_is_refused() -> None:
    """Items put in behind each second one of the same change, until one would come behind itself."""
    a, obj = ACTORS[0], (1, ACTORS[0])
    keys: list[OpId] = [HEAD, HEAD, HEAD, (2, a), (4, a), (6, a), (8, a)]
    for count in (6, 7):
        made = [Operation((1, a), None, "l", False, MAKE_LIST, 0, b"", ())]
        made += [Operation((n, a), obj, key, True, SET, 0, b"", ()) for n, key in enumerate(keys[:count], 2)]
        if count == 6:
            Ground().take(encode(a, 1, 1, [], made))
        else:
            with pytest.raises(BadChange):
                Ground().take(encode(a, 1, 1, [], made))


def test_a_long_row_is_a_look_at_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of 50,000 characters put in and deleted, forwards or backwards: some looks, whatever its length."""
    looks = [0]
    one = ground._Check._one

    def counted(self: ground._Check, operation: Operation) -> None:
        looks[0] += 1
        one(self, operation)

    monkeypatch.setattr(ground._Check, "_one", counted)
    for backwards in (False, True):
        document = automerge.new(ACTORS[0])
        with automerge.transaction(document) as tx:
            text = tx.put_object(automerge.ROOT, "t", automerge.core.ObjType.Text)
            tx.splice_text(text, 0, 0, "x" * 50_000)
        changes = [automerge.last_change(document)]
        with automerge.transaction(document) as tx:
            if backwards:
                for at in range(4_999, -1, -1):
                    tx.delete(text, at)
            else:
                tx.splice_text(text, 0, 50_000, "")
        changes.append(automerge.last_change(document))
        held = Ground()
        for data in changes:
            held.take(automerge.read_change(data))
    assert looks[0] < 30
