"""What of last month's purchases an insurer's contracts cover, as claims that only lack their receipts.

A receipt belongs to the first contract, by its first day, of a kind that covers a line of it, that held
on its day, in its currency. Each contract has one claim a month: its lines, but no more than was paid,
less the excess, up to what is left of the ceiling. A receipt that a filed claim names is not claimed
again, whatever became of it. Amounts are decimal text and are added exactly.
"""

import json
from decimal import Decimal


def run(data, params):
    """Euros and receipts of each kind of cover; the device rounds them."""
    contracts = sorted(data.rows("contracts"), key=lambda one: (one["start"] or "", one["reference"]))
    if not contracts:
        data.fail("not-applicable", "no contract with this insurer")
    filed = [claim for claim in data.rows("claims") if claim["status"] != "draft"]
    claimed = {name for claim in filed for name in json.loads(claim["receipts"] or "[]")}
    lines = {}
    for line in data.rows("receipt_lines"):
        lines.setdefault((line["seller"], line["receipt"]), []).append(line)

    sums = {one["reference"]: [] for one in contracts}    # by contract: what each receipt comes to
    for receipt in data.rows("receipts"):
        name = f"{receipt['seller']}/{receipt['reference']}"
        if name in claimed or receipt["currency"] != params["currency"]:
            continue
        of = lines.get((receipt["seller"], receipt["reference"]), [])
        for contract in contracts:
            covered = cost(of, params["covers"].get(contract["kind"], {}).get("sections", []))
            if covered > 0 and holds(contract, receipt):
                sums[contract["reference"]].append(min(covered, Decimal(receipt["total"])))
                data.log(name, "falls under", contract["reference"])
                break

    told = {}
    for kind in params["covers"].values():
        told |= {kind["key"]: 0, f"{kind['key']}_receipts": 0}
    for contract in contracts:
        found = sums[contract["reference"]]
        euros = min(sum(found) - Decimal(contract["excess"] or 0), left(contract, filed))
        if found and euros > 0:
            key = params["covers"][contract["kind"]]["key"]
            told[key] += euros
            told[f"{key}_receipts"] += len(found)
    data.log({key: str(value) for key, value in told.items()})
    return {key: min(12, value) if key.endswith("_receipts") else float(min(1000, value))
            for key, value in told.items()}


def cost(lines, sections):
    """What lines of these sections of a shop come to, reductions taken off."""
    return sum((Decimal(line["price"]) * Decimal(line["quantity"] or 1) for line in lines
                if line["section"] in sections and line["price"] is not None), Decimal(0))


def holds(contract, receipt):
    """Whether a contract held on the day of a receipt, in its currency."""
    day = receipt["at"][:10]
    return (contract["currency"] == receipt["currency"] and (contract["start"] or "") <= day
            and (contract["end"] is None or day <= contract["end"]))


def left(contract, filed):
    """What the contract may still pay."""
    if contract["ceiling"] is None:
        return Decimal("Infinity")
    used = sum((Decimal(claim["paid"] or claim["claimed"] or 0) for claim in filed
                if claim["contract"] == contract["reference"] and claim["status"] != "refused"), Decimal(0))
    return Decimal(contract["ceiling"]) - used
