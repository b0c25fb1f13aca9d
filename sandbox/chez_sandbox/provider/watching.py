"""Which columns of its tables a job looks at, found by running it under plain CPython.

SQL is asked through an authorizer, which is told of every column a statement names
(`runtime.tables`); rows that come in batches are dicts that remember which keys were asked
for. A row taken as a whole (copied, iterated, written as JSON) counts as all of its columns.
"""

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any

from chez_sandbox.runtime.guest import chez_job

__all__ = ("watch",)


class _Row(dict[str, Any]):
    """A row that notes what is asked of it."""

    __slots__ = ("_table", "_used")

    def __init__(self, row: dict[str, Any], table: str, used: set[tuple[str, str]]) -> None:
        super().__init__(row)
        self._table = table
        self._used = used

    def _all(self) -> None:
        self._used.update((self._table, name) for name in super().keys())

    def __getitem__(self, name: str) -> Any:
        self._used.add((self._table, name))
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._used.add((self._table, name))
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self._used.add((self._table, name))
        return super().pop(name, *default)

    def __iter__(self) -> Iterator[str]:
        self._all()
        return super().__iter__()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._all()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._all()
        return super().items()

    def copy(self) -> dict[str, Any]:
        self._all()
        return super().copy()

    def __or__(self, other: Any) -> Any:
        self._all()
        return super().__or__(other)

    def __eq__(self, other: object) -> bool:
        self._all()
        return super().__eq__(other)

    __hash__ = None


def watch(used: set[tuple[str, str]]) -> None:
    """Have jobs of this process note in `used` what they look at: for a process that runs one job and ends."""

    class Watched(chez_job.Data):
        def rows(self, table: str) -> Iterator[dict[str, Any]]:
            return (_Row(row, table, used) for row in super().rows(table))

    # The guest's own text stays as it is: it is an input of the runtime that receipts bind.
    vars(chez_job)["Data"] = Watched
