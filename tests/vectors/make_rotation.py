"""Prints the golden vectors of a rotation: a link to the epoch before, a mailbox tag, what is inside packets.

    python -m tests.vectors.make_rotation > tests/vectors/rotation.json

A sealed box has randomness of its own, so packets are pinned by their content: `keys` and
`farewell` are what opens from them, 208 bytes each.
"""

import json
import sys

import msgspec

from chez import crypto
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.rotation import PACKET_PLAIN, new_epoch, recovery_tag_of, tag_of
from tests.vectors.fixed import ADMIN, APPEND_SEED, CREATE, EPOCH, FIRST_STATEMENTS, LAPTOP, PERSON, PHONE, filled

__all__ = ("ENTROPY", "NEXT", "vectors")

ENTROPY = (filled(0x41), filled(0x42, 24), filled(0x43), filled(0x44))
"""The new secret, the nonce of the link, the seeds of the append and admin keys."""


def _next() -> tuple[bytes, Epoch]:
    membership = Membership(CREATE.hash)
    membership.add(FIRST_STATEMENTS)
    given = iter(ENTROPY)
    made = new_epoch(membership, {EPOCH.id: EPOCH}, LAPTOP.signing, lambda count: next(given))
    return made.statement.raw, made.epoch


NEXT = _next()
"""The statement and the keys of the epoch that follows."""


def _padded(content: list[object]) -> bytes:
    plain = msgspec.msgpack.encode(content)
    return (bytes((len(plain),)) + plain).ljust(PACKET_PLAIN, b"\0")


def vectors() -> dict[str, dict[str, str]]:
    """The next epoch, and what its packets have for an owner and for a device that was taken out."""
    raw, epoch = NEXT
    word = LAPTOP.signing.sign("chez/1 farewell", CREATE.hash, epoch.id, epoch.number.to_bytes(8, "big"),
                               PHONE.sealing.public)
    return {
        "epoch": {"space": CREATE.hash.hex(), "previous": EPOCH.id.hex(), "previous_secret": EPOCH.secret.hex(),
                  "secret": epoch.secret.hex(), "nonce": ENTROPY[1].hex(), "statement": raw.hex(), "id": epoch.id.hex(),
                  "link_key": crypto.derive(epoch.secret, "chez/1 epoch link").hex(),
                  "link_data": crypto.hash_fields("chez/1 epoch link", CREATE.hash, EPOCH.id).hex(),
                  "first_admin": ADMIN.seed.hex(), "first_append": APPEND_SEED.hex()},
        "keys": {"recipient": PHONE.sealing.public.hex(), "tag": tag_of(CREATE.hash, PHONE.sealing.public).hex(),
                 "plain": _padded([1, CREATE.hash, epoch.id, epoch.number, epoch.secret, epoch.append_seed,
                                   epoch.admin_seed]).hex()},
        "recovery": {"nonce": PERSON.nonce.hex(), "recipient": PERSON.recovery.public.hex(),
                     "tag": recovery_tag_of(PERSON.nonce, PERSON.recovery.public).hex()},
        "farewell": {"issuer": LAPTOP.id.hex(), "plain": _padded(
            [2, CREATE.hash, LAPTOP.id, epoch.id, epoch.number, word]).hex()},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
