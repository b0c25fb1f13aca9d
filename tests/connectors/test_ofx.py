"""OFX statements: the real files, exactly; and what broken or hostile ones give."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from chez.connectors import Found, Reject, read
from chez.connectors.ofx import Ofx
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Account, Transaction
from tests.connectors.support import OFX, read_bytes, records, rejects

EXPECTED = {
    # file: accounts, transactions, {line: reason}
    "anzcc.ofx": (1, 1, {}),
    "bank_medium.ofx": (1, 3, {}),
    "checking.ofx": (1, 3, {}),
    "error_message.ofx": (0, 0, {22: "the bank reports an error instead of a statement"}),
    "fidelity-savings.ofx": (1, 4, {}),
    "investment_medium.ofx": (1, 3, {}),
    "multiple_accounts.ofx": (2, 0, {}),
    "ofx-v102-empty-tags.ofx": (1, 1, {23: "the booked balance has no amount"}),
    "suncorp.ofx": (1, 1, {}),
    "date_missing.ofx": (1, 0, {33: "the transaction has no day (DTPOSTED)",
                                40: "the transaction has no day (DTPOSTED)",
                                48: "there is no such day or time"}),
    "decimal_error.ofx": (1, 0, {34: "there is no such day or time; the amount is not a plain number"}),
    "empty_balance.ofx": (1, 1, {37: "the booked balance has no amount",
                                 41: "the available balance has no amount"}),
}


def statement(*rows: str, head: str = "", tail: str = "") -> bytes:
    """A minimal statement with these transactions; head and tail go around its list."""
    return (f"<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR<BANKACCTFROM><BANKID>30004<ACCTID>0001"
            f"<ACCTTYPE>CHECKING</BANKACCTFROM>{head}<BANKTRANLIST>\n" + "\n".join(rows)
            + f"\n</BANKTRANLIST>{tail}</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>").encode()


def row(fitid: str = "1", amount: str = "-1.00", posted: str = "20240131", more: str = "") -> str:
    """One transaction, on one line."""
    return (f"<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>{posted}<TRNAMT>{amount}<FITID>{fitid}{more}</STMTTRN>")


def transactions(data: bytes) -> list[Transaction]:
    """The transactions of a file."""
    return [record for record in records(read_bytes(Ofx(), data)) if isinstance(record, Transaction)]


def given(one: Transaction) -> str:
    """The bank's id of a transaction."""
    return one.reference.partition(":")[0]


@pytest.mark.parametrize("path", sorted(OFX.rglob("*.ofx")), ids=lambda path: path.name)
def test_real_files(path: Path) -> None:
    """Each real file gives exactly these accounts, transactions and rejects, twice the same."""
    first, second = list(read(path)), list(read(path))
    found = records(first)
    accounts, rows, bad = EXPECTED[path.name]
    assert sum(isinstance(record, Account) for record in found) == accounts
    assert sum(isinstance(record, Transaction) for record in found) == rows
    assert dict(rejects(first)) == bad
    assert first == second
    assert len({identity_of(r) for r in found if isinstance(r, Transaction)}) == rows
    lines = path.read_bytes().decode().split("\n")
    for item in first:
        if isinstance(item, Found) and isinstance(item.record, Transaction):
            assert "<STMTTRN>" in lines[item.row - 1]


def test_every_file_is_expected() -> None:
    """No real file is left out above."""
    assert {path.name for path in OFX.rglob("*.ofx")} == set(EXPECTED)


def test_a_transaction_in_full() -> None:
    """The fields of a real cheque: the day in the bank's zone, the whole name, the exact amount."""
    found = records(list(read(OFX / "fidelity-savings.ofx")))
    assert found[0] == Transaction(
        account="fidelity.com/X0000001", reference="X0000000000000000000001:2012-07-20:-1500", posted=date(2012, 7, 20),
        amount=Decimal("-1500.0000"), currency="USD", kind="check", name="Check Paid #0000001001",
        memo="Check Paid #0000001001", check_number="0000001001")
    long = records(list(read(OFX / "checking.ofx")))[1]
    assert isinstance(long, Transaction) and long.name == "AUTOMATIC WITHDRAWAL, ELECTRIC BILL"


def test_an_account_in_full() -> None:
    """An account carries bank, number, kind, currency, both balances and their day."""
    account = records(list(read(OFX / "checking.ofx")))[-1]
    assert account == Account(institution="5472369148", number="1452687~7", kind="checking", currency="USD",
                              organisation="FAKE", balance=Decimal("100.99"), balance_at=date(2013, 5, 25),
                              available=Decimal("75.99"))


def test_an_account_is_told_once() -> None:
    """Statements of one account, in whatever order, give one account with the latest balance, after all transactions;
    a balance without a day counts where there is no other."""
    balance = "<LEDGERBAL><BALAMT>{}{}</LEDGERBAL>"
    parts = [statement(row(str(n)), tail=balance.format(amount, f"<DTASOF>{day}" if day else ""))[:-6][5:]
             for n, (amount, day) in enumerate([("1.00", ""), ("5.00", "20240331"), ("3.00", "20240229")])]
    for number, wanted in ((1, ("1.00", None)), (3, ("5.00", date(2024, 3, 31)))):
        found = records(read_bytes(Ofx(), b"<OFX>" + b"".join(parts[:number]) + b"</OFX>"))
        assert [type(one) for one in found] == [Transaction] * number + [Account]
        account = found[-1]
        assert isinstance(account, Account) and (account.balance, account.balance_at) == (Decimal(wanted[0]), wanted[1])


def test_the_day_is_the_banks() -> None:
    """A booking late in the evening keeps its day, whatever the offset; daylight is not UTC; the day that it was begun
    is told where it can be read."""
    found = transactions(statement(row("1", posted="20240131233000.000[-5:EST]"),
                                   row("2", posted="20240131003000[+9:JST]"), row("3", posted="20240131")))
    assert {t.posted for t in found} == {date(2024, 1, 31)}
    told = transactions(statement(row("1", posted="20241231", more="<DTUSER>20241130"),
                                  row("2", posted="20231001", more="<DTUSER>some day")))
    assert [(t.posted, t.initiated) for t in told] == [
        (date(2024, 12, 31), date(2024, 11, 30)), (date(2023, 10, 1), None)]


@pytest.mark.parametrize(("amount", "expected"), [
    ("-1.50", "-1.50"), ("+00012.3", "12.3"), ("1,5", "1.5"), (".5", "0.5"), ("7", "7"), ("0", "0"),
    ("$120", None), ("1.234,56", None), ("1e9", None), ("NaN", None), ("Infinity", None), ("--1", None),
    ("1_000", None), ("١٢", None), ("9" * 30, None), ("0x10", None),
])
def test_amounts(amount: str, expected: str | None) -> None:
    """Plain decimal numbers are exact; whatever else is rejected with the reason."""
    items = read_bytes(Ofx(), statement(row(amount=amount)))
    found = [r for r in records(items) if isinstance(r, Transaction)]
    if expected is None:
        assert not found and rejects(items) == [(2, "the amount is not a plain number")]
    else:
        assert found[0].amount == Decimal(expected)


@pytest.mark.parametrize("posted", ["00000101", "18991231", "22010101", "20240230", "2024", "tomorrow",
                                    "20241301", "20240131250000", "20240131[99999999999:XXX]"])
def test_days_that_are_none(posted: str) -> None:
    """Impossible days, and years outside 1900 to 2200, are rejected."""
    items = read_bytes(Ofx(), statement(row("a"), row("b", posted=posted), row("c")))
    assert [given(r) for r in records(items) if isinstance(r, Transaction)] == ["a", "c"]
    assert [line for line, _ in rejects(items)] == [3]


def test_rows_without_id() -> None:
    """Rows without FITID get an id from their content; equal ones are told apart and stay so."""
    coffee, lunch = row("", more="<NAME>coffee"), row("", more="<NAME>lunch")
    first = transactions(statement(coffee, lunch, coffee))
    longer = transactions(statement(lunch, coffee, coffee, row("x")))
    assert len({t.reference for t in first}) == 3
    assert {t.reference for t in first} == {t.reference for t in longer if given(t) != "x"}


def test_an_id_given_twice() -> None:
    """A repeated row is reported. An id that a bank uses again, for another amount, in another year, in another file or
    for a fee, is of another row each time, and a row keeps its name whatever the file."""
    again = [row("a"), row("a", amount="5"), row("a", posted="20250131"), row("a", more="<NAME>fee")]
    items = read_bytes(Ofx(), statement(row("a"), *again))
    assert rejects(items) == [(3, "the row is given twice")]
    whole = [one.reference for one in records(items) if isinstance(one, Transaction)]
    assert len(set(whole)) == 4
    assert [transactions(statement(one))[0].reference for one in again] == [*whole[:3], whole[0]]
    assert [one.reference for one in transactions(statement(*again[1:], again[0]))] == [*whole[1:3], whole[0], whole[3]]


def test_currencies() -> None:
    """<CURRENCY> is the amount's own, <ORIGCURRENCY> only history; nonsense is rejected."""
    items = read_bytes(Ofx(), statement(
        row("a", more="<CURRENCY><CURRATE>1.1<CURSYM>USD</CURRENCY>"),
        row("b", more="<ORIGCURRENCY><CURRATE>1.1<CURSYM>USD</ORIGCURRENCY>"),
        row("c", more="<CURRENCY><CURRATE>1.1<CURSYM>dollars</CURRENCY>")))
    assert [r.currency for r in records(items) if isinstance(r, Transaction)] == ["USD", "EUR"]
    assert rejects(items) == [(4, "the currency is no ISO 4217 code")]


def test_text_is_data() -> None:
    """Entities are unescaped once, CDATA kept, a stray `<`, formulas and markup stored as they are."""
    found = transactions(statement(
        row("a", more="<NAME>Marks &amp; Spencer<MEMO>&amp;lt;b&amp;gt;"),
        row("b", more="<NAME><![CDATA[<b>x</b> & y]]></NAME><MEMO><![CDATA[z]]></MEMO>"),
        row("c", more="<NAME>5 < 6 and 7 > 6<MEMO>=cmd|' /C calc'!A0"),
        row("d", more="<NAME>\x1b[2J\x07")))
    assert [t.name for t in found] == ["Marks & Spencer", "<b>x</b> & y", "5 < 6 and 7 > 6", "\x1b[2J\x07"]
    assert [t.memo for t in found[:3]] == ["&lt;b&gt;", "z", "=cmd|' /C calc'!A0"]


def test_a_comment_is_not_read() -> None:
    """A transaction inside an XML comment does not exist."""
    data = statement(row("a"), f"<!-- {row('b')} -->", row("c"))
    assert [given(t) for t in transactions(data)] == ["a", "c"]


def test_encodings() -> None:
    """The header's encoding is used; a row in another one is rejected and shown escaped."""
    name = row("a", more="<NAME>Café")
    headed = ("OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nSECURITY:NONE\nENCODING:{}\nCHARSET:{}\n"
              "COMPRESSION:NONE\nOLDFILEUID:NONE\nNEWFILEUID:NONE\n\n")
    body = statement(name).decode()
    for encoding, charset, codec in (("USASCII", "1252", "cp1252"), ("UTF-8", "NONE", "utf-8"),
                                     ("USASCII", "ISO-8859-1", "latin-1")):
        assert transactions((headed.format(encoding, charset) + body).encode(codec))[0].name == "Café"
    for declared, codec in (("iso-8859-1", "latin-1"), ("utf-8", "utf-8"), ("windows-1252", "cp1252")):
        xml = f'<?xml version="1.0" encoding="{declared}"?>\n' + body
        assert transactions(xml.encode(codec))[0].name == "Café"
    assert transactions(b"\xef\xbb\xbf" + body.encode())[0].name == "Café"
    items = read_bytes(Ofx(), body.encode("latin-1"))
    assert rejects(items) == [(2, "NAME is not text in the file's encoding")]
    assert "Caf\\xe9" in next(item.text for item in items if isinstance(item, Reject))


def test_an_entity_bomb_is_refused() -> None:
    """Declared entities are refused unread; undeclared ones stay as they are written."""
    bomb = ('<?xml version="1.0"?>\n<!DOCTYPE OFX [<!ENTITY a "aaaaaaaaaa">'
            + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">'
                      for a, b in zip("abcdefgh", "bcdefghi", strict=True))
            + "]>\n").encode()
    with pytest.raises(InvalidValue, match="line 2"):
        read_bytes(Ofx(), bomb + statement(row("a", more="<NAME>&i;")))
    with pytest.raises(InvalidValue):
        read_bytes(Ofx(), b'<!DOCTYPE OFX SYSTEM "file:///etc/passwd">' + statement())
    assert transactions(statement(row("a", more="<NAME>&i;")))[0].name == "&i;"


def test_half_a_file() -> None:
    """A file cut in the middle gives what is whole, and says that a part is missing."""
    data = statement(*(row(str(n)) for n in range(10)))
    items = read_bytes(Ofx(), data[:data.index(b"<FITID>7")])
    found = records(items)
    assert [given(r) for r in found if isinstance(r, Transaction)] == [str(n) for n in range(7)]
    assert isinstance(found[-1], Account)
    assert [reason for _, reason in rejects(items)] == [
        "<STMTTRN>: the file ends inside it", "the file ends before </OFX>: a part may be missing"]


def test_an_end_tag_missing() -> None:
    """A transaction without its end tag is rejected; the next one is whole."""
    items = read_bytes(Ofx(), statement(row("a"), row("b").replace("</STMTTRN>", ""), row("c")))
    assert [given(r) for r in records(items) if isinstance(r, Transaction)] == ["a", "c"]
    assert rejects(items) == [(3, "<STMTTRN>: its end tag </STMTTRN> is missing")]


def test_tags_that_do_not_match() -> None:
    """Crossed or unbalanced tags in one transaction cost that transaction only."""
    items = read_bytes(Ofx(), statement(row("a"), row("b", more="</MEMO></X></Y></Z></W>"), row("c")))
    assert [given(r) for r in records(items) if isinstance(r, Transaction)] == ["a", "c"]
    assert [line for line, _ in rejects(items)] == [3]


def test_trades_are_reported() -> None:
    """A broker's trade is a reject with its line, not silence."""
    trade = "<BUYSTOCK><INVBUY><INVTRAN><FITID>9<DTTRADE>20240101</INVTRAN></INVBUY></BUYSTOCK>"
    items = read_bytes(Ofx(), statement(row("a"), trade))
    assert len(records(items)) == 2
    assert [line for line, _ in rejects(items)] == [3]


def test_a_brokers_cash_is_what_is_available() -> None:
    """The cash of a broker's account is shown as available; cash that is no number is a reject with its line."""
    items = read_bytes(Ofx(), b"<OFX><INVSTMTRS><CURDEF>EUR<INVACCTFROM><BROKERID>B<ACCTID>1</INVACCTFROM>"
                       b"<AVAILCASH>5.20\n<AVAILCASH>much</INVSTMTRS></OFX>")
    (account,) = records(items)
    assert isinstance(account, Account) and (account.available, account.currency) == (Decimal("5.20"), "EUR")
    assert rejects(items) == [(2, "the amount is not a plain number")]


def test_transactions_without_account() -> None:
    """A transaction outside any account's statement is rejected; a currency and cash there are nobody's."""
    items = read_bytes(Ofx(), b"<OFX><CURDEF>EUR<AVAILCASH>5\n" + row().encode()
                       + b"<INVSTMTRS><AVAILCASH>5</INVSTMTRS></OFX>")
    assert rejects(items) == [(2, "the transaction belongs to no account")]
    assert not records(items)


def test_a_transaction_whose_beginning_is_damaged_is_told() -> None:
    """One letter of its tag is wrong: it is not read, and that is said with the line."""
    items = read_bytes(Ofx(), statement(row("1"), row("2").replace("<STMTTRN>", "<STMTTRM>"), row("3")))
    assert [one.reference[0] for one in records(items) if isinstance(one, Transaction)] == ["1", "3"]
    ((line, reason),) = rejects(items)
    assert (line, "begins nowhere" in reason) == (3, True)


def test_cards_of_two_issuers_that_are_masked_alike_are_two() -> None:
    """Of a masked number the issuer's name is a part of the account, and of what its rows are told by; a whole number
    is one card, whoever says it."""
    def told(number: str) -> set[str]:
        made = [(f"<OFX><SONRS><FI><ORG>{issuer}<FID>1</FI></SONRS><CCSTMTRS><CURDEF>EUR<CCACCTFROM><ACCTID>{number}"
                 f"</CCACCTFROM><BANKTRANLIST>{row()}</BANKTRANLIST></CCSTMTRS></OFX>").encode() for issuer in "AB"]
        return {repr(identity_of(one)) for data in made
                for one in records(read_bytes(Ofx(), data)) if isinstance(one, Account | Transaction)}

    assert len(told("XXXXXXXXXXXX1234")) == 4
    assert len(told("4000 1234 1234 1234")) == 2


def test_not_ofx() -> None:
    """Something without the root element is no OFX, nor is a page that tells of it."""
    assert not Ofx().recognise(b"<html>A file begins with <OFX></html>", "help.html")
    with pytest.raises(InvalidValue, match="holds no OFX"):
        read_bytes(Ofx(), b"<html><b>hello</b></html>")


@pytest.mark.parametrize("filling", [
    b"<" * 500_000, b"<A>" * 150_000, b"x" * 4_000_000, b"<!--" * 200_000, b"\n" * 2_000_000,
    b"<NAME>" + b"&amp;" * 500_000,
    *(pytest.param(filling, marks=pytest.mark.slow) for filling in (
        b"<![CDATA[" * 100_000, b"<A" * 200_000, b"</A>" * 150_000, b"<STMTTRN>" * 50_000,
        b"<STATUS>" * 60_000 + b"</STATUS>" * 60_000)),
], ids=lambda value: value[:9].decode().strip() or "newlines")
def test_hostile_filling_is_bounded(filling: bytes) -> None:
    """Megabytes of one pattern inside a transaction end soon; what stands around it is read."""
    data = statement(row("a"), row("b", more="<MEMO>").replace("</STMTTRN>", "")).replace(
        b"</BANKTRANLIST>", filling + b"</STMTTRN>]]>-->\n" + row("z").encode() + b"</BANKTRANLIST>")
    items = read_bytes(Ofx(), data)
    references = [given(r) for r in records(items) if isinstance(r, Transaction)]
    assert references[0] == "a" and references[-1] == "z"
    shown = [item.text for item in items if isinstance(item, Reject)]
    assert all(len(text) <= 120 and text.isprintable() for text in shown)


def test_deep_nesting_is_no_recursion() -> None:
    """Tags nested ten thousand deep inside one transaction are rejected or read, never a crash."""
    data = statement(row("a", more="<X>" * 10_000), row("b"))
    assert [given(t) for t in transactions(data)][-1] == "b"
