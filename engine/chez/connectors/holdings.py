"""The accounts and balances of a file of statements, each once.

A file may hold many statements of one account, even several of one day. Told one after the other, its
account would change with each, and again whenever the file is imported: what a file says of an
account is what its last statement says.
"""

from collections.abc import Iterator
from typing import Final

from chez.connectors.api import Found
from chez.vocabulary import Account, Balance

__all__ = ("MOST", "Holdings")

MOST: Final = 20_000
"""Accounts and balances of a file that are held until its end: ten accounts with a statement a day for three years."""

_Key = tuple[str, ...]


class Holdings:
    """Gathers what the statements of a file say; `Found` gives it all."""

    def __init__(self) -> None:
        self._accounts: dict[_Key, Found] = {}
        self._balances: dict[_Key, Found] = {}

    def add(self, account: Account, line: int) -> Iterator[Found]:
        """A statement of an account is over. Gives what is too much to be held."""
        key = (account.institution, account.number)
        before = self._accounts.get(key)
        if before is None:
            self._accounts[key] = Found(account, line)
        else:
            _take_over(before.record, account)  # type: ignore[arg-type]
        if len(self._accounts) + len(self._balances) > MOST:
            yield from self.found()

    def balance(self, balance: Balance, line: int) -> None:
        """A statement's balance: of a day's opening ones the first stays, of others the last."""
        key = (balance.account, balance.kind, balance.date.isoformat(), balance.currency)
        if key not in self._balances or not balance.kind.startswith("opening"):
            self._balances[key] = Found(balance, line)

    def found(self) -> Iterator[Found]:
        """All of it: balances, then accounts, in the order in which they came up."""
        yield from self._balances.values()
        yield from self._accounts.values()
        self._balances.clear()
        self._accounts.clear()


def _take_over(account: Account, later: Account) -> None:
    """What another statement of the account says, unless it is an earlier one."""
    account.kind = account.kind or later.kind
    account.organisation = account.organisation or later.organisation
    account.currency = account.currency or later.currency
    newer = later.balance_at is not None and (account.balance_at is None or later.balance_at >= account.balance_at)
    if newer or account.balance is None:
        account.balance, account.balance_at = later.balance, later.balance_at
        if later.available is not None:
            account.available = later.available
