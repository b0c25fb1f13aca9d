"""Statements of banks, card issuers and brokers: OFX 1 (SGML) and OFX 2 (XML).

`ofxtools` knows OFX best, but reads a file whole or not at all: one unknown tag, one
name of 33 characters (the standard ends at 32), one amount `$120` or a missing header,
all found in real exports, lose every row. So its layers are used where they are
forgiving and replaced where they are not:

- the header's encoding: `ofxtools.header`, with a fallback for files without one;
- the stream is cut into small aggregates by `chez.connectors.sgml`, in bounded memory;
- each aggregate becomes a tree by ofxtools' `TreeBuilder`, one at a time;
- times, amounts and escaped text are converted by `ofxtools.Types`;
- its strict models are not used: each transaction is checked here, and a bad one is one
  `Reject`.

A row's id (FITID) is to be another for each row of an account; banks use one again, in another year or for a payment
and its fee, and a row of one file would take another file's place: `chez.connectors.references` tells them apart.

Read: accounts with balances, transactions of bank and card statements, and the cash
side of brokers' statements. A broker's trades are reported as rejects, not dropped.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, BinaryIO, Final, TypeVar

from chez.connectors.api import HEAD_BYTES, MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.holdings import Holdings
from chez.connectors.references import MAX_SEEN, References, content_of
from chez.connectors.sgml import MAX_TEXT, Block, Tag, blocks, tags
from chez.errors import InvalidValue
from chez.vocabulary import Account, Transaction

__all__ = ("Ofx",)

BEGINNING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,999}(?:OFXHEADER\s?:|<\?(?:xml|OFX)\s|<OFX>)", re.I)
DECLARED: Final = re.compile(r"<\?xml[^>]{0,200}?encoding\s{0,8}=\s{0,8}[\"']([\w-]{1,32})[\"']", re.I)
STATEMENTS: Final = {"STMTRS": "", "CCSTMTRS": "card", "INVSTMTRS": "investment"}
"""The aggregates that are a statement, and the kind of account where it is implied."""
ACCOUNTS: Final = frozenset({"BANKACCTFROM", "CCACCTFROM", "INVACCTFROM"})
BLOCKS: Final = ACCOUNTS | {"STMTTRN", "LEDGERBAL", "AVAILBAL", "FI", "STATUS", "INVTRAN"}
PARENTS: Final = frozenset({"OFX", "BANKTRANLIST", "INVTRANLIST", "STMTTRNRS", "CCSTMTTRNRS", "INVSTMTTRNRS",
                            "BANKMSGSRSV1", "CREDITCARDMSGSRSV1", "INVSTMTMSGSRSV1", *STATEMENTS})
WHOLE_CARD: Final = re.compile(r"\d{12,19}", re.ASCII)
"""The number of a card, which no two issuers give (ISO/IEC 7812)."""
AMOUNT: Final = re.compile(r"[+-]?\d{1,24}(?:[.,]\d{0,12})?|[+-]?[.,]\d{1,12}", re.ASCII)
CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)

T = TypeVar("T")


@dataclass(slots=True)
class _Statement:
    """What is known so far of the statement being read."""

    kind: str
    line: int
    currency: str | None = None
    account: Account | None = None


@dataclass(slots=True)
class _State:
    """What is known so far of the file."""

    types: "_Types"
    organisation: str = ""
    statement: _Statement | None = None
    holdings: Holdings = field(default_factory=Holdings)
    seen: set[bytes] = field(default_factory=set)
    references: References = field(default_factory=References)


class Ofx:
    """Reads OFX statements into accounts and transactions."""

    name = "ofx"
    version = 5
    title = "OFX 1 and 2 statements of banks, cards and brokers"
    types = (Account, Transaction)

    def recognise(self, head: bytes, name: str) -> bool:
        """It begins like OFX, with or without header, and has the root element."""
        return BEGINNING.match(head) is not None and b"<OFX>" in head.upper()

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Transactions, then accounts, each once: several statements of one account are one.

        Raises `InvalidValue` when there is no OFX in the file, when it declares a
        document type, or has more than `MAX_SEEN` transactions.
        """
        head = file.read(HEAD_BYTES)
        file.seek(0)
        state = _State(_Types())
        done, opened, closed, line = 0, False, False, 1
        for item in blocks(tags(file, _codec(head)), BLOCKS, PARENTS):
            line = item.line
            if isinstance(item, Tag):
                opened = opened or item.name == "OFX"
                closed = closed or (item.name == "OFX" and item.end)
                yield from _tag(state, item)
            else:
                yield from _block(state, item)
            at = item.done if isinstance(item, Tag) else item.tags[-1].done
            if at != done:
                done = at
                yield Progress(done)
        yield from _close(state)
        yield from state.holdings.found()
        if not opened:
            raise InvalidValue(f"{source.name!r} holds no OFX", "Download it again from the bank.")
        if not closed:
            yield Reject(line, "the file ends before </OFX>: a part may be missing", "")


def _codec(head: bytes) -> str:
    """The encoding of the file, from its header where there is one.

    Files that declare ASCII are read as Windows-1252, which contains it.
    """
    from ofxtools.header import OFXHeaderV1

    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    text = head[:4096].decode("ascii", "replace")
    if declared := DECLARED.search(text):
        return {"us-ascii": "cp1252", "ascii": "cp1252", "windows-1252": "cp1252",
                "iso-8859-1": "cp1252", "iso-8859-15": "iso8859-15"}.get(declared[1].lower(), "utf-8")
    try:
        header: Any = OFXHeaderV1.parse(text)[0]
        codec = "utf_8" if header.encoding in ("UTF-8", "UNICODE") else header.codec
    except Exception:  # no header, or one the library has doubts about: what OFX 2 says
        return "utf-8"
    return "cp1252" if codec in ("latin_1", "cp1252") else "utf-8"


def _tag(state: _State, tag: Tag) -> Iterator[Item]:
    statement = state.statement
    if tag.name in STATEMENTS:
        yield from _close(state)
        if not tag.end:
            state.statement = _Statement(STATEMENTS[tag.name], tag.line)
    elif tag.end and tag.name in BLOCKS:
        yield Reject(tag.line, f"</{tag.name}> ends here and begins nowhere: what is before it is not read", "")
    elif tag.name == "CURDEF" and not tag.end and statement:
        try:
            statement.currency = _currency(tag.text)
        except ValueError as error:
            yield Reject(tag.line, f"{error} of the statement", excerpt(tag.text))
    elif tag.name == "AVAILCASH" and not tag.end and statement and statement.account:
        try:
            statement.account.available = state.types.amount(tag.text)
        except ValueError as error:
            yield Reject(tag.line, str(error), excerpt(tag.text))


def _close(state: _State) -> Iterator[Item]:
    """The statement is over: note its account, with the balances that came last."""
    statement, state.statement = state.statement, None
    if statement and statement.account:
        account = statement.account
        account.currency = statement.currency
        account.organisation = state.organisation
        yield from state.holdings.add(account, statement.line)


def _block(state: _State, block: Block) -> Iterator[Item]:
    """One aggregate: a record, a change to the statement's account, or a reject."""
    try:
        if block.problem:
            raise ValueError(f"<{block.name}>: {block.problem}")
        fields = state.types.fields(block)
        statement = state.statement
        if block.name == "STMTTRN":
            yield Found(_transaction(state, fields), block.line)
        elif block.name == "INVTRAN":
            raise ValueError("trades in securities are not read, only the cash side of a broker's statement")
        elif block.name == "STATUS":
            if fields.get("SEVERITY", "").upper() == "ERROR":
                raise ValueError("the bank reports an error instead of a statement")
        elif block.name == "FI":
            state.organisation = fields.get("ORG", "")
        elif statement and block.name in ACCOUNTS:
            statement.account = _account(statement, fields, state.organisation)
        elif statement and statement.account:
            _balance(state, statement.account, block.name, fields)
    except ValueError as error:
        shown = "".join(f"<{'/' if tag.end else ''}{tag.name}>{tag.text}" for tag in block.tags[:16])
        yield Reject(block.line, str(error), excerpt(shown))


def _account(statement: _Statement, fields: dict[str, str], organisation: str) -> Account:
    number = fields.get("ACCTID", "")
    if not number:
        raise ValueError("the account has no number")
    # Two issuers mask two cards as one number: whose it is tells them apart.
    issuer = organisation if statement.kind == "card" and not WHOLE_CARD.fullmatch(number.replace(" ", "")) else ""
    return Account(institution=fields.get("BANKID") or fields.get("BROKERID") or issuer, number=number,
                   kind=statement.kind or fields.get("ACCTTYPE", "").lower(), currency=None,
                   branch=fields.get("BRANCHID", ""))


def _balance(state: _State, account: Account, name: str, fields: dict[str, str]) -> None:
    what = "booked" if name == "LEDGERBAL" else "available"
    text = fields.get("BALAMT", "")
    if not text:
        raise ValueError(f"the {what} balance has no amount")
    amount = state.types.amount(text)
    if name == "LEDGERBAL":
        account.balance_at = state.types.day(fields["DTASOF"]) if fields.get("DTASOF") else None
        account.balance = amount
    else:
        account.available = amount


def _transaction(state: _State, fields: dict[str, str]) -> Transaction:
    statement = state.statement
    if not statement or not statement.account:
        raise ValueError("the transaction belongs to no account")
    types, problems = state.types, []

    def checked(name: str, what: str, convert: Callable[[str], T]) -> T | None:
        try:
            if not fields.get(name):
                raise ValueError(f"the transaction has no {what} ({name})")
            return convert(fields[name])
        except ValueError as error:
            problems.append(str(error))
            return None

    posted = checked("DTPOSTED", "day", types.day)
    amount = checked("TRNAMT", "amount", types.amount)
    if posted is None or amount is None:
        raise ValueError("; ".join(problems))
    try:
        initiated = types.day(fields["DTUSER"]) if fields.get("DTUSER") else None
    except ValueError:
        initiated = None  # not worth losing the row over
    record = Transaction(
        account=f"{statement.account.institution}/{statement.account.number}", reference="",
        posted=posted, amount=amount,
        # <CURRENCY> says that the amount is in another currency than the statement's;
        # <ORIGCURRENCY> that it was, before the bank converted it (OFX 2.2, 5.2).
        currency=_currency(fields.get("CURRENCY/CURSYM", "")) or statement.currency,
        kind=fields.get("TRNTYPE", "").lower() or "other", name=fields.get("NAME", ""),
        memo=fields.get("MEMO", ""), check_number=fields.get("CHECKNUM", ""), initiated=initiated)
    record.reference = _reference(state, record, fields.get("FITID", ""))
    return record


def _reference(state: _State, record: Transaction, given: str) -> str:
    """The bank's id of a row with its day and amount; for a row without, a hash of its content and which of its equals
    it is.

    Raises `ValueError` for a row that stands in this file already, id and all.
    """
    if not given:
        return state.references.numbered(record)
    if len(state.seen) >= MAX_SEEN:
        raise InvalidValue(f"the file has more than {MAX_SEEN} transactions", "Export a shorter period.")
    key = hashlib.blake2b(given.encode() + content_of(record), digest_size=16).digest()
    if key in state.seen:
        raise ValueError("the row is given twice")
    state.seen.add(key)
    return state.references.named(record, given)


def _currency(text: str) -> str | None:
    if text and not CURRENCY.fullmatch(text):
        raise ValueError("the currency is no ISO 4217 code")
    return text or None


class _Types:
    """ofxtools' parser and converters, imported when a file is read: that takes half a second."""

    def __init__(self) -> None:
        from ofxtools.Parser import TreeBuilder
        from ofxtools.Types import DateTime, String
        from ofxtools.Types import Decimal as Amount

        self._tree: Any = TreeBuilder
        self._time: Any = DateTime()
        self._text: Any = String()
        self._amount: Any = Amount()
        # The lines of a statement share their days.
        self.day = lru_cache(maxsize=1024)(self._day)

    def fields(self, block: Block) -> dict[str, str]:
        """The leaf elements of an aggregate, unescaped; the first of each name, those of
        <CURRENCY> with its name before theirs. Raises `ValueError`."""
        for tag in block.tags:
            if tag.overlong and tag.text:
                raise ValueError(f"{tag.name} is longer than {MAX_TEXT} characters")
        builder = self._tree()
        try:
            builder.feed("".join(f"<{'/' if tag.end else ''}{tag.name}>{tag.text}" for tag in block.tags))
            builder.feed(f"</{block.name}>")
            root = builder.close()
        except Exception:
            # ParseError is a SyntaxError; the builder below it raises AssertionError and IndexError.
            raise ValueError(f"the tags of <{block.name}> do not match") from None
        found: dict[str, str] = {}
        for parent in root.iter():
            prefix = f"{parent.tag}/" if parent.tag in ("CURRENCY", "ORIGCURRENCY") else ""
            for leaf in parent:
                text = leaf.text or ""
                if "&" in text:
                    text = self._text.convert(text)
                if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
                    raise ValueError(f"{leaf.tag} is not text in the file's encoding")
                found.setdefault(prefix + leaf.tag, text.strip())
        return found

    def amount(self, text: str) -> Decimal:
        """An amount of money. Raises `ValueError`."""
        if not AMOUNT.fullmatch(text):
            raise ValueError("the amount is not a plain number")
        amount: Decimal = self._amount.convert(text)
        return amount

    def _day(self, text: str) -> date:
        """The calendar day of an OFX time, where it was written. Raises `ValueError`.

        Not converted to UTC: a booking at 20:00 in New York belongs to that day.
        """
        if not re.match(r"\d{8}", text, re.ASCII):
            raise ValueError("the date is not like 20240131")
        if not MIN_YEAR <= int(text[:4]) <= MAX_YEAR:
            raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
        try:
            self._time.convert(text)
            return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
        except (ValueError, TypeError, OverflowError):
            raise ValueError("there is no such day or time") from None
