"""Statements of banks, and the receipts of a pilot."""

from io import BytesIO
from typing import Final

from benchmarks.exports.case import DATA, Case

__all__ = ("CASES",)


# --- camt ---------------------------------------------------------------------------------------

_ENTRIES: Final = 5_000


def _camt() -> bytes:
    text = (DATA / "bank-camt053" / "camt053.v3.xml").read_text(encoding="utf-8")
    begin, end = text.index("            <Ntry>"), text.index("            <AddtlStmtInf>")
    entry = text[begin:end]
    entries = [entry.replace("EUR</AcctSvcrRef>", f"{at}</AcctSvcrRef>") for at in range(_ENTRIES)]
    return (text[:begin] + "".join(entries) + text[end:]).encode()


def _bare_camt(data: bytes) -> int:
    from decimal import Decimal
    from xml.etree.ElementTree import iterparse

    details = "{*}NtryDtls/{*}TxDtls/"
    rows = []
    for _, entry in iterparse(BytesIO(data)):
        if entry.tag.endswith("}Ntry"):
            amount = entry.find("{*}Amt")
            rows.append((None if amount is None else Decimal(amount.text or ""), entry.findtext("{*}CdtDbtInd"),
                         entry.findtext("{*}BookgDt/{*}Dt"), entry.findtext("{*}AcctSvcrRef"),
                         entry.findtext(details + "{*}RltdPties/{*}Dbtr/{*}Nm"),
                         entry.findtext(details + "{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref")))
            entry.clear()
    return len(rows)


# --- mt940 --------------------------------------------------------------------------------------

_STATEMENTS: Final = 40
_LINES: Final = 97
"""Transactions of the largest real file."""


def _mt940() -> bytes:
    text = (DATA / "bank-mt940" / "sepa_mt9401-betterplace.sta").read_bytes()
    # Each copy in a year of its own: banks don't book a line forty times.
    return b"".join(text.replace(b":61:07", b":61:%02d" % (at + 1)) for at in range(_STATEMENTS))


def _bare_mt940(data: bytes) -> int:
    import mt940

    return len([(one.data["date"], one.data["amount"].amount, one.data.get("bank_reference"), one.data.get("purpose"))
                for one in mt940.parse(data.decode())])


# --- caisse-epargne -----------------------------------------------------------------------------

_LINES_CSV: Final = 20_000


def _caisse_epargne() -> bytes:
    head, *rows = (DATA / "bank-csv-fr" / "caisse_epargne.csv").read_text(encoding="utf-8").splitlines()
    return "\r\n".join([head, *(rows[at % len(rows)].replace("ACHAT", f"ACHAT {at}")
                                 for at in range(_LINES_CSV))]).encode()


def _bare_csv(data: bytes) -> int:
    import csv
    from datetime import datetime
    from decimal import Decimal

    rows = csv.DictReader(data.decode().splitlines(), delimiter=";")
    return len([(datetime.strptime(row["Date de comptabilisation"], "%d/%m/%Y").date(),
                 Decimal(row["Debit"] or row["Credit"]), row["Libelle operation"], row["Reference"]) for row in rows])


# --- mesinfos -----------------------------------------------------------------------------------

_COPIES: Final = 60
_OPERATIONS: Final = 167
"""Operations of the real file whose day exists."""


def _mesinfos() -> bytes:
    text = (DATA / "bank-mesinfos" / "bank.json").read_text(encoding="utf-8").strip()[1:-1]
    return ("[" + ",".join(text.replace("CARTE", f"CARTE {at}") for at in range(_COPIES)) + "]").encode()


def _bare_ijson(data: bytes) -> int:
    from datetime import date
    from decimal import Decimal

    import ijson

    rows = []
    for one in ijson.items(BytesIO(data), "item"):
        if one["docType"] == "BankOperation":
            try:
                rows.append((one["bankAcount"], date.fromisoformat(one["date"][:10]), Decimal(one["amount"]),
                             one["raw"], one["title"]))
            except ValueError:
                continue  # 30 February
    return len(rows)


# --- ofx ----------------------------------------------------------------------------------------

_PAYMENTS: Final = 3_000


def _ofx() -> bytes:
    text = (DATA / "bank-ofx" / "checking.ofx").read_text(encoding="ascii")
    # The library alone takes no bank's number that is as long as this one, and warns of tags that are not OFX's own.
    text = text.replace("5472369148", "547236914").replace("<INTU.BID>51123", "").replace("<INTU.USERID>9774652", "")
    begin, end = text.index("\t\t\t\t\t<STMTTRN>"), text.index("</STMTTRN>") + len("</STMTTRN>\n")
    row = text[begin:end]
    rows = "".join(row.replace("0000486", f"{at:07d}") for at in range(_PAYMENTS))
    return (text[:begin] + rows + text[text.rindex("</STMTTRN>") + len("</STMTTRN>\n"):]).encode()


def _bare_ofx(data: bytes) -> int:
    from ofxtools import OFXTree

    tree = OFXTree()
    tree.parse(BytesIO(data))
    return len([(one.fitid, one.dtposted, one.trnamt, one.name, one.memo)
                for one in tree.convert().statements[0].transactions])


CASES: Final = (
    Case("camt", f"{_ENTRIES:,} entries of an ISO 20022 statement, 20 MB", "the standard library's `iterparse`, each "
         "entry found and cleared, six of its fields taken", _camt, _ENTRIES, _bare_camt),
    Case("mt940", f"{_STATEMENTS * _LINES:,} lines of SEPA statements in MT940", "`mt-940` reading the file whole, "
         "four fields taken", _mt940, _STATEMENTS * _LINES, _bare_mt940),
    Case("caisse-epargne", f"{_LINES_CSV:,} lines of an account in CSV", "the standard library's `csv.DictReader`, "
         "day and amount converted", _caisse_epargne, _LINES_CSV, _bare_csv),
    Case("mesinfos", f"{_COPIES * _OPERATIONS:,} bank operations of the MesInfos pilot in JSON", "`ijson.items` (yajl, "
         "in C), day and amount converted, five fields taken", _mesinfos, _COPIES * _OPERATIONS, _bare_ijson),
    Case("ofx", f"{_PAYMENTS:,} transactions of an account in OFX 1", "`ofxtools` reading and converting the file "
         "whole, five fields taken", _ofx, _PAYMENTS, _bare_ofx),
)
