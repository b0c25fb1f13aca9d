"""A disk that damages what a store knows of drops: nothing else is ever removed, and nothing wrong is handed out."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.integrity import SQLITE_ERRORS
from chez_relay.storage.space_rows import PLACES
from chez_relay.storage.tables import Tables
from tests.relay.storing import READ, SPACE, Clock, chunk, codes, create, drop, entry, new_store
from tests.tries import tries

QUOTAS = s.Quotas(grace=50)
PAGE, ENTRIES = s.ReadPage(SPACE.handle, 0, 100_000, READ), 9
KEPT = [entry(n).envelope for n in (1, 5, 6, 9)]
"""What no drop names."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that dropped two entries, and is to drop three more, and a chunk of two."""
    path = tmp_path_factory.mktemp("dropping") / FILE_NAME
    with new_store(path) as db:
        clock = Clock()
        tables = Tables(db, QUOTAS, clock)
        stored = tables.perform([create(), *(entry(n) for n in range(1, ENTRIES + 1)), chunk(1), chunk(2)])
        heads = {one.offset: one.head for one in stored if isinstance(one, s.Stored)}
        first = drop([s.Dropped(2, 3, heads[3])])
        tables.perform([first])
        clock.now += QUOTAS.grace
        second = drop([s.Dropped(4, 4, heads[4]), s.Dropped(7, 8, heads[8])], [chunk(1)], first.drop)
        assert set(codes(tables.perform([s.Expire(), second]))) == {None}
    assert check(path).sound
    return path


def after_grace(path: Path) -> tuple[set[int], s.Result | None, s.Result | None, s.Result | None]:
    """Offsets that were removed, then the page and both chunks, once all that is due was let go.

    None where the store fails.
    """
    clock = Clock()
    clock.now += 3 * QUOTAS.grace
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        tables = Tables(db, QUOTAS, clock)
        with suppress(*SQLITE_ERRORS):
            db.execute("CREATE TEMP TABLE removed (place)")
            db.execute("CREATE TEMP TRIGGER watch BEFORE DELETE ON main.entries BEGIN "
                       "INSERT INTO removed VALUES (OLD.place); END")
        for _ in range(3):
            try:
                tables.perform([s.Expire()])
            except SQLITE_ERRORS:
                break
        found: list[s.Result | None] = []
        for request in (PAGE, s.ReadChunk(SPACE.handle, chunk(1).chunk, READ),
                        s.ReadChunk(SPACE.handle, chunk(2).chunk, READ)):
            try:
                found += tables.perform([request])
            except SQLITE_ERRORS:
                found.append(None)
        removed: set[int] = set()
        with suppress(*SQLITE_ERRORS):  # a file that is no database any more
            removed = {place % PLACES for (place,) in db.execute("SELECT place FROM removed").fetchall()}
    return removed, found[0], found[1], found[2]


def unharmed(path: Path) -> None:
    """What no drop names is there, or refused as damaged, or the file as a whole is; nothing else is shown."""
    removed, page, _, other = after_grace(path)
    assert removed <= {4, 7, 8}
    if isinstance(page, s.Page):
        assert [one.envelope for one in page.entries if one.envelope in KEPT] == KEPT
        covered = {offset for one in page.dropped for offset in range(one.first, one.last + 1)}
        assert covered.isdisjoint({1, 5, 6, 9}) and covered | {one.offset for one in page.entries} == set(
            range(1, ENTRIES + 1))
    else:
        assert page is None or codes([page])[0] in (Code.DAMAGED, Code.UNKNOWN)
    assert other is None or isinstance(other, s.ChunkData) or codes([other])[0] in (
        Code.DAMAGED, Code.UNKNOWN, Code.MISSING)


def test_what_is_due_goes(filled: Path, tmp_path: Path) -> None:
    """Without damage: ranges that touch are one, what was let go is gone, the rest is there."""
    path = tmp_path / FILE_NAME
    shutil.copy(filled, path)
    unharmed(path)
    _, page, gone, other = after_grace(path)
    assert isinstance(page, s.Page) and [(one.first, one.last) for one in page.dropped] == [(2, 4), (7, 8)]
    assert codes([gone]) == [Code.MISSING] and isinstance(other, s.ChunkData)
    assert check(path).sound


@pytest.mark.parametrize(("change", "what"), [
    ("dropping SET last = 5 WHERE first = 4", "to be dropped"),
    ("dropping SET first = 6 WHERE first = 7", "to be dropped"),
    ("dropping SET due = 1 WHERE first = 7", "to be dropped"),
    ("dropping SET space = 2 WHERE first = 7", "to be dropped"),
    ("dropping SET seal = zeroblob(16) WHERE first = 4", "to be dropped"),
    ("dropped SET last = 4", "was dropped"), ("dropped SET first = 1", "was dropped"),
    ("dropped SET head = zeroblob(32)", "was dropped"),
    ("releasing SET chunk = ?", "let go"), ("releasing SET due = 1", "let go"),
])
def test_a_damaged_row_removes_nothing_else(filled: Path, tmp_path: Path, change: str, what: str) -> None:
    """Whichever field of a row is another: what it names now stays, and `check` finds it."""
    path = tmp_path / FILE_NAME
    shutil.copy(filled, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE " + change, (chunk(2).chunk,) * change.count("?"))
    unharmed(path)
    assert isinstance(after_grace(path)[3], s.ChunkData)
    report = check(path)
    assert not report.sound and any(what in finding for finding in report.findings)


@settings(max_examples=tries(120), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True))
def test_no_damaged_byte_removes_another_entry(filled: Path, tmp_path: Path, at: float) -> None:
    """Whichever byte of the file is another, what no drop names stays or is refused."""
    path = tmp_path / FILE_NAME
    shutil.copy(filled, path)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0xFF
    path.write_bytes(data)
    unharmed(path)


@pytest.mark.parametrize("change", [
    f"entries SET control = 1 WHERE place % {PLACES} = 4",
    f"entries SET envelope = zeroblob(9000) WHERE place % {PLACES} = 7",
    "chunks SET data = zeroblob(9000) WHERE chunk = ?",
])
def test_a_damaged_row_gives_no_more_room_back_than_there_is(filled: Path, tmp_path: Path, change: str) -> None:
    """One bit makes a control entry of another, and no hash tells: below nothing, what a space takes would be a number
    that no frame has, at which devices leave the relay."""
    path = tmp_path / FILE_NAME
    shutil.copy(filled, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE " + change, (chunk(1).chunk,) * change.count("?"))
    after_grace(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (used,) = Tables(db, QUOTAS, Clock()).perform([s.ReadUsage(SPACE.handle, READ)])
    assert isinstance(used, s.SpaceUsage)
    assert min(used.entries.bytes, used.control.bytes, used.chunks.bytes) >= 0
