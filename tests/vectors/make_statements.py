"""Prints the golden vectors of membership: one statement of each kind, signed by fixed keys.

    python -m tests.vectors.make_statements > tests/vectors/statements.json

`key` is the Ed25519 seed of the issuer, `raw` the MessagePack array of body and signature.
"""

import json
import sys

import msgspec

from chez.spaces.statements import Signed
from tests.vectors.fixed import CERTIFY, CREATE, LAPTOP, NEW_EPOCH, PERSON

__all__ = ("STATEMENTS", "vectors")

STATEMENTS = {"Create": (CREATE, PERSON.root), "Certify": (CERTIFY, PERSON.root),
              "NewEpoch": (NEW_EPOCH, LAPTOP.signing)}
"""One of each statement, and the key of its issuer."""


def _vector(statement: Signed, key: bytes) -> dict[str, str]:
    body, signature = msgspec.msgpack.decode(statement.raw)
    return {"key": key.hex(), "body": body.hex(), "signature": signature.hex(), "raw": statement.raw.hex(),
            "hash": statement.hash.hex()}


def vectors() -> dict[str, dict[str, str]]:
    """All vectors by the kind of statement."""
    return {name: _vector(statement, key.seed) for name, (statement, key) in STATEMENTS.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
