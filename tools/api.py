"""The reference of the SDK, made from its docstrings and signatures.

`python -m tools.api > docs/api.md` writes the page; a test fails when the two differ, or when
something public has no docstring (`undocumented`).
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

from tools.blocking import ASYNC_ONLY
from tools.surface import Alias, Class, Function, Variable, aliases, find, module_of, public, unquoted

__all__ = ("reference", "undocumented")

MODULES: Final = ("chez.errors", "chez.connectors.api")
"""Public modules beside `chez` itself: what programs catch, and what connectors are written with."""

OPEN_DATA: Final = ("chez.opendata.following", "chez.opendata.publishing")
"""Public modules that stand above the SDK: functions on an open home."""

WIDTH: Final = 100

HEAD: Final = """\
# The SDK

*Generated from the docstrings by `python -m tools.api`; change them, not this page.*

`import chez` is asynchronous (asyncio); [`chez.blocking`](#chezblocking) is the same without an
event loop; the types of record that apps have in common are [`chez.vocabulary`](vocabulary.md).
What is on neither page is not public. Types are complete: the packages are marked
`py.typed`, and `home.collection(Note)` is a `Collection[Note]`. The `repr` of an object helps
to tell what it is, and shows no key, no passphrase, no code and nothing that records contain:
it may stand in a log.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    named, reached = public()
    own = [found for object in named.values() if (found := find(object)) is not None]
    reached = [one for one in reached if not _is_elsewhere(one)]
    parts = [HEAD, _contents(own, reached), "\n## Functions\n"]
    parts += [_function(one, 3) for one in own if isinstance(one, Function)]
    parts.append("\n## Classes\n")
    parts += [_class(one) for one in own if isinstance(one, Class)]
    parts.append("\n## What these lead to\n\nNot names of `chez`: what its functions take and give.\n")
    parts += [_class(one) for one in reached]
    parts.append("\n## Names in signatures\n\n")
    parts += [_alias(one) for one in aliases()]
    parts += [_blocking(), _errors(), _connectors(), *map(_opendata, OPEN_DATA)]
    return "".join(parts).rstrip() + "\n"


def undocumented() -> list[str]:
    """The public names without a docstring; fields of a value may be told of in that of their class."""
    named, reached = public()
    found = [one for object in named.values() if (one := find(object)) is not None]
    lacking = [name for name, object in named.items() if find(object) is None and not inspect.getdoc(object)]
    for one in [*found, *reached]:
        if not one.doc:
            lacking.append(one.name)
        if isinstance(one, Class):
            lacking += [f"{one.name}.{member.name}" for member in one.functions if not member.doc]
            lacking += [f"{one.name}.{member.name}" for member in one.variables if not member.doc
                        and not _is_field(one, member)]
    for name in MODULES:
        module = importlib.import_module(name)
        lacking += [f"{name}.{item}" for item in module.__all__
                    if inspect.isclass(thing := getattr(module, item)) and not thing.__doc__]
    return lacking + [one.name for one in aliases() if not one.doc]


def _is_elsewhere(one: Class) -> bool:
    """Whether a class has its place in another part of the page: errors, and what connectors are made of."""
    return one.object.__module__ in MODULES


def _is_field(one: Class, member: Variable) -> bool:
    """Whether it is a field of a dataclass or Struct, or its class's docstring names it."""
    return hasattr(one.object, "__dataclass_fields__") or hasattr(one.object, "__struct_fields__") \
        or f"`{member.name}`" in one.doc


# --- the parts of the page ------------------------------------------------------------------


def _contents(own: list[Class | Function], reached: list[Class]) -> str:
    functions = " · ".join(f"[`{one.name}`](#{one.name.lower()})" for one in own if isinstance(one, Function))
    classes = " · ".join(f"[`{one.name}`](#{one.name.lower()})" for one in own if isinstance(one, Class))
    others = " · ".join(f"[`{one.name}`](#{one.name.lower()})" for one in reached)
    return f"\nFunctions: {functions}\n\nClasses: {classes}\n\nReached from these: {others}\n"


def _class(one: Class) -> str:
    lines = [f"\n### `{one.name}`\n\n{one.doc}\n"]
    if one.variables:
        lines.append("\n| attribute | type | |\n|---|---|---|\n")
        lines += [f"| `{item.name}` | `{_cell(ast.unparse(item.type))}` | {_cell(item.doc)} |\n"
                  for item in one.variables]
    lines += [_function(member, 4, f"{one.name}.") for member in one.functions]
    return "".join(lines)


def _function(one: Function, level: int, owner: str = "") -> str:
    signatures = "\n".join(_signatures(one))
    return f"\n{'#' * level} `{owner}{one.name}`\n\n```python\n{signatures}\n```\n\n{one.doc}\n"


def _signatures(one: Function) -> Iterator[str]:
    if one.kind == "property":
        yield f"{one.name}: {_type(one)}"
        return
    for node in one.overloads or (one.node,):
        arguments = node.args if one.overloads else one.arguments
        returns = ast.unparse(node.returns) if one.overloads and node.returns is not None else _type(one)
        yield _wrapped(one.kind, one.name, arguments, returns)


def _type(one: Function) -> str:
    given = "None" if one.returns is None else ast.unparse(one.returns)
    wrapped = {"iterator": f"AsyncIterator[{given}]", "block": f"AbstractAsyncContextManager[{given}]"}
    return wrapped.get(one.kind, given)


def _wrapped(kind: str, name: str, arguments: ast.arguments, returns: str) -> str:
    begin = f"{'async ' if kind == 'coroutine' else ''}def {name}("
    pieces = [piece for piece in _pieces(arguments) if piece != "self"]  # as a call of it is written
    line = f"{begin}{', '.join(pieces)}) -> {returns}"
    if len(line) <= WIDTH:
        return line
    lines, now = [], "   "
    for piece in pieces:
        if len(now) + len(piece) + 2 > WIDTH:
            lines.append(now)
            now = "   "
        now += f" {piece},"
    return "\n".join([begin, *lines, now, f") -> {returns}"])


def _pieces(given: ast.arguments) -> Iterator[str]:
    """The parameters of a signature, as text."""
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    for at, (arg, default) in enumerate(zip(positional, defaults, strict=True), 1):
        yield _parameter(arg, default)
        if at == len(given.posonlyargs):
            yield "/"
    if given.vararg is not None:
        yield "*" + _parameter(given.vararg)
    elif given.kwonlyargs:
        yield "*"
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(arg, default)
    if given.kwarg is not None:
        yield "**" + _parameter(given.kwarg)


def _parameter(arg: ast.arg, default: ast.expr | None = None) -> str:
    kind = "" if arg.annotation is None else f": {ast.unparse(unquoted(arg.annotation))}"
    return f"{arg.arg}{kind}" + ("" if default is None else f" = {ast.unparse(default)}")


def _alias(one: Alias) -> str:
    return f"- `{one.name}` is `{one.text}`. {_line(one.doc)}\n"


def _blocking() -> str:
    missing = "".join(f"- `{name}`: {reason}\n" for name, reason in sorted(ASYNC_ONLY.items()))
    doc = inspect.cleandoc(module_of("chez.blocking").object.__doc__ or "")
    return f"\n## `chez.blocking`\n\n{doc}\n\nNot there:\n\n{missing}"


def _errors() -> str:
    errors = importlib.import_module("chez.errors")
    rows = ["| error | is a | |\n|---|---|---|\n"]
    for name in sorted(errors.__all__):
        kind = getattr(errors, name)
        rows.append(f"| `{name}` | `{kind.__base__.__name__}` | {_cell((kind.__doc__ or '').splitlines()[0])} |\n")
    return f"\n## `chez.errors`\n\n{inspect.cleandoc(errors.__doc__ or '')}\n\n{''.join(rows)}"


def _connectors() -> str:
    module = importlib.import_module("chez.connectors.api")
    text = f"\n## `chez.connectors`\n\n{inspect.cleandoc(module.__doc__ or '')}\n"
    for name in module.__all__:
        found: Any = find(getattr(module, name))
        if isinstance(found, Class):
            text += _class(found)
    return text


def _opendata(name: str) -> str:
    module = importlib.import_module(name)
    text = f"\n## `{name}`\n\n{inspect.cleandoc(module.__doc__ or '')}\n"
    for one in module.__all__:
        found: Any = find(getattr(module, one))
        if isinstance(found, Function):
            text += _function(found, 3)
        elif isinstance(found, Class):
            text += _class(found)
    return text


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
