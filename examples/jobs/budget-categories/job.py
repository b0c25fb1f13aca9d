"""What a month cost by kind of spending, by rules that stand in the manifest.

Amounts are decimal text and are added exactly. Only what went out counts: a salary would
hide what was spent, and so would a purchase that was given back in another month.
"""

import re
from decimal import Decimal


def run(data, params):
    """Euros spent of each kind; the device rounds them."""
    rules = [(kind, {word.lower() for word in params["words"][kind]}) for kind in params["order"]]
    spent = dict.fromkeys([*params["order"], "other"], Decimal(0))
    count = 0
    for row in data.rows("transactions"):
        count += 1
        amount = Decimal(row["amount"])
        if amount < 0:
            spent[kind_of(f"{row['name'] or ''} {row['memo'] or ''}", rules)] -= amount
    if not count:
        data.fail("not-enough-data", "no line of a statement in the month")
    data.log(count, "lines:", {kind: str(euros) for kind, euros in spent.items()})
    return {kind: float(min(2000, euros)) for kind, euros in spent.items()}


def kind_of(text, rules):
    """The first kind one of whose words stands in a text, or "other"."""
    words = set(re.findall(r"\w+", text.lower()))
    return next((kind for kind, wanted in rules if words & wanted), "other")
