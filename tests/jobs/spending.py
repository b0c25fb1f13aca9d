"""What a home spent of an account, for the tests of jobs."""

import chez
from chez_sandbox.consent.allowance import purse_in

__all__ = ("spent",)


async def spent(home: chez.Home, account: str) -> float:
    """Bits or epsilon, in thousandths rounded up for each run."""
    purse = await home.transaction(lambda transaction: purse_in(home, transaction))
    return purse.spent.get(account, 0) / 1000
