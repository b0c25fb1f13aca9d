"""store.peers.*: the same work in Chez and in what an app might use instead, each in processes of its own."""

import asyncio
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.harness import ROOT, Bench, Benchmark, BenchmarkFailed, Figure, Runs, say
from benchmarks.peers import repo
from benchmarks.peers.stores import SOURCE, installed
from benchmarks.peers.stores.stores import COUNT, FOUND, QUERIES, READS, UPDATES
from benchmarks.processes import finish

__all__ = ("CONDITIONS", "FAMILY", "OURS", "benchmarks", "occupied")

FAMILY: Final = "store.peers"
"""What the ids of these figures begin with; asked for by this name, all are measured."""
OURS: Final = "chez"
MOST_SECONDS: Final = 60.0

CONDITIONS: Final = {
    OURS: "encrypted (SQLCipher); fsync; all history kept, with author and time of each change; devices merge, and it "
    "moves the changes between them",
    "sqlite": "SQLite with JSON by hand, an index on the field: plaintext; fsync (WAL, synchronous=FULL); no history; "
    "devices can't merge",
    "automerge": "@automerge/automerge 3.5.0 on Node, a document and a file for each record: plaintext; no fsync, so "
    "not durable; all history kept; no index, a query goes through all documents in memory; a read loads its "
    "file; devices can merge, the app moves the changes",
    "loro": "Loro 1.17.1, a document for each record as a blob in SQLite beside its JSON, which reads and queries use: "
    "plaintext; fsync; all history kept; devices can merge, the app moves the changes",
    "pycrdt": "Yjs by pycrdt 0.14.13, kept likewise: plaintext; fsync; no history (what is overwritten is dropped); "
    "devices can merge, the app moves the changes",
}


def _figure(name: str, unit: str, what: str, *, more: bool = False) -> Figure:
    peers = {peer: words for peer, words in CONDITIONS.items() if peer != OURS}
    return Figure(f"{FAMILY}.{name}", unit, "more" if more else "less", what, None, peers)


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        _figure("create", "records/s", f"{COUNT:,} records of six fields into an empty store, in one transaction where "
                "there are transactions.", more=True),
        _figure("read", "ms", f"Median of {READS} reads of one record by its id."),
        _figure("query", "ms", f"Median of {QUERIES} queries by one of the fields: {FOUND} of {COUNT:,} records."),
        _figure("update", "ms", f"Median of {UPDATES} updates of one field of a record, each awaited."),
        _figure("open", "ms", "A new process, from before its libraries are imported to the "
                f"{FOUND} records of a first query."),
        _figure("disk", "bytes/record", f"What the files of the closed store take on the disk after {UPDATES} "
                f"updates, in whole blocks, over {COUNT:,} records. The JSON of one has about 140."),
    ), _measure),)


@dataclass(frozen=True, slots=True)
class Program:
    """How a store is run: `fill FOLDER` or `open FOLDER` come behind."""

    command: tuple[str, ...]
    cwd: Path = ROOT


async def _programs(bench: Bench) -> dict[str, Program]:
    """Chez and the peers that can be had here."""
    by_hand = str(SOURCE / "stores.py")
    found = {OURS: Program((sys.executable, "-m", "benchmarks.store_once")),
             "sqlite": Program((sys.executable, by_hand, "sqlite"))}
    node = shutil.which("node")
    if node and (folder := await repo.installed(bench)) is not None:
        found["automerge"] = Program((node, "stores.mjs"), folder)
    if (python := await installed(bench)) is not None:
        found |= {peer: Program((str(python), by_hand, peer)) for peer in ("loro", "pycrdt")}
    return found


async def _measure(bench: Bench) -> dict[str, Runs]:
    programs = await _programs(bench)
    runs: dict[str, Runs] = {}
    for _ in range(bench.runs):
        for store, program in programs.items():
            try:
                measured = await _one(program, bench.folder(store))
            except BenchmarkFailed as error:
                if store == OURS:
                    raise
                say(f"  a run of {store} is left out: {error}")  # a peer's trouble must not cost our figure
                continue
            for name, value in measured.items():
                of = runs.setdefault(f"{FAMILY}.{name}", Runs())
                (of.values if store == OURS else of.peers.setdefault(store, [])).append(value)
    return runs


async def _one(program: Program, folder: Path) -> dict[str, float]:
    """Every figure of one store, in an empty folder, which is gone afterwards. Raises `BenchmarkFailed`."""
    measured = await _run(program, "fill", folder)
    measured["disk"] = occupied(folder) / COUNT
    measured |= await _run(program, "open", folder)
    shutil.rmtree(folder)
    return measured


async def _run(program: Program, verb: str, folder: Path) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        *program.command, verb, str(folder), cwd=program.cwd, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(MOST_SECONDS):
            out, words = await process.communicate()
    except TimeoutError:
        raise BenchmarkFailed(f"{verb} is not done in {MOST_SECONDS:.0f} s") from None
    finally:
        await finish(process)
    if process.returncode:
        raise BenchmarkFailed(f"{verb} ended with {process.returncode}: {words.decode(errors='replace')[-500:]}")
    found: dict[str, float] = json.loads(out)
    return found


def occupied(folder: Path) -> int:
    """Bytes that the files in a folder take on the disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
