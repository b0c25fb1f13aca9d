"""What verbs are made of: their parameters read, rows sent in pages, progress passed on."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from chez.agent.ui import Ui
from chez.errors import InvalidValue
from chez.records.counter import Counter
from chez.records.text import Text
from chez.tasks import stop

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space

__all__ = ("Params", "Placed", "paged", "plain", "read_params", "reporting")

PAGE_BYTES: Final = 256 * 1024
"""Bytes of rows in one page: large enough to amortise a message, small enough to stream."""

PAGE_ROWS: Final = 1000

_LENGTH: Final = re.compile(r"Expected `str` of length (?P<which><=|>=) (?P<size>\d+) - at `\$\.(?P<name>\w+)`")
"""What msgspec says of a text that is too long or too short."""

P = TypeVar("P", bound=msgspec.Struct)


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a verb; a wrong or unknown one is named in the error."""


class Placed(Params, frozen=True, kw_only=True):
    """Parameters of a verb about one space: its name, id or the beginning of that; the private one without."""

    space: str | None = None

    def of(self, home: "Home") -> "Space":
        """The space that was asked about. Raises `NotFound`, `InvalidValue`."""
        return home.space(self.space)


def read_params(params: Mapping[str, Any], kind: type[P]) -> P:
    """The parameters of a verb. Raises `InvalidValue` naming what is wrong with them."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        if (length := _LENGTH.fullmatch(str(error))) is not None:
            raise _of_length(length["name"], length["which"] == ">=", int(length["size"])) from None
        raise InvalidValue(f"wrong parameters: {error}") from None


def _of_length(field: str, least: bool, size: int) -> InvalidValue:
    """That a text is too short or too long."""
    name = "name" if field == "which" else field.replace("_", " ")
    if not least:
        return InvalidValue(f"the {name} must have at most {size} characters", "say it shorter")
    if size == 1:
        return InvalidValue(f"the {name} is empty", "give at least one character")
    return InvalidValue(f"the {name} must have at least {size} characters", "give more of it")


def plain(value: Any) -> Any:
    """The JSON-able form of a value. Raises `InvalidValue` for what has none."""
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=_shown)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"this value has no JSON form: {error}") from None


def _shown(item: Any) -> Any:
    if isinstance(item, Text):
        return str(item)
    if isinstance(item, Counter):
        return int(item)
    raise TypeError(f"{type(item).__name__} has none")


async def paged(ui: Ui, key: str, rows: AsyncIterator[Any] | Iterable[Any], **first: Any) -> int:
    """Send rows in pages; `first` goes with the first page, which is sent even when empty."""
    page: list[Any] = []
    size = count = 0
    sent = False
    encode = msgspec.json.Encoder().encode
    async for row in _each(rows):
        value = plain(row)
        page.append(value)
        size += len(encode(value))
        count += 1
        if size >= PAGE_BYTES or len(page) >= PAGE_ROWS:
            await ui.show({key: page, **({} if sent else first)})
            page, size, sent = [], 0, True
    if page or not sent:
        await ui.show({key: page, **({} if sent else first)})
    return count


async def _each(rows: AsyncIterator[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if isinstance(rows, AsyncIterator):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


@contextlib.asynccontextmanager
async def reporting(ui: Ui, label: str) -> AsyncIterator[Callable[..., None]]:
    """A plain callback `(done, total)` whose last news reaches `ui`, however fast it is called."""
    news = asyncio.Event()
    latest = (0, 0)

    def note(done: int, total: int | None = None, *_: Any) -> None:
        nonlocal latest
        latest = (done, total or 0)
        news.set()

    async def pump() -> None:
        while True:
            await news.wait()
            news.clear()
            await ui.progress(*latest, label)
            # A person can't read more than ten states a second; events in between are skipped.
            await asyncio.sleep(0.1)

    task = asyncio.create_task(pump())
    try:
        yield note
        if latest != (0, 0):
            await ui.progress(*latest, label)
    finally:
        await stop(task)
