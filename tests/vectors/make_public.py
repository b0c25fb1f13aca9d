"""Prints the golden vectors of a public space: the key for its readers, their tag, the control credential, an address.

    python -m tests.vectors.make_public > tests/vectors/public.json
"""

import json
import sys

from msgspec.structs import replace

from chez.spaces.public import Address, reader_key
from chez.spaces.rotation import tag_of
from chez.spaces.statements import Create, Kind, sign_statement
from chez_wire.pins import pins_from
from tests.vectors.fixed import ADMIN, CERTIFY, EPOCH, HANDLE, LAPTOP, PERSON, filled

__all__ = ("CREATED", "vectors")

_create = Create([CERTIFY.hash], LAPTOP.id, PERSON.root.public, Kind.PUBLIC, ADMIN.public, filled(0x61), "weather")
CREATED = sign_statement(_create, LAPTOP.signing)
"""The statement that makes the space."""


def vectors() -> dict[str, dict[str, str]]:
    """What derives from the nonce of the space's first statement, and from an epoch's append seed."""
    key = reader_key(filled(0x61))
    address = Address(CREATED.hash, HANDLE, "wss://relay.example", filled(0x61), "weather")
    pins = tuple(pins_from((filled(0x62), filled(0x63))))
    assert EPOCH.append_seed is not None and EPOCH.public_control is not None
    return {
        "reader": {"create": CREATED.raw.hex(), "nonce": filled(0x61).hex(), "public": key.public.hex(),
                   "tag": tag_of(CREATED.hash, key.public).hex()},
        "control": {"append_seed": EPOCH.append_seed.hex(), "public": EPOCH.public_control.public.hex()},
        "address": {"space": CREATED.hash.hex(), "handle": HANDLE.hex(), "relay": address.relay, "name": address.name,
                    "text": address.text},
        "pinned_address": {"first": pins[0], "second": pins[1], "text": replace(address, pins=pins).text},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
