"""How WebAssembly is compiled and run: the same settings for the compiler and the worker.

Imported in child processes only (loading wasmtime costs 60 ms). Compiled code is bound to
the hash of this file, so that a changed setting never meets old code.
"""

import wasmtime
from wasmtime import component as wc

__all__ = ("ALLOWED_IMPORTS", "DATA", "make_engine", "surplus_imports")

DATA = "chez:job/data@0.1.0"
"""The one interface that a job may import."""

ALLOWED_IMPORTS = frozenset({DATA})

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


def surplus_imports(engine: wasmtime.Engine, component: wc.Component) -> list[str]:
    """What a component wants beyond `data`; anything here and it is refused, never linked."""
    return sorted(set(component.type.imports(engine)) - ALLOWED_IMPORTS)
