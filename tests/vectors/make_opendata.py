"""Prints the golden vectors of open data: rows and their hash, two chained editions, the way back, a key in words, how
it came to be.

    python -m tests.vectors.make_opendata > tests/vectors/opendata.json
"""

import json
import sys
import zlib
from typing import Any

import msgspec

from chez.crypto import SigningKey
from chez.opendata.editions import Chain, Edition, before_hash, pack_formerly, read_chain, record_of
from chez.opendata.keys import key_words
from chez.opendata.rows import Content, Row, canonical, changes, row_id
from chez.succession import succeed
from tests.vectors.fixed import filled

__all__ = ("FORMER", "PUBLISHER", "SPACE", "content", "vectors")

FORMER = SigningKey.from_seed(filled(0x70))
PUBLISHER = SigningKey.from_seed(filled(0x71))
SPACE = filled(0x72)
TABLE = "open_velov"


def content(*bikes: int) -> Content:
    """Stations with so many bikes."""
    rows: list[dict[str, Any]] = [{"number": n, "name": f"Été {n}", "latitude": 45.75, "bikes": b}
                                  for n, b in enumerate(bikes)]
    return Content(Row(TABLE, row_id({"number": row["number"]}), canonical(row)) for row in rows)


def edition(chain: Chain, here: Content, wanted: Content, before: bytes) -> Edition:
    """The edition that makes one content the other."""
    made = list(changes(here, wanted))
    return chain.next(publisher=PUBLISHER.public, space=SPACE, dataset="velov", content=wanted.hash,
                      before=before_hash(before), tables=(TABLE,), rows=len(wanted),
                      added=sum(one.before is None for one in made),
                      changed=sum(None not in (one.before, one.after) for one in made),
                      removed=sum(one.after is None for one in made), whole=True, time=1_790_000_000)


def vectors() -> dict[str, Any]:
    """All of it from one key."""
    first, second = content(3, 5), content(3, 6, 1)
    one = edition(Chain(), Content(), first, b"")
    chain = read_chain([record_of(one, one.sign(PUBLISHER), b"")], SPACE)
    two = edition(chain, first, second, _BEFORE)
    row = next(row for row in first if row.value["number"] == 0)
    return {
        "row": {"table": row.table, "id": row.id, "json": row.json.decode(), "digest": row.digest.hex()},
        "contents": [first.hash.hex(), second.hash.hex()],
        "publisher": {"public": PUBLISHER.public.hex(), "words": key_words(PUBLISHER.public)},
        "editions": [{"signed": each.encoded.hex(), "signature": each.sign(PUBLISHER).hex(), "hash": each.hash.hex()}
                     for each in (one, two)],
        "before": {"packed": _BEFORE.hex(), "hash": before_hash(_BEFORE).hex(), "steps": _steps(first, second)},
        "formerly": pack_formerly([succeed("publisher", FORMER, PUBLISHER)])["formerly"].hex(),
    }


def _steps(first: Content, second: Content) -> list[list[str | None]]:
    return [[one.table, one.id, None if one.before is None else one.before.decode()] for one in changes(first, second)]


def _stored() -> bytes:
    """The steps back in a zlib stream that stores them as they are (RFC 1950, RFC 1951): any version writes it so."""
    made = _steps(content(3, 5), content(3, 6, 1))
    steps = [(table, id, None if was is None else was.encode()) for table, id, was in made]
    body = msgspec.msgpack.encode(steps)
    length = len(body).to_bytes(2, "little")
    inverted = (len(body) ^ 0xFFFF).to_bytes(2, "little")
    return b"\x78\x01\x01" + length + inverted + body + zlib.adler32(body).to_bytes(4, "big")


_BEFORE = _stored()

if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
