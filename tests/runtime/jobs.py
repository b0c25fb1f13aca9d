"""Shorthands for tests of runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chez_sandbox.runtime.host import Limits, RunResult, Runtime, Table
from tests.missing import leave_out

ROOT = Path(__file__).resolve().parents[2]
APART = ("unshare", "--user", "--map-root-user")
"""A command in front of another, which is root then in a namespace of its own, where the system lets people be that."""

READINGS = Table("readings", ("at", "watts"), tuple((at, 200 + at % 7) for at in range(5000)))


def looks_inside(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test that looks into a worker, whose walls hide what it has open from all but root: who is not, is so apart."""
    if os.geteuid() == 0:
        return test

    def apart(request: pytest.FixtureRequest) -> None:
        try:
            possible = subprocess.run([*APART, "true"], capture_output=True, text=True, timeout=90)
        except FileNotFoundError:
            leave_out("only root looks into a worker, and there is no unshare here")
        if possible.returncode != 0:
            leave_out(f"only root looks into a worker, and nobody becomes that here: {possible.stderr.strip()}")
        words = [*APART, sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", request.node.nodeid]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout + done.stderr

    apart.__name__, apart.__doc__ = test.__name__, test.__doc__
    return apart


async def run(
    runtime: Runtime,
    source: str,
    params: Any = None,
    tables: tuple[Table, ...] = (READINGS,),
    seed: bytes = b"seed",
    **limits: Any,
) -> RunResult:
    """A Python job with the given limits."""
    body = msgspec.json.encode(params)
    return await runtime.run_python(source, body, tables, Limits(**limits), seed, "2026-11-24")


def job(expression: str, *lines: str) -> str:
    """The source of a job that runs the lines and returns the expression."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"def run(data, params):\n{body}    return {expression}\n"


def workers(parent: int | None = None) -> set[int]:
    """Process ids of the living workers and compilers of a process, this one by default."""
    children = _children(parent or os.getpid())
    forked = [set(_children(zygote)) for zygote, command in children.items() if ZYGOTE in command]
    return {child for child, command in children.items() if ZYGOTE not in command}.union(*forked)


def zygotes() -> set[int]:
    """Process ids of this process's living zygotes."""
    return {child for child, command in _children(os.getpid()).items() if ZYGOTE in command}


ZYGOTE = b"chez_sandbox.runtime.zygote"


def _children(parent: int) -> dict[int, bytes]:
    """The children that are of the runtime, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"chez_sandbox.runtime" in command:
            found[int(entry.name)] = command
    return found


def component(
    *, imports: str = "", host: str = "", code: str = "", run: str = "", memory: str = "1", extra: str = ""
) -> bytes:
    """A component of the world `job`, from WebAssembly text, in a few hundred bytes.

    `run` is the body of run(params) -> pointer to (tag, pointer, length); by default it
    answers what the parameters were.
    """
    import wasmtime

    run = run or """
        (i32.store8 (i32.const 0) (i32.const 0))
        (i32.store (i32.const 4) (local.get 0))
        (i32.store (i32.const 8) (local.get 1))
        (i32.const 0)"""
    with_host = f'(with "host" (instance {host}))' if host else ""
    return bytes(
        wasmtime.wat2wasm(f"""
    (component
      {imports}
      (core module $m
        {code}
        (memory (export "memory") {memory})
        {extra}
        (global $top (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (local $at i32)
          (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
          (global.set $top (i32.add (local.get $at) (local.get 3)))
          (local.get $at))
        (func $run (export "run") (param i32 i32) (result i32) {run}))
      (core instance $i (instantiate $m {with_host}))
      (type $codes (enum
        "bad-params" "not-enough-data" "not-applicable" "internal" "out-of-memory" "too-deep"))
      (export $fail "fail" (type $codes))
      (func $run (param "params" string) (result (result string (error $fail)))
        (canon lift (core func $i "run")
          (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
      (export "run" (func $run)))
    """)
    )
