"""Where a person's grants stand: each with its state today, what it has used, and what it was given for."""

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from chez_sandbox.consent.accounts import Ceilings, grant_account, provider_account
from chez_sandbox.consent.departures import Left
from chez_sandbox.consent.grants import Granted, damaged_grants, list_grants
from chez_sandbox.consent.inspect import describe
from chez_sandbox.consent.narrowing import narrowed_words

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("all_grants", "listed", "told_in_all")


async def all_grants(home: "Home", today: date) -> list[dict[str, Any]]:
    """Every grant there is, oldest first, JSON-able; those that do not verify come last, with the reason.

    `state` is a `State` of a grant, or "damaged"; runs and bits are what this device's journal counts.
    """
    runs = [receipt.body["grant"] for receipt in await home.journal.receipts("run")]
    found: list[dict[str, Any]] = []
    for granted in await list_grants(home):
        id = granted.grant.id
        done, spent = runs.count(id), await home.journal.spent(grant_account(id))
        state = granted.state(home.device_id, today, done)
        less = narrowed_words(granted.bundle.manifest, granted.grant.narrowed)
        more = {"state": state, "shown": describe(granted.bundle), "narrowed": less}
        found.append({**listed(granted, done, spent), **more})
    for id, error in (await damaged_grants(home)).items():
        found.append({"grant": id, "state": "damaged", "problem": str(error)})
    return found


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
        "device": grant.device,
    }


async def told_in_all(home: "Home", lefts: Iterable[Left]) -> list[dict[str, Any]]:
    """For each provider that something left for: the most bits it was told in all, by this device's account.

    `ceiling` is how many bits this device ever tells one provider.
    """
    providers = {left.provider: left.provider_name for left in lefts}
    return [
        {
            "provider": key,
            "name": name,
            "bits": round(await home.journal.spent(provider_account(key)), 2),
            "ceiling": Ceilings().provider,
        }
        for key, name in providers.items()
    ]
