"""Where my money goes: what left the accounts by month and kind, and what till receipts say was in it.

A receipt belongs to the bank line of its amount that was booked from a day before to five days after
it, the nearest first, and a line has one receipt at most. Its amount is its total, or what it was
before reductions: tills take loyalty money off after the card has paid. So a line that says only
"INTERMARCHE" becomes cheese, fruit and soap.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from examples.apps.start import Page, command
from examples.apps.svg import COLOURS, Series, bars

import chez
from chez.vocabulary import Receipt, ReceiptLine, Transaction

KINDS = {"transfers": ("VIR ",), "cash": ("RETRAIT",), "groceries": ("INTERMARCHE", "LIDL", "CARREFOUR", "MONOPRIX"),
         "transport": ("SNCF", "RATP"), "phone": ("MOBILE", "ORANGE", "SFR")}
"""A line is of the first kind one of whose words stands in its name or memo."""

Spent = dict[str, Counter[str]]
"""Cents by month and kind."""


async def look(home: chez.Home, currency: str = "EUR") -> Page:
    """What a home's bank lines in one currency, and its receipts, come to."""
    lines = [one.value async for one in home.collection(Transaction).where(currency=currency)]
    receipts = [one.value async for one in home.collection(Receipt).where(currency=currency)]
    articles = [one.value async for one in home.collection(ReceiptLine)]
    out = sorted((one for one in lines if one.amount < 0), key=lambda one: (one.posted, one.reference))
    spent: Spent = defaultdict(Counter)
    for line in out:
        spent[f"{line.posted:%Y-%m}"][kind(line)] += round(-100 * line.amount)
    found = matched(out, receipts)
    bought, unsaid = sections(found, articles)
    return Page(text(spent, currency, len(receipts), found, bought, unsaid), picture(spent, currency))


def kind(line: Transaction) -> str:
    """What a line was spent on, by its words."""
    said = f"{line.name} {line.memo}".upper()
    return next((name for name, words in KINDS.items() if any(word in said for word in words)), "other")


def matched(lines: Sequence[Transaction], receipts: Iterable[Receipt]) -> list[tuple[Receipt, Decimal]]:
    """The receipts that have a bank line, with what was paid."""
    free = list(lines)
    found = []
    for receipt in sorted(receipts, key=lambda one: (one.at, one.reference)):
        near = [(abs(days), place) for place, line in enumerate(free) if -line.amount in (receipt.total, receipt.full)
                and -1 <= (days := (line.posted - receipt.at.date()).days) <= 5]
        if near:
            found.append((receipt, -free.pop(min(near)[1]).amount))
    return found


def sections(found: Iterable[tuple[Receipt, Decimal]], articles: Iterable[ReceiptLine]) -> tuple[Counter[str], Decimal]:
    """Cents by section of the shop, and what was paid beyond the articles."""
    of: dict[tuple[str, str], list[ReceiptLine]] = defaultdict(list)
    for article in articles:
        of[article.seller, article.receipt].append(article)
    bought: Counter[str] = Counter()
    unsaid = Decimal(0)
    for receipt, paid in found:
        # Lines of the MesInfos pilot name most receipts without their last digit.
        whole, cut = (receipt.seller, receipt.reference), (receipt.seller, receipt.reference[:-1])
        unsaid += paid
        for article in of.get(whole) or of.get(cut, []):
            price = (article.price or Decimal(0)) * (1 if article.quantity is None else article.quantity)
            bought[article.section or "?"] += round(100 * price)
            unsaid -= price
    return bought, unsaid


def text(spent: Spent, currency: str, receipts: int, found: Sequence[tuple[Receipt, Decimal]],
         bought: Counter[str], unsaid: Decimal) -> str:
    """A table of months, and one of what was in the baskets."""
    kinds = [*KINDS, "other"]
    rows = [f"Spent, {currency}  " + "".join(f"{name:>11}" for name in kinds)]
    for month, cents in sorted(spent.items()):
        rows.append(f"{month:12}" + "".join(f"{cents[name] / 100:11.2f}" for name in kinds))
    total = sum((paid for _, paid in found), Decimal(0))
    rows += ["", f"{len(found)} of {receipts} receipts are in the bank's lines: {total:.2f}, of which"]
    rows += [f"{cents / 100:9.2f}  {section}" for section, cents in
             sorted(bought.items(), key=lambda one: (-one[1], one[0]))]
    return "\n".join([*rows, f"{unsaid:9.2f}  beyond what the articles say"])


def picture(spent: Spent, currency: str) -> str:
    """A bar for each month, a colour for each kind."""
    months = sorted(spent)
    series = [Series(name, COLOURS[place], [spent[month][name] / 100 for month in months])
              for place, name in enumerate([*KINDS, "other"])]
    return bars("Where my money goes", [month[2:] for month in months], series, currency)


if __name__ == "__main__":
    command(look)()
