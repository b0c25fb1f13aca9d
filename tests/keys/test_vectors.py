"""Keys and ids derive today as they always did, and as docs/formats.md says."""

import json

import pytest

from chez import crypto
from chez.errors import InvalidValue
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch, commitment
from chez.keys.person import new_words, person_of
from chez.records import automerge
from chez.records.automerge import BadChange
from chez.records.imported import IMPORT_ACTOR, check_identity_change, record_id
from tests.vectors.golden import golden, survivors
from tests.vectors.make_keys import vectors

GOLDEN = golden("keys")


def test_golden_vectors_hold() -> None:
    """Everything derives to the bytes it always had."""
    assert vectors() == GOLDEN


def test_a_persons_keys_derive_from_the_words_alone() -> None:
    """The pinned words give the pinned keys, each one keyed BLAKE2b of the BIP-39 seed under its label."""
    vector = GOLDEN["person"]
    assert new_words(bytes.fromhex(vector["entropy"])) == vector["words"]
    person = person_of(vector["words"].upper().replace(" ", "\n "))
    seed = bytes.fromhex(vector["bip39_seed"])
    keys = (("root", person.root), ("recovery", person.recovery), ("relay recovery", person.relay_recovery))
    for name, key in keys:
        field = name.replace(" ", "_")
        assert (key.seed.hex(), key.public.hex()) == (vector[f"{field}_seed"], vector[f"{field}_public"])
        assert crypto.derive(seed, f"chez/1 person {name}") == key.seed
    assert person.admin.public.hex() == vector["admin_public"]
    assert person.admin.seed == crypto.derive(seed, "chez/1 private space admin")
    assert person.nonce == crypto.derive(seed, "chez/1 private space nonce") == bytes.fromhex(vector["nonce"])


def test_a_wrong_word_is_refused() -> None:
    """Any one word replaced, dropped or exchanged with its neighbour fails the checksum or the list."""
    words = GOLDEN["person"]["words"].split()
    for at in range(23):
        swapped = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
        for wrong in ([*words[:at], "chez", *words[at + 1 :]], words[:at] + words[at + 1 :], swapped):
            if wrong != words:
                with pytest.raises(InvalidValue):
                    person_of(" ".join(wrong))


def test_a_device_is_named_by_its_key() -> None:
    """The pinned seeds give the pinned id and sealing key."""
    vector = GOLDEN["device"]
    device = DeviceKeys.from_seeds(bytes.fromhex(vector["signing_seed"]), bytes.fromhex(vector["sealing_seed"]))
    assert (device.id.hex(), device.sealing.public.hex()) == (vector["id"], vector["sealing_public"])


def test_an_epochs_keys_derive_from_its_secret() -> None:
    """The pinned secret gives the entry key, its commitment and the relay credentials."""
    vector = GOLDEN["epoch"]
    secret = bytes.fromhex(vector["secret"])
    epoch = Epoch(bytes(32), 1, secret, bytes.fromhex(vector["append_seed"]))
    assert epoch.append is not None
    found = {"entry_key": epoch.entry_key, "key_id": commitment(secret), "read_seed": epoch.read.seed,
             "read_public": epoch.read.public, "control_seed": epoch.control.seed,
             "control_public": epoch.control.public, "append_public": epoch.append.public}
    assert {name: data.hex() for name, data in found.items()} == {name: vector[name] for name in found}
    assert crypto.derive(epoch.entry_key, "chez/1 key id") == epoch.key_id


def test_an_imported_record_is_named_and_made_by_its_identity() -> None:
    """The pinned change reads back as the pinned identity and is accepted as the only one of its id."""
    vector = GOLDEN["record"]
    key = crypto.derive(bytes.fromhex(vector["create_nonce"]), "chez/1 record id key")
    assert key.hex() == vector["record_id_key"]
    change = automerge.read_change(bytes.fromhex(vector["identity_change"]))
    assert change.hash.hex() == vector["identity_change_hash"]
    identity = automerge.extract(automerge.load(change.bytes, IMPORT_ACTOR))
    plain = json.loads(vector["identity"])
    assert identity.keys() == plain.keys() and record_id(key, vector["collection"], plain) == vector["record_id"]
    check_identity_change(change, key, vector["collection"], vector["record_id"])
    for collection, id in (("other", vector["record_id"]), (vector["collection"], "a" * 26)):
        with pytest.raises(BadChange):
            check_identity_change(change, key, collection, id)


def test_a_changed_identity_change_is_refused() -> None:
    """A flipped bit anywhere in the pinned change is noticed by its checksum or its header."""
    assert survivors(automerge.read_change, bytes.fromhex(GOLDEN["record"]["identity_change"]), BadChange) == []
