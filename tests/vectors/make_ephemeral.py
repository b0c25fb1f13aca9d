"""Prints the golden vectors of ephemeral messages: what is signed, the plaintext, the sealed bytes.

    python -m tests.vectors.make_ephemeral > tests/vectors/ephemeral.json

The layout is put together here from the words of chez/sync/ephemeral/message.py, not by its code.
"""

import json
import sys
from typing import Any

import msgspec

from chez import crypto
from tests.vectors.fixed import CREATE, EPOCH, HANDLE, LAPTOP, filled

__all__ = ("NONCE", "said", "vectors")

NONCE = filled(0x51, 24)


def said() -> list[Any]:
    """The fields of a message that says something, asks after one session and answers another, in order."""
    return [1, CREATE.hash, LAPTOP.id, filled(0x52, 16), 3, filled(0x53, 16), [filled(0x54, 16)], [filled(0x55, 16)],
            "cursor", b'{"at":[1,2]}']


def vectors() -> dict[str, str]:
    """All of one message, in hexadecimal."""
    body = msgspec.msgpack.encode(said())
    key = crypto.derive(EPOCH.secret, "chez/1 ephemeral key")
    signature = LAPTOP.signing.sign("chez/1 ephemeral", CREATE.hash, EPOCH.id, body)
    content = msgspec.msgpack.encode([body, signature])
    plain = (len(content).to_bytes(4, "big") + content).ljust(1024, b"\0")
    header = b"CZM\x01" + HANDLE + EPOCH.id + EPOCH.key_id + NONCE
    sealed = header + crypto.encrypt(key, NONCE, plain, header)
    return {"space": CREATE.hash.hex(), "handle": HANDLE.hex(), "epoch": EPOCH.id.hex(), "secret": EPOCH.secret.hex(),
            "key": key.hex(), "device": LAPTOP.signing.seed.hex(), "message": body.hex(), "signature": signature.hex(),
            "nonce": NONCE.hex(), "sealed": sealed.hex()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
