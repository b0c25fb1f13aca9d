"""Prints the golden vectors of keys and ids: all that derives from 24 words, an epoch's secret, a space's nonce.

    python -m tests.vectors.make_keys > tests/vectors/keys.json

The file changes only together with the version in the labels.
"""

import json
import sys
from datetime import UTC, datetime

from mnemonic import Mnemonic

from chez import crypto
from chez.home.pairing import fingerprint
from chez.records.imported import identity_change, record_id
from chez.sync.meeting import meeting_secret, pair_secret
from tests.vectors.fixed import CREATE_NONCE, ENTROPY, EPOCH, HANDLE, LAPTOP, PERSON, WORDS

__all__ = ("COLLECTION", "IDENTITY", "vectors")

COLLECTION = "readings"
IDENTITY = {"start": datetime(2022, 7, 28, 22, tzinfo=UTC), "meter": "09111642617347", "flow": "consumption"}


def _person() -> dict[str, str]:
    seed = Mnemonic("english").to_seed(WORDS)
    return {
        "entropy": ENTROPY.hex(), "words": WORDS, "bip39_seed": seed.hex(),
        "root_seed": PERSON.root.seed.hex(), "root_public": PERSON.root.public.hex(),
        "recovery_seed": PERSON.recovery.seed.hex(), "recovery_public": PERSON.recovery.public.hex(),
        "relay_recovery_seed": PERSON.relay_recovery.seed.hex(),
        "relay_recovery_public": PERSON.relay_recovery.public.hex(), "admin_public": PERSON.admin.public.hex(),
        "nonce": PERSON.nonce.hex(),
    }


def _device() -> dict[str, str]:
    return {"signing_seed": LAPTOP.signing.seed.hex(), "id": LAPTOP.id.hex(),
            "sealing_seed": LAPTOP.sealing.seed.hex(), "sealing_public": LAPTOP.sealing.public.hex(),
            "fingerprint": fingerprint(LAPTOP.id)}


def _epoch() -> dict[str, str]:
    assert EPOCH.append is not None
    return {
        "secret": EPOCH.secret.hex(), "entry_key": EPOCH.entry_key.hex(), "key_id": EPOCH.key_id.hex(),
        "read_seed": EPOCH.read.seed.hex(), "read_public": EPOCH.read.public.hex(),
        "control_seed": EPOCH.control.seed.hex(), "control_public": EPOCH.control.public.hex(),
        "append_seed": EPOCH.append.seed.hex(), "append_public": EPOCH.append.public.hex(), "handle": HANDLE.hex(),
        "meeting_secret": meeting_secret(EPOCH).hex(),
        "pair_secret": (pair_secret(LAPTOP.sealing, PERSON.recovery.public, HANDLE) or b"").hex(),
    }


def _record() -> dict[str, str]:
    key = crypto.derive(CREATE_NONCE, "chez/1 record id key")
    change = identity_change(IDENTITY)
    return {
        "create_nonce": CREATE_NONCE.hex(), "record_id_key": key.hex(), "collection": COLLECTION,
        "identity": '{"flow":"consumption","meter":"09111642617347","start":"2022-07-28T22:00:00.000Z"}',
        "record_id": record_id(key, COLLECTION, IDENTITY),
        "identity_change": change.bytes.hex(), "identity_change_hash": change.hash.hex(),
    }


def vectors() -> dict[str, dict[str, str]]:
    """All vectors by kind and name."""
    return {"person": _person(), "device": _device(), "epoch": _epoch(), "record": _record()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
