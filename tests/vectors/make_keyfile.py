"""Prints the golden vector of the key file: a database key wrapped by a passphrase.

    python -m tests.vectors.make_keyfile > tests/vectors/keyfile.json

Wrapped here from the layout in chez/store/keyfile.py, not by its code, at the least cost
libsodium takes.
"""

import json
import sys

from chez import crypto
from tests.vectors.fixed import filled

__all__ = ("vectors",)

_PASSPHRASE = "quatre loutres dansent en été"


def vectors() -> dict[str, object]:
    """The passphrase, the database key, and the file that holds it."""
    key, salt, nonce, kdf = filled(0x51), filled(0x52, 16), filled(0x53, 24), crypto.Kdf.minimum()
    associated = f"chez/1 key file|1|argon2id|{kdf.operations}|{kdf.memory}|{salt.hex()}".encode()
    wrapping = crypto.passphrase_key(_PASSPHRASE, salt, kdf)
    file = {"version": 1, "kdf": "argon2id", "operations": kdf.operations, "memory": kdf.memory, "salt": salt.hex(),
            "nonce": nonce.hex(), "wrapped": crypto.encrypt(wrapping, nonce, key, associated).hex()}
    return {"passphrase": _PASSPHRASE, "wrapping_key": wrapping.hex(), "key": key.hex(), "file": file}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
