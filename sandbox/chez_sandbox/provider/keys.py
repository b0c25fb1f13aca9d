"""A provider's key file, and the card that everybody may see.

The file holds four 32-byte seeds as hexadecimal text: the signing key (the provider's
identity), the sealing key (opens results), the inbox owner's key (takes results from the
relay) and the inbox writer's key (goes into every bundle). It is JSON, readable by its
owner only; a file that others may read is refused, as ssh does.
"""

from pathlib import Path
from typing import Literal

import msgspec

from chez.crypto import SigningKey
from chez.errors import InvalidValue
from chez.keyfiles import Seed, Seeds, load_key_file, save_key_file
from chez_sandbox.manifest import MAX_FORMERLY, Predecessor, Provider
from chez_sandbox.provider.toml_text import quoted
from chez_sandbox.succession import succeed

__all__ = ("ProviderKeys", "load_keys", "save_keys")


class ProviderKeys(Seeds, msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content."""

    chez_provider_key: Literal[1] = 1
    name: str
    contact: str
    domain: str
    relay: str
    signing_seed: Seed
    sealing_seed: Seed
    inbox_owner_seed: Seed
    inbox_writer_seed: Seed
    formerly: tuple[Predecessor, ...] = ()
    """The keys that the provider had before, each with its signature over the next one."""

    @property
    def card(self) -> Provider:
        """What bundles say of the provider."""
        return Provider(
            name=self.name,
            contact=self.contact,
            domain=self.domain,
            signing_key=self.signing.public.hex(),
            sealing_key=self.sealing.public.hex(),
            relay=self.relay,
            inbox=self.inbox.hex(),
            inbox_write_seed=self.inbox_writer_seed,
            formerly=list(self.formerly),
        )

    def rotated(self, seed: bytes) -> "ProviderKeys":
        """The same provider with a new signing key, from 32 random bytes, which the one it had signs.

        Sealing key and inbox stay: what was granted goes on, and its results open. Raises `InvalidValue` for the
        same key, or when the card would name more keys than it may.
        """
        new = SigningKey.from_seed(seed)
        if new.public == self.signing.public:
            raise InvalidValue("a key can't succeed itself")
        if len(self.formerly) >= MAX_FORMERLY:
            raise InvalidValue(
                f"a card names at most {MAX_FORMERLY} former keys",
                "a further one is a new provider to everybody: say so by other ways",
            )
        chain = (*self.formerly, succeed(self.signing, new.public))
        return msgspec.structs.replace(self, signing_seed=seed.hex(), formerly=chain)

    @property
    def card_text(self) -> bytes:
        """The card as the [provider] table of a manifest."""
        fields = msgspec.to_builtins(self.card)
        words = [f"{{ key = {quoted(one.key)}, signature = {quoted(one.signature)} }}" for one in self.formerly]
        lines = [f"{name} = {quoted(value)}" for name, value in fields.items() if isinstance(value, str)]
        lines += [f"formerly = [{', '.join(words)}]"] if words else []
        return ("\n[provider]\n" + "\n".join(lines) + "\n").encode()


def save_keys(path: Path, keys: ProviderKeys) -> None:
    """Write a new key file, readable by its owner only. Never overwrites one (`HomeExists`)."""
    save_key_file(path, keys)


def load_keys(path: Path) -> ProviderKeys:
    """Read a key file. Raises `NotFound`, `NotAllowed` (others may read it), `InvalidValue`."""
    return load_key_file(path, ProviderKeys, whose="a provider's", made_by="chez-job keys new")
