"""The MesInfos pilot's files, exactly; and what broken or hostile ones give."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from chez.connectors import read
from chez.connectors.mesinfos import MesInfos
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Account, Receipt, ReceiptLine, Transaction, Viewing
from tests.connectors.support import MESINFOS, read_bytes, records, rejects

BANK, RECEIPTS, VIDEOS = MESINFOS
OPERATION = {"docType": "BankOperation", "bankAcount": "1", "raw": "SHOP 1", "title": "Shop", "amount": -1.5,
             "date": "2014-01-31T00:00:00.000Z"}
VIDEO = {"docType": "VideoOnDemand", "origin": "Orange", "timestamp": "2014-01-31T22:00:00.000Z", "videoId": "V",
         "orderId": "1", "price": 2.99, "currency": "EUR", "status": "Y"}


def given(*documents: Any) -> bytes:
    """A file of these documents, one a line."""
    return ("[\n" + ",\n".join(one if isinstance(one, str) else json.dumps(one) for one in documents) + "\n]").encode()


def test_the_bank() -> None:
    """168 operations of which one is of 30 February, and two accounts, found again by numbers that lack a zero."""
    items = list(read(BANK))
    rows = [one for one in records(items) if isinstance(one, Transaction)]
    accounts = [one for one in records(items) if isinstance(one, Account)]
    ((line, reason),) = rejects(items)
    assert (len(rows), reason) == (167, "there is no such day")
    assert "2014-02-30" in "".join(BANK.read_text().splitlines()[line - 1:line + 7])
    assert [(one.number, one.kind) for one in accounts] == [("1234567890", "checking"), ("0987654321", "savings")]
    assert {one.account for one in rows} == {f"mesinfos/{one.number}" for one in accounts}
    assert len({identity_of(one) for one in rows}) == 167
    first = rows[0]
    assert (first.posted, first.amount, first.name, first.kind) == (date(2013, 3, 1), -40, "CIC PARIS NATION", "debit")
    assert sum(one.amount for one in rows) == sum(
        Decimal(str(one["amount"])) for one in json.loads(BANK.read_text()) if one["docType"] == "BankOperation"
        and "02-30" not in one["date"])


def test_the_receipts() -> None:
    """Seven receipts and their 186 lines; price times quantity is what the receipt was without reductions."""
    items = list(read(RECEIPTS))
    receipts = [one for one in records(items) if isinstance(one, Receipt)]
    lines = [one for one in records(items) if isinstance(one, ReceiptLine)]
    assert (len(receipts), len(lines), rejects(items)) == (7, 186, [])
    assert len({identity_of(one) for one in lines}) == 186 and len({identity_of(one) for one in receipts}) == 7
    receipt = receipts[1]
    assert receipt == Receipt(seller="Intermarché", reference="4094573", at=datetime(2013, 9, 4, 6, 57, 59, tzinfo=UTC),
                              total=Decimal("30.99"), currency="EUR", full=Decimal("41.21"), points=Decimal("0.45"),
                              articles=19, shop="6761")
    mine = [one for one in lines if one.receipt == receipt.reference]
    assert sum((one.price or 0) * (one.quantity or 0) for one in mine) == receipt.full
    assert lines[0].label and lines[0].barcode.isdigit() and {one.kind for one in lines} == {"article"}


def test_video_on_demand() -> None:
    """25 films, each under the number of its order."""
    items = list(read(VIDEOS))
    found = records(items)
    assert (len(found), rejects(items)) == (25, [])
    assert len({identity_of(one) for one in found if isinstance(one, Viewing)}) == 25
    assert found[0] == Viewing(service="Orange", reference="566045905822271000", work="GOSSIPGX305W0072689V",
                               status="Y", at=datetime(2013, 6, 30, 22, 0, 15, tzinfo=UTC), kind="video",
                               price=Decimal("2.99"), currency="EUR")


def test_overlapping_exports_merge() -> None:
    """Equal operations of a day are told apart, and stay so in another export, whatever the bank's short titles."""
    other = {**OPERATION, "raw": "SHOP 2"}
    first = records(read_bytes(MesInfos(), given(OPERATION, other, OPERATION)))
    later = records(read_bytes(MesInfos(), given(other, {**OPERATION, "title": "?"}, {**OPERATION, "amount": -1.50})))
    names = [{one.reference for one in found if isinstance(one, Transaction)} for found in (first, later)]
    assert names[0] == names[1] and len(names[0]) == 3


@pytest.mark.parametrize(("bad", "reason"), [
    ({**OPERATION, "amount": "x"}, "Invalid decimal"), ({**OPERATION, "date": "31/01/2014"}, "not like 2024-01-31"),
    (json.dumps(OPERATION).replace("-1.5", "1e999999999"), "not a plain number"),
    ({**OPERATION, "amount": "NaN"}, "not a plain number"), ({**OPERATION, "bankAcount": ""}, "is empty"),
    ({**VIDEO, "timestamp": "2014-01-31T22:00:00"}, "no time zone"),
    ({**VIDEO, "timestamp": "0001-01-01T00:00:00Z"}, "the year is not between"),
    ({**VIDEO, "orderId": ""}, "is empty"), ({"docType": "PhoneCommunicationLog"}, "nothing that is read here"),
    ({"docType": "\x1b[2J"}, "nothing that is read here"), ({}, "missing required field"), ("{tru}", "nothing that is"),
    ('{"a":' * 70 + "1" + "}" * 70, "deeper"), ({**OPERATION, "raw": "x" * 70_000}, "longer"),
], ids=range(14))
def test_a_bad_document_costs_itself(bad: Any, reason: str) -> None:
    """A document of another kind, or with a field that can't be, is one reject with its line; others are read."""
    items = read_bytes(MesInfos(), given(OPERATION, bad, VIDEO))
    assert [type(one) for one in records(items)] == [Transaction, Viewing]
    ((line, told),) = rejects(items)
    assert line == 3 and reason in told and told.isprintable()


def test_what_is_no_export_of_the_pilot() -> None:
    """A file without documents is refused, and lists of other things are not recognised."""
    for data in (b"[]", b"{}", b"hello", b"[1, 2]"):
        with pytest.raises(InvalidValue, match="holds no document"):
            read_bytes(MesInfos(), data)
    for head in (b'[{"a": 1}]', b'{"docType": "BankOperation"}', b'[{"docType": "Geolocation"}]', b"[" * 5000):
        assert not MesInfos().recognise(head, "x.json")
