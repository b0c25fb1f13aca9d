"""Prints the golden vectors of membership: one statement of each kind, signed by fixed keys.

    python -m tests.vectors.make_statements > tests/vectors/statements.json

`key` is the Ed25519 seed of the issuer, `raw` the MessagePack array of body and signature.
"""

import json
import sys

import msgspec

from chez.spaces.statements import (
    Add,
    Archive,
    Cut,
    Expel,
    Invite,
    Move,
    Pick,
    Remove,
    Rename,
    RenameDevice,
    Retire,
    Revoke,
    Role,
    SetRole,
    Signed,
    sign_statement,
)
from tests.vectors.fixed import CERTIFY, CREATE, ENROL, LAPTOP, NEW_EPOCH, PERSON, PHONE, filled

__all__ = ("STATEMENTS", "vectors")

_heads = [NEW_EPOCH.hash]
_space, _laptop, _person = CREATE.hash, LAPTOP.id, PERSON.root.public
_cut = Cut(PHONE.id, 7, filled(0x31))
_said = (
    Expel(_person, [CERTIFY.hash], _person, PHONE.id, [CERTIFY.hash]),
    RenameDevice(_person, [CERTIFY.hash], _laptop, _laptop, "old laptop"),
    Add(_space, _heads, _laptop, filled(0x32), Role.WRITER, b""),
    Remove(_space, _heads, _laptop, filled(0x32), [_cut]),
    SetRole(_space, _heads, _laptop, filled(0x32), Role.READER, [_cut]),
    Retire(_space, _heads, _laptop, _cut),
    Rename(_space, _heads, _laptop, "ours"),
    Archive(_space, _heads, _laptop, True),
    Move(_space, _heads, _laptop, filled(0x33)),
    Invite(_space, _heads, _laptop, filled(0x34), Role.READER, 3, 1_767_225_600_000, filled(0x36)),
    Revoke(_space, _heads, _laptop, filled(0x35)),
    Pick(_space, _heads, _laptop, _cut),
)
STATEMENTS = {type(one.body).__name__: (one, key) for one, key in (
    (ENROL, PERSON.root), (CERTIFY, PERSON.root), (CREATE, LAPTOP.signing), (NEW_EPOCH, LAPTOP.signing),
    *((sign_statement(body, key), key) for body in _said
      for key in (PERSON.root if body.issuer == _person else LAPTOP.signing,)))}
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
