"""Where a person's grants stand: each with its state today, what it has used, and what it was given for."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.catalogue import Language, say_again
from chez_sandbox.consent.departures import Left
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import damaged_grants, list_grants
from chez_sandbox.consent.here import device_names
from chez_sandbox.consent.inspect import describe
from chez_sandbox.consent.narrowing import narrow, narrowed_words
from chez_sandbox.consent.run import plan_of

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("all_grants", "granted_reads", "listed", "told_in_all")


async def all_grants(home: "Home", today: date, language: Language = "en") -> list[dict[str, Any]]:
    """Every grant there is, oldest first, JSON-able; those that do not verify come last, with the reason.

    `state` is a `State` of a grant, or "damaged"; runs and bits are what this device's journal counts, None of a grant
    that another device runs, which alone counts them. Words are in the language.
    """
    used = await _runs_of(home)
    names = await device_names(home)
    found: list[dict[str, Any]] = []
    for granted in await list_grants(home):
        id = granted.grant.id
        done, spent = used.get(id, (0, 0.0))
        state = granted.state(home.device_id, today, done)
        less = narrowed_words(granted.bundle.manifest, granted.grant.narrowed, language)
        reads = granted_reads(granted, language)
        words = {"shown": describe(granted.bundle, language), "reads": reads, "narrowed": less}
        device = names.get(granted.grant.device, granted.grant.device[:8])
        counted = {} if granted.grant.device == home.device_id.hex() else {"runs": None, "bits": None}
        found.append({**listed(granted, done, spent), **counted, "state": state, "device_name": device, **words})
    for id, error in (await damaged_grants(home)).items():
        say_again(error, language)
        found.append({"grant": id, "state": "damaged", "problem": str(error)})
    return found


def granted_reads(granted: Granted, language: Language = "en") -> list[dict[str, Any]]:
    """What the job may read by this grant, as `describe` says it: without what the person took away."""
    bundle, narrowed = granted.bundle, granted.grant.narrowed
    reads = describe(msgspec.structs.replace(bundle, manifest=narrow(bundle.manifest, narrowed)), language)["reads"]
    return [
        {**read, "fields": [field for field in read["fields"] if field not in narrowed.hidden(read["collection"])]}
        for read in reads
    ]


def listed(granted: Granted, runs: int, spent: float) -> dict[str, Any]:
    """A grant, JSON-able, with what it has used."""
    grant, manifest = granted.grant, granted.bundle.manifest
    return {
        "grant": grant.id,
        "job": grant.job,
        "version": grant.job_version,
        "name": manifest.name,
        "provider": manifest.provider.name,
        "granted": grant.granted,
        "until": grant.until,
        "revoked": granted.revoked,
        "paused": bool(granted.pauses),
        "runs": runs,
        "runs_allowed": grant.runs,
        "bits": round(spent, 2),
        "bits_allowed": grant.bits,
        "review": grant.review,
        "slots": grant.slots,
        "hold_hours": grant.hold_hours,
        "leaves": msgspec.structs.asdict(plan_of(granted)),
        "device": grant.device,
    }


async def told_in_all(home: "Home", lefts: Iterable[Left]) -> list[dict[str, Any]]:
    """For each provider that something left for: the most bits it was told in all, by this device's account.

    One with a new key has a line for each, and both are of the same `accounts`: all those that runs were ever debited
    from together, also where something was told under either key before anything said that it is one provider.
    `ceiling` is how many bits all of the person's devices ever tell one provider.
    """
    providers = {left.provider: left.provider_name for left in lefts}
    accounts, debited = await _told_to(home)
    told = []
    for key, name in providers.items():
        tied = _tied(accounts.get(key, set()), debited)
        bits = sum((bits for names, bits in debited.items() if names & tied), 0.0)
        told.append({"provider": key, "name": name, "bits": round(bits, 2), "ceiling": Ceilings().provider,
                     "accounts": sorted(tied)})  # fmt: skip
    return told


async def _runs_of(home: "Home") -> dict[str, tuple[int, float]]:
    """How many runs each grant had on this device, and the bits that were debited for them."""
    used: dict[str, tuple[int, float]] = {}
    for receipt in await home.journal.receipts("run"):
        runs, bits = used.get(receipt.body["grant"], (0, 0.0))
        used[receipt.body["grant"]] = runs + 1, bits + receipt.body["bits"]
    return used


async def _told_to(home: "Home") -> tuple[dict[str, set[str]], dict[frozenset[str], float]]:
    """The accounts that each provider's (key's) runs were debited from, and the bits that were from the same ones.

    By this device, and those that this home was before. What a provider was told under a key before is in the same one.
    """
    former = [receipt for _, receipt in await home.journal.former() if receipt.kind == "run"]
    accounts, debited = dict[str, set[str]](), dict[frozenset[str], float]()
    for receipt in (*former, *await home.journal.receipts("run")):
        body = receipt.body
        names = frozenset(name for name in body["charged"] if name.startswith("provider:"))
        accounts.setdefault(body["provider"], set()).update(names)
        debited[names] = debited.get(names, 0.0) + body["bits"]
    return accounts, debited


def _tied(accounts: set[str], debited: Mapping[frozenset[str], float]) -> set[str]:
    """These accounts, and those that any run ties to one of them."""
    tied, before = set(accounts), -1
    while len(tied) > before:
        before = len(tied)
        tied.update(*(names for names in debited if names & tied))
    return tied
