"""Statements and notices of banks in ISO 20022: camt.053, camt.054 and camt.052, in all their versions.

Versions differ in namespace and in where some things stand (`Sts` and `Sts/Cd`, `Dbtr/Nm` and
`Dbtr/Pty/Nm`): each is looked for in all its places. Read are accounts, balances and booked
entries. An entry is one line of the account; when it stands for several payments, their names
and texts are in its own.

- An entry's id (`AcctSvcrRef`) is the bank's, the same in statement and notice, and may be
  used for a payment and for its fee: `chez.connectors.references` says how lines are told apart.
- Days are those that the bank wrote, also where it wrote a time.
- Amounts have no sign: `CdtDbtInd` says it, also for a reversal (`RvslInd`).

Sources: ISO 20022 message definitions camt.053.001.02 to .08, camt.054.001.04; external code sets
`ExternalBalanceType1Code`, `ExternalBankTransactionFamily1Code`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO, Final

from chez.connectors import xml
from chez.connectors.api import Found, Item, Reject, Source, excerpt
from chez.connectors.checks import amount, currency, iban, iso_day
from chez.connectors.holdings import Holdings
from chez.connectors.references import References
from chez.errors import InvalidValue
from chez.vocabulary import Account, Balance, Transaction

__all__ = ("Camt",)

MESSAGE: Final = re.compile(rb"iso:20022:tech:xsd:camt\.05[234]\.001\.\d\d")
STATEMENTS: Final = ("Stmt", "Ntfctn", "Rpt")
BALANCES: Final = {"OPBD": "opening", "CLBD": "closing", "PRCD": "closing", "OPAV": "opening available",
                   "CLAV": "available", "ITBD": "interim", "ITAV": "interim available", "FWAV": "forward"}
"""A "previously closed" balance is the closing one of the day it gives."""
ACCOUNTS: Final = {"CACC": "checking", "SVGS": "savings", "LOAN": "loan"}
KINDS: Final = {"RDDT": "directdebit", "IDDT": "directdebit", "RCHQ": "check", "ICHQ": "check", "CCRD": "pos",
                "MCRD": "pos", "RCDT": "xfer", "ICDT": "xfer", "IRCT": "xfer", "RRCT": "xfer", "CNTR": "cash"}
"""Families of payments, in the words that OFX has for them."""
NARROWER: Final = {"FEES": "fee", "CHRG": "fee", "COMM": "fee", "INTR": "int", "CWDL": "atm", "POSD": "pos"}
"""Subfamilies that say more than their family."""
TO: Final = frozenset(f"NtryDtls/TxDtls/RltdPties/{side}/{name}" for side in ("Cdtr", "UltmtCdtr")
                      for name in ("Nm", "Pty/Nm"))
FROM: Final = frozenset(f"NtryDtls/TxDtls/RltdPties/{side}/{name}" for side in ("Dbtr", "UltmtDbtr")
                        for name in ("Nm", "Pty/Nm"))
"""Where the names of who got, and of who gave, are written."""
MEMOS: Final = frozenset({"NtryDtls/TxDtls/RmtInf/Ustrd", "NtryDtls/TxDtls/RmtInf/Strd/CdtrRefInf/Ref",
                          "NtryDtls/TxDtls/RmtInf/Strd/AddtlRmtInf", "NtryDtls/TxDtls/AddtlTxInf", "AddtlNtryInf"})
NO_ID: Final = frozenset({"", "NONREF", "NOTPROVIDED"})


@dataclass(slots=True)
class _State:
    """What is known so far of the file."""

    references: References = field(default_factory=References)
    holdings: Holdings = field(default_factory=Holdings)
    account: Account | None = None
    line: int = 0
    closed: date | None = None
    """Day of the closing balance that the account has."""


class Camt:
    """Reads ISO 20022 statements into accounts, balances and transactions."""

    name = "camt"
    version = 1
    title = "ISO 20022 statements and notices of banks (camt.053, camt.054), XML"
    types = (Account, Balance, Transaction)

    def recognise(self, head: bytes, name: str) -> bool:
        """The namespace is that of one of the messages."""
        return MESSAGE.search(head) is not None and b"<" in head[:999]

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Transactions, then balances and accounts.

        Raises `InvalidValue` when there is no statement in the file, or as `chez.connectors.xml` and
        `chez.connectors.references` do.
        """
        state = _State()
        seen = False
        for item in xml.blocks(file, ("Acct", "Bal", "Ntry"), STATEMENTS):
            if isinstance(item, xml.Mark):
                seen = True
                yield from _close(state)
                state.line = item.line
            elif isinstance(item, xml.Block):
                yield from _block(state, item)
            else:
                yield item
        yield from _close(state)
        yield from state.holdings.found()
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no statement of an account", "Download it again from the bank.")


def _close(state: _State) -> Iterator[Item]:
    account, state.account, state.closed = state.account, None, None
    if account is not None:
        yield from state.holdings.add(account, state.line)


def _block(state: _State, block: xml.Block) -> Iterator[Item]:
    """One element: a record, a change to the statement's account, or a reject."""
    try:
        if block.problem:
            raise ValueError(f"<{block.name}>: {block.problem}")
        if block.name == "Acct":
            state.account = _account(block)
        elif state.account is None:
            raise ValueError(f"<{block.name}> belongs to no account")
        elif block.name == "Bal":
            state.holdings.balance(_balance(state, state.account, block), block.line)
        else:
            yield Found(_transaction(state, state.account, block), block.line)
    except ValueError as error:
        shown = " ".join(f"{path}={text}" for path, text, _ in block.leaves[:16])
        yield Reject(block.line, str(error), excerpt(shown))


def _account(block: xml.Block) -> Account:
    written = block.first("Id/IBAN", "Id/Othr/Id", "Id/PrtryAcct/Id", "Id/BBAN")
    if not written:
        raise ValueError("the account has no number")
    number = iban(written)
    # An IBAN names its bank; any other number is one bank's own.
    institution = "" if number else block.first("Svcr/FinInstnId/BICFI", "Svcr/FinInstnId/BIC")
    kind = block.first("Tp/Cd", "Tp/Prtry")
    return Account(institution=institution, number=number or written, kind=ACCOUNTS.get(kind, kind.lower()),
                   currency=currency(block.first("Ccy")) if block.first("Ccy") else None,
                   organisation=block.first("Svcr/FinInstnId/Nm"))


def _identity(account: Account) -> str:
    return f"{account.institution}/{account.number}"


def _amount(block: xml.Block) -> tuple[str, str]:
    """The signed amount of a balance or an entry, and its currency."""
    for path, text, attributes in block.leaves:
        if path == "Amt":
            sign = {"CRDT": "", "DBIT": "-"}.get(block.first("CdtDbtInd"))
            if sign is None:
                raise ValueError("it is said neither to be credit nor debit (CdtDbtInd)")
            if text[:1] in ("+", "-"):
                raise ValueError("the amount is not a plain number")
            return sign + text, currency(attributes.get("Ccy", ""))
    raise ValueError("there is no amount (Amt)")


def _balance(state: _State, account: Account, block: xml.Block) -> Balance:
    written, code = _amount(block)
    type = block.first("Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry")
    balance = Balance(account=_identity(account), kind=BALANCES.get(type, type.lower()),
                      date=iso_day(block.first("Dt/Dt", "Dt/DtTm")), amount=amount(written), currency=code)
    account.currency = account.currency or code
    if type == "CLBD" and code == account.currency and (state.closed is None or balance.date >= state.closed):
        account.balance, account.balance_at = balance.amount, balance.date
        state.closed = balance.date
    elif type == "CLAV" and code == account.currency:
        account.available = balance.amount
    return balance


def _transaction(state: _State, account: Account, block: xml.Block) -> Transaction:
    status = block.first("Sts", "Sts/Cd")
    if status not in ("", "BOOK"):
        raise ValueError(f"the entry is not booked ({excerpt(status)})")
    written, code = _amount(block)
    posted = iso_day(block.first("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"))
    record = Transaction(
        account=_identity(account), reference="", posted=posted, amount=amount(written), currency=code,
        kind=_kind(block, written), name=_name(block, written), memo=_memo(block),
        check_number=block.first("NtryDtls/TxDtls/Refs/ChqNb"), initiated=_initiated(block))
    given = block.first("AcctSvcrRef")
    record.reference = state.references.numbered(record) if given.upper() in NO_ID \
        else state.references.named(record, given)
    return record


def _kind(block: xml.Block, written: str) -> str:
    family = block.first("BkTxCd/Domn/Fmly/Cd", "NtryDtls/TxDtls/BkTxCd/Domn/Fmly/Cd")
    narrower = block.first("BkTxCd/Domn/Fmly/SubFmlyCd", "NtryDtls/TxDtls/BkTxCd/Domn/Fmly/SubFmlyCd")
    return NARROWER.get(narrower) or KINDS.get(family) or ("debit" if written[:1] == "-" else "credit")


def _name(block: xml.Block, written: str) -> str:
    """The other side: who got what went out, who sent what came in; whoever is named, where that one isn't."""
    for paths in (TO, FROM) if written[:1] == "-" else (FROM, TO):
        if any(path in block.texts for path in paths):
            return ", ".join(dict.fromkeys(block.all(paths)))[:xml.MAX_TEXT]
    return ""


def _memo(block: xml.Block) -> str:
    return "\n".join(dict.fromkeys(block.all(MEMOS)))[:xml.MAX_TEXT]


def _initiated(block: xml.Block) -> date | None:
    written = block.first("NtryDtls/TxDtls/RltdDts/AccptncDtTm", "NtryDtls/TxDtls/RltdDts/TxDtTm")
    try:
        return iso_day(written) if written else None
    except ValueError:
        return None  # not worth losing the entry over
