"""The accounts a run is debited from, in bits, before it starts.

    grant:ID         what was granted to this job, over all its runs
    provider:KEY     all that one provider may learn, across its jobs, versions and grants
    collection:NAME  all that may leave of one collection, whoever asks: a provider that
                     comes back under a new key gets no fresh budget here

A device that was restored or copied has none of this until a job is granted on it, and then
what is granted, within the same ceilings.

Declining, failing and being refused still spend: a provider must not learn for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chez_sandbox.manifest import Manifest

__all__ = ("Ceilings", "account_names", "accounts_of", "grant_account", "provider_account")


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most bits that may ever leave, per provider and per collection.

    A thousand bits are some 120 characters: enough for years of rounded answers, far from
    a load curve. They are each device's own: two devices of a person, paired, may spend them twice.
    `escrow` is how one ceiling is shared; runs are not debited from it yet.
    """

    provider: float = 1000.0
    collection: float = 4000.0


def grant_account(grant_id: str) -> str:
    """The name of a grant's account."""
    return f"grant:{grant_id}"


def provider_account(signing_key: str) -> str:
    """The name of a provider's account."""
    return f"provider:{signing_key}"


def account_names(grant_id: str, manifest: Manifest) -> tuple[str, ...]:
    """The accounts that a run under a grant is debited from."""
    collections = [f"collection:{read.collection}" for read in manifest.reads]
    return grant_account(grant_id), provider_account(manifest.provider.signing_key), *collections


def accounts_of(grant_id: str, manifest: Manifest, bits: float, ceilings: Ceilings) -> Mapping[str, float]:
    """Account names and their limits for a run under a grant of `bits`."""
    grant, provider, *collections = account_names(grant_id, manifest)
    return {grant: bits, provider: ceilings.provider, **dict.fromkeys(collections, ceilings.collection)}
