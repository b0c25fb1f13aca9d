"""Changes that go on from each other are written short, and come back as they were."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.errors import BadEntry
from chez.records.automerge import read_change
from chez.records.sheet import Sheet
from chez.records.text import Text
from chez.sync import entry
from chez.sync.short import expanded, read_written, shortened
from tests.records.pair import NAMES, Device, pair
from tests.tries import tries


def _type(device: Device, steps: list[tuple[float, int, str]]) -> list[bytes]:
    """Strokes in a text, the changes they made; beside them those of another record, after a stroke of "x"."""
    device.put({"body": Text("begin")})
    sheet = Sheet(device.store.begin_typing(device.db, 1, "notes", "r", ("body",)), lambda: 0)
    for n, (share, delete, insert) in enumerate(steps):
        at = int(share * len(sheet))
        sheet.splice(at, min(delete, len(sheet) - at), insert)
        if insert == "x":
            device.put({"n": n}, "s")
        known, strokes = sheet.batch()
        sheet.written(device.store.take_down(device.db, 1, "notes", "r", ("body",), known, strokes))
    return [data for (data,) in device.db.execute("SELECT bytes FROM change ORDER BY n")]


@settings(max_examples=tries(50), deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.sampled_from(("a", "x", "é", "bc"))), max_size=20),
       st.randoms())
def test_whatever_is_written_short_comes_back_whole(steps: list[tuple[float, int, str]], random: Random
                                                    ) -> None:
    """In the order they were made, in any other, and among bytes that are no changes."""
    changes = _type(pair()[0], steps)
    assert expanded(shortened(changes)) == changes
    read = [read_change(data) for data in changes]
    assert read_written(shortened(changes)) == read
    assert shortened(changes, [change.hash for change in read]) == shortened(changes)
    random.shuffle(changes)
    changes.insert(random.randrange(len(changes) + 1), b"\x85oJ\x83 no change")
    assert expanded(shortened(changes)) == changes


def test_a_keystroke_is_written_without_its_header() -> None:
    """What repeats, and what compresses to nothing, is left out: the rest is some forty bytes, most of them alike."""
    changes = _type(pair()[0], [(1, 0, "a")] * 50)
    short = shortened(changes)
    assert short[0] == changes[0]
    assert max(map(len, short[1:])) <= 48
    assert min(map(len, changes)) > 100


@given(st.lists(st.binary(max_size=60).map(lambda data: b"\0" + data) | st.binary(max_size=60), max_size=4),
       st.booleans())
def test_what_is_no_change_is_told_and_grows_little(written: list[bytes], behind: bool) -> None:
    """Any bytes are whole changes or a `ValueError`, never more than 100 bytes larger each."""
    if behind:
        written = [*_CHANGES[:1], *written]
    try:
        whole = expanded(written)
    except ValueError:
        with pytest.raises((ValueError, BadEntry)):
            read_written(written)
        return
    assert len(whole) == len(written)
    assert all(len(after) <= len(before) + 100 for before, after in zip(written, whole, strict=True))


_CHANGES = _type(Device(NAMES[0]), [(1, 0, "a")])


def test_an_entry_is_signed_over_the_whole_changes() -> None:
    """Short or whole, an entry has one hash; a short change that goes on from nothing is a `BadEntry`."""
    key = crypto.SigningKey.from_seed(bytes(32))
    items = [entry.Item(entry.CHANGE, "notes", "r", data) for data in _CHANGES]
    inner = entry.Inner(1, bytes(32), key.public, 1, entry.GENESIS, 0, entry.CHANGES, items, [], None)
    signed = entry.sign_entry(inner, key)
    assert signed.hash == entry.entry_hash(inner)
    assert entry.sign_entry(inner, key, [read_change(data).hash for data in _CHANGES]) == signed
    assert entry.read_signed(signed.packed).inner == inner
    short = entry.Item(entry.CHANGE, "notes", "r", shortened(_CHANGES)[1])
    torn = entry.sign_entry(entry.Inner(1, bytes(32), key.public, 1, entry.GENESIS, 0, entry.CHANGES, [short], [],
                                        None), key)
    with pytest.raises(BadEntry, match="written short"):
        entry.read_signed(torn.packed)


def test_a_batch_of_keystrokes_is_small() -> None:
    """Signed and compressed, a thousand keystrokes take at most sixteen bytes each."""
    changes = _type(pair()[0], [(1, 0, letter) for letter in Random(1).randbytes(500).hex()])
    key = crypto.SigningKey.from_seed(bytes(32))
    items = [entry.Item(entry.CHANGE, "notes", "r", data) for data in changes]
    signed = entry.sign_entry(entry.Inner(1, bytes(32), key.public, 1, entry.GENESIS, 0, entry.CHANGES, items, [],
                                          None), key)
    assert len(signed.packed) <= 16 * len(changes)
