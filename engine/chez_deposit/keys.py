"""An organisation's key file, and its card.

The file has four 32-byte seeds as hexadecimal text: the signing key (by which people know the organisation), the
sealing key (opens acknowledgements), the inbox owner's key (takes them from the relay) and the inbox writer's (in
every card). It is JSON, readable by its owner only; a file that others may read is refused, as ssh does.
"""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chez.crypto import SealingKey, SigningKey
from chez.deposits.card import Organisation, make_card
from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound, StorageFailed
from chez.sync.connection import relay_name
from chez_wire.login import inbox_of

__all__ = ("OrganisationKeys", "load_keys", "new_keys", "save_keys")

Seed = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


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
    text = json.dumps(msgspec.to_builtins(keys), indent=1) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise HomeExists(f"{path} exists", "a key is never overwritten: choose another name") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error.strerror}") from None


def load_keys(path: Path) -> OrganisationKeys:
    """Read a key file. Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`, `StorageFailed`."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(64 * 1024)
    except FileNotFoundError:
        raise NotFound(f"there is no key file {path}", "chez-deposit keys new makes one") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotAllowed(f"{path} can be read by others", f"chmod 600 {path}; if others had it, make a new key")
    try:
        return msgspec.json.decode(text, type=OrganisationKeys)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidValue(f"{path} is not an organisation's key file") from None
