"""How WebAssembly is compiled and run: the same settings for the compiler and the worker.

Imported in child processes only (loading wasmtime costs 60 ms). Compiled code is bound to
the hash of this file, so that a changed setting never meets old code.
"""

import wasmtime
from wasmtime import component as wc

__all__ = ("DATA", "make_engine", "objections")

DATA = "chez:job/data@0.1.0"
"""The one interface that a job may import."""

_PLAIN: dict[type, str] = {wc.String: "string", wc.U32: "u32", wc.U64: "u64"}
_DATA_FUNCTIONS = {
    "query": "(string, string) -> result<string, string>",
    "next-batch": "(string, u32) -> result<option<string>, string>",
    "run-date": "() -> string",
    "random": "() -> u64",
    "log": "(string)",
}

_STACK = 512 * 1024  # bytes of native stack for WebAssembly: deep recursion ends as `stack`
_RESERVATION = 256 << 20  # address space a memory reserves; larger ones move when they grow


def make_engine(*, parallel: bool = False) -> wasmtime.Engine:
    """An engine with both stops (fuel, epoch), deterministic floats and no threads.

    `parallel` compiles on all cores; it does not change the code that comes out.
    """
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd = False
    config.wasm_threads = False
    config.shared_memory = False
    config.wasm_memory64 = False
    config.max_wasm_stack = _STACK
    config.memory_reservation = _RESERVATION
    config.parallel_compilation = parallel
    return wasmtime.Engine(config)


def objections(engine: wasmtime.Engine, component: wc.Component) -> list[str]:
    """Why a component may not be linked: what it imports beyond `data`, or otherwise typed.

    The binding's host functions are typed by whoever imports them, so wasmtime does not
    compare: a component that declared other types would make the host lift what it likes.
    """
    found = []
    for name, item in component.type.imports(engine).items():
        kind = item.ty if name == DATA else None
        if not isinstance(kind, wc.ComponentInstanceType):
            found.append(f"it imports {name[:100]}, which does not exist for a job")
            continue
        for function, member in kind.exports(engine).items():
            if _signature(member.ty) != _DATA_FUNCTIONS.get(function):
                found.append(f"it imports {function[:100]} of {DATA} with another type")
    return found


def _signature(kind: object) -> str:
    """A function's type as the WIT writes it; types that `data` does not use are "?"."""
    if isinstance(kind, wc.FuncType):
        result = "" if kind.result is None else f" -> {_signature(kind.result)}"
        return f"({', '.join(_signature(param) for _, param in kind.params)}){result}"
    if isinstance(kind, wc.ResultType):
        return f"result<{_signature(kind.ok)}, {_signature(kind.err)}>"
    if isinstance(kind, wc.OptionType):
        return f"option<{_signature(kind.payload)}>"
    return _PLAIN.get(type(kind), "?")
