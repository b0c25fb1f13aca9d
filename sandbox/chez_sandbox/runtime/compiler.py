"""The compiler: a process that turns one WebAssembly component into native code and ends.

A provider's component is foreign input to a large program, so it is compiled behind the
same walls it would run behind, on one thread. The Python runtime, which is ours, may use
all cores. It says which walls stand, and looks at the component when it is told to go on.
Arguments: the channel's descriptor, the component's, the output's, the parent's process id,
1 for the runtime.
"""

import mmap
import os

import msgspec
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime import walls
from chez_sandbox.runtime.engine import make_engine, objections
from chez_sandbox.runtime.messages import Compiled, Go, Ready, Refused, ToWorker, receive, send

__all__ = ("main",)

_MEMORY = 2 << 30  # bytes; the runtime needs 1.1 GiB, a small component 30 MiB
_ADDRESS_SPACE = 6 << 30
_CPU_SECONDS = 300
_OUTPUT = 512 << 20  # bytes of native code


def _raise_walls(channel: int, target: int) -> list[str]:
    standing = list(walls.lock_files())
    if walls.limit(data=_MEMORY, address_space=_ADDRESS_SPACE, cpu_seconds=_CPU_SECONDS, file_size=_OUTPUT):
        standing.append(walls.RLIMITS)
    if walls.close_door((channel,), (channel, target), executable=True):
        standing.append(walls.SECCOMP)
    return standing


def main(arguments: list[str]) -> None:
    """Compiles, checks the imports, writes the code."""
    channel, source, target, parent, trusted = map(int, arguments)
    walls.die_with_parent(parent)
    walls.let_others_first()
    with mmap.mmap(source, 0, access=mmap.ACCESS_READ) as wasm:
        binary = bytes(wasm)
    engine = make_engine(parallel=bool(trusted))
    standing = [] if trusted else _raise_walls(channel, target)
    send(channel, Ready(tuple(sorted(standing))))
    if not isinstance(receive(channel, msgspec.msgpack.Decoder[ToWorker](ToWorker)), Go):
        raise TypeError("expected the word to go on")
    try:
        if binary[:4] != b"\0asm":  # the binding would take text too
            raise wasmtime.WasmtimeError("it is not WebAssembly")
        component = wc.Component(engine, binary)
    except wasmtime.WasmtimeError as error:
        send(channel, Refused(str(error).strip()[:500]))
        return
    reasons = objections(engine, component)
    if reasons:
        send(channel, Refused("; ".join(reasons)[:500]))
        return
    code = memoryview(component.serialize())
    while code:
        code = code[os.write(target, code) :]
    send(channel, Compiled())
    os._exit(0)
