"""An organisation's key file, and its card.

The file has four 32-byte seeds as hexadecimal text: the signing key (by which people know the organisation), the
sealing key (opens acknowledgements), the inbox owner's key (takes them from the relay) and the inbox writer's (in
every card). It is JSON, readable by its owner only; a file that others may read is refused, as ssh does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from chez.crypto import SealingKey, SigningKey
from chez.deposits.card import Organisation, make_card
from chez.keyfiles import Seed, load_key_file, save_key_file
from chez.sync.connection import relay_name
from chez_wire.login import inbox_of

__all__ = ("OrganisationKeys", "load_keys", "new_keys", "save_keys")


class OrganisationKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content."""

    chez_organisation_key: Literal[1] = 1
    name: str
    contact: str
    domain: str
    relay: str
    signing_seed: Seed
    sealing_seed: Seed
    inbox_owner_seed: Seed
    inbox_writer_seed: Seed

    def __repr__(self) -> str:
        return f"<the keys of {self.name!r}>"

    @property
    def signing(self) -> SigningKey:
        """Signs deposits."""
        return SigningKey.from_seed(bytes.fromhex(self.signing_seed))

    @property
    def sealing(self) -> SealingKey:
        """Opens acknowledgements."""
        return SealingKey.from_seed(bytes.fromhex(self.sealing_seed))

    @property
    def inbox_owner(self) -> SigningKey:
        """Takes acknowledgements from the relay."""
        return SigningKey.from_seed(bytes.fromhex(self.inbox_owner_seed))

    @property
    def inbox_writer(self) -> SigningKey:
        """Puts acknowledgements into the inbox; public by nature."""
        return SigningKey.from_seed(bytes.fromhex(self.inbox_writer_seed))

    @property
    def inbox(self) -> bytes:
        """The relay's name of the inbox (32 bytes)."""
        return inbox_of(self.inbox_owner.public)

    @property
    def card(self) -> Organisation:
        """What customers are given. Raises `InvalidValue` for a name that no card may have."""
        return make_card(self.signing, name=self.name, contact=self.contact, domain=self.domain,
                         sealing=self.sealing.public, relay=self.relay, inbox=self.inbox, put=self.inbox_writer.seed)


def new_keys(name: str, contact: str, domain: str, relay: str, entropy: Callable[[int], bytes]) -> OrganisationKeys:
    """The keys of a new organisation; `entropy` gives random bytes. Raises `InvalidValue`."""
    relay_name(relay)
    seeds = [entropy(32).hex() for _ in range(4)]
    made = OrganisationKeys(name=name, contact=contact, domain=domain, relay=relay, signing_seed=seeds[0],
                            sealing_seed=seeds[1], inbox_owner_seed=seeds[2], inbox_writer_seed=seeds[3])
    made.card  # noqa: B018 - a name that no card may have is refused now
    return made


def save_keys(path: Path, keys: OrganisationKeys) -> None:
    """Write a new key file, readable by its owner only. Never overwrites one (`HomeExists`)."""
    save_key_file(path, keys)


def load_keys(path: Path) -> OrganisationKeys:
    """Read a key file. Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`, `StorageFailed`."""
    return load_key_file(path, OrganisationKeys, whose="an organisation's", made_by="chez-deposit keys new")
