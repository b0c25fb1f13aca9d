"""What the partners of the MesInfos pilot (2013 to 2014, Fing) gave back: bank, receipts, video on demand.

Each file is a JSON list of documents, each with a `docType`. Dates and times end in "Z", and those
of receipts show that they mean it: the till's afternoons are those of Paris.

What the files do not say, and how it is settled here:

- The bank is not named: accounts are of "mesinfos". Where an account's number is that of another with a zero
  before it, somebody's spreadsheet ate the zero: numbers are filled up to ten digits.
- A bank's line has no id: `chez.connectors.references`. Its short title is the bank's own work, and says nothing of
  which line it is.
- Currency: the euro, but for video on demand, which names it.
- A receipt's lines name their receipt by a number that lacks, for most, its last digit. Both are kept as written.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import Item, Source
from chez.connectors.checks import iso_day, number, utc
from chez.connectors.objects import records
from chez.connectors.references import References
from chez.errors import InvalidValue
from chez.vocabulary import Account, Receipt, ReceiptLine, Transaction, Viewing

__all__ = ("MesInfos",)

INSTITUTION: Final = "mesinfos"
EURO: Final = "EUR"
DOCUMENT: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s{0,99}\[\s{0,99}\{.{0,4000}?"docType"\s{0,9}:\s{0,9}'
                             rb'"(?:BankOperation|BankAccount|Receipt|ReceiptDetail|VideoOnDemand)"', re.S)
DIGITS: Final = 10
ZERO: Final = Decimal(0)
SAVINGS: Final = ("livret", "pel", "cel", "ldd", "lep")
"""How the titles of French savings accounts begin."""


class _Document(msgspec.Struct, tag_field="docType"):
    """What all documents have in common."""


class _Operation(_Document, tag="BankOperation"):
    account: str = msgspec.field(name="bankAcount")  # the pilot's spelling
    raw: str
    title: str
    amount: Decimal
    date: str


class _Account(_Document, tag="BankAccount"):
    number: str = msgspec.field(name="accountNumber")
    title: str


class _Receipt(_Document, tag="Receipt"):
    origin: str
    id: str = msgspec.field(name="receiptId")
    at: datetime = msgspec.field(name="timestamp")
    amount: Decimal
    total: Decimal | None = None
    articles: int | None = msgspec.field(name="articlesCount", default=None)
    points: Decimal | None = msgspec.field(name="acquiredPoints", default=None)
    shop: str = msgspec.field(name="intermarcheShopId", default="")
    online: bool = msgspec.field(name="isOnline", default=False)


class _Line(_Document, tag="ReceiptDetail"):
    origin: str
    receipt: str = msgspec.field(name="receiptId")
    order: int
    at: datetime = msgspec.field(name="timestamp")
    amount: Decimal
    price: Decimal
    label: str = ""
    barcode: str = ""
    section: str = msgspec.field(name="sectionLabel", default="")
    family: str = msgspec.field(name="familyLabel", default="")
    kind: str = msgspec.field(name="typeLabel", default="")


class _Video(_Document, tag="VideoOnDemand"):
    origin: str
    order: str = msgspec.field(name="orderId")
    at: datetime = msgspec.field(name="timestamp")
    video: str = msgspec.field(name="videoId")
    price: Decimal
    currency: str
    status: str = ""


_ANY: Final = msgspec.json.Decoder(_Operation | _Account | _Receipt | _Line | _Video)
_KINDS: Final[dict[type[_Document], msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (_Operation, _Account, _Receipt, _Line, _Video)}


class MesInfos:
    """Reads the pilot's documents into transactions, accounts, receipts with their lines, and viewings."""

    name = "mesinfos"
    version = 1
    title = "MesInfos pilot 2013-2014 (bank, receipts, video on demand), JSON"
    types = (Account, Receipt, ReceiptLine, Transaction, Viewing)

    def recognise(self, head: bytes, name: str) -> bool:
        """A list whose first document is of one of the types read here."""
        return DOCUMENT.match(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One record for each document.

        Raises `InvalidValue` when there is no document in the file, or as `chez.connectors.references` does.
        """
        seen = yield from records(file, _Reader().record)
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no document of the MesInfos pilot")


class _Reader:
    """What each document is, mostly of the kind of the one before: a kind that is known is read in half the time, as
    the pilot wrote it behind all else.
    """

    __slots__ = ("_decode", "_references")

    def __init__(self) -> None:
        self._decode = _KINDS[_Operation].decode
        self._references = References()

    def record(self, data: bytes) -> msgspec.Struct:
        """The record of a document. Raises msgspec's errors, `ValueError`, and what `References` does."""
        try:
            document = self._decode(data)
        except msgspec.ValidationError:
            document = _ANY.decode(data)
            self._decode = _KINDS[type(document)].decode
        if isinstance(document, _Operation):
            return _transaction(document, self._references)
        return _record(document)


def _record(document: _Document) -> msgspec.Struct:
    match document:
        case _Account():
            savings = document.title.lower().startswith(SAVINGS)
            return Account(institution=INSTITUTION, number=_filled(document.number),
                           kind="savings" if savings else "checking", currency=EURO)
        case _Receipt():
            return Receipt(seller=document.origin, reference=_id(document.id), at=utc(document.at),
                           total=number(document.amount), currency=EURO, full=_optional(document.total),
                           points=_optional(document.points), articles=document.articles, shop=document.shop,
                           online=document.online)
        case _Line():
            return ReceiptLine(seller=document.origin, receipt=_id(document.receipt), number=document.order,
                               at=utc(document.at), label=document.label, barcode=document.barcode,
                               quantity=number(document.amount), price=number(document.price), currency=EURO,
                               section=document.section, family=document.family, kind=document.kind.lower())
        case _Video():
            return Viewing(service=document.origin, reference=_id(document.order), at=utc(document.at),
                           work=document.video, kind="video", price=number(document.price),
                           currency=document.currency, status=document.status)
    raise AssertionError(document)


def _transaction(document: _Operation, references: References) -> Transaction:
    amount = number(document.amount)
    record = Transaction(account=_account(document.account), reference="",
                         posted=iso_day(document.date), amount=amount, currency=EURO, kind="", memo=document.raw)
    record.reference = references.numbered(record)
    record.kind = "debit" if amount < ZERO else "credit"
    record.name = document.title
    return record


@lru_cache(maxsize=256)
def _account(number: str) -> str:
    return f"{INSTITUTION}/{_filled(number)}"


def _filled(account: str) -> str:
    return _id(account).zfill(DIGITS)


def _id(text: str) -> str:
    if not text:
        raise ValueError("a number that says what it is about is empty")
    return text


def _optional(value: Decimal | None) -> Decimal | None:
    return None if value is None else number(value)
