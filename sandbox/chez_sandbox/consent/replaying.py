"""A run again, from its receipt: the same rows, seed, parameters and code give the same bytes, or it is said why not.

A receipt has a hash of each table that was handed over, not the rows. They are read again, by the windows of
that run; when their hashes are the same, they are the same rows. Otherwise they are rebuilt from the records'
history as they were at the receipt's cursor, at which the run read them, and held against the hashes again. Where these
still differ (a record was purged since) nothing runs, and what changed since is named.

Nothing leaves, nothing is debited, no receipt is written. Values that the host noised are left out on both sides:
noise is drawn once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from chez.errors import InvalidValue, NotFound
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import Language, Phrase, again, phrase, refused
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.grants import load_grant
from chez_sandbox.consent.handed import digests, machinery
from chez_sandbox.consent.leaving import run_of
from chez_sandbox.consent.scope import Then, granted_scope
from chez_sandbox.runtime.host import Runtime, Table

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.transaction import Transaction
    from chez.journal import Receipt
    from chez.records.feed import Changed

__all__ = ("Replay", "replay", "replay_words")

Names = tuple[tuple[str, str], ...]
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
    """The tables whose rows are other ones now; the run was repeated all the same if they could be rebuilt."""
    changed: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Records (collection, id) of these tables that changed since, the first `SHOWN`."""
    purged: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Those of them of which nothing is left."""


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
    told = Replay(*run, "rows-changed")
    if others := await _others(tables, body):
        changed, purged = await _changed(home, body["cursor"], others)
        told = replace(told, tables=others, changed=changed, purged=purged)
        try:
            tables, _ = await granted_scope(Then(home, body["cursor"]), bundle.manifest, day, narrowing, windows)
        except InvalidValue:  # the journal is older than this store, which was restored; or too much changed
            return told
        if await _others(tables, body):
            return told
    seed = bytes.fromhex(body["seed"])
    execution = await execute(runtime, bundle, tables, seed, body["date"], on_progress)
    return _compared(told, bundle, execution, ended)


async def _others(tables: Sequence[Table], body: Mapping[str, Any]) -> tuple[str, ...]:
    """The tables whose rows are not those of a receipt."""
    found = await digests(tables)
    return tuple(sorted(name for name in found if found[name] != body["tables"].get(name)))


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


async def _changed(home: "Home", since: str, collections: Sequence[str]) -> tuple[Names, Names]:
    """The first records of these collections that changed since then; none when this store counts anew.

    And those of them that were purged.
    """
    found: list[Changed[Any]] = []
    try:
        async for page in home.changes(since, live=False):
            found += [one for one in page.changes if one.collection in collections]
            if len(found) >= SHOWN:
                break
    except InvalidValue:  # the journal is older than this store: it was restored
        return (), ()
    named = tuple((one.collection, one.id) for one in found[:SHOWN])
    return named, tuple([(one.collection, one.id) for one in found[:SHOWN] if await _purged(home, one)])


async def _purged(home: "Home", one: "Changed[Any]") -> bool:
    if one.kind != "deleted":
        return False
    try:
        await home.space(one.space).collection(one.collection).history(one.id, limit=1)
    except NotFound:
        return True
    return False


def _compared(told: Replay, bundle: Bundle, execution: Execution, ended: "Receipt | None") -> Replay:
    admitted = execution.admitted
    result = None if admitted is None else _own(bundle, admitted.encoded.decode())
    released: str | None = None
    verdict: Verdict = "untold"
    if ended is not None and ended.kind == "release":
        released = _own(bundle, ended.body["result"])
        verdict = "same" if result == released else "different"
    elif ended is not None and ended.body["reason"] == "job":
        verdict = "same" if result is None else "different"
    return replace(told, verdict=verdict, result=result, released=released, problem=execution.problem)


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
    if one.changed and one.verdict != "rows-changed":
        words.append(phrase(language, "replay.rebuilt", tables=values["tables"]))
    for name, id in one.changed:
        gone = (name, id) in one.purged
        words.append(phrase(language, "replay.purged" if gone else "replay.changed", collection=name, id=id))
    if one.problem:
        said = again(one.problem, language) if isinstance(one.problem, Phrase) else one.problem
        words.append(phrase(language, "preview.problem", problem=said))
    return words
