"""Records are written in the form that takes less of a part, and come back from either."""

from random import Random

import msgspec
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.automerge import RawChange
from chez.sync.checkpoints.format import Record
from chez.sync.checkpoints.forms import Forms
from chez.sync.checkpoints.taking import placed
from chez.sync.short import shortened
from tests.checkpoints.bundles import bundle_of, filled
from tests.security.chains import View
from tests.tries import tries

AUTHORS = [bytes([65 + n]) * 32 for n in range(3)]


def edited(rounds: int, number: int) -> list[RawChange]:
    """A record of six fields, one of which was changed again and again."""
    view = View()
    for n in range(rounds):
        view.write(AUTHORS[0], "x", {f"field {k}": f"value {number} {k}" for k in range(6)} | {"round": n})
    return view.records["x"]


def typed(keys: int) -> list[RawChange]:
    """A text that was typed key by key, here and there."""
    random = Random(5)
    document = automerge.new(AUTHORS[0])
    with automerge.transaction(document) as tx:
        text = tx.put_object(automerge.ROOT, "text", automerge.core.ObjType.Text)
    at = 0
    for n in range(keys):
        at = random.randrange(n + 1) if n % 40 == 0 else at + 1
        automerge.splice(document, text, [(at, 0, random.choice("etaoin shrdlu"))])
    return [automerge.read_change(one) for one in automerge.changes_of(document)]


def written(forms: Forms, histories: list[list[RawChange]]) -> list[Record]:
    """Each history as a record of one author."""
    return [forms.record(("notes", f"note {number}"), [(0, n, change.bytes) for n, change in enumerate(history)],
                         AUTHORS[0]) for number, history in enumerate(histories)]


def squeezed(plain: bytes) -> int:
    """As a part is, and as the figure relay.bytes_checkpointed takes it of saved documents."""
    return len(zstandard.compress(plain, 9))


def test_records_edited_alike_take_less_than_their_documents() -> None:
    """Fifty records of thirty like changes each take together at most their saved documents, compressed together."""
    histories = [edited(30, number) for number in range(50)]
    records = written(Forms(), histories)
    documents = b"".join([bytes(automerge.load(b"".join([one.bytes for one in history]), AUTHORS[0]).save())
                          for history in histories])
    assert squeezed(msgspec.msgpack.encode(records)) <= squeezed(documents)
    assert sum(record.saved for record in records) <= 2


def test_a_text_that_was_typed_is_a_document() -> None:
    """What was put in key by key is written as a saved document, which takes less than half of the short changes."""
    text = typed(600)
    (record,) = written(Forms(), [text])
    assert record.saved
    assert 2 * squeezed(record.data[0]) < squeezed(b"".join(shortened([one.bytes for one in text])))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=tries(80), deadline=None)
def test_every_change_comes_back_at_every_place(steps: list[tuple[int, bool]], seed: int) -> None:
    """Whoever wrote what, beside whom, and whichever entries carried it again: bytes, authors and counts come back."""
    random, views = Random(seed), [View() for _ in AUTHORS]
    rows: list[tuple[int, int, bytes]] = []
    counts = [0, 0, 0]
    for n, (who, meets) in enumerate(steps):
        if meets:
            views[who].see("x", views[(who + 1) % 3].records.get("x", ()))
        made = views[who].write(AUTHORS[who], "x", {f"field {random.randrange(3)}": n})
        for author in {who, random.randrange(3)} if random.random() < 0.3 else {who}:
            counts[author] += random.randint(1, 3)
            rows.append((author, counts[author], made.bytes))
    forms = Forms()
    for _ in range(2):  # the second beside the first
        record = forms.record(("notes", "x"), sorted(rows), AUTHORS[0] if random.random() < 0.8 else None)
        assert sorted(placed(record, AUTHORS)) == sorted((AUTHORS[who], at, data) for who, at, data in rows)


def test_parts_are_filled_whatever_the_turns() -> None:
    """Made in the smallest turns a bundle has as many parts as made in one, and the same in them."""
    _, maker = filled(4, 12)
    _, parts = bundle_of(maker)
    _, again = bundle_of(maker, budget=1)
    assert len(parts) == len(again) == 1
    assert {one.id: sorted(placed(one, parts[0].authors)) for one in parts[0].records} == {
        one.id: sorted(placed(one, again[0].authors)) for one in again[0].records}
