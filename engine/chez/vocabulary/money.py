"""Accounts, what is on them, and what moved."""

from datetime import date
from decimal import Decimal
from typing import ClassVar

import msgspec

__all__ = ("Account", "Balance", "Transaction")


class Account(msgspec.Struct, kw_only=True):
    """An account at a bank, a card issuer or a broker, as its last statement shows it.

    <https://schema.org/BankAccount>; ISO 20022 `CashAccount`.
    """

    __collection__: ClassVar[str] = "accounts"
    __identity__: ClassVar[tuple[str, ...]] = ("institution", "number")
    __version__: ClassVar[int] = 1

    institution: str
    """The bank's or broker's code in its own scheme (a BIC, a clearing number); empty for a card and for an IBAN, whose
    number suffices; of a card whose number is masked its issuer's name."""
    number: str
    """The account's or card's number, as the institution writes it; an IBAN without blanks."""
    kind: str
    """"checking", "savings", ..., "card", "investment"; empty when not said."""
    currency: str | None
    """ISO 4217 code of the statement's currency."""
    branch: str = ""
    """The branch's code, empty when there is none."""
    organisation: str = ""
    """The institution's name for people."""
    balance: Decimal | None = None
    """Booked balance in `currency` at the statement's end."""
    balance_at: date | None = None
    """The day of `balance`."""
    available: Decimal | None = None
    """What may be drawn, in `currency`, when the institution says it."""


class Balance(msgspec.Struct, kw_only=True):
    """What a statement says an account held on one day.

    ISO 20022 `CashBalance`; SWIFT MT940 fields 60 to 65. An account's own `balance` is the latest one known.
    """

    __collection__: ClassVar[str] = "balances"
    __identity__: ClassVar[tuple[str, ...]] = ("account", "kind", "date", "currency")
    __version__: ClassVar[int] = 1

    account: str
    """The account's identity as text: "institution/number"."""
    kind: str
    """"opening" or "closing" (booked), "available", "forward", ...; lower case."""
    date: date
    """The day that it ends or begins, on the institution's calendar."""
    currency: str
    """ISO 4217 code of `amount`; an account may hold several."""
    amount: Decimal
    """In `currency`; negative is owed to the institution."""


class Transaction(msgspec.Struct, kw_only=True):
    """One booked line of an account's statement.

    <https://schema.org/MoneyTransfer>; ISO 20022 `ReportEntry`.
    """

    __collection__: ClassVar[str] = "transactions"
    __identity__: ClassVar[tuple[str, ...]] = ("account", "reference")
    __version__: ClassVar[int] = 1

    account: str
    """The account's identity as text: "institution/number"."""
    reference: str
    """The institution's id of the line, followed by day and amount where such ids repeat; else "row:" with a hash of
    what the line says and, of equal lines, which one it is."""
    posted: date
    """The day the institution booked it, on its own calendar."""
    amount: Decimal
    """In `currency`; negative is money going out."""
    currency: str | None
    """ISO 4217 code of `amount`."""
    kind: str
    """What kind of line, in lower case: "debit", "credit", "check", "pos", "fee", ..."""
    name: str = ""
    """The other side, as the institution writes it."""
    memo: str = ""
    """What else the institution says."""
    check_number: str = ""
    """Number of the cheque, if it was one."""
    initiated: date | None = None
    """The day the person gave the order, when it is known."""
