"""The granted rows inside the worker: batches in order, and SQL on an in-memory copy.

The keys and the real store are in another process. Here a database of the granted rows
is made when the first query comes; an authorizer lets through SELECT over the granted
tables with a list of harmless functions, and nothing else: no ATTACH, PRAGMA, schema
tables, table-valued functions, recursion, extension or write. Work is bounded by steps
of SQLite's machine, rows, bytes and heap; the work of one step by the length of a value, and
where it is more than that length by functions.py.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from chez_sandbox.runtime.functions import bound_functions
from chez_sandbox.runtime.messages import Limits, Outcome, Scalar, TableHead

__all__ = ("Budget", "Refusal", "Stop", "Tables")

_STEP = 250  # machine instructions between two looks at the budget, while values are short
_SHORT = 64 << 10  # bytes: a value made by a query, where the granted rows are short
_HEAP_TIMES = 3  # the rows themselves, sorted, and grouped
_HEAP_FLOOR = 24 << 20  # bytes: SQLite's own, beside the rows; measured, the process grows by twice as much

# Deterministic, cheap, and without a view of the machine. Not here: random, the date
# functions (they know 'now'), load_extension, everything about the schema.
_FUNCTIONS = frozenset("""
    abs avg ceil ceiling char coalesce count cume_dist dense_rank first_value floor glob group_concat hex
    ifnull iif instr json_array_length json_extract lag last_value lead length like lower ltrim max min
    nth_value ntile nullif percent_rank rank replace round row_number rtrim sign substr substring sum
    total trim trunc typeof unicode upper -> ->>
""".split())


class Refusal(Exception):
    """The job's request is refused and the job may go on; the text is for its author."""


class Stop(Exception):
    """The run ends here with this outcome."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


@dataclass(slots=True)
class Budget:
    """What is left of the run's limits outside WebAssembly, where fuel does not count."""

    limits: Limits
    expired: Callable[[], bool]
    calls: int = 0
    data: int = 0
    steps: int = 0
    objection: str = ""
    """Why a function of a query refused; SQLite itself says only that one did."""

    def call(self) -> None:
        """Counts one host call; raises Stop."""
        self.calls += 1
        if self.calls > self.limits.calls:
            raise Stop(Outcome.FUEL, f"more than {self.limits.calls} host calls")

    def answer(self, text: bytes) -> str:
        """Counts an answer's bytes; raises Stop."""
        self.data += len(text)
        if self.data > self.limits.data:
            raise Stop(Outcome.FUEL, f"more than {self.limits.data} bytes of rows read")
        return text.decode()

    def spend(self, steps: int) -> bool:
        """Counts instructions of SQLite's machine, or as much work; whether the statement may go on."""
        self.steps += steps
        return self.steps <= self.limits.query_steps and not self.expired()

    def refuse(self, why: str) -> None:
        """Keeps a function's reason for the job's author."""
        self.objection = why


@dataclass(slots=True)
class _Table:
    head: TableHead
    rows: list[tuple[Scalar, ...]] = field(default_factory=list)
    cursor: int = 0


class Tables:
    """The granted tables of one run."""

    def __init__(self, heads: Sequence[TableHead], budget: Budget) -> None:
        self._tables = {head.name: _Table(head) for head in heads}
        self._order = [head.name for head in heads]
        self._budget = budget
        self._database: sqlite3.Connection | None = None
        self._longest = 0  # bytes: no granted row is longer
        self.asked: set[tuple[str, str]] = set()
        """(table, column) of all that statements named, for a provider's `chez-job check`."""

    def add(self, table: int, rows: list[tuple[Scalar, ...]]) -> None:
        """Rows of the table with this number, in order; raises ValueError."""
        target = self._tables[self._order[table]]
        width = len(target.head.columns)
        if any(len(row) != width for row in rows):
            raise ValueError("a row is not as long as its table has columns")
        target.rows += rows
        self._longest = max(self._longest, sum(map(_longest_text, zip(*rows, strict=True))))

    @property
    def served(self) -> int:
        """Rows handed out in batches so far."""
        return sum(table.cursor for table in self._tables.values())

    def next_batch(self, name: str, most: int) -> str | None:
        """The next rows as JSON objects, None at the end; raises Refusal, Stop."""
        table = self._tables.get(name)
        if table is None:
            raise Refusal(f"no table {name!r} is granted; there are: {', '.join(self._order) or 'none'}")
        if table.cursor >= len(table.rows):
            return None
        limit = self._budget.limits.answer
        # By parts, the first as long as should fit, more till one is too much: who asks for all rows at once must not
        # have all that are left encoded for each answer.
        step = max(1, limit // (2 * (self._longest + sum(len(column) + 5 for column in table.head.columns))))
        parts, size, taken, grows = list[bytes](), 2, 0, True
        most = min(max(1, most), len(table.rows) - table.cursor)
        while step and taken < most:
            part = self._encoded(table, table.cursor + taken, min(step, most - taken))
            if size + len(part) <= limit:
                parts.append(part)
                size, taken, step = size + len(part) + 1, taken + min(step, most - taken), step * 2 if grows else step
            else:
                step, grows = min(step, most - taken) // 2, False
        if not parts:
            raise Refusal(f"a row of {name!r} is longer than an answer may be")
        table.cursor += taken
        return self._budget.answer(b"[" + b",".join(parts) + b"]")

    def _encoded(self, table: _Table, at: int, count: int) -> bytes:
        """So many rows as JSON objects with commas between them."""
        rows = table.rows[at : at + count]
        return msgspec.json.encode([dict(zip(table.head.columns, row, strict=True)) for row in rows])[1:-1]

    def query(self, sql: str, parameters: str) -> str:
        """The rows of one SELECT as JSON objects; raises Refusal, Stop."""
        try:
            values = msgspec.json.decode(parameters, type=list[Scalar])
        except msgspec.MsgspecError:
            raise Refusal("parameters must be a list of strings, numbers, booleans and None") from None
        self._budget.objection = ""
        try:
            return self._select(sql, values)
        except MemoryError:
            raise Stop(Outcome.MEMORY, "a query used too much memory") from None
        except (sqlite3.Error, OverflowError, ValueError) as problem:
            if self._budget.steps > self._budget.limits.query_steps:
                raise Stop(Outcome.FUEL, "queries took too many steps") from None
            if self._budget.expired():
                raise Stop(Outcome.TIME, "a query outlived the run's time") from None
            raise Refusal(self._budget.objection or f"{problem}") from None

    def _select(self, sql: str, values: list[Scalar]) -> str:
        limits = self._budget.limits
        cursor = self._open().execute(sql, values)
        try:
            if cursor.description is None:
                raise Refusal("only SELECT is possible")
            columns = [column[0] for column in cursor.description]
            if len(set(columns)) < len(columns):
                raise Refusal("two columns of the result have one name; use AS")
            parts: list[bytes] = []
            rows = size = 0
            while batch := cursor.fetchmany(1000):
                rows += len(batch)
                if bytes in set(map(type, chain.from_iterable(batch))):
                    raise Refusal("a column holds a blob; use hex() or cast it to text")
                objects = [dict(zip(columns, row, strict=True)) for row in batch]
                parts.append(msgspec.json.encode(objects)[1:-1])
                size += len(parts[-1]) + 1
                if rows > limits.query_rows:
                    raise Refusal(f"more than {limits.query_rows} rows; aggregate, or use rows()")
                if size > limits.answer:
                    raise Refusal(f"more than {limits.answer} bytes; aggregate, or use rows()")
        finally:
            cursor.close()
        return self._budget.answer(b"[" + b",".join(parts) + b"]")

    def _open(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        database = sqlite3.connect(":memory:", isolation_level=None, cached_statements=32)
        database.execute("PRAGMA temp_store = MEMORY")  # a sort must not want a file
        for table in self._tables.values():
            name, columns = _quoted(table.head.name), ", ".join(map(_quoted, table.head.columns))
            database.execute(f"CREATE TABLE {name} ({columns})")
            marks = ", ".join("?" * len(table.head.columns))
            database.execute("BEGIN")
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", table.rows)
            database.execute("COMMIT")
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        heap = _HEAP_TIMES * pages * 4096 + _HEAP_FLOOR
        database.execute(f"PRAGMA hard_heap_limit = {heap}")
        length = _SHORT + 2 * self._longest  # a join of two of the longest rows can be sorted
        limits = (*_SQLITE_LIMITS, (sqlite3.SQLITE_LIMIT_LENGTH, length))
        for which, most in limits:
            database.setlimit(which, most)
        bound_functions(database, limits, self._budget.spend, self._budget.refuse)
        # A call of a function is one instruction, and takes as long as its texts are: looks come more often then.
        step = max(1, _STEP * _SHORT // length)
        # What the connection calls must not lead back to it: it is freed by counting references alone, and
        # the limit of the heap is the process's.
        spend = self._budget.spend
        database.set_progress_handler(lambda: not spend(step), step)
        database.set_authorizer(_authorizer(frozenset(self._tables), self.asked))
        self._database = database
        return database


def _authorizer(tables: frozenset[str], asked: set[tuple[str, str]]) -> Callable[..., int]:
    """What SQLite asks while it compiles a statement; whatever is not named here is denied."""

    def authorize(
        action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first in tables:
            asked.add((first, second or ""))
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    return authorize


_SQLITE_LIMITS = (
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (sqlite3.SQLITE_LIMIT_COLUMN, 256),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 250_000),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 16),  # json_extract searches once for each
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),  # matching is quadratic in it
    (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1000),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)


def _longest_text(column: tuple[Scalar, ...]) -> int:
    """Bytes of the column's longest value, numbers as the longest there are."""
    if str not in set(map(type, column)):
        return 9
    return max(len(cell.encode()) for cell in column if type(cell) is str) + 9


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
