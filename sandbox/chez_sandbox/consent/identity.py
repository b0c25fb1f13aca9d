"""Who a provider is to this person: its keys, by what was signed, and others that go by its name.

A new key that an old one signed (`succession`) is the same provider: its versions go on, and what it is
told is debited from the accounts that were debited before. Once a device has granted something of
either, the tie stays, whether the next bundle tells of it or not.

A key without such a signature under a name or domain that another key had is nobody that is known:
either may be the impostor. What it is granted begins suspended, and so is what the other key was granted,
until the person resumes each; and what it is told is debited from the other's accounts, too. So a provider
that comes back under a new key finds the budget as it left it. Under a new name as well, it finds
what is left of the collections.

Names are compared as they look: compatibility forms (Unicode NFKC, UAX 15), case and space tell nothing apart, nor
do dots at a domain's ends. Letters of two scripts that look the same do: such a name is a new one here.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chez_sandbox.bundle import Bundle
from chez_sandbox.manifest import Provider

if TYPE_CHECKING:
    from chez_sandbox.consent.grants import Granted

__all__ = ("Identity", "identify")


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of a bundle's provider; keys are hexadecimal.

    `keys` are its own, by what was signed; `foreign` the others under its name or domain that something was
    granted under; `accounts` whose accounts its runs are debited from.
    """

    keys: frozenset[str]
    foreign: tuple[str, ...]
    accounts: tuple[str, ...]


def identify(bundle: Bundle, grants: Iterable["Granted"]) -> Identity:
    """Who a bundle's provider is, by it and all grants that there ever were."""
    own = bundle.manifest.provider
    cards = [one.bundle.manifest.provider for one in grants]
    known = [*cards, own]
    keys = _tied({own.signing_key}, known)
    foreign = {card.signing_key for card in cards if card.signing_key not in keys and _namesakes(card, own)}
    accounts = {root for key in sorted(foreign) for root in _roots(_tied({key}, known), cards)}
    first = sorted(_roots(keys, known))
    return Identity(keys, tuple(sorted(foreign)), (*first, *sorted(accounts - set(first))))


def _namesakes(one: Provider, other: Provider) -> bool:
    return one.domain.strip(".") == other.domain.strip(".") or _plain(one.name) == _plain(other.name)


def _plain(name: str) -> str:
    """A name without what is hardly seen of it. Folding case can undo the normal form, so that is made twice."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def _chain(card: Provider) -> list[str]:
    return [*(former.key for former in card.formerly), card.signing_key]


def _tied(keys: set[str], cards: Sequence[Provider]) -> frozenset[str]:
    """These keys, and all that any card ties to one of them."""
    tied, before = set(keys), 0
    while len(tied) > before:
        before = len(tied)
        for chain in map(_chain, cards):
            if tied.intersection(chain):
                tied.update(chain)
    return frozenset(tied)


def _roots(keys: frozenset[str], cards: Sequence[Provider]) -> set[str]:
    """Those of these keys that came without one before them: accounts go by them."""
    return {chain[0] for chain in map(_chain, cards) if chain[0] in keys}
