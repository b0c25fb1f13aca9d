"""What apps give the SDK, held against what its functions say that they take.

An argument of another type is refused by its name, before anything is done: else it would go on inwards,
and come out as an error of whatever met it first.
"""

import inspect
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin

from chez.errors import InvalidValue

__all__ = ("checked",)

T = TypeVar("T")

WORDS: Final[Mapping[Any, str]] = {
    str: "a text", int: "a whole number", float: "a number", bytes: "bytes", Path: "a path", timedelta: "a timedelta",
    Callable: "a function", Iterable: "several in a list", Mapping: "a map", type: "a type",
    type(None): "None"}

LONGEST_NAME: Final = 255
"""Bytes of one name in a path, on every system that Chez runs on."""


class _Check(NamedTuple):
    """What one parameter takes."""

    place: int
    name: str
    kinds: tuple[type, ...]
    many: bool
    """Whether it stands for all that follow (`*names`)."""

    def apply(self, value: Any, function: str) -> None:
        """Raises `InvalidValue`."""
        if not isinstance(value, self.kinds):
            wanted = list(dict.fromkeys(WORDS.get(kind, f"a {kind.__name__}") for kind in self.kinds))
            raise InvalidValue(f"{self.name} is {' or '.join(wanted)}, not of the type {type(value).__name__}",
                               f"help({function}) tells what it takes.")
        if isinstance(value, float) and value != value:
            raise InvalidValue(f"{self.name} is no number: it is NaN", f"help({function}) tells what it takes.")
        if Path in self.kinds and isinstance(value, str | Path):
            _check_path(self.name, value)


def checked(made: T) -> T:
    """A function, or a class with its public methods, that refuses arguments of other types.

    Parameters of types that `isinstance` can't tell are left as they are, and so are truth values: everything is
    one. An asynchronous generator refuses at once, not at its first step.
    """
    if not inspect.isclass(made):
        return _guarded(made, f"chez.{made.__name__}") if inspect.isfunction(made) else made  # type: ignore[return-value]
    for name, method in list(vars(made).items()):
        if not name.startswith("_") and inspect.isfunction(method):
            setattr(made, name, _guarded(method, f"chez.{made.__name__}.{name}"))
    return made


def _guarded(function: Callable[..., Any], shown: str) -> Callable[..., Any]:
    checks = tuple(_checks(function))
    if not checks:
        return function

    def apply(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for check in checks:
            if check.many:
                for value in args[check.place:]:
                    check.apply(value, shown)
            elif check.place < len(args):
                check.apply(args[check.place], shown)
            elif check.name in kwargs:
                check.apply(kwargs[check.name], shown)

    if inspect.iscoroutinefunction(function):
        @wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            apply(args, kwargs)
            return await function(*args, **kwargs)

        return later

    @wraps(function)
    def now(*args: Any, **kwargs: Any) -> Any:
        apply(args, kwargs)
        return function(*args, **kwargs)

    return now


def _checks(function: Callable[..., Any]) -> Iterator[_Check]:
    for index, one in enumerate(inspect.signature(function).parameters.values()):
        kinds = tuple(dict.fromkeys(_kinds(one.annotation)))
        if one.kind is one.VAR_KEYWORD or not kinds or object in kinds:
            continue
        if one.kind is one.VAR_POSITIONAL and not set(kinds) <= set(WORDS):
            continue  # `where` has more to tell of what is no condition
        at = index if one.kind is not one.KEYWORD_ONLY else 1 << 30
        yield _Check(at, one.name, kinds, one.kind is one.VAR_POSITIONAL)


def _kinds(annotation: Any) -> Iterator[type]:
    """The types that an annotation means; `object` among them where that can't be told."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    elif annotation is None:
        yield type(None)
    elif annotation is float:
        yield from (float, int)
    elif origin is type:
        yield type
    elif isinstance(origin, type) and origin.__module__ == "collections.abc":
        yield Iterable if origin is Sequence else origin
    elif isinstance(annotation, type) and not _untold(annotation):
        yield annotation
    else:
        yield object


def _untold(annotation: type) -> bool:
    """Whether `isinstance` does not tell, or everything is taken for true or false."""
    protocol = getattr(annotation, "_is_protocol", False) and not getattr(annotation, "_is_runtime_protocol", False)
    return annotation in (Any, bool, inspect.Parameter.empty) or protocol


def _check_path(name: str, value: str | Path) -> None:
    try:
        raw = os.fsencode(value)
    except UnicodeEncodeError:
        raw = b"\0"
    if b"\0" in raw or any(len(part) > LONGEST_NAME for part in raw.split(os.sep.encode())):
        raise InvalidValue(f"{name} is no path: no file can be called so",
                           f"A name in a path has up to {LONGEST_NAME} bytes, and no null character.")
