"""Of a damaged store all is saved that can be read: what stands before the damage, next to it and behind it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlcipher3

from chez.store.file import connect, migrate
from chez.store.salvage import salvage

KEY = bytes(32)
PAGE = 4096
ROWS = range(1, 17)
"""Of one table with row numbers, each of which fills a page."""
WORDS = [f"word {n:02}" for n in range(1, 17)]
"""The keys of one without, of which a page has a few."""


@dataclass(frozen=True)
class Store:
    """A store, and the pages that were added to it row by row."""

    path: Path
    row_pages: Sequence[int]
    word_pages: Sequence[int]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store, to be copied and damaged."""
    path = tmp_path_factory.mktemp("salvage") / "store"
    db = connect(path, KEY)
    migrate(db)
    db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")

    def written(sql: str, params: Sequence[Sequence[Any]]) -> list[int]:
        pages = []
        for one in params:
            (before,), _ = db.execute("PRAGMA page_count").fetchone(), db.execute(sql, one)
            (after,) = db.execute("PRAGMA page_count").fetchone()
            pages += [after] if after > before else []
        return pages

    rows = written("INSERT INTO quarantine (n, space, reason, bytes) VALUES (?, 1, 'a test', zeroblob(3000))",
                   [(n,) for n in ROWS])
    words = written("INSERT INTO meta (key, value) VALUES (?, zeroblob(900))", [(word,) for word in WORDS])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.close()
    return Store(path, rows, words)


def damaged(template: Store, path: Path, pages: Sequence[int]) -> Path:
    """A copy in which these pages do not pass their check."""
    shutil.copyfile(template.path, path)
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE + 100)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 1]))
    return path


def there(path: Path, table: str, key: str, keys: Sequence[Any]) -> list[Any]:
    """Those of a table's rows that can be read, each asked for by itself."""
    found = []
    for one in keys:
        db = connect(path, KEY)
        try:
            # With a limit, for else what follows is looked at too.
            found += [read for (read,) in db.execute(
                f"SELECT {key} FROM {table} WHERE {key} = ? LIMIT 1", (one,)).fetchall()]
        except sqlcipher3.Error:
            pass
        finally:
            db.close()
    return found


def held(path: Path) -> tuple[list[Any], list[Any]]:
    """What can be read of both tables."""
    return there(path, "quarantine", "n", ROWS), there(path, "meta", "key", WORDS)


@pytest.mark.parametrize("choose", [
    lambda store: store.row_pages[-8:-2],  # more than are left behind them
    lambda store: store.row_pages[-9:-1],
    lambda store: store.row_pages[2:6],
    lambda store: store.row_pages[-3:],
    lambda store: store.word_pages[:1],
    lambda store: store.word_pages[1:2],
])
def test_all_that_can_be_read_is_saved(template: Store, tmp_path: Path, choose: Callable[[Store], list[int]]) -> None:
    """Whatever is found by its key is in the new store, and of what was lost the table is told."""
    path = damaged(template, tmp_path / "damaged", choose(template))
    before = held(path)
    saved = salvage(path, tmp_path / "new", KEY, lambda done, total: None)
    after = held(tmp_path / "new")
    for readable, kept in zip(before, after, strict=True):
        assert {*readable} <= {*kept}
    assert saved.lost.keys() == {table for table, kept, of in (
        ("quarantine", after[0], ROWS), ("meta", after[1], WORDS)) if len(kept) < len(of)} != set()
