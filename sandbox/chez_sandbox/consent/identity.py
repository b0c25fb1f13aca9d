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

One key has one successor. Where it signed two, whoever has it may have made the second: each of them is to the
other as a key that was not signed. And a key that was succeeded is still there for whoever kept it: a job that was
granted under the later one is granted under it no more (`versions`).

Names are compared as they look: compatibility forms (Unicode NFKC, UAX 15), case, space, what is not seen at all, and
which of I, l and 1, of O and 0 it is tell nothing apart, nor do dots at a domain's ends. Letters of two scripts that
look the same do: such a name is a new one here.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.grant import Granted
from chez_sandbox.form.rules import UNSEEN

if TYPE_CHECKING:
    from chez.home.transaction import Transaction

__all__ = ("Card", "Identity", "identify", "receipted", "said_of")


class Card(msgspec.Struct, frozen=True):
    """What a provider said of itself when it was granted something; keys are hexadecimal."""

    name: str
    domain: str
    chain: tuple[str, ...]
    """Its key, after those that it had before, oldest first."""

    @property
    def key(self) -> str:
        """The one that signed."""
        return self.chain[-1]


class Identity(msgspec.Struct, frozen=True):
    """What is known of a bundle's provider; keys are hexadecimal.

    `keys` are its own, by what was signed; `later` those of them that succeeded the one that signed the bundle.
    `foreign` are others that something was granted under: by its name or domain, or signed by a key that signed
    another successor. `accounts` is whose accounts its runs are debited from.
    """

    keys: frozenset[str]
    later: frozenset[str]
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


def identify(bundle: Bundle, grants: Iterable[Granted], receipts: Iterable[Card] = ()) -> Identity:
    """Who a bundle's provider is, by it, all grants there are, and all that there ever were (`receipted`)."""
    own = _card(bundle)
    cards = [*(_card(one.bundle) for one in grants), *receipts]
    known = [*cards, own]
    tied, steps = _tied({own.key}, known), {step for card in known for step in pairwise(card.chain)}
    later, before = _reached(own.key, steps), _reached(own.key, {(new, old) for old, new in steps})
    keys = later | before | {own.key}
    foreign = {card.key for card in cards if card.key not in keys and (card.key in tied or _namesakes(card, own))}
    accounts = {root for key in sorted(foreign) for root in _roots(_tied({key}, known), cards)}
    first = sorted(_roots(tied, known))
    return Identity(keys, later, tuple(sorted(foreign)), (*first, *sorted(accounts - set(first))))


def _namesakes(one: Card, other: Card) -> bool:
    return one.domain.strip(".") == other.domain.strip(".") or not _forms(one.name).isdisjoint(_forms(other.name))


_ALIKE: Final = str.maketrans("I1|0", "lllO")


def _forms(name: str) -> set[str]:
    """A name without what is hardly seen of it, with and without letters that look like another."""
    # What is not seen keeps an accent from its letter.
    composed = unicodedata.normalize("NFKC", UNSEEN.sub("", name))
    return {_plain(composed), _plain(composed.translate(_ALIKE))}


def _plain(name: str) -> str:
    """In the normal form, which folding case can undo, so that it is made again."""
    return UNSEEN.sub("", unicodedata.normalize("NFKC", name.casefold()))


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


def _reached(key: str, steps: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The keys to which one step after another leads from this one."""
    found, fresh = set[str](), {key}
    while fresh:
        fresh = {to for of, to in steps if of in fresh} - found
        found |= fresh
    return frozenset(found - {key})


def _roots(keys: frozenset[str], cards: Sequence[Card]) -> set[str]:
    """Those of these keys that came without one before them: accounts go by them."""
    return {card.chain[0] for card in cards if card.chain[0] in keys}
