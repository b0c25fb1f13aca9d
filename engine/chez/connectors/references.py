"""What the lines of a statement are called when a bank gives them no id, or one that repeats.

Two exports that overlap must give their common lines the same references. A bank books whole
days, so exports overlap in whole days; of equal lines of one day each is told by its number
among them, which is the same in both.
"""

import hashlib
from decimal import Decimal
from typing import Final

import msgspec

from chez.errors import InvalidValue
from chez.vocabulary import Transaction

__all__ = ("MAX_SEEN", "References", "content_of", "plain")

MAX_SEEN: Final = 1_000_000
"""Transactions of one file that are told apart; some hundred bytes each."""


_EMPTY: Final = hashlib.blake2b(digest_size=16)
# A copy costs a third of a new one.
_encode: Final = msgspec.json.Encoder().encode


class References:
    """The references of one file's transactions, in the file's order."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def named(self, record: Transaction, given: str) -> str:
        """The reference of a line with an id that a bank may use again, for a payment and its fee, or a year later.

        Raises `InvalidValue` when the file has more than `MAX_SEEN` lines, like `numbered`.
        """
        name = f"{given}:{record.posted}:{plain(record.amount)}"
        number = self._count(hashlib.blake2b(f"{record.account}\n{name}".encode(), digest_size=16).digest())
        return name if number == 1 else f"{name}:{number}"

    def numbered(self, record: Transaction) -> str:
        """The reference of a line without id: a hash of what it says, and which of its equals it is."""
        content = content_of(record)
        return f"row:{content.hex()}:{self._count(content)}"

    def _count(self, key: bytes) -> int:
        if len(self._seen) >= MAX_SEEN:
            raise InvalidValue(f"the file has more than {MAX_SEEN} transactions", "Export a shorter period.")
        number = self._seen[key] = self._seen.get(key, 0) + 1
        return number


def content_of(record: Transaction) -> bytes:
    """A hash of all that a line says, in 16 bytes."""
    # These fields by name: references must not change when the type grows.
    said = (record.account, record.posted, plain(record.amount), record.currency, record.kind, record.name,
            record.memo, record.check_number)
    hashed = _EMPTY.copy()
    hashed.update(_encode(said))
    return hashed.digest()


def plain(amount: Decimal) -> str:
    """An amount in one spelling for each value: `7`, `7.0` and `7.00` are `7`."""
    text = str(amount)
    if "E" in text:
        text = f"{amount:f}" if amount else "0"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
