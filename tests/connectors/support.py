"""What the connector tests share."""

import io
from pathlib import Path

from chez.connectors import Connector, Found, Item, Reject, Source

DATA = Path(__file__).parent.parent / "data"
LINKY = DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"
TEMPO = DATA / "energy-linky-fr" / "tempo_days_2014.csv"
OFX = DATA / "bank-ofx"
CAMT = DATA / "bank-camt053"
MT940 = DATA / "bank-mt940"
CAISSE_EPARGNE = DATA / "bank-csv-fr" / "caisse_epargne.csv"
POWER = DATA / "energy-uci-sceaux" / "household_power_consumption_excerpt.txt"


def read_bytes(connector: Connector, data: bytes) -> list[Item]:
    """What a connector says of these bytes."""
    return list(connector.read(io.BytesIO(data), Source("a file", bytes(32), len(data))))


def records(items: list[Item]) -> list[object]:
    """The records among the items."""
    return [item.record for item in items if isinstance(item, Found)]


def rejects(items: list[Item]) -> list[tuple[int, str]]:
    """Line and reason of each reject among the items."""
    return [(item.line, item.reason) for item in items if isinstance(item, Reject)]
