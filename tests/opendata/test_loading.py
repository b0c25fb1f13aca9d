"""A publisher's file is read behind the walls: publishers republish what others made."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chez.connectors.csv_table import CsvTable
from chez.connectors.wall import Order
from chez.errors import ImportStopped, InvalidValue, WallMissing
from chez.opendata.loading import load
from chez.opendata.metadata import Table
from chez.opendata.table_rows import TableRow
from tests.opendata.support import about, stations, table

KIND = f"{TableRow.__module__}:TableRow"


class Taken:
    """A walled process that its file took over: it says these messages and ends."""

    walls: tuple[str, ...] = ()

    def __init__(self, *messages: object) -> None:
        bodies = [msgspec.msgpack.encode(message) for message in messages]
        self._data = io.BytesIO(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))

    def read(self, size: int, seconds: float) -> bytes:
        """The next bytes."""
        return self._data.read(size)

    def end(self) -> int:
        """It was killed."""
        return -9


def found(number: int, **record: Any) -> list[object]:
    """That a row was found."""
    return ["f", KIND, number, record, "", ""]


def take_over(monkeypatch: pytest.MonkeyPatch, *messages: object) -> list[Order]:
    """Let whatever is read next be read by a process that says this; what was ordered."""
    orders: list[Order] = []

    def launch(order: Order) -> Taken:
        orders.append(order)
        return Taken(*messages)

    monkeypatch.setattr("chez.connectors.walled.find_wall", lambda: launch)
    return orders


def test_a_table_says_the_same_behind_walls(tmp_path: Path) -> None:
    """Types that are declared, those that columns had, empty cells, a key that comes twice, a row too short."""
    path = table(tmp_path, [(7, "Bellecour", 3), (8, "", "1.5"), (7, "again", 1), (9, "short")], header="id,name,bikes")
    known = msgspec.convert({"name": "open_velov", "rows": 1, "fields": [{"name": "name", "type": "text"}]}, Table)
    loaded = load(path, about(types={"id": "text"}), [known])
    assert sorted((one.value for one in loaded.content), key=str) == [
        {"bikes": 1.5, "id": "8"}, {"bikes": 3, "id": "7", "name": "Bellecour"}]
    assert [(one.line, one.reason) for one in loaded.rejects] == [
        (4, "the row's key is given already on line 2"), (5, "the row has 2 cells, and the header 3")]
    with pytest.raises(InvalidValue, match="no column 'stop'"):
        load(path, about(identity=("stop",)))


def test_no_row_is_parsed_in_the_publishers_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser never runs here, and without walls nothing is read."""
    path = table(tmp_path, stations(3))
    with monkeypatch.context() as patched:
        patched.setattr(CsvTable, "read", lambda *_: pytest.fail("it was read here"))
        assert len(load(path, about()).content) == 3
    monkeypatch.setattr("chez.connectors.wall.OWN", ("gone", "no_such_module:launch"))
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(WallMissing):
        load(path, about())


def test_what_a_taken_over_parser_says_costs_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that are Chez's own or none, values of another form, a row without its key, giants: each costs itself;
    and the order has the file and what is declared, no key and no home."""
    path = table(tmp_path, stations(3))
    orders = take_over(monkeypatch, [
        found(2, identity=["id"], values={"id": 1, "name": "good"}),
        found(3, identity=["id"], values={"id": 2, "_deleted": True}),
        found(4, identity=["id"], values={"id": 3, "a b": 1}),
        found(5, identity=["id"], values={"id": 4, "name": ["a", "list"]}),
        found(6, identity=["id"], values={"id": 5, "name": "x" * 300_000}),
        found(7, identity=["other"], values={"name": "no key"}),
        found(8, identity=["other"], values={"name": "no key either"}),
    ], [["e"]])
    loaded = load(path, about())
    assert sorted(one.value["name"] for one in loaded.content) == ["good", "no key"]
    assert [one.line for one in loaded.rejects] == [3, 4, 5, 6, 8]
    assert b"id" in orders[0].argument and str(tmp_path).encode() not in orders[0].argument


def test_reading_that_is_stopped_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends, or breaks its word, after good rows: no half of a dataset is published."""
    path = table(tmp_path, stations(3))
    good = found(2, identity=["id"], values={"id": 1, "name": "good"})
    for messages in ([[good]], [[good, ["f", "chez.vocabulary.money:Transaction", 3, {}, "", ""]], [["e"]]]):
        take_over(monkeypatch, *messages)
        with pytest.raises(ImportStopped) as caught:
            load(path, about())
        assert caught.value.hint == "Nothing was changed."


def test_why_no_row_of_a_file_is_published_is_told(tmp_path: Path) -> None:
    """Where every row is refused, the first one's reason is in the error, for nothing else shows it."""
    path = tmp_path / "places.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "1", "geometry": {"type": '
                    '"Point", "coordinates": [1.0, 2.0]}, "properties": {"count": 123456789012345678901234567890}}]}')
    with pytest.raises(InvalidValue, match=r"no row that can be published \(line 1: .* more than 64 bits"):
        load(path, about(identity=()))
