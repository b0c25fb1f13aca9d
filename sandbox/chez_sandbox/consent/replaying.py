"""A run again, from its receipt: the same rows, seed, parameters and code give the same bytes, or it is said why not.

A receipt has a hash of each table that was handed over, not the rows. They are read again, by the windows of
that run; when their hashes are the same, they are the same rows. Otherwise nothing runs, and the records that
changed since are named: what they held then is in their history (`chez history`).

Nothing leaves, nothing is debited, no receipt is written. Values that the host noised are left out on both sides:
noise is drawn once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from chez.errors import InvalidValue, NotFound
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import Language, Phrase, again, phrase, refused
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.grants import load_grant
from chez_sandbox.consent.handed import digests, machinery
from chez_sandbox.consent.leaving import run_of
from chez_sandbox.consent.scope import granted_scope
from chez_sandbox.runtime.host import Runtime

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt

__all__ = ("Replay", "replay", "replay_words")

Verdict = Literal["same", "different", "rows-changed", "other-machinery", "untold"]

SHOWN: Final = 20
"""Changed records that are named; there may be any number."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    `verdict` is "same" (the same bytes as were released, or again no result), "different", "rows-changed" (nothing
    ran), "other-machinery" (nothing ran: the Python runtime or wasmtime is another one), "untold" (it ran as it
    did; nothing was released with which to compare).
    """

    grant: str
    sequence: int
    verdict: Verdict
    result: str | None = field(default=None, repr=False)
    """What the run gives now, where it ran."""
    released: str | None = field(default=None, repr=False)
    """What was released then."""
    problem: str = field(default="", repr=False)
    tables: tuple[str, ...] = ()
    """The tables whose rows are not those of the run."""
    changed: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Records (collection, id) of these tables that changed since, the first `SHOWN`."""


async def replay(
    home: "Home",
    runtime: Runtime,
    id: str,
    sequence: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Run a receipted run again and compare; the last one of a grant, whose `id` may be a unique beginning.

    Raises `NotFound` when there is no such run on this device, `GrantInvalid` when the grant's record is damaged,
    `InvalidValue` when the record holds other code now than the run had.
    """
    begun, ended = await home.transaction(lambda transaction: _receipts(transaction, id, sequence))
    body = begun.body
    granted = await load_grant(home, body["grant"])
    bundle = granted.bundle
    if bundle.hash.hex() != body["bundle"]:
        raise refused(InvalidValue, "replay.bundle")
    run = run_of(begun)
    if await machinery(runtime, bundle) != {name: body.get(name) for name in ("runtime", "wasmtime")}:
        return Replay(*run, "other-machinery")
    windows = [between and (between[0], between[1]) for between in body["windows"]]
    day, narrowing = date.fromisoformat(body["date"]), granted.grant.narrowed
    tables, _ = await granted_scope(home, bundle.manifest, day, narrowing, windows)
    found = await digests(tables)
    if others := tuple(sorted(name for name in found if found[name] != body["tables"].get(name))):
        return Replay(*run, "rows-changed", tables=others, changed=await _changed(home, body["cursor"], others))
    seed = bytes.fromhex(body["seed"])
    execution = await execute(runtime, bundle, tables, seed, body["date"], on_progress)
    return _compared(run, bundle, execution, ended)


def _receipts(transaction: "Transaction", id: str, sequence: int | None) -> "tuple[Receipt, Receipt | None]":
    """The receipt of the run, and the first word on its end: a release, also one that was withdrawn, or a refusal."""
    runs = [one for one in transaction.receipts("run") if id and one.body["grant"].startswith(id)]
    if sequence is not None:
        runs = [one for one in runs if one.body["sequence"] == sequence]
    if len({one.body["grant"] for one in runs}) != 1:
        raise refused(NotFound, "replay.none")
    begun = max(runs, key=lambda one: one.number)
    same = {"grant": begun.body["grant"], "sequence": begun.body["sequence"]}
    ends = [one for kind in ("release", "refusal") for one in transaction.receipts(kind, **same)]
    return begun, min(ends, key=lambda one: one.number, default=None)


async def _changed(home: "Home", since: str, collections: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The first records of these collections that changed since then; none when this store counts anew."""
    found: list[tuple[str, str]] = []
    try:
        async for page in home.changes(since, live=False):
            found += [(one.collection, one.id) for one in page.changes if one.collection in collections]
            if len(found) >= SHOWN:
                break
    except InvalidValue:  # the journal is older than this store: it was restored
        return ()
    return tuple(found[:SHOWN])


def _compared(run: tuple[str, int], bundle: Bundle, execution: Execution, ended: "Receipt | None") -> Replay:
    admitted = execution.admitted
    result = None if admitted is None else _own(bundle, admitted.encoded.decode())
    if ended is not None and ended.kind == "release":
        released = _own(bundle, ended.body["result"])
        verdict: Verdict = "same" if result == released else "different"
        return Replay(*run, verdict, result, released, execution.problem)
    if ended is not None and ended.body["reason"] == "job":
        return Replay(*run, "same" if result is None else "different", result, None, execution.problem)
    return Replay(*run, "untold", result, None, execution.problem)


def _own(bundle: Bundle, result: str) -> str:
    """A result without what the host noised."""
    noised = {one.key for one in bundle.manifest.measurements}
    if not noised:
        return result
    said = msgspec.json.decode(result)
    return msgspec.json.encode({key: said[key] for key in said if key not in noised}).decode()


def replay_words(one: Replay, language: Language) -> list[str]:
    """What a replay found, in plain words."""
    values = {"sequence": one.sequence, "tables": ", ".join(one.tables), "result": one.result or "none",
              "released": one.released or "none"}  # fmt: skip
    words = [phrase(language, f"replay.{one.verdict}", **values)]
    words += [phrase(language, "replay.changed", collection=name, id=id) for name, id in one.changed]
    if one.problem:
        said = again(one.problem, language) if isinstance(one.problem, Phrase) else one.problem
        words.append(phrase(language, "preview.problem", problem=said))
    return words
