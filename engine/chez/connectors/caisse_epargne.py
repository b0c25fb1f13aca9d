"""The lines of an account, as Caisse d'Épargne lets a customer download them.

    Date de comptabilisation;Libelle simplifie;Libelle operation;Reference;...;Debit;Credit;Date operation;...
    17/4/2020;Deb;* OP DEBIT BANQUE;;;;;;-14.9;;17/4/2020;17/4/2020;0

What the file does not say, and how it is settled here:

- Whose account it is: the number stands nowhere in it. All lines are of `caisse-epargne/`; whoever has two accounts
  there and bought the same on one day from both keeps one line of the two, unless the bank gave references.
- The currency: the bank is French, it is the euro.
- A category, and whether a line was ticked off, are what the person did in the bank's app: they are not brought home,
  and like the short name, which the bank makes from the long one, they don't say which line it is.
"""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import BinaryIO, Final

from chez.connectors.api import Found, Item, Reject, Source, excerpt
from chez.connectors.checks import amount, slashed_day
from chez.connectors.lines import Line, lines
from chez.connectors.references import References
from chez.errors import InvalidValue
from chez.vocabulary import Transaction

__all__ = ("CaisseEpargne",)

ACCOUNT: Final = "caisse-epargne/"
FIRST: Final = b"date de comptabilisation;libelle simplifie;"
NEEDED: Final = ("date de comptabilisation", "libelle simplifie", "libelle operation", "reference",
                 "informations complementaires", "type operation", "debit", "credit", "date operation")
"""The columns that are read, of thirteen."""
KINDS: Final = {"cb": "pos", "carte": "pos", "vir": "xfer", "prlv": "directdebit", "prelev": "directdebit",
                "cheque": "check", "chq": "check", "retrait": "atm", "frais": "fee", "cotis": "fee"}
"""How the type, or else the long name, begins; in the words that OFX has for them."""
BEGINNINGS: Final = re.compile("|".join(KINDS))


class CaisseEpargne:
    """Reads a download of Caisse d'Épargne into transactions."""

    name = "caisse-epargne"
    version = 1
    title = "Caisse d'Épargne account lines, CSV"
    types = (Transaction,)

    def recognise(self, head: bytes, name: str) -> bool:
        """The first two columns have the bank's names, with or without accents."""
        return _plain(head[:200].decode("utf-8", "replace").lstrip("\ufeff")).encode().startswith(FIRST)

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Transaction` a line.

        Raises `InvalidValue` when the header is another's, or as `chez.connectors.references` does.
        """
        chosen: Callable[[list[str]], tuple[str, ...]] | None = None
        width = 0
        references = References()
        for line in lines(file):
            if not isinstance(line, Line):
                yield line
                continue
            try:
                fields = _split(line.text)
                if chosen is None:
                    width, chosen = len(fields), _chosen(fields)
                    continue
                if len(fields) != width:
                    raise ValueError(f"the line has {len(fields)} columns instead of {width}")
                yield Found(_transaction(chosen(fields), references), line.number)
            except ValueError as error:
                yield Reject(line.number, str(error), excerpt(line.text))
        if chosen is None:
            _chosen([])


def _split(text: str) -> list[str]:
    if '"' not in text:
        return text.split(";")
    try:
        return next(csv.reader([text], delimiter=";"))
    except csv.Error:
        raise ValueError("the quotes of the line don't match") from None


def _plain(text: str) -> str:
    """Letters without accents, small."""
    if not text.isascii():
        text = "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))
    return text.lower()


def _chosen(fields: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """What takes the columns in `NEEDED` from a line, by the header. Raises `InvalidValue`."""
    columns = {_plain(name).strip(): at for at, name in enumerate(fields)}
    if missing := [name for name in NEEDED if name not in columns]:
        raise InvalidValue(f"the header has no column {missing[0]!r}",
                           "Download the account's lines (opérations) again, as CSV, from the bank's website.")
    if len(columns) != len(fields):
        raise InvalidValue("two columns of the header have one name")
    return itemgetter(*(columns[name] for name in NEEDED))


def _transaction(fields: tuple[str, ...], references: References) -> Transaction:
    posted, name, whole, given, more, type, out, into, initiated = map(str.strip, fields)
    if bool(out) == bool(into):
        raise ValueError("the line has not one amount, in Debit or in Credit")
    if into.startswith("-"):
        raise ValueError("the credit is negative")
    value = amount(into) if into else -abs(amount(out))
    # What says which line it is comes first: the name that is shown may be another in the next export.
    record = Transaction(account=ACCOUNT, reference="", posted=slashed_day(posted),
                         amount=value, currency="EUR", kind="", memo=whole)
    record.reference = references.named(record, given) if given else references.numbered(record)
    record.kind = _kind(type, whole) or ("credit" if into else "debit")
    record.name = name or whole
    record.memo = "\n".join(text for text in (whole if name else "", more) if text)
    record.initiated = slashed_day(initiated) if initiated else None
    return record


def _kind(type: str, whole: str) -> str:
    for text in (type, whole):
        if found := BEGINNINGS.match(_plain(text)):
            return KINDS[found[0]]
    return ""
