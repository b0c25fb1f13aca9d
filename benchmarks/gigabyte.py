"""import.gigabyte: an export of a gigabyte, brought home in memory that does not know how large it is."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.memory import most
from benchmarks.processes import command, start
from benchmarks.store import PASSPHRASE

__all__ = ("benchmarks", "statement")

SIZE: Final = 1_000_000_000
"""Bytes of the export."""

_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
<GrpHdr><MsgId>1</MsgId><CreDtTm>2024-01-01T00:00:00</CreDtTm></GrpHdr>
<Stmt><Id>1</Id><Acct><Id><IBAN>FR7630006000011234567890189</IBAN></Id><Ccy>EUR</Ccy></Acct>
"""
_ENTRY: Final = """<Ntry><Amt Ccy="EUR">{euros}.{cents:02d}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>2024-{month:02d}-{day:02d}</Dt></BookgDt><AcctSvcrRef>REF{n:012d}</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><TxDtls><Refs><EndToEndId>E{n:012d}</EndToEndId></Refs>
<RltdPties><Dbtr><Pty><Nm>Customer {n}</Nm></Pty></Dbtr></RltdPties>
<RmtInf><Ustrd>Cheque {n}</Ustrd></RmtInf></TxDtls></NtryDtls>
<SplmtryData><Envlp>{picture}</Envlp></SplmtryData></Ntry>
"""
_PICTURE: Final = "\n".join(f"<Part>{'iVBORw0KGgoAAAANSUhEUgAA' * 40}</Part>" for _ in range(8))


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("import.gigabyte", "MB", "less", "The most memory of `chez import` and of its walled parser together, "
               "while they bring home a bank's statement of 1 GB into a new home with no owner running: camt.053, 8 KB "
               "an entry, most of it a picture of the cheque. The cheapest key derivation: the usual one takes 256 MB.",
               300),
        Figure("import.gigabyte.seconds", "s", "less", "How long that takes: the whole command, until its process has "
               "ended.", peers={"reading": "reading and hashing the same file"}),
    ), _gigabyte),)


def statement(size: int) -> Iterator[str]:
    """A statement of at least so many bytes, in parts."""
    yield _HEAD
    done = len(_HEAD)
    for n in count(1):
        entry = _ENTRY.format(n=n, euros=n % 1000, cents=n % 100, month=n % 12 + 1, day=n % 28 + 1, picture=_PICTURE)
        yield entry
        done += len(entry)
        if done >= size:
            break
    yield "</Stmt></BkToCstmrStmt></Document>\n"


def _written(path: Path) -> int:
    """Write the export; how many entries it has."""
    entries = -2
    with path.open("w") as file:
        for part in statement(SIZE):
            file.write(part)
            entries += 1
    return entries


def _hashed(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


async def _gigabyte(bench: Bench) -> dict[str, Runs]:
    memory, seconds = Runs(), Runs()
    folder = bench.folder("gigabyte")
    export = folder / "statement.xml"
    entries = await asyncio.to_thread(_written, export)
    for run in range(bench.runs):
        home, passphrase = folder / f"home-{run}", folder / "passphrase"
        passphrase.write_text(PASSPHRASE + "\n")
        passphrase.chmod(0o600)
        common = (command("chez"), "--home", str(home), "--passphrase-file", str(passphrase), "--json")
        words = str(folder / f"words-{run}")
        await _run(folder / "init.log", *common, "init", "--kdf", "minimum", "--words-file", words)
        began = time.perf_counter()
        peak = await _run(folder / f"import-{run}.log", *common, "import", str(export))
        took, began = time.perf_counter() - began, time.perf_counter()
        await asyncio.to_thread(_hashed, export)
        seconds.add(took, reading=time.perf_counter() - began)
        memory.add(peak)
        said = (folder / f"import-{run}.log").read_text()
        if f'"added":{entries + 1},' not in said:
            raise BenchmarkFailed(f"of {entries:,} entries and one account came: {said[-2000:]}")
    return {"import.gigabyte": memory, "import.gigabyte.seconds": seconds}


async def _run(log: Path, *arguments: str) -> float:
    """Run a command; the most memory that it and its children had, in megabytes. Raises `BenchmarkFailed`."""
    had: dict[int, float] = {}
    async with start(*arguments, log=log) as process:
        ended = asyncio.create_task(process.wait())
        while not ended.done():
            had |= most(process.pid)
            await asyncio.wait({ended}, timeout=0.05)
        code = await ended
    if code:
        raise BenchmarkFailed(f"{arguments[-2]} ended with {code}: {log.read_text()[-2000:]}")
    return sum(had.values())
