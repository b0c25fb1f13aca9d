"""What a file of many statements says of its accounts, each told once."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from chez.connectors.api import Found
from chez.connectors.holdings import MOST, Holdings
from chez.vocabulary import Account, Balance

DAY = date(2024, 1, 1)


def account(at: int | None, available: int | None = None) -> Account:
    """An account as a statement of a day shows it."""
    return Account(institution="b", number="1", kind="", currency="EUR", balance=None if at is None else Decimal(at),
                   balance_at=None if at is None else DAY + timedelta(days=at),
                   available=None if available is None else Decimal(available))


@given(st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=8))
def test_an_account_is_as_its_latest_statement_has_it(days: list[int | None]) -> None:
    """In whatever order statements come, and whether or not they have a balance, the latest day's stays."""
    holdings = Holdings()
    for line, day in enumerate(days, 1):
        assert list(holdings.add(account(day), line)) == []
    (found,) = holdings.found()
    known = [day for day in days if day is not None]
    assert found == Found(account(max(known) if known else None), 1)
    assert list(holdings.found()) == []


def test_a_file_of_very_many_accounts_is_told_in_parts() -> None:
    """Beyond a bound what is held is given at once, so that no file fills memory."""
    holdings, told = Holdings(), 0
    for at in range(MOST + 2):
        holdings.balance(Balance(account="b/1", kind=str(at), date=DAY, currency="EUR", amount=Decimal(at)), 1)
        told += len(list(holdings.add(account(None), 1))) if at % 1000 == 0 or at > MOST - 2 else 0
    assert told == MOST + 1
