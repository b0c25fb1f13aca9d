"""Prints the golden vectors of deposits: an address, a card, what is inside a deposit and its acknowledgement.

    python -m tests.vectors.make_deposits > tests/vectors/deposits.json

A sealed box has randomness of its own, so both messages are pinned by their content.
"""

import json
import sys

from chez.crypto import SealingKey, SigningKey
from chez.deposits.ack import Acknowledgement, ack_plain
from chez.deposits.address import AddressKeys, Quota, Terms, sign_address
from chez.deposits.card import make_card
from chez.deposits.message import Deposit, Section, deposit_hash, deposit_plain
from chez.deposits.types import RecordType
from chez.succession import succeed
from chez_wire.login import inbox_of
from tests.vectors.fixed import EPOCH, filled

__all__ = ("ADDRESS", "CARD", "DEPOSIT", "KEYS", "SAID", "SEALING", "SUCCEEDED", "vectors")

KEYS = AddressKeys.derive(EPOCH, filled(0x81))
SIGNING, SEALING = SigningKey.from_seed(filled(0x82)), SealingKey.from_seed(filled(0x83))
CARD = make_card(SIGNING, name="Insurer", contact="dpo@insurer.example", domain="insurer.example",
                 sealing=SEALING.public, relay="wss://relay.example",
                 inbox=inbox_of(SigningKey.from_seed(filled(0x84)).public), put=filled(0x85))
NEXT = SigningKey.from_seed(filled(0x86))
SUCCEEDED = make_card(NEXT, name="Insurer", contact="dpo@insurer.example", domain="insurer.example",
                      sealing=SEALING.public, relay="wss://relay.example",
                      inbox=inbox_of(SigningKey.from_seed(filled(0x84)).public), put=filled(0x85),
                      formerly=(succeed("organisation", SIGNING, NEXT),))
TYPE = RecordType("policies", ("number",), {"number": "text", "premium": "decimal"})
ADDRESS = sign_address(KEYS, Terms("My insurer", "wss://relay.example", (), (TYPE,), Quota(), True, 1_800_000_000_000,
                                   CARD.key))
DEPOSIT = Deposit(1, KEYS.id, SIGNING.public, 1, 1, "", [Section("policies", b'{"number":"1","premium":"9.90"}')])
SAID = Acknowledgement(1, KEYS.id, 1, 1, deposit_hash(DEPOSIT), "taken", 0)
_PLAIN, _ACK = deposit_plain(DEPOSIT, SIGNING, ADDRESS.inbox), ack_plain(SAID, KEYS.signing, CARD.inbox)


def vectors() -> dict[str, dict[str, str]]:
    """An address of the person of all vectors, for one organisation."""
    return {
        "keys": {"epoch_secret": EPOCH.secret.hex(), "nonce": filled(0x81).hex(), "address": KEYS.id.hex(),
                 "sealing": KEYS.sealing.public.hex(), "inbox": KEYS.inbox.public.hex(), "put": KEYS.put.seed.hex()},
        "address": {"text": ADDRESS.text, "words": ADDRESS.words},
        "card": {"signing_seed": filled(0x82).hex(), "text": CARD.text, "words": CARD.words},
        "succession": {"signing_seed": filled(0x86).hex(), "text": SUCCEEDED.text, "words": SUCCEEDED.words},
        "deposit": {"inbox": ADDRESS.inbox.hex(), "hash": deposit_hash(DEPOSIT).hex(), "size": str(len(_PLAIN)),
                    "plain": _PLAIN.rstrip(b"\0").hex()},
        "ack": {"inbox": CARD.inbox.hex(), "size": str(len(_ACK)), "plain": _ACK.rstrip(b"\0").hex()},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
