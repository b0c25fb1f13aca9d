"""The accounts a run is debited from before it starts, each in bits, in epsilon or in runs.

    grant:ID         what was granted to this job, over all its runs; the device that runs it has all of it
    provider:KEY     all that one provider may learn, across its jobs, versions and grants
    collection:NAME  all that may leave of one collection, whoever asks: a provider that
                     comes back under a new key gets no fresh budget here
    epsilon:...      the same three, of what noised values cost
    runs:provider:KEY  how often all that one provider was granted runs, however little a run tells

Those of providers and collections are one person's, over all devices: each device spends of what it holds
(`escrow`). Declining, failing and being refused still spend: a provider must not learn for nothing.
"""

from collections.abc import Iterable

import msgspec

from chez.errors import InvalidValue
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.escrow import RUNS, Charge, bare, thousandths, unit_of
from chez_sandbox.manifest import Manifest

__all__ = (
    "Ceilings",
    "charges_of",
    "check_shared",
    "grant_account",
    "provider_account",
    "runs_charges",
)

class Ceilings(msgspec.Struct, frozen=True):
    """The most that may ever leave, per provider and per collection, over all of a person's devices.

    A thousand bits are some 120 characters: enough for years of rounded answers, far from
    a load curve. Epsilon adds up, whatever is asked: at 20 in all, noise has long ceased to hide. Of runs, a
    day's job has enough for a year and a month; a person may set another number.
    """

    provider: float = 1000.0
    collection: float = 4000.0
    provider_epsilon: float = 20.0
    collection_epsilon: float = 40.0
    provider_runs: int = 400

    def of(self, account: str) -> int:
        """The ceiling of a provider's or a collection's account, in thousandths. Raises `InvalidValue`."""
        kind, unit = bare(account).partition(":")[0], unit_of(account)
        match kind, unit:
            case "provider", "bits":
                return thousandths(self.provider)
            case "provider", "epsilon":
                return thousandths(self.provider_epsilon)
            case "collection", "bits":
                return thousandths(self.collection)
            case "collection", "epsilon":
                return thousandths(self.collection_epsilon)
            case "provider", "runs":
                return thousandths(self.provider_runs)
        raise refused(InvalidValue, "account", account=account)


def check_shared(account: str) -> str:
    """An account that devices share, as people write it. Raises `InvalidValue` for any other text."""
    kind, _, name = bare(account).partition(":")
    kinds = ("provider",) if unit_of(account) == "runs" else ("provider", "collection")
    if kind not in kinds or not name or len(account) > 300 or not account.isprintable():
        raise refused(InvalidValue, "account", account=account)
    return account


def grant_account(grant_id: str) -> str:
    """The name of a grant's account."""
    return f"grant:{grant_id}"


def provider_account(signing_key: str) -> str:
    """The name of a provider's account."""
    return f"provider:{signing_key}"


def charges_of(
    grant_id: str,
    manifest: Manifest,
    *,
    amount: float,
    granted: float,
    ceilings: Ceilings,
    providers: Iterable[str] = (),
) -> tuple[Charge, ...]:
    """What a run of a grant is debited: `amount` from the grant's account of `granted` in all, and from the shared.

    Those are the collections' and the providers' (`Identity.accounts`, as the receipt of the grant has them; else
    the manifest's own). In bits, rounded up to thousandths. Raises `InvalidValue`.
    """
    each = thousandths(amount)
    # A grant's runs cost the same each: rounding must not take the last of those that were granted.
    whole = int(granted / amount + 1e-9) * each if amount else 0
    own = Charge(grant_account(grant_id), each, whole, own=True)
    keys = dict.fromkeys(providers) or [manifest.provider.signing_key]
    names = [*map(provider_account, keys), *(f"collection:{read.collection}" for read in manifest.reads)]
    return own, *(Charge(name, each, ceilings.of(name)) for name in names)


def runs_charges(manifest: Manifest, ceilings: Ceilings, providers: Iterable[str] = ()) -> tuple[Charge, ...]:
    """One run, of each account of runs that it is debited from; providers as for `charges_of`."""
    keys = dict.fromkeys(providers) or [manifest.provider.signing_key]
    names = [RUNS + provider_account(key) for key in keys]
    return tuple(Charge(name, thousandths(1), ceilings.of(name)) for name in names)
