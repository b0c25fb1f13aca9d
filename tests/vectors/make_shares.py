"""Prints the golden vector of shares: what is on paper today has to give the words back in twenty years.

    python -m tests.vectors.make_shares > tests/vectors/shares.json

The shares are computed here from SLIP-39's definition, by arithmetic in GF(256) and one
pass of its cipher, not by the library that Chez uses; the library's word list and checksum
are used, which its own vectors hold.
"""

import hashlib
import hmac
import json
import sys
from functools import reduce

from mnemonic import Mnemonic
from shamir_mnemonic import Share

from tests.vectors.fixed import filled

__all__ = ("vectors",)

_SET, _THRESHOLD, _COUNT = 12345, 3, 5
_DIGEST, _SECRET = 254, 255


def _times(a: int, b: int) -> int:
    """The product in GF(256) modulo x^8 + x^4 + x^3 + x + 1, by shifts."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _over(a: int, b: int) -> int:
    return next(c for c in range(256) if _times(b, c) == a)


def _at(points: dict[int, bytes], x: int) -> bytes:
    """Lagrange's interpolation through the points, at x."""
    total = bytes(32)
    for at, value in points.items():
        weight = reduce(_times, (_over(x ^ other, at ^ other) for other in points if other != at), 1)
        total = bytes(t ^ _times(weight, v) for t, v in zip(total, value, strict=True))
    return total


def _encrypted(secret: bytes) -> bytes:
    """SLIP-39's four rounds of Feistel's scheme, with an empty passphrase, at the least cost."""
    left, right = secret[:16], secret[16:]
    for turn in range(4):
        mask = hashlib.pbkdf2_hmac("sha256", bytes((turn,)), right, 2500, dklen=16)
        left, right = right, bytes(a ^ b for a, b in zip(left, mask, strict=True))
    return right + left


def vectors() -> dict[str, object]:
    """The words, and five shares of which any three give them back."""
    entropy = filled(0x71)
    secret, rest = _encrypted(entropy), filled(0x73, 28)
    digest = hmac.new(rest, secret, "sha256").digest()[:4]
    points = {0: filled(0x72), _DIGEST: digest + rest, _SECRET: secret}
    shares = [Share(_SET, True, 0, 0, 1, 1, x, _THRESHOLD, _at(points, x)).mnemonic() for x in range(_COUNT)]
    return {"words": Mnemonic("english").to_mnemonic(entropy), "set": _SET, "threshold": _THRESHOLD, "shares": shares}


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout, indent=2)
    sys.stdout.write("\n")
