"""Chains fold again from saved documents alone, which is what checkpoints will stand on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez import crypto
from chez.errors import BadEntry
from chez.records import automerge
from chez.store.database import Connection
from chez.sync.entry import CHANGE, GENESIS, _encoder, read_signed
from chez.sync.vector import decode_vector, encode_vector, vector_of


def _saved_hashes(db: Connection) -> dict[bytes, tuple[str, str]]:
    """Every change's hash and record, taken from the documents after save and load."""
    found = {}
    for n, collection, id in db.execute("SELECT n, collection, id FROM record").fetchall():
        rows = db.execute("SELECT bytes FROM change WHERE record = ? ORDER BY n", (n,)).fetchall()
        saved = automerge.load(b"".join(data for (data,) in rows), b"x" * 32).save()
        for change in automerge.changes_of(automerge.load(saved, b"x" * 32)):
            found[automerge.read_change(change).hash] = (collection, id)
    return found


async def test_a_chain_folds_again_from_saved_documents(tmp_path: Path) -> None:
    """Item hashes made from saved documents, with each entry's other pieces, give the signed chain."""
    await chez.create(tmp_path / "home", passphrase="x", kdf=crypto.Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase="x") as home:
        notes = home.collection("notes")
        for round in range(4):
            note = await notes.put({"round": round, "long": "x" * 400, "list": [1, {"a": round}]})
            async with notes.edit(note.id) as draft:
                draft["list"].append(round)
            await home._database.write(home._replica.author.collect)

        def refold(db: Connection) -> tuple[bytes, bytes, int]:
            saved, previous, folded = _saved_hashes(db), GENESIS, 0
            for (packed,) in db.execute("SELECT inner FROM entry ORDER BY sequence").fetchall():
                inner = read_signed(packed).inner
                rest = crypto.hash_fields("chez/1 rest", bytes((1,)), inner.time.to_bytes(8, "big"),
                                          _encoder.encode(inner.part),
                                          _encoder.encode([item.age for item in inner.items]), *inner.heads)
                items = b""
                for item in inner.items:
                    content = crypto.hash_fields("chez/1 content", item.data)
                    if item.kind == CHANGE:  # not from the entry: from the saved document
                        content = next(h for h, where in saved.items() if where == (item.collection, item.id)
                                       and h == automerge.read_change(item.data).hash)
                        folded += 1
                    items += crypto.hash_fields("chez/1 item", bytes((item.kind,)), item.collection.encode(),
                                                item.id.encode(), content)
                previous = crypto.hash_fields("chez/1 entry", inner.space, inner.author,
                                              inner.sequence.to_bytes(8, "big"), previous, bytes((inner.kind,)),
                                              items, rest)
            return previous, vector_of(db, home._replica.space.n)[home.device_id][1], folded

        previous, head, folded = await home._database.read(refold)
        assert folded == 8
        assert previous == head


@given(st.dictionaries(st.binary(min_size=32, max_size=32),
                       st.tuples(st.integers(1, 2**62), st.binary(min_size=32, max_size=32)), max_size=5))
def test_vectors_have_one_encoding(vector: dict[bytes, tuple[int, bytes]]) -> None:
    """A vector's bytes read back as it, and nothing but those bytes does."""
    data = encode_vector(vector)
    assert decode_vector(data) == vector
    for other in (data + b"\0", data[:-1], b"\x92\x02" + data[2:]):
        with pytest.raises(BadEntry):
            decode_vector(other)


def test_the_golden_vector() -> None:
    """The bytes of version 1."""
    assert encode_vector({b"b" * 32: (7, b"h" * 32), b"a" * 32: (1, b"g" * 32)}).hex() == (
        "92019293c420" + "61" * 32 + "01c420" + "67" * 32 + "93c420" + "62" * 32 + "07c420" + "68" * 32)
