"""What a run was handed, bound in its receipt: each table by a hash, and the programs that ran it."""

import asyncio
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chez_sandbox.runtime.host import Runtime, Table

if TYPE_CHECKING:
    from chez_sandbox.bundle import Bundle

__all__ = ("digests", "machinery")

_ROWS: Final = 2000
"""Rows that are encoded in one go: a thread holds the interpreter so long."""


async def digests(tables: Sequence[Table]) -> dict[str, str]:
    """The SHA-256 (hexadecimal) of each table by its name: of its columns, then its rows in order, as MessagePack."""
    return await asyncio.to_thread(lambda: {table.name: _digest(table) for table in tables})


def _digest(table: Table) -> str:
    encoder = msgspec.msgpack.Encoder()
    hashed = hashlib.sha256(encoder.encode((table.name, table.columns, len(table.rows))))
    for at in range(0, len(table.rows), _ROWS):
        for row in table.rows[at : at + _ROWS]:
            hashed.update(encoder.encode(row))
    return hashed.hexdigest()


async def machinery(runtime: Runtime, bundle: "Bundle") -> dict[str, Any]:
    """The Python runtime's hash (None for a component, which is its own) and the version of wasmtime."""
    hash = await runtime.runtime_hash() if bundle.kind == "python" else None
    return {"runtime": hash, "wasmtime": version("wasmtime")}
