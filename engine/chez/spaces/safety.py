"""Safety words: what two people compare to know that each has the other's real card.

    safety words = words(lower person id) ‖ words(higher person id)
    words(id)    = the first 66 bits of H("chez/1 safety words", id), as six words of the BIP-39
                   English list, 11 bits each, highest bits first

Both see the same twelve words, in the same order. A person's words follow from the root key
alone, so new and lost devices change nothing. Each person has words of its own, rather than
one hash of both: whoever sits between two people shows each of them an id that he made,
and could search pairs of such ids for one hash that looks alike to both, at the square root
of the cost. So he must find, for a person that he did not choose, another key with the same
six words: 2^66 tries. (Signal's safety numbers are made of two halves for the same reason.)
"""

from typing import Final

from mnemonic import Mnemonic

from chez import crypto

__all__ = ("safety_words", "words_of")

EACH: Final = 6
"""Words for one person."""

_BITS: Final = 11


def safety_words(one: bytes, other: bytes) -> str:
    """The twelve words of two persons, by their ids, whichever comes first."""
    return " ".join(words_of("chez/1 safety words", id) for id in sorted((one, other)))


def words_of(label: str, id: bytes) -> str:
    """The six words of an id of any kind; each kind has a label of its own."""
    words = Mnemonic("english").wordlist
    return " ".join(words[number] for number in _numbers(label, id))


def _numbers(label: str, id: bytes) -> list[int]:
    digest = int.from_bytes(crypto.hash_fields(label, id), "big")
    return [digest >> 256 - _BITS * place & (1 << _BITS) - 1 for place in range(1, EACH + 1)]
