"""Who a provider is to this person: its keys, by what was signed, and others that go by its name.

A new key that an old one signed (`succession`) is the same provider: its versions go on, and what it is
told is debited from the accounts that were debited before. Once a device has granted something of
either, the tie stays, whether the next bundle tells of it or not, and whatever becomes of the grant's record: the
receipts of what was granted on this device know whose it was.

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

if TYPE_CHECKING:
    from chez.home.transaction import Transaction
    from chez_sandbox.consent.grants import Granted

__all__ = ("Card", "Identity", "identify", "receipted", "said_of")


@dataclass(frozen=True, slots=True)
class Card:
    """What a provider said of itself when it was granted something; keys are hexadecimal."""

    name: str
    domain: str
    chain: tuple[str, ...]
    """Its key, after those that it had before, oldest first."""

    @property
    def key(self) -> str:
        """The one that signed."""
        return self.chain[-1]


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of a bundle's provider; keys are hexadecimal.

    `keys` are its own, by what was signed; `foreign` the others under its name or domain that something was
    granted under; `accounts` whose accounts its runs are debited from.
    """

    keys: frozenset[str]
    foreign: tuple[str, ...]
    accounts: tuple[str, ...]


def said_of(bundle: Bundle) -> dict[str, str | list[str]]:
    """What the receipt of a grant keeps of its bundle's provider, for `receipted`."""
    card = _card(bundle)
    return {"provider_name": card.name, "provider_domain": card.domain, "formerly": list(card.chain[:-1])}


def receipted(transaction: "Transaction") -> list[Card]:
    """The providers that the journal has receipts of grants to, of the devices that this home was before included."""
    bodies = [one.body for one in (*transaction.former_receipts("grant"), *transaction.receipts("grant"))]
    return [Card(one["provider_name"], one["provider_domain"], (*one["formerly"], one["provider"])) for one in bodies]


def identify(bundle: Bundle, grants: Iterable["Granted"], receipts: Iterable[Card] = ()) -> Identity:
    """Who a bundle's provider is, by it, all grants there are, and all that there ever were (`receipted`)."""
    own = _card(bundle)
    cards = [*(_card(one.bundle) for one in grants), *receipts]
    known = [*cards, own]
    keys = _tied({own.key}, known)
    foreign = {card.key for card in cards if card.key not in keys and _namesakes(card, own)}
    accounts = {root for key in sorted(foreign) for root in _roots(_tied({key}, known), cards)}
    first = sorted(_roots(keys, known))
    return Identity(keys, tuple(sorted(foreign)), (*first, *sorted(accounts - set(first))))


def _namesakes(one: Card, other: Card) -> bool:
    return one.domain.strip(".") == other.domain.strip(".") or _plain(one.name) == _plain(other.name)


def _plain(name: str) -> str:
    """A name without what is hardly seen of it. Folding case can undo the normal form, so that is made twice."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def _card(bundle: Bundle) -> Card:
    own = bundle.manifest.provider
    return Card(own.name, own.domain, (*(former.key for former in own.formerly), own.signing_key))


def _tied(keys: set[str], cards: Sequence[Card]) -> frozenset[str]:
    """These keys, and all that any card ties to one of them."""
    tied, before = set(keys), 0
    while len(tied) > before:
        before = len(tied)
        for card in cards:
            if tied.intersection(card.chain):
                tied.update(card.chain)
    return frozenset(tied)


def _roots(keys: frozenset[str], cards: Sequence[Card]) -> set[str]:
    """Those of these keys that came without one before them: accounts go by them."""
    return {card.chain[0] for card in cards if card.chain[0] in keys}
