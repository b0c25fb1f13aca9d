"""`chez.blocking`, made from the asynchronous SDK: every public member, with its own types.

`python -m tools.blocking` writes engine/chez/blocking/__init__.py; a test fails when that is
not what the SDK says now. What a new member needs beyond these rules (a parameter that is a
function, say) is a rule more here: the maker refuses what it has no rule for.
"""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tools.surface import Class, Function, Module, Variable, find, led_to, module_of, names_in, parameters, public
from tools.surface import unquoted as plain

__all__ = ("ASYNC_ONLY", "blocking", "spoken")

TARGET: Final = Path(__file__).resolve().parents[1] / "engine" / "chez" / "blocking" / "__init__.py"

ASYNC_ONLY: Final = {
    "Home.shared": "takes something asynchronous that lives as long as the home",
    "Link.turn": "for tasks that watch a link; `synced` waits",
    "Owner.after_each": "its function would run on the home's own thread",
    "Owner.release": "for the one who closes the home after that: `chez up`",
}

DIRECT: Final = {"Collection.where", "Home.collection", "Space.collection"}
"""Plain methods of objects with state that only make something: called in the caller's own thread.

Others run on the loop, for only there is the state of the SDK's objects safe to touch.
"""

GIVEN: Final = {
    "OnDamaged | None": ("OnDamaged | None", "call.told({})"),
    "OnProgress | None": ("OnProgress | None", "call.told({})"),
    "Ask | None": ("Ask | None", "call.asking({})"),
    "Iterable[T]": ("Iterable[T]", "list({})"),
    "Iterable[str] | None": ("Iterable[str] | None", "None if {0} is None else list({0})"),
    "Source": ("Source", "call.stream({})"),
    "Callable[[Transaction], R]": ("Callable[[Transaction], R]", "inside(self._portal, {}, Transaction)"),
}
"""Parameters that are functions, or give their items by and by: the type they have here, and what is handed on.

Functions and iterators of the caller's run in the caller's thread."""

OPENED: Final = "Home"
"""The class that has a thread of its own; `close` ends it."""

HEAD: Final = '''\
# Generated from the asynchronous SDK by `python -m tools.blocking`: change that, not this file.
"""Chez for programs without an event loop: scripts, notebooks, a Python prompt.

    from chez import blocking as chez

    words = chez.create("home", passphrase="...")           # once; keep the 24 words
    with chez.open("home", passphrase="...") as home:
        notes = home.collection("notes")
        note = notes.put({"title": "Bread", "done": False})
        with notes.edit(note.id) as draft:
            draft["done"] = True
        for record in notes.where(done=True):
            print(record.value["title"])
        for records in notes.where().live():                 # until Ctrl-C
            ...

It is all of `chez`, where each `await`, `async with` and `async for` is an ordinary call,
`with` and `for`. In a notebook, where a block can't span cells: `home = chez.open(...)`, and
`home.close()` at the end.

An open home has one thread with an event loop of its own, so this works where a loop runs
already, as in Jupyter; but whoever calls waits, and so does the loop that it runs on: an
asynchronous application uses `chez`. Any thread may use a home and all that comes from it.
What is raised is what `chez` raises. Ctrl-C cancels the call that waits, waits until that
has ended, and is raised then; a second one at once. Functions given to a call (progress,
questions) run in the thread that waits, and what they raise ends the call. The function
given to `transaction` runs in the store's thread and can use nothing but the transaction:
the rest raises `Misuse` there, as does every call on the home's own thread.
"""
'''

_FROM: Final = {
    "collections.abc": ("Callable", "Iterable"),
    "typing": ("Any", "Generic", "TypeVar", "overload"),
    "chez.blocking.calls": ("Ask", "Source"),
    "chez.blocking.shapes": ("BATCH", "Block", "Event", "Front", "Items", "Opened", "alone", "inside", "same"),
}
"""What the file may use beside the SDK."""

_WRITTEN: Final = {"Ask", "Callable", "Event", "Iterable", "Source"}
"""Names in types that are from there."""

_ENDS: Final = "Ends when the home closes"
"""What the docstring of an iterator says that waits for more: then a home that is closed is its end, no error."""

_SAID: Final = (
    (r"\basync (with|for)\b", r"\1"), (r"\bawait ", ""),
    (r"\ban asynchronous stream of bytes\b", "an iterable of bytes"), (r"\bfor a stream\b", "for an iterable"),
)


def spoken(doc: str) -> str:
    """A docstring of the asynchronous SDK, as it reads without a loop."""
    for pattern, text in _SAID:
        doc = re.sub(pattern, text, doc)
    return doc


class _Maker:
    """One file being made: its classes, functions and what they import."""

    def __init__(self) -> None:
        self._named, reached = public()
        classes = [found for object in self._named.values() if isinstance(found := find(object), Class)]
        self._fronts = _waiting([*classes, *reached])
        self._imports: dict[str, tuple[str, str]] = {}
        self._variables: set[str] = set()
        self._module: Module = module_of("chez")

    def text(self) -> str:
        """The whole file."""
        values = {name: object for name, object in self._named.items() if name not in self._fronts}
        functions = [name for name, object in values.items()
                     if isinstance(found := find(object), Function) and found.kind != "plain"]
        body = "\n".join([*map(self._class, self._fronts.values()),
                          *(self._top(name, values[name]) for name in functions)])
        exported = sorted({*values, *self._fronts})
        for name in values.keys() - set(functions):
            self._imports[name] = (values[name].__module__, name)
        lines = [HEAD, "from __future__ import annotations", *_used("", ("asyncio",), body)]
        for place, names in _FROM.items():
            lines += _used(place, names, body)
        lines += [f"from {module} import {name}{'' if name == alias else f' as {alias}'}"
                  for alias, (module, name) in self._imports.items()]
        lines += [f"__all__ = {tuple(exported)!r}".replace("'", '"')]
        lines += [f'{name} = TypeVar("{name}")' for name in sorted(self._variables)]
        return _formatted("\n".join([*lines, body]) + "\n")

    # --- classes ----------------------------------------------------------------------------

    def _class(self, one: Class) -> str:
        self._module = one.module
        self._imports[f"Async{one.name}"] = (one.object.__module__, one.name)
        of = f"[{', '.join(one.generic)}]" if one.generic else ""
        self._variables.update(one.generic)
        base = "Opened" if one.name == OPENED else "Front"
        generic = f", Generic{of}" if of else ""
        lines = [f"class {one.name}({base}[Async{one.name}{of}]{generic}):", _doc(one.doc, 4)]
        direct = one.name == "Transaction" or _is_value(one.object)
        for member in one.members:
            if f"{one.name}.{member.name}" in ASYNC_ONLY:
                continue
            here = direct or f"{one.name}.{member.name}" in DIRECT
            lines.append(self._variable(member) if isinstance(member, Variable) else self._method(member, here))
        return "\n".join(lines)

    def _variable(self, one: Variable) -> str:
        type, value = self._type(one.type), f"self._inner.{one.name}"
        return "\n".join(["    @property", f"    def {one.name}(self) -> {type}:",
                          _doc(one.doc, 8),
                          f"        return {self._wrapped(one.type, value, 'self._portal')}"])

    def _method(self, one: Function, direct: bool) -> str:
        name = "__iter__" if one.name == "__aiter__" else one.name
        head = ["    @property"] if one.kind == "property" else []
        for overloaded in one.overloads:
            returns = self._type(overloaded.returns)
            head += ["    @overload", f"    def {name}({self._signature(overloaded.args)}) -> {returns}: ..."]
        kind = "direct" if direct and one.kind == "plain" else one.kind
        inner = f"self._inner.{one.name}" if kind == "property" else f"self._inner.{one.name}({self._handed(one)})"
        return "\n".join([*head, f"    def {name}({self._signature(one.arguments)}) -> {self._returns(one)}:",
                          _doc(one.doc, 8), f"        {self._body(one, kind, inner, 'self._portal')}"])

    def _top(self, name: str, object: Any) -> str:
        """A function of the module."""
        one = find(object)
        assert isinstance(one, Function)  # chosen so
        self._module = module_of(object.__module__)
        self._imports[f"async_{name}"] = (object.__module__, name)
        inner = f"async_{name}({self._handed(one)})"
        homes = [given.arg for given in parameters(one.arguments)
                 if given.annotation is not None and _outer(plain(given.annotation)) in self._fronts]
        if homes:
            body = self._body(one, one.kind, inner, f"{homes[0]}._portal")
        elif one.kind == "block":
            return self._function(name, one, OPENED, f"return {OPENED}.opened(lambda: {inner})")
        else:
            body = ("" if self._gives_none(one) else "return ") + f"alone(lambda call: {inner})"
        return self._function(name, one, self._returns(one), body)

    def _function(self, name: str, one: Function, returns: str, body: str) -> str:
        return "\n".join([f"def {name}({self._signature(one.arguments)}) -> {returns}:", _doc(one.doc, 4),
                          f"    {body}"])

    # --- how a member is reached ------------------------------------------------------------

    def _body(self, one: Function, kind: str, inner: str, portal: str) -> str:
        if kind == "iterator":
            ends = "live" if any(arg.arg == "live" for arg in parameters(one.arguments)) else "True"
            manner = ", batch=BATCH" if one.name == "__aiter__" else f", ends={ends}" if _ENDS in one.doc else ""
            return f"return Items({portal}, lambda: {inner}{manner})"
        if kind == "block":
            convert = self._wrapped(one.returns, "inner", portal)
            return f"return Block({portal}, lambda call: {inner}, " + (
                "same)" if convert == "inner" else f"lambda inner: {convert})")
        if kind == "coroutine":
            inner = f"{portal}.call(lambda call: {inner})"
        elif kind == "plain":
            inner = f"{portal}.do(lambda: {inner})"
        if self._gives_none(one):
            return inner
        return f"return {self._wrapped(one.returns, inner, portal)}"

    @staticmethod
    def _gives_none(one: Function) -> bool:
        return one.returns is None or ast.unparse(one.returns) == "None"

    def _returns(self, one: Function) -> str:
        found = self._type(one.returns)
        return {"iterator": f"Items[{found}]", "block": f"Block[{found}]"}.get(one.kind, found)

    def _handed(self, one: Function) -> str:
        """The arguments handed on to the asynchronous function."""
        given = one.arguments
        positional = [*given.posonlyargs, *given.args]
        texts = [self._argument(arg) for arg in positional if arg.arg != "self"]
        if given.vararg is not None:
            texts.append(f"*{given.vararg.arg}")
        texts += [f"{arg.arg}={self._argument(arg)}" for arg in given.kwonlyargs]
        if given.kwarg is not None:
            texts.append(f"**{given.kwarg.arg}")
        text = ", ".join(texts)
        if "call." in text and one.kind not in ("coroutine", "block"):
            raise ValueError(f"{one.name} takes a function and is no coroutine: it needs a rule")
        return text

    def _argument(self, arg: ast.arg) -> str:
        annotation = None if arg.annotation is None else plain(arg.annotation)
        if annotation is None:
            return arg.arg
        text = ast.unparse(annotation)
        if text in GIVEN:
            return GIVEN[text][1].format(arg.arg)
        if _outer(annotation) in self._fronts:
            return f"{arg.arg}._inner"
        self._no_fronts(annotation)
        if re.search(r"Callable|Async|Awaitable|Coroutine", self._expanded(annotation)):
            raise ValueError(f"a parameter of the type {text} needs a rule in tools/blocking.py")
        return arg.arg

    def _expanded(self, annotation: ast.expr) -> str:
        """An annotation with what its aliases stand for, apart from migrations: pure functions."""
        objects = [str(self._module.resolve(name)) for name in names_in(annotation) if name != "Migration"]
        return " ".join([ast.unparse(annotation), *objects])

    def _wrapped(self, type: ast.expr | None, value: str, portal: str) -> str:
        """A value of the asynchronous SDK as one of this."""
        if type is None:
            return value
        if ast.unparse(type) == "asyncio.Event":
            return f"Event({portal}, {value})"
        if (outer := _outer(type)) in self._fronts:
            return f"{outer}({portal}, {value})"
        if outer == "list" and isinstance(type, ast.Subscript) and (item := _outer(type.slice)) in self._fronts:
            return f"[{item}({portal}, one) for one in {value}]"
        self._no_fronts(type)
        return value

    def _no_fronts(self, type: ast.expr) -> None:
        if both := [name for name in names_in(type) if name in self._fronts]:
            raise ValueError(f"{ast.unparse(type)} has {both[0]} inside: it needs a rule in tools/blocking.py")

    # --- types ------------------------------------------------------------------------------

    def _signature(self, given: ast.arguments) -> str:
        copied = ast.parse(f"def f({ast.unparse(given)}): ...").body[0]
        assert isinstance(copied, ast.FunctionDef)  # just written
        for arg in parameters(copied.args):
            if arg.annotation is not None:
                arg.annotation = ast.parse(self._type(plain(arg.annotation)), mode="eval").body
        copied.args.defaults = [self._named_here(one) for one in copied.args.defaults]
        copied.args.kw_defaults = [one and self._named_here(one) for one in copied.args.kw_defaults]
        return ast.unparse(copied.args)

    def _type(self, annotation: ast.expr | None) -> str:
        if annotation is None:
            return "None"
        text = ast.unparse(plain(annotation))
        text = "Event" if text == "asyncio.Event" else GIVEN[text][0] if text in GIVEN else text
        return ast.unparse(self._named_here(ast.parse(text, mode="eval").body))

    def _named_here(self, expression: ast.expr) -> ast.expr:
        """An expression of the module at hand with the names that this file has for what it means."""
        for node in ast.walk(expression):
            if isinstance(node, ast.Name) and node.id not in self._fronts and node.id not in _WRITTEN:
                node.id = self._import(node.id)
        return expression

    def _import(self, name: str) -> str:
        object, place = self._module.resolve(name), self._module.where(name)
        if place is None:
            return name
        if isinstance(object, TypeVar):
            self._variables.add(name)
            return name
        if inspect.isclass(object) and object.__module__.startswith("chez"):
            place = (object.__module__, object.__name__)
        before = self._imports.setdefault(name, place)
        if before == place or getattr(sys.modules[before[0]], before[1]) == object:
            return name
        # The name is taken by something else: it is told apart by the module it is from.
        other = place[0].rpartition(".")[2].title() + name
        self._imports[other] = place
        return other


def _waiting(classes: list[Class]) -> dict[str, Class]:
    """The classes that have something to wait for, and those that deal with them."""
    found = {one.name: one for one in classes
             if any(member.kind in ("coroutine", "iterator", "block") for member in one.functions)
             or any(ast.unparse(member.type) == "asyncio.Event" for member in one.variables)}
    while more := {one.name: one for one in classes if one.name not in found and one.functions
                   and any(object.__name__ in found for object in led_to(one.object))}:
        found |= more
    return dict(sorted(found.items()))


def _used(place: str, names: tuple[str, ...], text: str) -> list[str]:
    """Imports of those names that a text uses."""
    found = [name for name in names if re.search(rf"\b{name}\b", text) or name == "TypeVar"]
    return [f"from {place} import {', '.join(found)}" if place else f"import {found[0]}"] if found else []


def _is_value(object: type[Any]) -> bool:
    """Whether its plain methods only make values: it never changes."""
    if issubclass(object, msgspec.Struct):
        return object.__struct_config__.frozen
    params = getattr(object, "__dataclass_params__", None)
    return params is not None and bool(params.frozen)


def _outer(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return annotation.id if isinstance(annotation, ast.Name) else ""


def _doc(doc: str, indent: int) -> str:
    space = " " * indent
    lines = [f'"""{spoken(doc)}', *([] if "\n" not in doc else [""])]
    text = "\n".join(lines) + '"""'
    return "\n".join(space + line if line else "" for line in text.split("\n"))


def _formatted(source: str) -> str:
    """The source as the project's linter would have it."""
    for words in (("check", "--fix", "--select", "I", "-q"), ("format", "-q", "--line-length", "120")):
        command = [sys.executable, "-m", "ruff", *words, "--no-cache", "--stdin-filename", str(TARGET), "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=TARGET.parents[3])
        source = done.stdout
    return source


def blocking() -> str:
    """The whole file."""
    return _Maker().text()


if __name__ == "__main__":
    TARGET.write_text(blocking(), encoding="utf-8")
