"""`Record`: what reading a collection gives."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from chez.errors import ChezError
from chez.records.values import Value
from chez.shown import listed

__all__ = ("Record",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Record(Generic[T]):
    """One record as it was when it was read.

    `source` says where an imported one came from. `error` says why it has no value: it
    does not fit the collection's type, or its migration failed.
    """

    id: str
    _value: T | None
    collection: str
    source: dict[str, Value] | None = None
    error: ChezError | None = field(default=None, compare=False)

    @property
    def value(self) -> T:
        """Its content. Raises `error`, if there is one."""
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Record {self.id!r} of {self.collection!r}: {self.error.code}>"
        value: Any = self._value
        names = value if isinstance(value, dict) else getattr(value, "__struct_fields__", ())
        return f"<Record {self.id!r} of {self.collection!r}: {listed(map(str, names))}>"
