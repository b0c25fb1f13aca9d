"""Days, times, amounts and codes as exports write them, checked; each raises `ValueError` with a reason for people."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from chez.connectors.api import MAX_YEAR, MIN_YEAR

__all__ = ("MAX_AMOUNT_DIGITS", "amount", "currency", "iban", "iso_day", "number", "slashed_day", "some_day", "utc")

MAX_AMOUNT_DIGITS: Final = 18
"""Digits of an amount before its point, as ISO 20022 has them."""
_AMOUNT: Final = re.compile(r"[+-]?\d{1,18}(?:[.,]\d{0,12})?", re.ASCII)
_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:$|[T Z+-])", re.ASCII)
_SLASHED: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_IBAN: Final = re.compile(r"[A-Z]{2}\d\d[A-Z0-9]{10,30}", re.ASCII)


def some_day(year: int, month: int, day: int) -> date:
    """A day of the calendar between the years that exports have."""
    if not MIN_YEAR <= year <= MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError("there is no such day") from None


def iso_day(text: str) -> date:
    """The day of an ISO 8601 date or time, on the calendar of whoever wrote it: no clock is turned."""
    return _iso_day(text[:12])  # more is not looked at, and may be too long to be kept


@lru_cache(maxsize=1024)
def _iso_day(text: str) -> date:
    found = _DAY.match(text)
    if found is None:
        raise ValueError("the date is not like 2024-01-31")
    return some_day(int(found[1]), int(found[2]), int(found[3]))


def utc(at: datetime) -> datetime:
    """A time with its zone, between the years that exports have, in UTC."""
    if at.tzinfo is None:
        raise ValueError("the time has no time zone")
    if not MIN_YEAR < at.year < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    return at if at.tzinfo is UTC else at.astimezone(UTC)


@lru_cache(maxsize=1024)
def slashed_day(text: str) -> date:
    """A day written 31/1/2024, with or without zeros before day and month."""
    found = _SLASHED.fullmatch(text)
    if found is None:
        raise ValueError("the date is not like 31/1/2024")
    return some_day(int(found[3]), int(found[2]), int(found[1]))


def amount(text: str) -> Decimal:
    """An amount of money with a decimal point or comma."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError("the amount is not a plain number")
    return Decimal(text.replace(",", "."))


def number(value: Decimal) -> Decimal:
    """A decimal of a size that is written out: `1e999999999` has few digits, and none has as many as its text."""
    if not value.is_finite() or not -12 <= value.adjusted() < MAX_AMOUNT_DIGITS or len(str(value)) > 32:
        raise ValueError("the amount is not a plain number")
    return value


def currency(text: str) -> str:
    """An ISO 4217 code, by its form."""
    if not _CURRENCY.fullmatch(text):
        raise ValueError("the currency is no ISO 4217 code")
    return text


def iban(text: str) -> str | None:
    """An account's number without blanks if it is an IBAN, by form and check digits (ISO 13616), else None."""
    packed = text.replace(" ", "").upper()
    if not _IBAN.fullmatch(packed):
        return None
    return packed if int("".join(str(int(char, 36)) for char in packed[4:] + packed[:4])) % 97 == 1 else None
