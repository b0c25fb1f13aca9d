"""Made-up people: what four organisations hold of each, and the ways of their own phone, from a seed alone.

Every text is of one person and one source, where the world allows it (a supermarket's name does not), so that it can be
looked for wherever it should not be. Nothing happens at
the full or half hour, when meters measure.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

from examples.pilot.plan import Plan

__all__ = ("OWN", "SOURCES", "Records", "life")

Records = list[tuple[str, dict[str, Any]]]
"""Records with the collections that they are of."""

OWN: Final = "phone"
"""The source of what nobody gave the person: their own."""

SOURCES: Final = ("bank", "insurer", "energy", "shop", OWN)

_ZONE: Final = ZoneInfo("Europe/Paris")
_SHOPS: Final = ("CARREFOUR", "LIDL", "MONOPRIX", "SNCF", "RATP", "TOTAL", "ORANGE", "BOULANGERIE", "LIBRAIRIE",
                 "CINEMA")
_SECTIONS: Final = ("EPICERIE", "CREMERIE LS", "FRUITS", "BAZAR", "PHARMACIE", "OPTIQUE", "REPARATION")


def life(plan: Plan, number: int, source: str) -> Records:
    """What a source has of a person: the same for the same plan, number and source."""
    return list(_MAKERS[source](Random(f"{plan.seed} {number} {source}"), plan.month))


def _code(draw: Random, prefix: str) -> str:
    return f"{prefix}-{draw.getrandbits(48):012x}"


def _euros(draw: Random, low: float, high: float) -> str:
    return f"{draw.uniform(low, high):.2f}"


def _day(draw: Random, month: date) -> date:
    return month + timedelta(days=draw.randrange(28))


def _instant(draw: Random, month: date) -> str:
    return f"{_day(draw, month)}T{draw.randint(7, 19):02}:{draw.randint(1, 29):02}:00Z"


def _bank(draw: Random, month: date) -> Iterator[tuple[str, dict[str, Any]]]:
    iban = f"FR76{draw.randrange(10**23):023}"
    yield "accounts", {"institution": "", "number": iban, "kind": "checking", "currency": "EUR",
                       "organisation": "Banque Exemple", "balance": _euros(draw, -200, 4000)}
    for _ in range(draw.randint(30, 60)):
        day = _day(draw, month)
        yield "transactions", {
            "account": f"/{iban}", "reference": _code(draw, "op"), "posted": day.isoformat(), "currency": "EUR",
            "kind": "pos", "amount": "-" + _euros(draw, 2, 120),
            "name": f"CARTE {draw.choice(_SHOPS)} {_code(draw, 'TPE')}", "memo": ""}
    yield "transactions", {
        "account": f"/{iban}", "reference": _code(draw, "op"), "posted": month.isoformat(), "currency": "EUR",
        "kind": "credit", "amount": _euros(draw, 1400, 3200), "name": f"SALAIRE {_code(draw, 'EMPL')}", "memo": ""}


def _insurer(draw: Random, month: date) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("health-insurance", "device-insurance")[: draw.randint(1, 2)]:
        contract = _code(draw, "contrat")
        yield "contracts", {
            "provider": "Mutuelle Exemple", "reference": contract, "kind": kind, "start": f"{month.year - 2}-01-01",
            "price": _euros(draw, 6, 60), "period": "P1M", "currency": "EUR", "ceiling": "600", "excess": "15"}
        for _ in range(draw.randint(0, 2)):
            yield "claims", {
                "insurer": "Mutuelle Exemple", "reference": _code(draw, "sinistre"), "contract": contract,
                "kind": "treatment", "filed": _day(draw, month).isoformat(), "status": "paid",
                "claimed": _euros(draw, 20, 90), "paid": _euros(draw, 10, 20), "currency": "EUR",
                "description": f"dossier {_code(draw, 'acte')}"}


def _energy(draw: Random, month: date) -> Iterator[tuple[str, dict[str, Any]]]:
    meter = f"{draw.randrange(10**13, 10**14)}"
    yield "contracts", {
        "provider": "Energie Exemple", "reference": _code(draw, "edl"), "kind": "electricity", "subject": meter,
        "start": f"{month.year - 1}-03-01", "price": _euros(draw, 20, 140), "period": "P1M", "currency": "EUR"}
    standby, day = draw.randint(40, 250), draw.randint(200, 900)
    at = datetime(month.year, month.month, 1, tzinfo=_ZONE).astimezone(UTC)
    end = datetime.combine(month + timedelta(days=32), datetime.min.time()).replace(day=1, tzinfo=_ZONE).astimezone(UTC)
    while at < end:
        local = at.astimezone(_ZONE)
        watts = standby + (draw.randrange(day) if local.hour >= 6 else draw.randrange(20))
        offset = local.utcoffset() or timedelta()
        yield "readings", {
            "meter": meter, "flow": "consumption", "start": f"{at:%Y-%m-%dT%H:%M:%SZ}", "seconds": 1800,
            "watts": watts, "local": f"{local:%Y-%m-%dT%H:%M}", "offset": int(offset.total_seconds()) // 60}
        at += timedelta(minutes=30)


def _shop(draw: Random, month: date) -> Iterator[tuple[str, dict[str, Any]]]:
    for _ in range(draw.randint(5, 10)):
        receipt, at = _code(draw, "ticket"), _instant(draw, month)
        prices = [round(draw.uniform(0.8, 40), 2) for _ in range(draw.randint(2, 8))]
        yield "receipts", {"seller": "Supermarché Exemple", "reference": receipt, "at": at, "currency": "EUR",
                           "total": f"{sum(prices):.2f}", "articles": len(prices)}
        for place, price in enumerate(prices, 1):
            yield "receipt_lines", {
                "seller": "Supermarché Exemple", "receipt": receipt, "number": place, "at": at, "quantity": "1",
                "label": f"ARTICLE {_code(draw, 'ref')}", "price": f"{price:.2f}", "currency": "EUR",
                "section": draw.choice(_SECTIONS)}


def _phone(draw: Random, month: date) -> Iterator[tuple[str, dict[str, Any]]]:
    for _ in range(draw.randint(12, 30)):
        south, west = draw.uniform(45.735, 45.775), draw.uniform(4.82, 4.88)
        yield "trips", {
            "service": "phone", "reference": _code(draw, "trajet"), "start": _instant(draw, month),
            "mode": draw.choice(("car", "car", "bus", "walking")), "metres": draw.randint(800, 6500),
            "from_latitude": round(south, 5), "from_longitude": round(west, 5),
            "to_latitude": round(south + draw.uniform(-0.02, 0.02), 5),
            "to_longitude": round(west + draw.uniform(-0.02, 0.02), 5)}


_MAKERS: Final[Mapping[str, Callable[[Random, date], Iterator[tuple[str, dict[str, Any]]]]]] = {
    "bank": _bank, "insurer": _insurer, "energy": _energy, "shop": _shop, OWN: _phone}
