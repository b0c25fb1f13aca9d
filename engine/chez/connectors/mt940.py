"""Statements of banks in SWIFT's MT940, read by the library `mt-940`, one line of the account at a time.

    :20:STARTUMSE                                   a statement begins
    :25:12345678/1020304050                         the account
    :60F:C160229EUR1200,00                          its balance before
    :61:1602300301DR6,00N024NONREF                  a line: value day 30 February, booked on 1 March
    :86:805?00ENTGELTABSCHLUSS?20Pauschalen         what the bank says of it, here in sub-fields
    :62F:C160301EUR1194,00                          its balance after
    -

The library reads a file whole or not at all: one line that it does not take loses all of them. So
the file is cut here, at its tags, and the library is given one line with its text, or one balance.
What it does with them is its own: the sub-fields of German banks, which are wrapped at 65 columns,
marks of reversal, years of two digits, and 30 February, a day that interest is counted to.

What the file does not say, and how it is settled here:

- The day of a line is that of its booking; where there is none, its value day.
- The encoding is UTF-8 if the line is that, else Windows-1252.
- A bank's own reference (after `//`) may repeat: `chez.connectors.references`.

Sources: SWIFT Standards MT, category 9, MT940; Deutsche Kreditwirtschaft, DFÜ-Abkommen, Anlage 3 (sub-fields of :86:).
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO, Final

from chez.connectors.api import Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.checks import currency, iban
from chez.connectors.holdings import Holdings
from chez.connectors.line_blocks import LineBlock, line_blocks
from chez.connectors.references import References
from chez.errors import InvalidValue
from chez.vocabulary import Account, Balance, Transaction

__all__ = ("Mt940",)

BEGINNING: Final = re.compile(rb"^:20:.{0,64}\n(?:[^:\r\n-].{0,64}\n)?(?::2[15][A-Z]?:.{0,64}\n){1,2}:28", re.M)
SUB_FIELDS: Final = re.compile(r"\d{3}\?\d\d")
TAG: Final = re.compile(r":(\d\d[A-Z]?|NS):")
TORN: Final = re.compile(r":(?:61:\d{6}(?:\d\d|\s\s){0,2}+[A-Z]{1,3}[\n ]?[\d,]{1,15}+"
                         r"|6[0245][FM]?:[DC]\d{6}[A-Z]{3}[\d,]{0,16}+)"
                         r"(?:[.-]|['\u2019\xa0\u2009\u202f ]?\d)", re.IGNORECASE)
"""A line or a balance whose amount goes on where the library takes it to end: it has a comma before its cents, nothing
else between its digits, at most 15 of all, and no sign."""
OPENING: Final = re.compile(r"[DC]\d{6}([A-Z]{3})", re.ASCII)
"""How an opening balance begins: its sign, its day, its currency."""
MAX_LINE: Final = 2048
"""Bytes of a line; the standard ends at 65, banks that don't wrap exceed it."""
MAX_PART: Final = 16 * 1024
"""Characters of a statement line and its text."""
MAX_TEXT: Final = 4096
"""Characters of a name or a memo."""
BALANCES: Final = {"60F": ("final_opening_balance", "opening"), "62F": ("final_closing_balance", "closing"),
                   "62M": ("intermediate_closing_balance", "interim"), "64": ("available_balance", "available"),
                   "65": ("forward_available_balance", "forward")}
"""By tag: what the library calls it, and what the vocabulary does. Of a statement on several pages, 60M repeats 62M."""
KINDS: Final = {"TRF": "xfer", "STO": "xfer", "CHK": "check", "CHG": "fee", "COM": "fee", "INT": "int",
                "DDT": "directdebit", "DIV": "div"}
"""The three letters of a line's type, in the words that OFX has for them."""
NO_ID: Final = frozenset({"", "NONREF"})


@dataclass(slots=True)
class _Part:
    """A tag and the lines up to the next one that stands for itself; of :61: also what :86: says of it."""

    tag: str
    line: int
    text: str
    size: int = 0
    problem: str = ""
    lines: list[str] = field(default_factory=list)

    def add(self, text: str, problem: str) -> None:
        """Go on with one more line."""
        self.size += len(text)
        self.problem = self.problem or problem
        if self.size > MAX_PART:
            self.problem = f"it is longer than {MAX_PART} characters"
        else:
            self.lines.append(text)

    def whole(self) -> str:
        """All its lines, the tag included."""
        return "\n".join(self.lines)


@dataclass(slots=True)
class _State:
    """What is known so far of the file, and of the statement being read."""

    library: "_Library"
    references: References = field(default_factory=References)
    holdings: Holdings = field(default_factory=Holdings)
    statements: int = 0
    line: int = 0
    """Where the statement began; 0 between statements."""
    account: Account | None = None
    told: bool = False
    """Whether it was said that there is no account."""
    closed: date | None = None
    """Day of the closing balance that the account has."""


class Mt940:
    """Reads MT940 statements into accounts, balances and transactions."""

    name = "mt940"
    version = 3
    title = "SWIFT MT940 statements of banks"
    types = (Account, Balance, Transaction)

    def recognise(self, head: bytes, name: str) -> bool:
        """A statement begins in it: :20:, the account :25:, the number :28:."""
        return BEGINNING.search(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Transactions, then balances and accounts.

        Raises `InvalidValue` when there is no statement in the file, or more than `References` tells apart.
        """
        state = _State(_Library())
        for item in _parts(file):
            if isinstance(item, _Part):
                yield from _part(state, item)
            else:
                yield item
        yield from _close(state)
        yield from state.holdings.found()
        if not state.statements:
            raise InvalidValue(f"{source.name!r} holds no statement of an account", "Download it again from the bank.")


def _parts(file: BinaryIO) -> Iterator[_Part | Progress]:
    """The tags of a file, each with the lines that belong to it."""
    part: _Part | None = None
    done = 0
    for block in line_blocks(file, MAX_LINE):
        for number, (text, problem) in enumerate(_lines(block), block.first):
            found = TAG.match(text) if text.startswith(":") else None
            if found is not None and not (found[1] in ("86", "NS") and part is not None and part.tag == "61"):
                if part is not None:
                    yield part
                part = _Part(found[1], number, text[found.end():])
            elif text in ("-", "-}"):
                if part is not None:
                    yield part
                part = None
                yield _Part("-", number, "")
            if part is not None and (text or problem):
                part.add(text, problem)
        done = block.done
        yield Progress(done)
    if part is not None:
        yield part
    if not done:
        yield Progress(0)


def _lines(block: LineBlock) -> Iterator[tuple[str, str]]:
    """The lines of a block as text, and what is wrong with each."""
    texts = block.texts("utf-8")
    if texts is not None:
        for text in texts:
            yield _bare(text), ""
        return
    for raw in block.data.split(b"\n"):
        problem = "" if len(raw) <= MAX_LINE else f"a line of it is longer than {MAX_LINE} bytes"
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
        yield _bare(text), problem


def _bare(text: str) -> str:
    # Envelopes of transmission begin and end lines with control characters (SOH, ETX).
    return text.removeprefix("\ufeff").strip("\x00\x01\x02\x03\x04\x1a\r\n").rstrip()


def _part(state: _State, part: _Part) -> Iterator[Item]:
    """One tag: a record, a change to the statement's account, or a reject."""
    if part.tag in ("20", "-"):
        yield from _close(state)
        begins = part.tag == "20"
        state.statements += begins
        state.line, state.told = part.line if begins else 0, False
        return
    try:
        if state.account is not None and part.tag in ("60F", "60M") and (said := OPENING.match(part.text)):
            # Also where the amount can't be read: without it each line would be another than in the next export.
            state.account.currency = state.account.currency or said[1]
        if part.problem:
            raise ValueError(part.problem)
        if TORN.match("\n".join(part.lines[:2])):  # some banks write the amount on the next line
            raise ValueError("the amount is not a plain number, such as 1234,50")
        if part.tag == "25":
            yield from _named(state, part)
        elif state.account is not None:
            yield from _said(state, state.account, part)
        elif part.tag == "61" and not state.told:
            state.told = True
            raise ValueError("it is not known whose account this is (:25:): lines up to the next statement are left "
                             "out")
    except ValueError as error:
        yield Reject(part.line, str(error), excerpt(part.whole()))


def _named(state: _State, part: _Part) -> Iterator[Item]:
    """The statement's account; a second one makes all that follows doubtful."""
    if SUB_FIELDS.match(part.text):
        raise ValueError("it holds the text of a line, and no account (:25:)")
    if not state.line:
        raise ValueError("the account is outside of any statement (:20:)")
    if state.account is not None:
        yield from _close(state)
        state.line = 0
        raise ValueError("the statement names a second account (:25:)")
    if not state.told:
        state.account = _account(part.text)


def _said(state: _State, account: Account, part: _Part) -> Iterator[Item]:
    """A line or a balance of the account."""
    if part.tag == "61":
        yield Found(_transaction(state, account, part), part.line)
    elif part.tag in BALANCES:
        state.holdings.balance(_balance(state, account, part), part.line)


def _close(state: _State) -> Iterator[Item]:
    account, state.account, state.closed = state.account, None, None
    if account is not None:
        yield from state.holdings.add(account, state.line)


def _account(written: str) -> Account:
    """The account of :25: a bank's code and a number, or an IBAN; a currency may follow either."""
    text = written.strip()[:64]
    institution, _, number = text.rpartition("/")
    for one in (number, number[:-3]):
        if (known := iban(one)) is not None:
            return Account(institution="", number=known, kind="", currency=None)
    if not number:
        raise ValueError("the statement names no account (:25:)")
    return Account(institution=institution, number=number, kind="", currency=None)


def _identity(account: Account) -> str:
    return f"{account.institution}/{account.number}"


def _balance(state: _State, account: Account, part: _Part) -> Balance:
    slug, kind = BALANCES[part.tag]
    found = state.library.balance(part.whole(), slug)
    code, day, value = currency(found.amount.currency or ""), _day(found.date), found.amount.amount
    account.currency = account.currency or code
    if code == account.currency:
        if part.tag in ("62F", "62M") and (state.closed is None or day >= state.closed):
            account.balance, account.balance_at, state.closed = value, day, day
        elif part.tag == "64":
            account.available = value
    return Balance(account=_identity(account), kind=kind, date=day, amount=value, currency=code)


def _transaction(state: _State, account: Account, part: _Part) -> Transaction:
    found = state.library.line(part.whole())
    value = found["amount"].amount
    kind = KINDS.get((found.get("id") or "")[1:4]) or ("debit" if value < 0 else "credit")
    structured = "posting_text" in found
    said = (_joined(found, "purpose", "additional_purpose") or _joined(found, "end_to_end_reference")
            or _joined(found, "posting_text")) if structured \
        else found.get("transaction_details") or found.get("extra_details") or ""
    customer = (found.get("customer_reference") or "").strip()
    record = Transaction(
        account=_identity(account), reference="", posted=_day(found.get("entry_date") or found["date"]), amount=value,
        currency=account.currency, kind=kind, name=_joined(found, "applicant_name")[:MAX_TEXT],
        memo=said.strip()[:MAX_TEXT], check_number=customer if kind == "check" and customer.isdigit() else "")
    given = (found.get("bank_reference") or "").strip()
    record.reference = state.references.numbered(record) if given in NO_ID \
        else state.references.named(record, given)
    return record


def _day(found: date) -> date:
    """A day of the library's own type, whose years of two digits are of this century."""
    return date(found.year, found.month, found.day)


def _joined(found: dict[str, Any], *names: str) -> str:
    return " ".join(text.strip() for name in names if (text := found.get(name)))


class _Library:
    """`mt-940`, imported when a file is read."""

    def __init__(self) -> None:
        from mt940.models import Transactions
        from mt940.options import Options

        # Made once: it takes a while, and what it says of one line is taken away before the next.
        self._parser: Any = Transactions(options=Options.all())
        # What it logs of a line that it does not take is the line: nobody's log may have that.
        logging.getLogger("mt940").setLevel(logging.CRITICAL + 1)

    def line(self, text: str) -> dict[str, Any]:
        """The fields of one :61: with its :86:. Raises `ValueError`."""
        found: dict[str, Any] = {}
        rows = self._parsed(text).transactions
        for one in rows[-1:]:
            found = one.data
        # Rows and their list name each other: without this they would wait for the collector.
        rows.clear()
        if "amount" not in found or "date" not in found:
            raise ValueError("it is not a statement line (:61:)")
        return found

    def balance(self, text: str, slug: str) -> Any:
        """One balance. Raises `ValueError`."""
        found = self._parsed(text).data.get(slug)
        if found is None or found.amount is None or found.date is None:
            raise ValueError("it is not a balance")
        return found

    def _parsed(self, text: str) -> Any:
        parsed = self._parser
        parsed.data, parsed.transactions = {}, []
        try:
            parsed.parse(text)
        except Exception:  # RuntimeError, ValueError, decimal's and re's: whatever the library falls over
            raise ValueError(f"it is not as a bank writes it (:{text[1:3]}:)") from None
        return parsed
