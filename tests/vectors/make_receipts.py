"""Prints the golden vectors of the journal: two receipts of one device, chained, hashed and signed.

    python -m tests.vectors.make_receipts > tests/vectors/receipts.json

Hashes are computed here from the layout in docs/formats.md, not by the journal's code.
"""

import json
import sys
from typing import Any

from chez import crypto
from tests.vectors.fixed import LAPTOP

__all__ = ("MOMENT", "RECEIPTS", "vectors")

MOMENT = 1_767_225_600_123
"""Unix milliseconds of both receipts: 2026-01-01T00:00:00.123Z."""

RECEIPTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("home-created", {"name": "laptop"}),
    ("device-added", {"name": "téléphone", "device": "13" * 32, "nested": {"b": [1, 2.5, None], "a": True}}),
)
_BODIES = ('{"name":"laptop"}',
           '{"device":"' + "13" * 32 + '","name":"téléphone","nested":{"a":true,"b":[1,2.5,null]}}')


def vectors() -> dict[str, Any]:
    """The device and its receipts, in order."""
    previous, receipts = bytes(32), []
    for number, ((kind, _), body) in enumerate(zip(RECEIPTS, _BODIES, strict=True), start=1):
        time = "2026-01-01T00:00:00.123Z"
        digest = crypto.hash_fields("chez/1 receipt", number.to_bytes(8, "big"), time.encode(), kind.encode(),
                                    body.encode(), previous)
        receipts.append({"number": number, "time": time, "kind": kind, "body": body, "previous": previous.hex(),
                         "hash": digest.hex(), "signature": LAPTOP.signing.sign("chez/1 receipt", digest).hex()})
        previous = digest
    return {"key": LAPTOP.signing.seed.hex(), "device": LAPTOP.id.hex(), "receipts": receipts}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
