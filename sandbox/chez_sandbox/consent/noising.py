"""Noise under a grant: paid for in epsilon before the run, drawn once for each window, kept before it is seen.

The journal has all of it. A receipt "epsilon" is the debit for some values over their windows, in the same
transaction as the run's bits; a receipt "draw" is what was drawn for them. A value over a window is paid for
once and drawn once, under one grant: whatever runs again, after a kill, a "no", or rows that came late, finds
the receipt. A debit without a draw is a process that was killed between both: nobody saw anything, and the next
run draws without paying again.

A run writes one such receipt between its debit and its code, whatever comes of it: "draw", or "drawn-before" where
all there is to draw is kept. So a relay, which sees an entry for it, can't tell one run from another by their number.

Epsilons add up (basic composition: Dwork et al. 2006), over windows, jobs, versions and grants, in accounts

    epsilon:grant:ID         over all windows of this grant
    epsilon:provider:KEY     over all jobs of one provider
    epsilon:collection:NAME  over all that is told of one collection, whoever asks

of which the last two are one person's, over all devices (`allowance`). That is more than what any one row is
charged with, whose days are in a few windows only. OpenDP's own filters and odometers live in one process and
end with it, so the accounts are Chez's own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from chez.errors import NotAllowed
from chez_sandbox.consent.accounts import Ceilings, grant_account, provider_account
from chez_sandbox.consent.allowance import charge
from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.escrow import EPSILON, Charge
from chez_sandbox.consent.grant import Grant, Granted
from chez_sandbox.consent.grants import current_grant
from chez_sandbox.consent.narrowing import WHOLE, Narrowing, narrow
from chez_sandbox.consent.period import bounds, closed_day, period_of
from chez_sandbox.consent.scope import Between
from chez_sandbox.job_errors import GrantEnded
from chez_sandbox.manifest import Manifest, Measurement
from chez_sandbox.privacy.drawing import Drawn, Noise, draw_from

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez_sandbox.runtime.host import Table

__all__ = ("charge_epsilon", "epsilon_charges", "kept_draws", "noise_under", "noised_windows")

Windows = Mapping[str, Between]
"""Over which texts of its window's field each noised value is drawn."""


def noised_windows(manifest: Manifest, today: date, narrowing: Narrowing = WHOLE) -> Windows:
    """The window of each noised value on a day. It follows from the date alone, and from no row."""
    windows = {read.collection: read.window for read in narrow(manifest, narrowing).reads}
    found = {}
    for one in manifest.measurements:
        # A checked manifest has a window for each collection that is noised.
        if (window := windows[one.collection]) is not None:
            found[one.key] = bounds(window, period_of(window, closed_day(window, today)))
    return found


def charge_epsilon(
    home: "Home",
    transaction: "Transaction",
    granted: Granted,
    sequence: int,
    windows: Windows,
    ceilings: Ceilings,
) -> None:
    """Debit what was not yet paid for over these windows, with its receipt. Raises `BudgetSpent`, debiting nothing."""
    grant, manifest = granted.grant, granted.bundle.manifest
    paid = _paid(transaction, grant.id, windows)
    owed = [one for one in manifest.measurements if one.key not in paid]
    if not owed:
        return
    body = {
        "grant": grant.id,
        "sequence": sequence,
        "job": grant.job,
        "version": grant.job_version,
        "provider": grant.provider,
        "epsilon": _thousandths(owed) / 1000,
        "windows": {one.key: list(windows[one.key]) for one in owed},
    }
    (given,) = transaction.receipts("grant", grant=grant.id)
    charges = epsilon_charges(grant, owed, ceilings, given.body["accounts"])
    charge(home, transaction, charges, "epsilon", body)


def epsilon_charges(
    grant: Grant, owed: Sequence[Measurement], ceilings: Ceilings, providers: Iterable[str]
) -> list[Charge]:
    """A grant and its providers (`Identity.accounts`) are charged for all that is drawn, a collection for what is
    drawn of it."""
    if not owed:
        return []
    own, names = EPSILON + grant_account(grant.id), [EPSILON + provider_account(key) for key in providers]
    # A manifest's epsilons are whole thousandths, so that nothing is lost or gained by rounding; a person's are cut.
    limit = int(grant.epsilon * 1000 + 1e-6)
    whole = _thousandths(owed)
    charges = [Charge(own, whole, limit, own=True), *(Charge(name, whole, ceilings.of(name)) for name in names)]
    for collection in sorted({one.collection for one in owed}):
        name = f"{EPSILON}collection:{collection}"
        amount = _thousandths([one for one in owed if one.collection == collection])
        charges.append(Charge(name, amount, ceilings.of(name)))
    return charges


def _thousandths(measurements: Sequence[Measurement]) -> int:
    return sum(round(one.epsilon * 1000) for one in measurements)


def _paid(transaction: "Transaction", grant: str, windows: Windows) -> set[str]:
    return {
        key
        for receipt in transaction.receipts("epsilon", grant=grant)
        for key, between in receipt.body["windows"].items()
        if key in windows and between == list(windows[key])
    }


def kept_draws(transaction: "Transaction", grant: str, windows: Windows) -> dict[str, list[int]]:
    """What was drawn for these values over these windows under a grant, as far as it was."""
    return {
        key: receipt.body["numbers"][key]
        for receipt in transaction.receipts("draw", grant=grant)
        for key, between in receipt.body["windows"].items()
        if key in windows and between == list(windows[key])
    }


def noise_under(home: "Home", granted: Granted, sequence: int, windows: Windows) -> Noise:
    """The noised values of a run that was debited: what is kept, and drawn and kept first where nothing is.

    Raises `GrantEnded` when the grant was revoked meanwhile or is another device's, and like `draw_from`.
    """

    async def noise(manifest: Manifest, tables: "Sequence[Table]") -> Drawn:
        kept = await home.transaction(lambda transaction: kept_draws(transaction, granted.grant.id, windows))
        missing = windows.keys() - kept.keys()
        drawn = await draw_from(manifest, tables, missing) if missing else {}
        return await home.transaction(lambda transaction: _keep(home, transaction, granted, sequence, windows, drawn))

    return noise


def _keep(
    home: "Home", transaction: "Transaction", granted: Granted, sequence: int, windows: Windows, drawn: Drawn
) -> dict[str, list[int]]:
    """Keep what was drawn, unless there is a draw by now: then that one holds, and this one was never seen.

    Either way there is one receipt.
    """
    grant = granted.grant
    if current_grant(home, transaction, grant.id).revoked or grant.device != home.device_id.hex():
        raise refused(GrantEnded, "not-drawn")
    kept = kept_draws(transaction, grant.id, windows)
    new = {key: list(numbers) for key, numbers in drawn.items() if key not in kept}
    if not new.keys() <= _paid(transaction, grant.id, windows):
        raise NotAllowed("these values were not paid for", "a draw follows its debit: run the grant again")
    said = {"grant": grant.id, "sequence": sequence, "job": grant.job}
    if new:
        drawn_over = {key: list(windows[key]) for key in new}
        transaction.receipt("draw", {**said, "windows": drawn_over, "numbers": new})
    else:
        transaction.receipt("drawn-before", {**said, "keys": sorted(kept)})
    return {**kept, **new}
