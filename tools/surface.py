"""What is public: read from the source, with signatures and docstrings as they stand there.

The public surface is what `chez.__all__` names, and every class of ours that signatures
lead to from there. Of such a class every name without an underscore is public, apart from
what serves the engine: members that take what only the engine has, and those in ENGINE.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, TypeVar

__all__ = ("ENGINE", "Alias", "Class", "Function", "Module", "Variable", "aliases", "find", "led_to", "module_of",
           "names_in", "parameters", "public", "unquoted")

ENGINE_TYPES: Final = frozenset((
    "Connection", "Engine", "Facts", "Pen", "Database", "Follower", "Following", "Replica", "RecordStore", "Space"))
"""What an application never holds: a parameter of such a type, and whatever requires one, is the engine's."""

ENGINE: Final = {
    "Blobs.start": "called when the home opens",
    "Blobs.close": "called when the home closes",
    "Blobs.send": "called by `sync`",
    "Blobs.sent": "called by `sync`",
    "Blobs.keep_sending": "called by `connect`",
    "Condition.bounds": "how the engine reads",
    "Condition.sql": "how the engine reads",
    "Counter.added": "what its draft did",
    "Counter.drafted": "whether its draft did it",
    "Home.begin": "called when the home opens",
    "Home.check_open": "for what serves a home",
    "Home.end_shared": "called when the home closes",
    "Link.after_commit": "called by the store",
    "Link.after_rollback": "called by the store",
    "Link.beside": "called by what sends attachments",
    "Link.broadcast": "called by `Space.broadcast`",
    "Link.close": "called by `connect`",
    "Link.end_beside": "called where a relay's pins are others",
    "Link.relay": "a row of the store",
    "Link.start": "called by `connect`",
    "Text.base": "what its draft began with",
    "Text.steps": "what its draft did",
    "Text.untouched": "whether its draft did anything",
    "Typing.end": "called when its block ends",
    "Typing.start": "called when its block begins",
    "Transaction.end": "called by `transaction`",
    "Transaction.failed": "read by `transaction`",
    "Owner.asked": "called by the owner process",
    "Owner.ended": "called by the owner process",
    "Owner.finish": "called when the home closes",
    "Owner.keep": "called by the owner process",
    "Owner.look": "called by the owner itself",
    "Owner.open": "called by `serve`",
    "Owner.served": "read by the owner process",
    "Owner.settle": "called by the owner process",
    "serve(clock)": "for tests of the owner",
    "serve(find)": "for tests of the owner",
}

Kind = Literal["plain", "coroutine", "iterator", "block", "property"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method; `returns` is what awaiting, iterating or entering it gives."""

    name: str
    kind: Kind
    node: ast.FunctionDef | ast.AsyncFunctionDef
    returns: ast.expr | None
    doc: str
    overloads: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...] = ()

    @property
    def arguments(self) -> ast.arguments:
        """Its parameters, without those that only the engine gives."""
        return _without_engine(self.node.args, self.name)


@dataclass(frozen=True, slots=True)
class Variable:
    """An attribute or a field; `value` is its default, if it is written there."""

    name: str
    type: ast.expr
    doc: str
    value: ast.expr | None = None


@dataclass(frozen=True, slots=True)
class Class:
    """A class of ours: its constructor's parameters, if an application makes it, and its public members."""

    name: str
    module: "Module"
    object: type[Any]
    doc: str
    generic: tuple[str, ...]
    members: tuple[Function | Variable, ...]

    @property
    def functions(self) -> tuple[Function, ...]:
        """Its methods and properties."""
        return tuple(member for member in self.members if isinstance(member, Function))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Its attributes."""
        return tuple(member for member in self.members if isinstance(member, Variable))


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a type, such as `Source = Path | str | bytes`."""

    name: str
    text: str
    doc: str


@dataclass(slots=True)
class Module:
    """The source of one module."""

    object: ModuleType
    tree: ast.Module
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)

    def where(self, name: str) -> tuple[str, str] | None:
        """The module that a name comes from, and what it is called there; None for a builtin."""
        if name in self.imports:
            return self.imports[name]
        return (self.object.__name__, name) if hasattr(self.object, name) else None

    def resolve(self, name: str) -> Any:
        """What a name means here, also one that is imported for type checkers only."""
        found = self.where(name)
        if found is None:
            return getattr(importlib.import_module("builtins"), name, None)
        module = importlib.import_module(found[0])
        return getattr(module, found[1], None) if found[1] else module


@cache
def module_of(name: str) -> Module:
    """The source of a module by its name."""
    module = importlib.import_module(name)
    assert module.__file__ is not None  # ours are files
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found = Module(module, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                found.imports[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found.imports[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
    return found


@cache
def find(object: Any) -> Class | Function | None:
    """A class or function of ours as it stands in its source; None for anything else."""
    if not (inspect.isclass(object) or inspect.isfunction(object)) or not object.__module__.startswith("chez"):
        return None
    module = module_of(object.__module__)
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == object.__name__ and inspect.isclass(object):
            return _class(module, node, object)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == object.__name__:
            return _function(node, ())
    return None


def public() -> tuple[dict[str, Any], list[Class]]:
    """The names of `chez.__all__` with what they are; then the classes that signatures lead to from there.

    Without `chez.blocking`, which is made of them.
    """
    import chez

    named = {name: getattr(chez, name) for name in chez.__all__ if name != "blocking"}
    known = [found for object in named.values() if isinstance(found := find(object), Class)]
    reached: list[Class] = []
    waiting: list[Any] = [*named.values()]
    while waiting:
        for object in led_to(waiting.pop()):
            found = find(object)
            if isinstance(found, Class) and found not in known and found not in reached:
                reached.append(found)
                waiting.append(object)
    return named, sorted(reached, key=lambda one: one.name)


def led_to(object: Any) -> Iterator[Any]:
    """The classes of ours that the public signatures of a class or function name."""
    module = None if find(object) is None else module_of(object.__module__)
    if module is not None:
        for annotation in annotations_of(object):
            yield from _classes(module, annotation)


def annotations_of(object: Any) -> list[ast.expr]:
    """All annotations in the public signatures and attributes of a class or function."""
    found = find(object)
    assert found is not None  # ours
    functions = [found] if isinstance(found, Function) else found.functions
    annotations: list[ast.expr] = [] if isinstance(found, Function) else [one.type for one in found.variables]
    for function in functions:
        for node in (function.node, *function.overloads):
            given = parameters(_without_engine(node.args, node.name))
            annotations += [one.annotation for one in given if one.annotation is not None]
        if function.returns is not None:
            annotations.append(function.returns)
    if inspect.isclass(object):
        annotations += [ast.parse(base.__name__, mode="eval").body for base in object.__bases__ if find(base)]
    return annotations


def aliases() -> list[Alias]:
    """The names for types that public signatures use, each once, by name."""
    named, reached = public()
    found: dict[tuple[str, str], Alias] = {}
    for object in [*(one for one in named.values() if find(one) is not None), *(one.object for one in reached)]:
        module = module_of(object.__module__)
        for name in (name for annotation in annotations_of(object) for name in names_in(annotation)):
            if (alias := _alias(module, name)) is not None:
                found[alias.name, alias.text] = alias
    return [found[key] for key in sorted(found)]


def _alias(module: Module, name: str) -> Alias | None:
    place = module.where(name)
    if place is None or not place[0].startswith("chez") or inspect.isclass(module.resolve(name)):
        return None
    body = module_of(place[0]).tree.body
    for at, node in enumerate(body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == place[1] \
                and not isinstance(module.resolve(name), TypeVar):
            return Alias(name, ast.unparse(node.value), _text(body[at + 1] if at + 1 < len(body) else None))
    return None


def _classes(module: Module, annotation: ast.expr, depth: int = 0) -> Iterator[Any]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):  # crypto.Kdf
            named = getattr(module.resolve(node.value.id), node.attr, None)
            if inspect.isclass(named):
                yield named
    for name in names_in(annotation):
        object = module.resolve(name)
        if inspect.isclass(object):
            yield object
        elif depth < 3 and (place := module.where(name)) is not None and place[0].startswith("chez"):
            # An alias, such as `Source = Path | str | bytes`: what it stands for.
            there = module_of(place[0])
            for node in there.tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) \
                        and node.targets[0].id == place[1]:
                    yield from _classes(there, node.value, depth + 1)


def unquoted(annotation: ast.expr) -> ast.expr:
    """An annotation without the quotes around names that are defined later."""
    class Unquote(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            if isinstance(node.value, ast.Name) and node.value.id == "Literal":
                return node
            return self.generic_visit(node)

        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.parse(node.value, mode="eval").body if isinstance(node.value, str) else node

    copied = ast.parse(ast.unparse(annotation), mode="eval").body
    changed: ast.expr = Unquote().visit(copied)
    return changed


def names_in(annotation: ast.expr) -> list[str]:
    """The names an annotation uses, in order, each once."""
    found = [node.id for node in ast.walk(unquoted(annotation)) if isinstance(node, ast.Name)]
    return [*dict.fromkeys(found)]


def _class(module: Module, node: ast.ClassDef, object: type[Any]) -> Class:
    members: list[Function | Variable] = []
    overloads: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for at, item in enumerate(node.body):
        after = node.body[at + 1] if at + 1 < len(node.body) else None
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            if item.name == "__init__":
                members += _attributes(item)
            elif "overload" in _decorators(item):
                overloads.append(item)
            elif _is_public(item) and not _needs_engine(item.args):
                members.append(_function(item, tuple(overloads)))
                overloads = []
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id[0] != "_":
            members.append(Variable(item.target.id, unquoted(item.annotation), _text(after), item.value))
    generic = tuple(ast.unparse(base.slice) for base in node.bases if isinstance(base, ast.Subscript))
    kept = [one for one in members if f"{node.name}.{one.name}" not in ENGINE]
    return Class(node.name, module, object, inspect.cleandoc(ast.get_docstring(node) or ""), generic, tuple(kept))


def _attributes(init: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Variable]:
    """What `__init__` sets under public names: each with the type written there, or that can be seen."""
    given = {one.arg: one.annotation for one in parameters(init.args)}
    for at, item in enumerate(init.body):
        target = item.target if isinstance(item, ast.AnnAssign) else \
            item.targets[-1] if isinstance(item, ast.Assign) else None
        if not isinstance(target, ast.Attribute) or target.attr.startswith("_"):
            continue
        kind = _type_of(item, given)
        if kind is None:
            raise ValueError(f"the type of self.{target.attr} can't be seen: annotate it")
        after = init.body[at + 1] if at + 1 < len(init.body) else None
        yield Variable(target.attr, unquoted(kind), _text(after))


def _type_of(item: ast.stmt, given: dict[str, ast.expr | None]) -> ast.expr | None:
    if isinstance(item, ast.AnnAssign):
        return item.annotation
    value = item.value if isinstance(item, ast.Assign) else None
    if isinstance(value, ast.Name):
        return given.get(value.id)
    if isinstance(value, ast.Constant):
        return ast.Name(type(value.value).__name__)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id[0].isupper():
        return value.func
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr[0].isupper():
        return value.func  # asyncio.Event()
    return None


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef,
              overloads: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]) -> Function:
    decorators = _decorators(node)
    returns = None if node.returns is None else unquoted(node.returns)
    kind: Kind = "coroutine" if isinstance(node, ast.AsyncFunctionDef) else "plain"
    outer = returns.value.id if isinstance(returns, ast.Subscript) and isinstance(returns.value, ast.Name) else ""
    if "property" in decorators:
        kind = "property"
    elif "asynccontextmanager" in decorators or outer == "AbstractAsyncContextManager":
        kind = "block"
    elif outer in ("AsyncIterator", "AsyncIterable", "AsyncGenerator"):
        kind = "iterator"
    if kind in ("block", "iterator") and isinstance(returns, ast.Subscript):
        returns = returns.slice.elts[0] if isinstance(returns.slice, ast.Tuple) else returns.slice
    return Function(node.name, kind, node, returns, inspect.cleandoc(ast.get_docstring(node) or ""), overloads)


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}


def _is_public(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return not node.name.startswith("_") or node.name == "__aiter__"


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a signature, whatever their kind."""
    extra = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


def _is_engine(parameter: ast.arg) -> bool:
    return parameter.annotation is not None and bool(ENGINE_TYPES & set(names_in(parameter.annotation)))


def _needs_engine(arguments: ast.arguments) -> bool:
    """Whether it can't be called without something of the engine's."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    required += [one for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                 if default is None]
    return any(map(_is_engine, required))


def _without_engine(arguments: ast.arguments, function: str) -> ast.arguments:
    kept = [(one, default) for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if not _is_engine(one) and f"{function}({one.arg})" not in ENGINE]
    return ast.arguments(arguments.posonlyargs, arguments.args, arguments.vararg, [one for one, _ in kept],
                         [default for _, default in kept], arguments.kwarg, arguments.defaults)


def _text(node: ast.stmt | None) -> str:
    """The docstring that stands under an attribute."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""
