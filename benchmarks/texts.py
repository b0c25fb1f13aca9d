"""text.trace, text.open, text.resume: the editing of a whole paper, keystroke by keystroke.

The trace (`automerge-paper`, 259,778 edits of one character each, of the repository
josephg/editing-traces, `sequential_traces/automerge-paper.json.gz`) is somebody's work under no stated
licence, so it is not part of the project, and nothing here fetches it: put the file into benchmarks/.cache.
"""

import asyncio
import gzip
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import automerge.core as automerge
import msgspec

import chez
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.store import PASSPHRASE, fresh_home

__all__ = ("benchmarks", "read_trace")

TRACE: Final = "automerge-paper.json.gz"
YIELDS: Final = 64
"""Keystrokes between two turns of the event loop: a person gives it one after each, but pauses there."""

BARE: Final = "the Python binding alone: each edit spliced and committed as a change, nothing stored"
LOADED: Final = "Document.load of the same document's saved bytes, and reading its text"


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("text.trace", "s", "less", "The 259,778 edits of the automerge-paper trace typed into a record, each a "
               "change of its own, until all are durable (in batches).", None, {"automerge": BARE}, {"automerge": 1.5}),
        Figure("text.open", "ms", "less", "That home opened again, and the text read: from the projection, without its "
               "document.", None, {"automerge": LOADED}, {"automerge": 1.5}),
        Figure("text.resume", "ms", "less", "Then typing in it: until the document with its 259,779 changes is loaded "
               "and one more keystroke is durable.", None, {"automerge": LOADED}),
    ), _paper),)


@dataclass(frozen=True, slots=True)
class _Trace:
    edits: list[tuple[int, int, str]]
    end: str


class _Transaction(msgspec.Struct):
    patches: list[tuple[int, int, str]]


class _File(msgspec.Struct, rename="camel"):
    start_content: str
    end_content: str
    txns: list[_Transaction]


def read_trace(cache: Path) -> _Trace:
    """The trace in the cache folder. Raises `BenchmarkFailed` if it is not there, or is something else."""
    path = cache / TRACE
    if not path.is_file():
        raise BenchmarkFailed(f"not measured: needs {TRACE} in benchmarks/.cache (see benchmarks/texts.py)")
    try:
        file = msgspec.json.decode(gzip.decompress(path.read_bytes()), type=_File)
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise BenchmarkFailed(f"{TRACE} can't be read: {error}") from None
    if file.start_content:
        raise BenchmarkFailed(f"{TRACE} begins with a text; this one should begin with none")
    return _Trace([edit for transaction in file.txns for edit in transaction.patches], file.end_content)


async def _paper(bench: Bench) -> dict[str, Runs]:
    trace = read_trace(bench.cache)
    runs = {"text.trace": Runs(), "text.open": Runs(), "text.resume": Runs()}
    for _ in range(bench.runs):
        folder = bench.folder("paper")
        bare, saved = _bare(trace)
        runs["text.trace"].add(await _typed(trace, folder), automerge=bare)
        loaded = _loaded(trace, saved)
        opened, resumed = await _opened(trace, folder)
        runs["text.open"].add(opened * 1e3, automerge=loaded * 1e3)
        runs["text.resume"].add(resumed * 1e3, automerge=loaded * 1e3)
    return runs


async def _typed(trace: _Trace, folder: Path) -> float:
    async with fresh_home(folder) as home:
        notes = home.collection("notes")
        await notes.put({"body": chez.Text()}, id="paper")
        began = time.perf_counter()
        async with notes.typing("paper", "body") as text:
            for n, (at, delete, insert) in enumerate(trace.edits):
                text.splice(at, delete, insert)
                if n % YIELDS == 0:
                    await asyncio.sleep(0)
        return time.perf_counter() - began


async def _opened(trace: _Trace, folder: Path) -> tuple[float, float]:
    began = time.perf_counter()
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        found = str((await notes.get("paper")).value["body"])
        opened = time.perf_counter() - began
        _check(found, trace)
        began = time.perf_counter()
        async with notes.typing("paper", "body") as text:
            text.append("!")
            await text.flush()
        return opened, time.perf_counter() - began


def _bare(trace: _Trace) -> tuple[float, bytes]:
    document: Any = automerge.Document()
    with document.transaction() as change:
        text = change.put_object(automerge.ROOT, "body", automerge.ObjType.Text)
    began = time.perf_counter()
    for at, delete, insert in trace.edits:
        with document.transaction() as change:
            change.splice_text(text, at, delete, insert)
    return time.perf_counter() - began, bytes(document.save())


def _loaded(trace: _Trace, saved: bytes) -> float:
    began = time.perf_counter()
    document: Any = automerge.Document.load(saved)
    found = document.text(document.get(automerge.ROOT, "body")[1])
    taken = time.perf_counter() - began
    _check(found, trace)
    return taken


def _check(found: str, trace: _Trace) -> None:
    if found != trace.end:
        raise BenchmarkFailed("the text is not the one that the trace ends with")
