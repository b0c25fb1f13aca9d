"""A run again from the journal: the same rows give the same bytes, on every device; other rows are told."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf
from chez.errors import NotFound
from chez_sandbox.bundle import build_bundle
from chez_sandbox.consent import handed, replaying, verbs
from chez_sandbox.consent.catalogue import Language, phrase
from chez_sandbox.consent.execution import execute
from chez_sandbox.consent.handed import digests
from chez_sandbox.consent.replaying import Replay, replay, replay_words
from chez_sandbox.consent.run import authorise
from chez_sandbox.runtime.host import Runtime, Table
from tests.jobs.samples import SIGNING, manifest_text
from tests.jobs.test_flow import Person, same_runtime
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_runs import run_once
from tests.runtime.conftest import KEY
from tests.runtime.jobs import component
from tests.tries import tries

__all__ = ("same_runtime",)

ID = "01" * 16
CHANCE = b"""
import random
def run(data, params):
    names = {str(row["watts"]) + row["local"] for row in data.rows("readings")}
    return {"watts": (len("".join(names)) + random.randrange(1000)) % 400}
"""


async def test_a_replay_proves_the_released_bytes(home: chez.Home, runtime: Runtime) -> None:
    """From the receipt alone the run gives its released bytes again; nothing is written, debited or sent."""
    await grant(home, bundle(CHANCE))
    left = await run_once(home, ID, runtime)
    assert left.result is not None
    before = await home.journal.receipts()
    again = await replay(home, runtime, ID[:6])
    assert again == Replay(ID, 1, "same", left.result.decode(), left.result.decode())
    assert await home.journal.receipts() == before


async def test_a_components_run_is_repeated_like_pythons(home: chez.Home, runtime: Runtime) -> None:
    """A run of plain WebAssembly, which has no Python in its receipt, gives its bytes again, from the rows of then."""
    text = manifest_text().decode().replace('note = "none"', "watts = 1234").encode()
    await grant(home, build_bundle(text, component(), "component", SIGNING))
    left = await run_once(home, ID, runtime)
    assert await replay(home, runtime, ID) == Replay(ID, 1, "same", '{"watts":1230}', '{"watts":1230}')
    assert left.result == b'{"watts":1230}'
    record = await anext(aiter(home.collection("readings")))
    await home.collection("readings").put({**record.value, "watts": 1}, id=record.id)
    assert (await replay(home, runtime, ID)).verdict == "same"


async def test_newer_rows_do_not_keep_a_run_from_being_repeated(home: chez.Home, runtime: Runtime) -> None:
    """Rows beyond the run's window, which has moved on meanwhile, change nothing."""
    await grant(home, bundle(CHANCE))
    await run_once(home, ID, runtime)
    later = {"meter": "0", "flow": "consumption", "local": "2026-11-23T00:00", "seconds": 1800, "watts": 9}
    await home.collection("readings").put(later)
    assert (await replay(home, runtime, ID)).verdict == "same"


async def test_a_run_is_proven_also_after_its_rows_changed(home: chez.Home, runtime: Runtime) -> None:
    """When rows of the run were changed, deleted, undone and added since, those of then are rebuilt from their history,
    the same bytes come of them, and what changed is named."""
    readings = home.collection("readings")
    await grant(home, bundle(CHANCE))
    left = await run_once(home, ID, runtime)
    first, second, third = [record async for record in readings][:3]
    await readings.put({**first.value, "watts": 1}, id=first.id)
    await readings.delete(second.id)
    await readings.put({**third.value, "watts": 9}, id=third.id)
    await readings.undo(third.id)
    await readings.put({**third.value, "watts": 77}, id="one-more")
    again = await replay(home, runtime, ID)
    assert left.result is not None and (again.verdict, again.result) == ("same", left.result.decode())
    assert again.tables == ("readings",) and again.purged == ()
    assert set(again.changed) == {("readings", id) for id in (first.id, second.id, third.id, "one-more")}
    words = "\n".join(replay_words(again, "fr"))
    assert "elles sont reconstituées telles qu'alors" in words and first.id in words


async def test_a_run_reads_one_state_whatever_is_written_meanwhile(
    home: chez.Home, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is written between a run's cursor and its reading is not read by it, and is no row of its replay."""
    cursor_now, readings = type(home).cursor_now, home.collection("readings")
    record = await anext(aiter(readings))

    async def written(home: chez.Home) -> str:
        found = await cursor_now(home)
        await readings.put({**record.value, "watts": 9_999}, id=record.id)
        await readings.put({**record.value, "watts": 9_999}, id="one-more")
        return found

    await grant(home, bundle(CHANCE))
    with monkeypatch.context() as patch:
        patch.setattr(type(home), "cursor_now", written)
        left = await run_once(home, ID, runtime)
    (begun,) = await home.journal.receipts("run")
    assert begun.body["rows"] == {"readings": 96}
    again = await replay(home, runtime, ID)
    assert left.result is not None and (again.verdict, again.result) == ("same", left.result.decode())


async def test_what_was_purged_since_is_named(home: chez.Home, runtime: Runtime) -> None:
    """When a record of the run was purged nothing runs, and it is named as that beside what only changed."""
    readings = home.collection("readings")
    await grant(home, bundle(CHANCE))
    await run_once(home, ID, runtime)
    changed, purged, deleted = [record async for record in readings][:3]
    await readings.put({**changed.value, "watts": 1}, id=changed.id)
    await readings.purge(purged.id)
    await readings.delete(deleted.id)
    again = await replay(home, runtime, ID)
    assert (again.verdict, again.result, again.purged) == ("rows-changed", None, (("readings", purged.id),))
    assert set(again.changed) == {("readings", id) for id in (changed.id, purged.id, deleted.id)}
    words = replay_words(again, "en")
    assert [purged.id in line for line in words if line.startswith("  purged since")] == [True]


async def test_a_journal_of_another_store_rebuilds_nothing(
    home: chez.Home, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run whose cursor another store gave, as after a restore, it is said that rows changed, and none is named."""
    await grant(home, bundle(CHANCE))
    with monkeypatch.context() as patch:
        patch.setattr(type(home), "cursor_now", elsewhere)
        await run_once(home, ID, runtime)
    record = await anext(aiter(home.collection("readings")))
    await home.collection("readings").put({**record.value, "watts": 1}, id=record.id)
    assert await replay(home, runtime, ID) == Replay(ID, 1, "rows-changed", tables=("readings",))


async def elsewhere(home: chez.Home) -> str:
    """The cursor of another device's store."""
    return f"1.{'0' * 16}.1.1.1"


async def test_what_gave_nothing_or_was_declined_is_told_so(home: chez.Home, runtime: Runtime) -> None:
    """A run that gave nothing gives nothing again; of one that was declined there are no bytes to compare with."""
    await grant(home, bundle(b"def run(data, params):\n    return {'watts': 'many'}\n"))
    assert (await run_once(home, ID, runtime)).result is None
    assert (await replay(home, runtime, ID)).verdict == "same"
    await grant(home, bundle(CHANCE, version=2), number=2)
    async with authorise(home, "02" * 16, TODAY) as run:
        execution = await run.execute(runtime)
        await run.decline()
    again = await replay(home, runtime, "02" * 16, 1)
    assert again.verdict == "untold" and execution.admitted is not None
    assert again.result == execution.admitted.encoded.decode()
    with pytest.raises(NotFound):
        await replay(home, runtime, "02" * 16, 2)


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_the_verb_says_why_a_run_gives_nothing_again(
    home: chez.Home, runtime: Runtime, same_runtime: None, language: Language
) -> None:
    """A failed run that is repeated is told with its reason, as text that crosses a socket, in either language."""
    await grant(home, bundle(b"def run(data, params):\n    return 1 // 0\n"))
    await run_once(home, ID, runtime)
    done = await verbs.job_replay(home, {"grant": ID, "language": language}, Person(""))
    assert done["verdict"] == "same" and type(done["problem"]) is str
    assert done["problem"] == phrase(language, "gave-up.internal") and done["problem"] in done["words"][-1]


async def test_another_result_is_told(home: chez.Home, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose bytes are not those that were released is "different", with both."""
    await grant(home, bundle(CHANCE))
    left = await run_once(home, ID, runtime)

    async def other(runtime: Runtime, bundle: Any, tables: Any, seed: bytes, *rest: Any) -> Any:
        return await execute(runtime, bundle, tables, bytes(32), *rest)

    monkeypatch.setattr(replaying, "execute", other)
    again = await replay(home, runtime, ID)
    assert left.result is not None and again.result is not None
    assert (again.verdict, again.released) == ("different", left.result.decode())
    assert again.result in replay_words(again, "en")[0]


async def test_another_version_of_the_sandbox_is_told(
    home: chez.Home, runtime: Runtime, same_runtime: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another wasmtime than the receipt's nothing runs, and the verb says why in the person's language."""
    await grant(home, bundle())
    await run_once(home, ID, runtime)
    monkeypatch.setattr(handed, "version", lambda _: "0.0")
    done = await verbs.job_replay(home, {"grant": ID, "language": "fr"}, Person(""))
    assert done["verdict"] == "other-machinery"
    assert done["words"] == ["Exécution 1 impossible à refaire : autre version du bac à sable ici."]


@pytest.fixture
async def second(tmp_path: Path, home: chez.Home) -> AsyncIterator[chez.Home]:
    """Another device with the same readings, put in the other order."""
    path = tmp_path / "second"
    await chez.create(path, passphrase="correct horse", name="phone", kdf=Kdf.minimum())
    async with chez.open(path, passphrase="correct horse") as other:
        rows = [record.value async for record in home.collection("readings")]
        await other.collection("readings").put_many(rows[::-1])
        yield other


async def test_two_devices_give_the_same_bytes(
    home: chez.Home, second: chez.Home, runtime: Runtime, code_folder: Path
) -> None:
    """Same rows, seed, parameters and code: same bytes, receipts of the rows and seed; started anew or forked."""
    for device in (home, second):
        await grant(device, bundle(CHANCE))
    async with Runtime(code_folder, KEY, spares=1) as forked:
        left = [await run_once(home, ID, runtime), await run_once(second, ID, forked)]
    assert left[0].result == left[1].result is not None
    bodies = [(await device.journal.receipts("run"))[0].body for device in (home, second)]
    same = ("tables", "seed", "bundle", "runtime", "wasmtime", "date", "windows", "rows")
    assert [bodies[0][key] for key in same] == [bodies[1][key] for key in same]


CELLS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=2)
TABLES = st.tuples(st.sampled_from("ab"), st.lists(st.tuples(CELLS, CELLS), max_size=3))


@settings(max_examples=tries(50), deadline=None)
@for_all(TABLES, TABLES)
def test_a_digest_is_of_exactly_these_rows(one: Any, other: Any) -> None:
    """Two tables have one hash when name, columns, and every row in its order are the same, to the type."""
    tables = [Table(name, ("x", "y"), rows) for name, rows in (one, other)]
    hashes = [asyncio.run(digests([table]))[table.name] for table in tables]
    assert (hashes[0] == hashes[1]) == (typed(one) == typed(other))


def typed(table: Any) -> str:
    """A text that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    return json.dumps([table[0], [[repr(cell) for cell in row] for row in table[1]]])
