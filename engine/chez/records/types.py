"""The vocabulary: the types of record that connectors bring home and jobs ask for.

Each type is a msgspec Struct. `__collection__` names the collection its records live
in; `__identity__` names the fields that say *which thing in the world* a record is
about. An imported record's id is derived from its identity alone, so that the same
line of a bank's export is the same record however often, and on however many devices,
it is imported; all other fields may change with a newer export.

Instants are aware datetimes in UTC, days are dates, money is `Decimal`. A store keeps
them as RFC 3339 text, ISO 8601 text and decimal text (`msgspec.to_builtins`).
"""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Final, Literal

import msgspec

from chez.errors import InvalidValue

__all__ = (
    "VOCABULARY", "Account", "Colour", "Flow", "Reading", "TariffDay", "Transaction", "collection_of",
    "identity_of",
)

Flow = Literal["consumption", "production"]
Colour = Literal["blue", "white", "red"]


class Reading(msgspec.Struct, kw_only=True):
    """What a meter measured over one interval of time."""

    __collection__: ClassVar[str] = "readings"
    __identity__: ClassVar[tuple[str, ...]] = ("meter", "flow", "start")

    meter: str
    """The meter's number, as its operator writes it (in France the PRM, 14 digits)."""
    flow: Flow = "consumption"
    """Drawn from the grid, or fed into it: a home with panels has both at one instant."""
    start: datetime
    """First instant of the interval, UTC. The interval is [start, start + seconds)."""
    seconds: int
    """Length of the interval in seconds."""
    watts: float
    """Mean active power over the interval in W (energy in Wh: watts * seconds / 3600)."""
    local: str
    """`start` on the clock of the wall: "2022-07-29T00:00", what a tariff by hour asks for."""
    offset: int
    """How far that clock was ahead of UTC, in minutes; tells 02:30 from 02:30 in October."""


class TariffDay(msgspec.Struct, kw_only=True):
    """The price class of one day in a tariff whose days differ."""

    __collection__: ClassVar[str] = "tariff_days"
    __identity__: ClassVar[tuple[str, ...]] = ("scheme", "date")

    scheme: str
    """The tariff: "tempo" is EDF's, its day running from 06:00 to 06:00 local time."""
    date: date
    """The local calendar day on which the tariff's day begins."""
    colour: Colour
    """The class, from cheap to dear: blue, white, red."""


class Account(msgspec.Struct, kw_only=True):
    """An account at a bank, a card issuer or a broker, as its last statement shows it."""

    __collection__: ClassVar[str] = "accounts"
    __identity__: ClassVar[tuple[str, ...]] = ("institution", "number")

    institution: str
    """The bank's or broker's code in its own scheme; empty for a card, whose number suffices."""
    number: str
    """The account's or card's number, as the institution writes it."""
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


class Transaction(msgspec.Struct, kw_only=True):
    """One booked line of an account's statement."""

    __collection__: ClassVar[str] = "transactions"
    __identity__: ClassVar[tuple[str, ...]] = ("account", "reference")

    account: str
    """The account's identity as text: "institution/number"."""
    reference: str
    """The institution's id of the line; else "row:" with a hash of what the line says."""
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


VOCABULARY: Final[tuple[type[msgspec.Struct], ...]] = (Reading, TariffDay, Account, Transaction)
"""Every type above."""


def collection_of(kind: type[msgspec.Struct]) -> str:
    """The collection a type's records live in. Raises `InvalidValue` for a type that names none."""
    name = getattr(kind, "__collection__", None)
    if not isinstance(name, str):
        raise InvalidValue(f"{kind.__name__} does not say in which collection its records live",
                           "Give the Struct a class attribute `__collection__`.")
    return name


def identity_of(record: msgspec.Struct) -> tuple[str, ...]:
    """What says which thing a record is about, each field as the text a store keeps.

    Raises `InvalidValue` when the type declares no identity.
    """
    fields = getattr(type(record), "__identity__", None)
    if not isinstance(fields, tuple) or not fields:
        raise InvalidValue(f"{type(record).__name__} does not say what identifies a record",
                           "Give the Struct a class attribute `__identity__`.")
    return tuple(str(msgspec.to_builtins(getattr(record, field))) for field in fields)
