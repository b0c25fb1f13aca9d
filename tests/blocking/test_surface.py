"""`chez.blocking` against the asynchronous SDK: nothing forgotten, nothing different."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tools.blocking import ASYNC_ONLY, blocking, spoken
from tools.surface import ENGINE, Class, find, public

import chez
import chez.blocking
from chez.blocking.shapes import Front

ROOT = Path(__file__).resolve().parents[2]


NAMES = [name for name, one in vars(chez.blocking).items()
         if inspect.isclass(one) and issubclass(one, Front) and one.__module__ == chez.blocking.__name__]


@cache
def fronts() -> list[tuple[type[Any], type[Any]]]:
    """Each class of `chez.blocking` that stands for one of `chez`, with that one.

    Found by reading the source: when a test runs, for each process that collects tests would read it else.
    """
    named, reached = public()
    ours = [object for object in named.values() if isinstance(find(object), Class)] + [one.object for one in reached]
    return [(object, front) for object in ours
            if inspect.isclass(front := getattr(chez.blocking, object.__name__, None)) and issubclass(front, Front)]


def parameters(function: Any, name: str) -> list[tuple[str, Any, Any]]:
    """A signature's parameters, apart from those that are the engine's: name, kind, default."""
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()
            if f"{name}({one.name})" not in ENGINE]


def test_the_file_is_what_the_sdk_says_now() -> None:
    """engine/chez/blocking/__init__.py is what `python -m tools.blocking` writes."""
    committed = (ROOT / "engine" / "chez" / "blocking" / "__init__.py").read_text(encoding="utf-8")
    assert committed == blocking(), "run: python -m tools.blocking"


def test_every_public_name_is_there() -> None:
    """Whatever `chez` exports is in `chez.blocking`, too; what needs no loop is the same object."""
    names = [name for name in chez.__all__ if not inspect.ismodule(getattr(chez, name))]
    assert [name for name in names if name not in chez.blocking.__all__] == []
    for name in ("Record", "Text", "ChezError", "count", "field", "Rows"):
        assert getattr(chez.blocking, name) is getattr(chez, name)
    assert chez.blocking.Collection is not chez.Collection


def test_no_class_with_something_to_wait_for_is_forgotten() -> None:
    """Each public class that has a coroutine, an asynchronous iterator or block has a front here."""
    have = {ours.__name__ for ours, _ in fronts()}
    named, reached = public()
    classes = [found for object in named.values() if isinstance(found := find(object), Class)]
    waiting = {one.name for one in [*classes, *reached]
               if any(member.kind in ("coroutine", "iterator", "block") for member in one.functions)}
    assert waiting <= have and {"Home", "Collection", "Query", "Blobs", "Journal", "Transaction"} <= have


def test_every_front_stands_for_a_public_class() -> None:
    """What is compared below is all that there is."""
    assert sorted(front.__name__ for _, front in fronts()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_members_are_the_same(name: str) -> None:
    """Every public member is there, with the same parameters, defaults and docstring, and is no coroutine."""
    ((ours, front),) = (pair for pair in fronts() if pair[0].__name__ == name)
    found = find(ours)
    assert isinstance(found, Class)
    for member in found.members:
        if f"{ours.__name__}.{member.name}" in ASYNC_ONLY:
            assert not hasattr(front, member.name)
            continue
        other = inspect.getattr_static(front, "__iter__" if member.name == "__aiter__" else member.name)
        assert member.doc, f"{ours.__name__}.{member.name} has no docstring"
        assert inspect.cleandoc(other.__doc__) == spoken(member.doc)
        mine = inspect.getattr_static(ours, member.name, None)
        if inspect.isfunction(mine):
            assert parameters(other, member.name) == parameters(mine, member.name)
            assert not inspect.iscoroutinefunction(other) and not inspect.isasyncgenfunction(other)
            assert "return" in other.__annotations__
        else:
            assert isinstance(other, property)


@pytest.mark.parametrize("name", ["create", "join", "open", "serve"])
def test_functions_are_the_same(name: str) -> None:
    """The functions of the module take what those of `chez` take, and say the same."""
    mine, other = getattr(chez, name), getattr(chez.blocking, name)
    assert parameters(other, name) == parameters(mine, name)
    assert inspect.getdoc(other) == spoken(inspect.getdoc(mine) or "")
