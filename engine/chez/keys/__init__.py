"""Person, device and epoch keys; pairing; and what a person does with the 24 words.

    from chez import keys

    shares = keys.split_words(words, threshold=2, count=3)   # SLIP-39
    words = keys.combine_shares(shares[:2])
    page = keys.recovery_sheet(shares[0], made="2026-11-25")
"""

from chez.keys.person import Person, new_words, person_of
from chez.keys.shares import ShareInfo, combine_shares, read_share, split_words
from chez.keys.sheet import recovery_sheet

__all__ = ("Person", "ShareInfo", "combine_shares", "new_words", "person_of", "read_share", "recovery_sheet",
           "split_words")
