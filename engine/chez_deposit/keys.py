"""An organisation's key file, and its card.

The file has four 32-byte seeds as hexadecimal text: the signing key (by which people know the organisation), the
sealing key (opens acknowledgements), the inbox owner's key (takes them from the relay) and the inbox writer's (in
every card). It is JSON, readable by its owner only; a file that others may read is refused, as ssh does.

A key that succeeds another has four new seeds, the statement that both keys signed (`chez.succession`), and what takes
the acknowledgements that still come for the one before: not its signing seed.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chez.crypto import SealingKey, SigningKey
from chez.deposits.card import Organisation, make_card
from chez.errors import HomeExists, InvalidValue, StorageFailed
from chez.keyfiles import Seed, Seeds, load_key_file, save_key_file
from chez.succession import MAX_CHAIN, Succession, succeed
from chez.sync.connection import relay_name
from chez_wire.login import inbox_of

__all__ = ("Former", "Mailbox", "OrganisationKeys", "load_keys", "new_keys", "replace_keys", "save_keys",
           "succeeding_keys")


class Mailbox(msgspec.Struct, frozen=True):
    """Where acknowledgements for one key come: the inbox at its relay, and what opens them."""

    relay: str
    sealing: SealingKey
    owner: SigningKey
    writer: SigningKey

    def __repr__(self) -> str:
        return f"<mailbox {self.inbox.hex()[:12]}>"

    @property
    def inbox(self) -> bytes:
        """The relay's name of the inbox (32 bytes)."""
        return inbox_of(self.owner.public)


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key before: its word for the next one (MessagePack in hexadecimal), and what takes its acknowledgements."""

    succession: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{2,1024}\Z")]
    relay: str
    sealing_seed: Seed
    inbox_owner_seed: Seed
    inbox_writer_seed: Seed

    def __repr__(self) -> str:
        return "<a former key>"

    @property
    def said(self) -> Succession:
        """The statement. Raises `InvalidValue`."""
        try:
            return msgspec.msgpack.decode(bytes.fromhex(self.succession), type=Succession)
        except (ValueError, msgspec.DecodeError):
            raise InvalidValue("the key file has something else in the place of a succession") from None

    @property
    def mailbox(self) -> Mailbox:
        """Where its acknowledgements come."""
        return _mailbox(self)


class OrganisationKeys(Seeds, msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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
    formerly: tuple[Former, ...] = ()

    @property
    def successions(self) -> tuple[Succession, ...]:
        """How this key came to be, by the last statements. Raises `InvalidValue`."""
        return tuple(one.said for one in self.formerly[-MAX_CHAIN:])

    @property
    def own(self) -> frozenset[bytes]:
        """The public keys under which customers may know the organisation. Raises `InvalidValue`."""
        return frozenset((self.signing.public, *(one.said.old for one in self.formerly)))

    @property
    def mailbox(self) -> Mailbox:
        """Where acknowledgements for this key come."""
        return _mailbox(self)

    @property
    def card(self) -> Organisation:
        """What customers are given. Raises `InvalidValue` for a name that no card may have."""
        return make_card(self.signing, name=self.name, contact=self.contact, domain=self.domain,
                         sealing=self.sealing.public, relay=self.relay, inbox=self.inbox, put=self.inbox_writer.seed,
                         formerly=self.successions)


def _mailbox(keys: "OrganisationKeys | Former") -> Mailbox:
    return Mailbox(keys.relay, SealingKey.from_seed(bytes.fromhex(keys.sealing_seed)),
                   SigningKey.from_seed(bytes.fromhex(keys.inbox_owner_seed)),
                   SigningKey.from_seed(bytes.fromhex(keys.inbox_writer_seed)))


def new_keys(name: str, contact: str, domain: str, relay: str, entropy: Callable[[int], bytes]) -> OrganisationKeys:
    """The keys of a new organisation; `entropy` gives random bytes. Raises `InvalidValue`."""
    relay_name(relay)
    seeds = [entropy(32).hex() for _ in range(4)]
    made = OrganisationKeys(name=name, contact=contact, domain=domain, relay=relay, signing_seed=seeds[0],
                            sealing_seed=seeds[1], inbox_owner_seed=seeds[2], inbox_writer_seed=seeds[3])
    made.card  # noqa: B018 - a name that no card may have is refused now
    return made


def succeeding_keys(old: OrganisationKeys, entropy: Callable[[int], bytes], *, relay: str = "") -> OrganisationKeys:
    """The keys that go on as `old` did, all of them new; `relay` is another one, if it is. Raises `InvalidValue`."""
    made = new_keys(old.name, old.contact, old.domain, relay or old.relay, entropy)
    said = succeed("organisation", old.signing, made.signing, old.successions)
    former = Former(succession=msgspec.msgpack.encode(said).hex(), relay=old.relay, sealing_seed=old.sealing_seed,
                    inbox_owner_seed=old.inbox_owner_seed, inbox_writer_seed=old.inbox_writer_seed)
    made = msgspec.structs.replace(made, formerly=(*old.formerly, former))
    made.card  # noqa: B018 - one that is too long is refused now
    return made


def replace_keys(path: Path, made: OrganisationKeys, keep: Path) -> None:
    """Put new keys in the place of a key file, which goes on at `keep`: at any instant both are whole.

    Raises `HomeExists` where something is at `keep`, `StorageFailed`.
    """
    part = path.with_name(path.name + ".new")
    try:
        part.unlink(missing_ok=True)  # of one that was interrupted: nobody was given its card
        save_key_file(part, made)
        os.link(path, keep)
        part.replace(path)
    except FileExistsError:
        part.unlink()
        raise HomeExists(f"{keep} exists", "a key is never overwritten: choose another name") from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be replaced: {error.strerror}") from None


def save_keys(path: Path, keys: OrganisationKeys) -> None:
    """Write a new key file, readable by its owner only. Never overwrites one (`HomeExists`)."""
    save_key_file(path, keys)


def load_keys(path: Path) -> OrganisationKeys:
    """Read a key file. Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`, `StorageFailed`."""
    return load_key_file(path, OrganisationKeys, whose="an organisation's", made_by="chez-deposit keys new")
