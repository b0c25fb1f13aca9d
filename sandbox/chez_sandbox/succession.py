"""A provider's new key, signed by the one before it: so it stays who it was.

A card names the keys its provider had before, oldest first, each with a signature over the next one;
the last one signs `signing_key`. The card is in the manifest, which the newest key signs with the rest
of the bundle: that is its own consent to be the successor.

Who has a provider's old key can make it a successor: whoever lost a key to somebody must say so by
other ways, as ever. What a new key without such a signature means is a person's device to decide
(`consent.identity`).
"""

from typing import Final

from chez.crypto import CryptoFailed, SigningKey, verify
from chez_sandbox.job_errors import BundleForged
from chez_sandbox.manifest import Predecessor, Provider

__all__ = ("check_succession", "succeed")

CONTEXT: Final = "chez/1 provider succession"


def succeed(old: SigningKey, new: bytes) -> Predecessor:
    """A key's word that another one (its 32 public bytes) succeeds it."""
    return Predecessor(key=old.public.hex(), signature=old.sign(CONTEXT, old.public, new).hex())


def check_succession(provider: Provider) -> None:
    """Raise `BundleForged` unless each former key signed the next one, and none comes twice."""
    former = provider.formerly
    keys = [bytes.fromhex(key) for key in (*(one.key for one in former), provider.signing_key)]
    hint = "the card was put together by somebody else: do not grant it"
    if len(set(keys)) != len(keys):
        raise BundleForged("a key of the provider is said to succeed itself", hint)
    for one, key, following in zip(former, keys, keys[1:], strict=False):
        try:
            verify(key, bytes.fromhex(one.signature), CONTEXT, key, following)
        except CryptoFailed:
            raise BundleForged(f"the key {one.key[:16]}… did not sign its successor", hint) from None
