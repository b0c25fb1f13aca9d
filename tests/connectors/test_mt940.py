"""MT940 statements: the real files, exactly; and what broken or hostile ones give."""

from datetime import date
from decimal import Decimal

import pytest

from chez.connectors import read
from chez.connectors.mt940 import MAX_LINE, MAX_PART, Mt940
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Account, Balance, Transaction
from tests.connectors.support import MT940, read_bytes, records, rejects

EXPECTED = {
    # file: accounts, balances, transactions
    "abnamro-jejik.sta": (1, 3, 10),
    "february_30-self-provided.sta": (1, 2, 1),
    "malformed_details-self-provided.sta": (1, 2, 1),
    "mt940-mBank.sta": (1, 3, 3),
    "postfinance-jejik.sta": (1, 3, 4),
    "sepa_mt9401-betterplace.sta": (20, 65, 97),
    "sepa_snippet_broken-betterplace.sta": (1, 3, 1),
    "with_binary_character-betterplace.sta": (2, 4, 4),
}


def statement(*lines: str, account: str = ":25:12345678/0001\n") -> bytes:
    """A statement with these lines, the first of them the fourth of the file."""
    return (f":20:START\n{account}:28C:1/1\n" + "\n".join(lines) + "\n:62F:C240131EUR1,\n-\n").encode()


def line(amount: str = "1,00", mark: str = "D", days: str = "2401310131", after: str = "NMSCNONREF") -> str:
    """One :61:."""
    return f":61:{days}{mark}{amount}{after}"


def transactions(data: bytes) -> list[Transaction]:
    """The transactions of a file."""
    return [record for record in records(read_bytes(Mt940(), data)) if isinstance(record, Transaction)]


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files(name: str) -> None:
    """Each real file gives exactly these accounts, balances and transactions, each thing once."""
    items = list(read(MT940 / name))
    found = [one for one in records(items) if isinstance(one, Account | Balance | Transaction)]
    counts = tuple(sum(isinstance(one, kind) for one in found) for kind in (Account, Balance, Transaction))
    assert counts == EXPECTED[name]
    assert len({(type(one), identity_of(one)) for one in found}) == len(found)
    told = [(6, "it holds the text of a line, and no account (:25:)")] if "broken" in name else []
    assert [(number, reason) for number, reason in rejects(items)] == told
    assert sorted(EXPECTED) == sorted(path.name for path in MT940.glob("*.sta"))
    assert sum(rows for _, _, rows in EXPECTED.values()) == 121


def test_the_day_of_booking_is_the_lines() -> None:
    """A line with value day 30 February, which interest is counted to, is of the day it was booked."""
    row, _, _, account = records(list(read(MT940 / "february_30-self-provided.sta")))
    assert isinstance(row, Transaction) and isinstance(account, Account)
    assert (row.posted, row.amount, row.currency, row.memo) == (date(2016, 3, 1), -6, "EUR", "Pauschalen")
    assert (account.institution, account.number, account.balance) == ("12345678", "1020304050", Decimal("1194.00"))
    over = transactions(statement(line(days="2401021229"), line(days="2312290102"), line(days="240131    ")))
    assert [one.posted for one in over] == [date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 31)]


def test_sub_fields_are_put_together() -> None:
    """What a German bank wraps at 65 columns, amid words and sub-fields, is one name and one text again."""
    (wrapped,) = transactions((MT940 / "malformed_details-self-provided.sta").read_bytes())
    assert wrapped.name == "Finanzamt Muenchen Abteilung Erhebung"
    assert wrapped.memo.startswith("STEUERNR 123/123/12345     KOERPST 3VJ.17  233,15EUR")
    first = transactions((MT940 / "sepa_mt9401-betterplace.sta").read_bytes())[0]
    assert first.memo == "TFNR 40005 00005MTLG:Grund nicht spezifiziert Reject aus SEPA-Ueberweisungsauftrag"
    assert first.reference == "0724710345313905:2007-09-04:300"


def test_texts_in_lines_and_other_encodings() -> None:
    """A text without sub-fields keeps its lines; a byte that is no UTF-8 is Windows-1252."""
    data = statement(line(), ":86:Café\n  Zürich")
    assert [row.memo for row in transactions(data)] == ["Café\n  Zürich"]
    assert transactions(data.decode().encode("cp1252")) == transactions(data)
    assert transactions(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")) == transactions(data)


def test_marks_and_amounts() -> None:
    """Debits and reversed credits go out, credits and reversed debits come in; a comma may end an amount."""
    rows = transactions(statement(*(line(mark=mark) for mark in ("D", "C", "RD", "RC", "DR", "CR")), line("7,")))
    assert [int(row.amount) for row in rows] == [-1, 1, 1, -1, -1, 1, -7]
    assert {row.currency for row in rows} == {None}
    headed = transactions(statement(":60F:C240130USD5,", line(after="NCHK4711"), line(after="NCHGNONREF")))
    assert [(one.currency, one.kind, one.check_number) for one in headed] == [
        ("USD", "check", "4711"), ("USD", "fee", "")]


def test_overlapping_statements_merge() -> None:
    """Lines without id keep their references in another export; equal lines of a day are told apart, and stay so."""
    coffee, lunch = line() + "\n:86:coffee", line() + "\n:86:lunch"
    first = [one.reference for one in transactions(statement(line(days="2401300130"), coffee, lunch, coffee))]
    later = [one.reference for one in transactions(statement(coffee, coffee, lunch, line(days="2402010201")))]
    assert len(set(first)) == 4 and set(first[1:]) == set(later[:3])


def test_an_amount_on_the_next_line_is_whole_or_refused() -> None:
    """Some banks break a line before its amount; what it says is taken whole, and no texts are taken for amounts."""
    items = read_bytes(Mt940(), statement(":61:2401310131D\n1234,50NMSC", ":61:2401310131D\n1.234,50NMSC", line("2,"),
                                          ":62F:C240131EUR1,", ":86:240131RE2024 17 and 241127EUR1.234,50"))
    assert [row.amount for row in records(items) if isinstance(row, Transaction)] == [Decimal("-1234.50"), -2]
    assert [number for number, _ in rejects(items)] == [6]


@pytest.mark.parametrize("bad", [
    line("1,2,3"), line(","), line("x"), line(days="2402310231"), line(days="0000000000"), line(mark="X"), ":61:",
    ":61:24", line(after="N" + "x" * MAX_LINE), line() + "\n:86:" + ("y" * 60 + "\n") * (MAX_PART // 60 + 1),
    line("1.234,50"), line("1234.50"), line("1 234,50"), line("1'234,50"), line("1\u202f234,50"), line("1" * 16 + ","),
    line("1.50", days="240131"), ":62F:C240131EUR1.234,50", ":64:D240131EUR1234.50", ":65:C240131EUR1 234",
    line("1.234,50", days="240131    "), line("1.234,50", mark="d"), line("1\u2009234,50"), line("1,50-"),
    ":64:c240131eur1.234,50",
], ids=range(25))
def test_a_bad_line_costs_itself(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    """A line that the library does not take, or takes a part of an amount of, or that is too long, is one reject, and
    in no log; others are read."""
    items = read_bytes(Mt940(), statement(line("1,"), bad, line("2,")))
    assert [row.amount for row in records(items) if isinstance(row, Transaction)] == [-1, -2]
    assert [row.amount for row in records(items) if isinstance(row, Balance)] == [1]
    assert [number for number, _ in rejects(items)] == [5]
    assert caplog.records == []


def test_a_bad_opening_balance_takes_no_lines_currency() -> None:
    """Lines behind an opening balance whose amount can't be read are in its currency, and are the same lines as in an
    export in which it can."""
    for tag in ("60F", "60M"):
        good, bad = [statement(f":{tag}:C240130USD{amount}", line("1,")) for amount in ("5,", "1.234,50")]
        (found,) = transactions(bad)
        assert found.currency == "USD" and [found] == transactions(good)
    assert [number for number, _ in rejects(read_bytes(Mt940(), statement(":60F:C240130USD1.234,50")))] == [4]


def test_a_broken_statement_costs_that_statement() -> None:
    """Without an account a statement's lines are left out with one word for all; the next statement is read."""
    data = statement(line(), line(), account="") + statement(line("3,"))
    items = read_bytes(Mt940(), data)
    assert [row.amount for row in records(items) if isinstance(row, Transaction)] == [-3]
    assert rejects(items) == [
        (3, "it is not known whose account this is (:25:): lines up to the next statement are left out")]
    for junk in (b"", b"hello\n", b":61:2401310131D1,NMSC\n"):
        with pytest.raises(InvalidValue, match="holds no statement"):
            read_bytes(Mt940(), junk)


def test_no_line_is_given_to_another_account() -> None:
    """Where a second account comes up without a statement of its own, or lines behind a statement's end, these lines
    are left out, and the next are read."""
    def found(data: bytes) -> tuple[list[Decimal], list[int]]:
        items = read_bytes(Mt940(), data)
        return [one.amount for one in records(items) if isinstance(one, Transaction)], [at for at, _ in rejects(items)]
    good = statement(line("1,"))
    cut = b"\n".join(statement(line("2,"), account=":25:999/1\n").split(b"\n")[1:])
    assert found(good + cut + good) == ([-1, -1], [7, 9])
    assert found(good.replace(b"-\n", b"") + cut + good) == ([-1, -1], [6, 8])
    assert found(cut + good) == ([-1], [1, 3])
    beginless = b"\n".join(statement(line("2,")).split(b"\n")[2:])
    assert found(good + beginless + good) == ([-1, -1], [8])


@pytest.mark.parametrize(("written", "expected"), [
    ("12345678/0001", "12345678/0001"), ("517852257", "/517852257"), ("NL26VAYB8060476890", "/NL26VAYB8060476890"),
    ("NL26VAYB8060476890EUR", "/NL26VAYB8060476890"), ("VAYBNL2A/NL26 VAYB 8060 4768 90", "/NL26VAYB8060476890"),
    ("NL27VAYB8060476890", "/NL27VAYB8060476890"),
])
def test_whose_account_it_is(written: str, expected: str) -> None:
    """A bank's code and a number, a number alone, or an IBAN, which needs no bank and may bring its currency."""
    assert transactions(statement(line(), account=f":25:{written}\n"))[0].account == expected


def test_pages_of_one_statement() -> None:
    """The balance at the end of a page is none of the statement's; the account shows the last one."""
    found = records(list(read(MT940 / "postfinance-jejik.sta")))
    assert [(one.kind, one.amount) for one in found if isinstance(one, Balance)] == [
        ("opening", 0), ("interim", Decimal("229.2")), ("closing", Decimal("159.6"))]
    assert [one.balance for one in found if isinstance(one, Account)] == [Decimal("159.6")]


def test_the_latest_closing_balance_is_the_accounts() -> None:
    """Of several balances the account shows the booked one of the last day, in its currency, and what is available; an
    opening or a forward one is neither."""
    found = records(read_bytes(Mt940(), statement(
        ":60F:C240130EUR1,", ":62F:C240129EUR7,", ":62F:D240131EUR3,", ":62F:C240130EUR2,", ":62F:C240201USD9,",
        ":64:C240131EUR4,", ":64:C240131USD8,", ":65:C240202EUR6,").replace(b":62F:C240131EUR1,\n", b"")))
    account = found[-1]
    assert isinstance(account, Account)
    assert (account.balance, account.balance_at, account.available) == (-3, date(2024, 1, 31), 4)
    assert len(found) == 9
