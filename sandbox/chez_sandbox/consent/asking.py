"""A debit that this device has no allowance for: shares that are here are counted, or it says who has one."""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.allowance import must_yield, take_shares
from chez_sandbox.consent.catalogue import Phrase
from chez_sandbox.consent.escrow import shown
from chez_sandbox.consent.holdings import Holder, holders
from chez_sandbox.job_errors import BudgetSpent

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction

__all__ = ("with_shares",)

R = TypeVar("R")


async def with_shares(home: "Home", work: Callable[["Transaction"], R]) -> R:
    """What a transaction gives that debits; done again when shares were waiting for this device.

    What was taken over here and is another's, as is known by now, is let go of first. Raises `BudgetSpent` that says
    which of the person's devices has what is lacking, and what to type.
    """
    if await must_yield(home):
        await take_shares(home)
    try:
        return await home.transaction(work)
    except BudgetSpent as error:
        lacking = error
    if await take_shares(home):
        try:
            return await home.transaction(work)
        except BudgetSpent as error:
            lacking = error
    raise await _explained(home, lacking) from None


async def _explained(home: "Home", error: BudgetSpent) -> BudgetSpent:
    if not error.shared:
        return error
    devices = await holders(home)
    own = next(one for one in devices if one.own)
    ceiling = Ceilings().of(error.account)
    others = [one for one in devices if one.active and not one.own and one.left_of(error.account, ceiling)]
    others.sort(key=lambda one: one.left_of(error.account, ceiling), reverse=True)
    if not others:
        return error
    said = reduce(
        lambda one, other: Phrase("budget.and", one=one, other=other),
        (_has(one, error.account, ceiling) for one in others),
    )
    hint = Phrase("budget.ask", said=said, name=repr(own.name), what=f"{error.account} {error.lacks / 1000}")
    return BudgetSpent(error.message, hint, account=error.account, lacks=error.lacks, shared=True)


def _has(device: Holder, account: str, ceiling: int) -> Phrase:
    has = shown(device.left_of(account, ceiling), account)
    return Phrase("budget.said" if device.said else "budget.may-have", name=device.name, has=has)
