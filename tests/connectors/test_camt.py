"""ISO 20022 statements: the real files, exactly; and what broken or hostile ones give."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from chez.connectors import read
from chez.connectors.camt import Camt
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Account, Balance, Transaction
from tests.connectors.support import CAMT, read_bytes, records, rejects

EXPECTED = {
    # file: accounts, balances, transactions
    "camt053.v2.five.decimals.xml": (1, 2, 1),
    "camt053.v2.multi.statement.xml": (1, 2, 2),
    "camt053.v3.xml": (1, 4, 1),
    "camt053.v8.xml": (1, 4, 1),
    "camt054.v4.xml": (1, 0, 1),
    "camt53.only-Dt-with-DtTm.xml": (1, 1, 0),
}
IBAN = "NL26VAYB8060476890"


def statement(*entries: str, account: str = f"<IBAN>{IBAN}</IBAN>", more: str = "") -> bytes:
    """A statement with these entries, each on a line of its own; `more` stands behind the account."""
    return ('<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Acct><Id>'
            f"{account}</Id></Acct>{more}\n" + "\n".join(entries) + "\n</Stmt></BkToCstmrStmt></Document>").encode()


def entry(amount: str = "1.00", sign: str = "DBIT", day: str = "2024-01-31", more: str = "",
          currency: str = "EUR") -> str:
    """One booked entry."""
    return (f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd><Sts>BOOK</Sts>'
            f"<BookgDt><Dt>{day}</Dt></BookgDt>{more}</Ntry>")


def details(name: str) -> str:
    """The other side and text of a payment out."""
    return (f"<NtryDtls><TxDtls><RltdPties><Cdtr><Nm>{name}</Nm></Cdtr></RltdPties><RmtInf><Ustrd>for {name}</Ustrd>"
            "</RmtInf></TxDtls></NtryDtls>")


def transactions(data: bytes) -> list[Transaction]:
    """The transactions of a file."""
    return [record for record in records(read_bytes(Camt(), data)) if isinstance(record, Transaction)]


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files(name: str) -> None:
    """Each real file gives exactly these accounts, balances and transactions, each thing once, and no rejects."""
    items = list(read(CAMT / name))
    found = [one for one in records(items) if isinstance(one, Account | Balance | Transaction)]
    counts = tuple(sum(isinstance(one, kind) for one in found) for kind in (Account, Balance, Transaction))
    assert counts == EXPECTED[name] and len({(type(one), identity_of(one)) for one in found}) == len(found)
    assert rejects(items) == []
    assert sorted([*EXPECTED, "camt053.v2.wrong.xml"]) == sorted(path.name for path in Path(CAMT).glob("*.xml"))


def test_a_file_without_statement() -> None:
    """A message that is well-formed and has no statement is refused, with words."""
    with pytest.raises(InvalidValue, match="holds no statement"):
        list(read(CAMT / "camt053.v2.wrong.xml"))


def test_one_file_in_full() -> None:
    """Amounts keep five decimals, balances their day, the other side and its text are found."""
    transaction, opening, closing, account = records(list(read(CAMT / "camt053.v2.five.decimals.xml")))
    assert opening == Balance(account=f"/{IBAN}", kind="opening", date=date(2014, 12, 30), currency="EUR",
                              amount=Decimal("18.150"))
    assert isinstance(closing, Balance) and (closing.kind, closing.amount) == ("closing", Decimal("27.05"))
    assert isinstance(transaction, Transaction) and transaction.reference.startswith("row:")
    assert (transaction.posted, transaction.amount, transaction.name, transaction.memo) == (
        date(2014, 12, 31), Decimal("8.85"), "Company Name", "Transaction Description")
    assert account == Account(institution="", number=IBAN, kind="", currency="EUR", balance=Decimal("27.05"),
                              balance_at=date(2014, 12, 31))


def test_several_statements_of_an_account() -> None:
    """A day's first opening and last closing balance stay, and the account is as the last statement left it."""
    found = records(list(read(CAMT / "camt053.v2.multi.statement.xml")))
    assert [(one.kind, one.amount) for one in found if isinstance(one, Balance)] == [
        ("opening", Decimal("18.15")), ("closing", Decimal(20))]
    (account,) = (one for one in found if isinstance(one, Account))
    assert (account.balance, account.balance_at) == (20, date(2014, 12, 31))


def test_versions_differ_in_where_things_stand() -> None:
    """Version 8 has status, parties and booking time elsewhere than version 3, and gives the same."""
    rows = []
    for name in ("camt053.v3.xml", "camt053.v8.xml"):
        (row,) = (one for one in records(list(read(CAMT / name))) if isinstance(one, Transaction))
        rows.append((row.posted, row.amount, row.currency, row.name, row.kind))
    assert rows[0] == rows[1] == (date(2014, 12, 31), Decimal("8.85"), "EUR", "NAME NAME", "xfer")


def test_a_date_time_where_a_date_stands() -> None:
    """A balance whose day is written as a time with nine decimals has its day."""
    balance, _ = records(list(read(CAMT / "camt53.only-Dt-with-DtTm.xml")))
    assert isinstance(balance, Balance) and (balance.date, balance.amount) == (date(2025, 7, 23), Decimal("5442.09"))


def test_an_entry_of_several_payments_is_one_line() -> None:
    """A notice's batch of three is what left the account, with all their names and texts."""
    (row,) = (one for one in records(list(read(CAMT / "camt054.v4.xml"))) if isinstance(one, Transaction))
    assert (row.amount, row.reference) == (Decimal(-200000), "ACSR160617103200001:2007-10-18:-200000")
    assert row.name == "Example Creditor 3 - V1, Example Creditor 3 - V2, Example Creditor 3 - V3"
    assert row.memo.splitlines()[0] == "Unstructured Remittance Information V1" and row.memo.endswith("Order")


def test_overlapping_statements_merge() -> None:
    """Lines without id keep their references in another export; equal lines of a day are told apart, and stay so."""
    coffee, lunch = entry(more=details("coffee")), entry(more=details("lunch"))
    before = entry(day="2024-01-30", more=details("coffee"))
    first = [one.reference for one in transactions(statement(before, coffee, lunch, coffee))]
    later = [one.reference for one in transactions(statement(coffee, coffee, lunch, entry(day="2024-02-01")))]
    assert len(set(first)) == 4 and set(first[1:]) == set(later[:3])


def test_a_reference_that_a_bank_uses_twice() -> None:
    """A payment and its fee under one id are two lines, the same two in a notice that writes the amount otherwise."""
    ref = "<AcctSvcrRef>R1</AcctSvcrRef>"
    rows = transactions(statement(entry("100.00", more=ref), entry("1.50", more=ref), entry("1.50", more=ref)))
    assert [row.reference for row in rows] == ["R1:2024-01-31:-100", "R1:2024-01-31:-1.5", "R1:2024-01-31:-1.5:2"]
    again = transactions(statement(entry("1.5000", more=ref + details("x")), entry("100", more=ref)))
    assert {row.reference for row in again} < {row.reference for row in rows}
    assert transactions(statement(entry(more="<AcctSvcrRef>NOTPROVIDED</AcctSvcrRef>")))[0].reference.startswith("row:")


@pytest.mark.parametrize(("bad", "reason"), [
    (entry("-5", sign="CRDT"), "the amount is not a plain number"),
    (entry("1e9"), "the amount is not a plain number"), (entry("-5"), "the amount is not a plain number"),
    (entry("9" * 19), "the amount is not a plain number"), (entry("NaN"), "the amount is not a plain number"),
    (entry(day="2024-02-30"), "there is no such day"), (entry(day="0000-01-01"), "the year is not between 1900 and"),
    (entry(day="31.1.2024"), "the date is not like 2024-01-31"), (entry(sign="CR"), "neither to be credit nor debit"),
    (entry(currency="euro"), "no ISO 4217 code"), (entry().replace(">BOOK<", ">PDNG<"), "not booked (PDNG)"),
    ("<Ntry></Ntry>", "there is no amount"),
    (entry(more="<AddtlNtryInf>" + "x" * 5000 + "</AddtlNtryInf>"), "longer than"),
])
def test_a_bad_entry_costs_itself(bad: str, reason: str) -> None:
    """A day, amount, sign or state that can't be is one reject with its line; the entries around it are read."""
    items = read_bytes(Camt(), statement(entry("1"), bad, entry("2")))
    assert [row.amount for row in records(items) if isinstance(row, Transaction)] == [-1, -2]
    ((line, told),) = rejects(items)
    assert line == 3 and reason in told


def test_whose_account_it_is() -> None:
    """An IBAN needs no bank, however it is given; another number has its bank's code; without one nothing is read."""
    other = "<Othr><Id>{}</Id></Othr></Id><Svcr><FinInstnId><BIC>ABNANL2A</BIC></FinInstnId></Svcr><Id>"
    for written, expected in ((f"<IBAN>{IBAN}</IBAN>", f"/{IBAN}"), ("<IBAN>nl26 vayb 8060 4768 90</IBAN>", f"/{IBAN}"),
                              (other.format(IBAN), f"/{IBAN}"),
                              (other.format("NL27VAYB8060476890"), "ABNANL2A/NL27VAYB8060476890"),
                              (other.format("517852257"), "ABNANL2A/517852257")):
        assert transactions(statement(entry(), account=written))[0].account == expected
    items = read_bytes(Camt(), statement(entry(), account=""))
    assert records(items) == []
    assert [told for _, told in rejects(items)] == ["the account has no number", "<Ntry> belongs to no account"]


def test_the_latest_closing_balance_is_the_accounts() -> None:
    """Of several balances the account shows the booked one of the last day, in its currency, and what is available."""
    def balance(type: str, amount: str, day: str, sign: str = "CRDT", currency: str = "EUR") -> str:
        return (f'<Bal><Tp><CdOrPrtry><Cd>{type}</Cd></CdOrPrtry></Tp><Amt Ccy="{currency}">{amount}</Amt>'
                f"<CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>")
    found = records(read_bytes(Camt(), statement(more="".join([
        balance("OPBD", "1", "2024-01-01"), balance("CLBD", "7", "2024-01-29"),
        balance("CLBD", "3", "2024-01-31", "DBIT"), balance("CLBD", "2", "2024-01-30"),
        balance("CLBD", "9", "2024-02-01", currency="SEK"),
        balance("CLAV", "4", "2024-01-31"), balance("CLAV", "8", "2024-01-31", currency="SEK")]))))
    account = found[-1]
    assert isinstance(account, Account)
    assert (account.balance, account.balance_at, account.available) == (-3, date(2024, 1, 31), 4)
    assert len(found) == 8


def test_kinds_are_said_as_ofx_says_them() -> None:
    """The bank's code of a payment becomes one word; without a known one it is debit or credit."""
    def code(family: str, narrower: str) -> str:
        return (f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{narrower}</SubFmlyCd></Fmly></Domn>"
                "</BkTxCd>")
    rows = transactions(statement(*(entry(more=code(*one)) for one in (
        ("ICDT", "ESCT"), ("RDDT", "ESDD"), ("CCRD", "CWDL"), ("CCRD", "POSD"), ("MDOP", "FEES"), ("XXXX", "YYYY"))),
        entry(sign="CRDT")))
    assert [row.kind for row in rows] == ["xfer", "directdebit", "atm", "pos", "fee", "debit", "credit"]
