"""A person's keys: everything derives from 24 words (BIP-39) that are shown once.

The root secret certifies the first device and is then forgotten: no device stores it.
"""

from dataclasses import dataclass, field

from mnemonic import Mnemonic

from chez import crypto
from chez.errors import InvalidValue

__all__ = ("Person", "entropy_of", "misspelt", "nearest", "new_words", "person_of")


@dataclass(frozen=True, slots=True)
class Person:
    """What the 24 words give.

    `root` signs the first device's certificate and is the person id; `recovery` opens
    every epoch of every space the person belongs to; `relay_recovery` outranks a
    space's admin key at relays; `admin`, the first admin key of the private space, names
    that at relays, and `nonce` is what its first statement has (32 bytes), so that a recovery
    finds it, and its packet there, by the words alone.
    """

    root: crypto.SigningKey
    recovery: crypto.SealingKey
    relay_recovery: crypto.SigningKey
    admin: crypto.SigningKey
    nonce: bytes = field(repr=False)


def new_words(entropy: bytes) -> str:
    """The 24-word phrase of 32 random bytes (BIP-39, English list)."""
    return str(Mnemonic("english").to_mnemonic(entropy))


def misspelt(words: str) -> tuple[int, str] | None:
    """The first word of a phrase that none is made of, with its place (from 1)."""
    known = Mnemonic("english").wordlist
    return next(((n, word) for n, word in enumerate(words.lower().split(), 1) if word not in known), None)


def nearest(word: str) -> str | None:
    """The word of phrases that a misspelt one may be meant for."""
    from difflib import get_close_matches

    known = Mnemonic("english").wordlist
    alike = [one for one in known if one[:4] == word[:4]]  # no two of the list begin with the same four letters
    return next(iter(alike or get_close_matches(word, known, 1)), None)


def _checked(words: str) -> str:
    """A phrase in one form. What is wrong is told without quoting it, for errors are logged."""
    said = "these are not 24 words of a recovery phrase"
    each = words.lower().split()
    if len(each) != 24:
        raise InvalidValue(f"{said}, but {len(each)}", "Check that none is missing, nor there twice.")
    if wrong := misspelt(words):
        raise InvalidValue(f"{said}: word {wrong[0]} is none of those that phrases are made of", "Check its spelling.")
    phrase = " ".join(each)
    if not Mnemonic("english").check(phrase):
        raise InvalidValue(f"{said}: they do not fit each other",
                           "Check each word and the order; the last word is a checksum.")
    return phrase


def entropy_of(words: str) -> bytes:
    """The 32 bytes that a phrase was made of. Raises `InvalidValue` when a word or the checksum is wrong."""
    return bytes(Mnemonic("english").to_entropy(_checked(words)))


def person_of(words: str) -> Person:
    """The keys of a phrase. Raises `InvalidValue` when a word or the checksum is wrong."""
    seed: bytes = Mnemonic("english").to_seed(_checked(words))  # 64 bytes, PBKDF2-HMAC-SHA512 as BIP-39 says
    return Person(
        crypto.SigningKey.from_seed(crypto.derive(seed, "chez/1 person root")),
        crypto.SealingKey.from_seed(crypto.derive(seed, "chez/1 person recovery")),
        crypto.SigningKey.from_seed(crypto.derive(seed, "chez/1 person relay recovery")),
        crypto.SigningKey.from_seed(crypto.derive(seed, "chez/1 private space admin")),
        crypto.derive(seed, "chez/1 private space nonce"),
    )
