"""Caisse d'Épargne's lines: the real file, exactly; and what broken or hostile ones give."""

from datetime import date
from decimal import Decimal

import pytest

from chez.connectors import read
from chez.connectors.caisse_epargne import CaisseEpargne
from chez.errors import InvalidValue
from chez.vocabulary import Transaction
from tests.connectors.support import CAISSE_EPARGNE, read_bytes, records, rejects

HEAD = CAISSE_EPARGNE.read_bytes().splitlines()[0].decode()


def line(out: str = "-1.5", into: str = "", day: str = "17/4/2020", whole: str = "CB SHOP", name: str = "",
         reference: str = "", more: str = "", category: str = "", type: str = "", ticked: str = "0") -> str:
    """One line of an account."""
    return f"{day};{name};{whole};{reference};{more};{type};{category};;{out};{into};16/4/2020;{day};{ticked}"


def transactions(*lines: str, head: str = HEAD) -> list[Transaction]:
    """What these lines give."""
    found = records(read_bytes(CaisseEpargne(), "\r\n".join([head, *lines]).encode()))
    return [record for record in found if isinstance(record, Transaction)]


def test_the_real_file() -> None:
    """Seven lines, each with its day, signed amount, name and kind, and a reference of its own; no rejects."""
    items = list(read(CAISSE_EPARGNE))
    rows = [record for record in records(items) if isinstance(record, Transaction)]
    assert rejects(items) == [] and len({row.reference for row in rows}) == 7
    assert [(row.posted, row.amount, row.name, row.kind) for row in rows] == [
        (date(2020, 4, 17), Decimal("-14.9"), "Deb", "debit"), (date(2020, 4, 17), Decimal("4.4"), "Cre", "credit"),
        (date(2020, 4, 20), Decimal(24), "VIR SEPA ENTRANT", "xfer"),
        (date(2020, 4, 21), Decimal("-63.43"), "CB ACHAT 1", "pos"),
        (date(2020, 4, 22), Decimal("-63.11"), "CB ACHAT 2", "pos"),
        (date(2020, 4, 27), Decimal(-20), "PRLV Prlvt 1", "directdebit"),
        (date(2020, 5, 15), Decimal("-7.32"), "CB ACHAT 3", "pos")]
    assert {(row.account, row.currency) for row in rows} == {("caisse-epargne/", "EUR")}
    assert rows[0].memo == "* OP DEBIT BANQUE" and rows[0].initiated == date(2020, 4, 17)


def test_overlapping_exports_merge() -> None:
    """Equal lines of a day are told apart and stay so; what the person did in the app makes no other line."""
    first = transactions(line(day="16/4/2020"), line(), line(whole="CB BAR"), line())
    later = transactions(line(category="food", ticked="1", name="Shop"), line(whole="CB BAR"), line("-1.50"), line("2"))
    assert len({row.reference for row in first}) == 4
    assert {row.reference for row in first[1:]} == {row.reference for row in later[:3]}
    assert later[0].name == "Shop" and later[0].memo == "CB SHOP"


def test_a_reference_of_the_bank() -> None:
    """Where the bank gives one, it and day and amount say which line it is, whatever the texts."""
    (one,), (other,) = transactions(line(reference="R1")), transactions(line(reference="R1", whole="anything"))
    assert one.reference == other.reference == "R1:2020-04-17:-1.5"


def test_amounts_and_texts() -> None:
    """Points and commas, signs or none; quotes keep a semicolon; accents in the header don't matter."""
    accents = HEAD.replace("Libelle", "Libellé").replace("operation", "opération").replace("Debit", "Débit")
    rows = transactions(line("14,90"), line("-14.90"), line("", "+4,4"), line(whole='"a;b ""c"""'), line(more="café"),
                        head="\ufeff" + accents)
    assert [row.amount for row in rows[:3]] == [Decimal("-14.9"), Decimal("-14.9"), Decimal("4.4")]
    assert (rows[3].name, rows[4].memo) == ('a;b "c"', "café")
    assert [row.kind for row in transactions(line(type="Carte bancaire"), line(type="Virement recu"),
                                             line(type="Chèque émis"), line(whole="x"))] == [
        "pos", "xfer", "check", "debit"]


@pytest.mark.parametrize(("bad", "reason"), [
    (line("-1", "2"), "not one amount"), (line(""), "not one amount"), (line("1e3"), "not a plain number"),
    (line("", "-2"), "the credit is negative"), (line(day="30/2/2020"), "no such day"),
    (line(day="2020-04-17"), "not like 31/1/2024"), (line() + ";;", "15 columns instead of 13"), ("x", "1 columns"),
    (line(day="1/1/0001"), "the year is not between"), (line(whole='"x\x00'), "columns instead"),
    (line(whole='"x\ry"z\r'), "quotes"),
])
def test_a_bad_line_costs_itself(bad: str, reason: str) -> None:
    """A line with no amount, two, or no day is one reject with its number; the others are read."""
    items = read_bytes(CaisseEpargne(), "\n".join([HEAD, line("1"), bad, line("2")]).encode())
    assert [record.amount for record in records(items) if isinstance(record, Transaction)] == [-1, -2]
    ((number, told),) = rejects(items)
    assert number == 3 and reason in told


@pytest.mark.parametrize("head", [
    "", "a;b;c", HEAD.replace("Debit", "Solde"), HEAD.replace("Categorie", "Debit"), HEAD.replace(";", ",")])
def test_another_header_is_refused(head: str) -> None:
    """A table without the bank's columns, or with one of them twice, is not read at all."""
    with pytest.raises(InvalidValue, match="header"):
        transactions(line(), head=head)
