"""The 24 words in n shares, of which any k give them back and fewer say nothing.

Shamir's scheme ("How to share a secret", CACM 22(11), 1979) as SLIP-39 writes it down, by
its reference implementation, `shamir-mnemonic`. What is split is the 32 bytes behind the
words (BIP-39), in one group, without SLIP-39's own passphrase. A share is 33 words of
another list than the phrase's, with a checksum of its own; the set carries a digest, so
that shares of two sets never give words that were nobody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from chez.errors import InvalidValue
from chez.keys.person import entropy_of, new_words

if TYPE_CHECKING:
    from shamir_mnemonic import Share

__all__ = ("MAX_SHARES", "SHARE_WORDS", "ShareInfo", "combine_shares", "read_share", "split_words")

MAX_SHARES: Final = 16
"""What SLIP-39 has room for."""

SHARE_WORDS: Final = 33

MAX_EXPONENT: Final = 5
"""Each step doubles the work of SLIP-39's own passphrase, which we don't use; at 15, the most
that a forged share could ask for, it is hours."""


@dataclass(frozen=True, slots=True)
class ShareInfo:
    """Which set a share is of, which one of it, and how many of the set are needed.

    `set` tells sets apart (15 random bits); `number` counts from 1.
    """

    set: int
    number: int
    threshold: int
    _share: "Share" = field(repr=False, compare=False)


def split_words(words: str, *, threshold: int, count: int) -> list[str]:
    """Split a phrase into `count` shares, any `threshold` of which give it back.

    Another call gives another set, whose shares don't fit those of the first. Raises
    `InvalidValue` for what is no phrase, for fewer than 2 (write the words down twice
    instead), and for more than 16.
    """
    if not 2 <= threshold <= count <= MAX_SHARES:
        raise InvalidValue(f"{threshold} of {count} shares can't be",
                           f"At least 2 are needed to get the words back, and there are at most {MAX_SHARES}.")
    from shamir_mnemonic import generate_mnemonics

    shares: list[str] = generate_mnemonics(1, [(threshold, count)], entropy_of(words), iteration_exponent=0)[0]
    return shares


def read_share(text: str) -> ShareInfo:
    """What a share says of itself. Raises `InvalidValue` telling what is wrong with it, without quoting it."""
    from shamir_mnemonic import MnemonicError, Share
    from shamir_mnemonic.wordlist import WORD_INDEX_MAP

    words = text.lower().split()
    if unknown := next((n for n, word in enumerate(words, 1) if word not in WORD_INDEX_MAP), None):
        raise InvalidValue(f"word {unknown} is none of those that shares are made of", "Check its spelling.")
    if len(words) != SHARE_WORDS:
        raise InvalidValue(f"a share has {SHARE_WORDS} words, this has {len(words)}", "Check that none is missing.")
    try:
        share = Share.from_mnemonic(" ".join(words))
    except MnemonicError:
        raise InvalidValue("the words of this share do not fit each other",
                           "Check the spelling and the order; the last three are a checksum.") from None
    if share.group_count != 1 or share.iteration_exponent > MAX_EXPONENT or share.member_threshold < 2:
        raise InvalidValue("this share was not made by Chez", "Use the program that made it.")
    return ShareInfo(share.identifier, share.index + 1, share.member_threshold, share)


def combine_shares(shares: Sequence[str]) -> str:
    """The 24 words that a set of shares was made of; further ones of the set are checked against them.

    Raises `InvalidValue` naming the share that is wrong, of another set, or telling how
    many are missing. Shares that fit each other give the words that were split; whose these
    are, their keys tell (`person_of`).
    """
    found: dict[int, ShareInfo] = {}
    for place, text in enumerate(shares, 1):
        try:
            share = read_share(text)
        except InvalidValue as error:
            raise InvalidValue(f"share {place}: {error.message}", error.hint) from None
        first = next(iter(found.values()), share)
        if _set(share) != _set(first):
            raise InvalidValue(f"share {place} is of another set than the first",
                               "Only shares that were made together fit each other.")
        if found.setdefault(share.number, share)._share != share._share:
            raise InvalidValue(f"share {place} has the number of another, and says something else", "One is forged.")
    given = list(found.values())
    if not given or len(given) < given[0].threshold:
        missing = given[0].threshold - len(given) if given else 2
        raise InvalidValue(f"{missing} more {'share is' if missing == 1 else 'shares are'} needed",
                           "Each counts once, however often it is given.")
    needed = given[0].threshold
    secret = _combined(given[:needed])
    for place, more in enumerate(given[needed:], needed + 1):
        if _combined([*given[: needed - 1], more]) != secret:
            raise InvalidValue(f"share {place} does not fit the others", "Leave it out.")
    return new_words(secret)


def _set(share: ShareInfo) -> tuple[object, ...]:
    return tuple(share._share.group_parameters())


def _combined(shares: Sequence[ShareInfo]) -> bytes:
    from shamir_mnemonic import MnemonicError, combine_mnemonics

    try:
        secret: bytes = combine_mnemonics([share._share.mnemonic() for share in shares])
    except MnemonicError:
        raise InvalidValue("these shares do not fit each other", "One of them is forged, or of another set.") from None
    return secret
