"""Statements keep the bytes, hashes and signatures they always had."""

from typing import get_args

import msgspec
import pytest

from chez import crypto
from chez.errors import BadEntry
from chez.spaces.membership import Membership
from chez.spaces.statements import Body, Signed, sign_statement
from tests.vectors.golden import golden, survivors
from tests.vectors.make_statements import STATEMENTS, vectors

GOLDEN = golden("statements")
KINDS = sorted(GOLDEN)


def test_golden_vectors_hold() -> None:
    """Statements are signed to the bytes they always had, and each kind has a vector."""
    assert vectors() == GOLDEN
    assert {kind.__name__ for kind in get_args(Body)} == set(STATEMENTS) == set(GOLDEN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_statement_reads_back(kind: str) -> None:
    """The pinned bytes read as a statement of their kind, which signs to the same bytes again."""
    vector = GOLDEN[kind]
    signed = Signed.read(bytes.fromhex(vector["raw"]))
    assert type(signed.body).__name__ == kind and signed.hash.hex() == vector["hash"]
    assert sign_statement(signed.body, crypto.SigningKey.from_seed(bytes.fromhex(vector["key"]))) == signed
    assert crypto.hash_fields("chez/1 statement", bytes.fromhex(vector["body"])) == signed.hash


def test_together_they_make_a_space() -> None:
    """Taken in any order the pinned statements give the space, its device and its epoch."""
    kinds = ("NewEpoch", "Certify", "Create", "Enrol")
    statements = [Signed.read(bytes.fromhex(GOLDEN[kind]["raw"])) for kind in kinds]
    membership = Membership(bytes.fromhex(GOLDEN["Create"]["hash"]))
    assert len(membership.add(statements)) == 4
    assert [device.name for device in membership.devices.values()] == ["laptop"]
    assert [epoch.hex() for epoch in membership.epochs] == [GOLDEN["NewEpoch"]["hash"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_statement_is_refused(kind: str) -> None:
    """A flipped bit anywhere, a cut and an addition are each refused as a bad entry."""
    raw = bytes.fromhex(GOLDEN[kind]["raw"])
    assert survivors(Signed.read, raw, BadEntry) == []
    for changed in (raw + b"\0", raw[:-1], b""):
        with pytest.raises(BadEntry):
            Signed.read(changed)


def test_a_signature_is_of_one_statement_and_one_issuer() -> None:
    """A body under another one's signature, or signed by another key, is refused."""
    create, enrol = (msgspec.msgpack.decode(bytes.fromhex(GOLDEN[kind]["raw"])) for kind in ("Create", "Enrol"))
    with pytest.raises(BadEntry, match="issuer"):
        Signed.read(msgspec.msgpack.encode([create[0], enrol[1]]))
    forged = sign_statement(STATEMENTS["NewEpoch"][0].body, STATEMENTS["Enrol"][1])
    with pytest.raises(BadEntry, match="issuer"):
        Signed.read(forged.raw)
