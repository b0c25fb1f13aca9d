"""Which kinds of receipts the source writes, and with which fields: found by reading it."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ("Site", "Unreadable", "read", "sites")

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "engine" / "chez", ROOT / "sandbox" / "chez_sandbox")
SKIPPED = ("blocking",)
"""Made from the rest: it hands on what it is given."""

WRITERS = {"record": ("journal",), "append": ("journal",), "receipt": ("transaction", "engine"),
           "reserve": ("journal", "transaction"), "debit": ("journal",), "write_receipt": (), "charge": ()}
"""What writes a receipt, and the names of what it is a method of (none: a function)."""


WRITES = ("journal", "receipt", "notices")
"""What stands in each module that writes one."""


class Unreadable(AssertionError):
    """A receipt whose kind can't be told by reading the source: write it as text, or as one of two."""


@dataclass(frozen=True)
class Site:
    """A place that writes a receipt; `keys` are the fields that are written out there, None where none are."""

    kind: str
    keys: frozenset[str] | None
    where: str


@cache
def sites() -> tuple[Site, ...]:
    """Every place that writes one."""
    files = [path for source in SOURCES for path in sorted(source.rglob("*.py")) if not set(SKIPPED) & set(path.parts)]
    texts = [(path, path.read_text(encoding="utf-8")) for path in files]
    return tuple(site for path, text in texts if any(name in text for name in WRITES)
                 for site in read(path.relative_to(ROOT), ast.parse(text)))


def read(path: Path, tree: ast.Module) -> list[Site]:
    """Those in one module. Raises `Unreadable`."""
    return list(_File(path, tree).sites())


class _File:
    """One module. A function of it that has a parameter `kind` and writes a receipt of that kind writes one itself."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self._name = str(path)
        self._nodes = list(ast.walk(tree))
        self._told = [node for node in self._nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                      and "kind" in _parameters(node)]
        self._forwarders: dict[str, int] = {}
        before = -1
        while before != len(self._forwarders):
            before = len(self._forwarders)
            for function in self._told:
                self._learn(function)

    def _learn(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if function.name not in WRITERS and any(_is_kind(self._kind(call)) for call in self._calls(ast.walk(function))):
            self._forwarders[function.name] = _parameters(function).index("kind")

    def sites(self) -> Iterator[Site]:
        """The places in it."""
        told = {node for function in self._told for node in ast.walk(function)}
        for call in self._calls(self._nodes):
            kind = self._kind(call)
            if _is_kind(kind) and (call in told or self._in_loop(call)):
                continue
            for value in _constants(kind, f"{self._name}:{call.lineno}"):
                yield Site(value, _keys(call, kind), f"{self._name}:{call.lineno}")
        for node in self._nodes:
            if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append"
                    and _last(node.func.value) == "notices" and isinstance(node.args[0], ast.Tuple)):
                kind, body = node.args[0].elts
                for value in _constants(kind, f"{self._name}:{node.lineno}"):
                    yield Site(value, _written(body), f"{self._name}:{node.lineno}")

    def _calls(self, nodes: Iterable[ast.AST]) -> Iterator[ast.Call]:
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            name = _last(node.func)
            owners = WRITERS.get(name)
            if name in self._forwarders and node.args:
                yield node
            elif owners is not None and (not owners or (
                    isinstance(node.func, ast.Attribute) and _last(node.func.value).lstrip("_") in owners)):
                yield node

    def _kind(self, call: ast.Call) -> ast.expr:
        """The argument that says which kind it is: the place is known, or it is the first text."""
        name = _last(call.func)
        if name in self._forwarders:
            return call.args[self._forwarders[name]]
        found = [argument for argument in call.args[:4] if _is_text(argument) or _is_kind(argument)]
        if not found:
            raise Unreadable(f"{self._name}:{call.lineno}: which kind of receipt is this?")
        return found[0]

    def _in_loop(self, call: ast.Call) -> bool:
        """Whether it hands on notices, which are collected elsewhere."""
        return any(isinstance(node, ast.For) and _last(node.iter) in ("notices",) and call in ast.walk(node)
                   for node in self._nodes)


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [argument.arg for argument in function.args.args if argument.arg != "self"]


def _last(node: ast.AST) -> str:
    """The last name of an expression: `b` of `a.b`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_kind(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "kind"


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _constants(node: ast.expr, where: str) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _constants(node.body, where)
        yield from _constants(node.orelse, where)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        raise Unreadable(f"{where}: the kind of this receipt is {ast.unparse(node)}")


def _keys(call: ast.Call, kind: ast.expr) -> frozenset[str] | None:
    after = call.args[call.args.index(kind) + 1 :]
    return next((keys for argument in after if (keys := _written(argument)) is not None), None)


def _written(node: ast.expr) -> frozenset[str] | None:
    """The fields of a body that is written out."""
    if not isinstance(node, ast.Dict):
        return None
    return frozenset(key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
