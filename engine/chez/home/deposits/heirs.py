"""Whose a deposit address is when its organisation has a new key; no I/O.

An address is for one key. What succeeds that is kept beside it as it comes, each with its card, and whose the address
is now follows from all of them (`chez.succession`): so two devices that heard of different successors agree after a
sync. Where a key signed two, the address is contested: nothing is taken until the person says which goes on, and what
the others sign from then on counts for nothing.
"""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from chez.deposits.card import Organisation, read_card
from chez.errors import InvalidValue
from chez.succession import follow

__all__ = ("Holder", "holder_of")


class Holder(msgspec.Struct, frozen=True):
    """The organisation of an address: its card, its key after those that it had before, and who else claims to be it.

    `rivals` are the cards of those who claim it, all of them, when it is contested; else there are none.
    """

    first: Organisation
    card: Organisation
    lineage: frozenset[bytes]
    rivals: tuple[Organisation, ...]


def holder_of(first: str, heirs: Mapping[str, str], settled: str) -> Holder | None:
    """Whose an address is, None for nobody yet.

    `first` is the card that it was made for, `heirs` has those that came to succeed it by their keys (hexadecimal), and
    `settled` is the key that the person settled on, if any. Raises `InvalidValue` where the first is no card.
    """
    if not first:
        return None
    origin = read_card(first)
    cards = {origin.key: origin}
    for key, text in sorted(heirs.items()):
        with suppress(InvalidValue):
            card = read_card(text)
            if card.key.hex() == key:
                cards.setdefault(card.key, card)
    chosen = next((card for card in cards.values() if card.key.hex() == settled), origin)
    line = follow(chosen.key, [said for card in cards.values() for said in card.formerly])
    known = [cards[key] for key in line.keys if key in cards]
    lineage = {origin.key, *line.keys, *(one.old for card in (chosen, known[-1]) for one in card.formerly)}
    rivals = tuple(card for card in cards.values() if line.rivals and card.key not in lineage
                   and any(one.old == line.key for one in card.formerly))
    return Holder(origin, known[-1], frozenset(lineage), rivals)
