"""What a home says of its deposits."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from chez.deposits.address import Quota
from chez.deposits.types import RecordType

__all__ = ("Applicant", "Deposit", "DepositAddress", "DepositReject", "DepositsReport")


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who left something at an address that is for nobody yet, or claims to go on as its organisation: what it says of
    itself, and the words of its key."""

    key: bytes = field(repr=False)
    name: str
    contact: str
    domain: str
    words: str
    seen: datetime


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """One address: for which organisation, what it takes, until when.

    `text` is what the organisation is given, `words` what both sides compare. `state` is "open", "asked" (somebody left
    something, and it is for nobody yet: `applicants`), "contested" (two claim to go on as its organisation, which
    signed both: `applicants`), "expired" or "revoked". `organisation` is a name, empty while it is for nobody;
    `organisation_words` the words of its key. `acks` says when messages are acknowledged: "none", "soon", "later".
    `readers` names devices of the person that were removed and have its keys (`Deposits.renew`).
    """

    id: str
    label: str
    words: str
    organisation: str
    organisation_words: str
    types: tuple[RecordType, ...]
    quota: Quota
    acks: Literal["none", "soon", "later"]
    relay: str
    made: datetime
    until: datetime
    state: Literal["open", "asked", "contested", "expired", "revoked"]
    applicants: tuple[Applicant, ...]
    readers: tuple[str, ...]
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class DepositReject:
    """A record that was not taken: its row in the message, its collection, why, and its beginning."""

    row: int
    collection: str
    reason: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Deposit:
    """One message that came, and what became of its records.

    `kept` are those that this person has from elsewhere, which stay as they are; `purged` those that it purged;
    `refused` those that are none of the address's types, of which `rejects` has the first. `outcome` is "taken",
    "too-large" or "number-used". `missing` counts the numbers before it in its era that did not come.
    """

    address: str
    label: str
    organisation: str
    era: int
    number: int
    taken: datetime
    outcome: str
    records: int
    added: int
    updated: int
    unchanged: int
    kept: int
    purged: int
    refused: int
    missing: int
    rejects: tuple[DepositReject, ...] = field(repr=False)


class DepositsReport(msgspec.Struct, frozen=True):
    """What one look at the inboxes did: messages taken, and their records; messages refused.

    `waiting` names the addresses, by their labels, at which more lies than may be taken now; `problems` tells
    what kept an inbox from being looked at, or an acknowledgement from leaving.
    """

    messages: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    purged: int = 0
    refused: int = 0
    dropped: int = 0
    acknowledged: int = 0
    waiting: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
