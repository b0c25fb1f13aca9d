"""Results as Parquet files: each once, in columns, whatever is killed when."""

import asyncio
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from arro3.io import read_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue, NotFound
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.provider.following import Sink
from chez_sandbox.provider.results import BEGINNING, ResultBook
from chez_sandbox.provider.tables import Tables, table_columns
from tests.jobs.messages import BUNDLE, KEYS, message
from tests.jobs.samples import MEAN, RESULT, SIGNING, manifest_text
from tests.tries import tries

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def rows(path: Path) -> list[dict[str, Any]]:
    """What a reader of Parquet finds in a file."""
    table = read_parquet(path).read_all()
    columns = [table.column(name).combine_chunks().to_pylist() for name in table.column_names]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def files(folder: Path) -> list[Path]:
    """The files that a reader of a bundle's folder sees, oldest first."""
    return sorted(folder.glob("*/*.parquet"))


STEPS = st.one_of(st.integers(1, 5).map(lambda count: ("keep", count)), st.just(("take", 0)), st.just(("kill", 0)),
                  st.just(("close", 0)), st.integers(0, 90).map(lambda minutes: ("wait", minutes)))  # fmt: skip


@settings(max_examples=tries(25))
@given(st.lists(STEPS, max_size=10))
def test_each_result_is_in_one_file(steps: list[tuple[str, int]]) -> None:
    """Kept, killed, closed and left alone in any order, every result is in one row of one file."""
    with TemporaryDirectory() as name:
        book_path, folder = Path(name) / "results.jsonl", Path(name) / "tables"
        clock, sent = [NOW], 0
        with ResultBook(book_path, KEYS, [BUNDLE]) as book:
            tables = Tables(book, folder, lambda: clock[0], rows=4)
            for step, count in [*steps, ("close", 0)]:
                match step:
                    case "keep":
                        for _ in range(count):
                            sent += 1
                            book.keep(message(sent), clock[0])
                    case "wait":
                        clock[0] += timedelta(minutes=count)
                    case "kill":
                        for there in files(folder):  # what was being written beside it
                            (there.parent / ".new").write_bytes(b"half")
                        tables = Tables(book, folder, lambda: clock[0], rows=4)
                    case _:
                        asyncio.run(tables.take())
                        due = tables.due()
                        assert due is None or 0 < due <= 3600
                        if step == "close":
                            asyncio.run(tables.close())
                            assert tables.due() is None
            found = [[row["sequence"] for row in rows(path)] for path in files(folder)]
            assert [one for file in found for one in file] == list(range(1, sent + 1))
            assert all(len(file) <= 4 for file in found) and not list(folder.glob("*/.new"))


TYPES = """
[parameters]

[result]
type = "object"

[result.properties.home]
type = "object"
properties.watts = { type = ["integer", "null"], minimum = 0, maximum = 1000, multipleOf = 10 }
properties.share = { type = "number", minimum = 0, maximum = 1, multipleOf = 0.25 }

[result.properties.tariff]
enum = ["base", "peak"]
type = "string"

[result.properties.always]
type = "boolean"

[result.properties.hours]
type = "array"
maxItems = 2
items = { type = "integer", minimum = 0, maximum = 23 }

[budget]
runs = 10
bits = 1000
"""


def typed() -> Bundle:
    """A job whose result has every kind of column."""
    return build_bundle(manifest_text().replace(RESULT.encode(), TYPES.encode()), MEAN, "python", SIGNING)


async def test_each_kind_has_its_column(tmp_path: Path) -> None:
    """Objects are flattened, numbers are numbers, lists are JSON; "none" has nulls, an invalid item no row."""
    job = typed()
    assert list(table_columns(job).items())[-5:] == [
        ("result.always", "truth"), ("result.home.share", "number"), ("result.home.watts", "whole"),
        ("result.hours", "json"), ("result.tariff", "text")]  # fmt: skip
    result = b'{"always":true,"home":{"share":0.25,"watts":null},"hours":[7,22],"tariff":"peak"}'
    with ResultBook(tmp_path / "results.jsonl", KEYS, [job]) as book:
        for item in (message(1, of=job, result=result), b"rubbish", message(2, of=job, result=None)):
            book.keep(item, NOW)
        tables: Sink = Tables(book, tmp_path / "tables", lambda: NOW)
        await tables.take()
        await tables.close()
    (path,) = files(tmp_path / "tables")
    first, second = rows(path)
    assert {key: value for key, value in first.items() if key.startswith("result")} == {
        "result.always": True, "result.home.share": 0.25, "result.home.watts": None, "result.hours": "[7, 22]",
        "result.tariff": "peak"}  # fmt: skip
    assert (second["outcome"], Counter(second.values())[None]) == ("none", 5)


async def test_a_bundle_that_is_not_given(tmp_path: Path) -> None:
    """Results of no known bundle are JSON in a folder of its hash; what is known waits for its bundle."""
    path, folder = tmp_path / "results.jsonl", tmp_path / "tables"

    async def taken(sequence: int, *bundles: Bundle) -> list[int]:
        with ResultBook(path, KEYS, bundles) as book:
            book.keep(message(sequence), NOW)
            tables = Tables(book, folder, lambda: NOW)
            await tables.take()
            await tables.close()
        return [row["sequence"] for path in files(folder) for row in rows(path)]

    assert await taken(1) == [1]
    (unknown,) = files(folder)
    assert unknown.parent.name == BUNDLE.hash.hex()[:16] and rows(unknown)[0]["result"] == '{"watts": 300}'
    with ResultBook(path, KEYS, [BUNDLE]) as book:
        book.keep(message(2), NOW)
    assert await taken(3) == [1, 3]
    assert sorted(await taken(4, BUNDLE)) == [1, 2, 3, 4]


async def test_tables_of_another_file_are_refused(tmp_path: Path) -> None:
    """A folder goes on with the file of results it was begun with, and with no other."""
    for name in ("one", "two"):
        with ResultBook(tmp_path / name, KEYS, [BUNDLE]) as book:
            book.keep(message(1 if name == "one" else 2), NOW)
            tables = Tables(book, tmp_path / "tables", lambda: NOW)
            if name == "two":
                with pytest.raises(InvalidValue, match="another file of results"):
                    await tables.take()
                assert list(book.lines(BEGINNING))
            else:
                await tables.take()
                await tables.close()


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no writer is installed the error says how to install it."""
    monkeypatch.setitem(sys.modules, "arro3.io", None)
    with ResultBook(tmp_path / "results.jsonl", KEYS) as book, pytest.raises(NotFound) as refused:
        Tables(book, tmp_path / "tables", lambda: NOW)
    assert refused.value.hint == "pip install 'chez[parquet]'"
