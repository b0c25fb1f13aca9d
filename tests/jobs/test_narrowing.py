"""Granting less than a job asks for: what is taken away is signed, and the job does not get it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue
from chez_sandbox.consent import verbs
from chez_sandbox.consent.grants import COLLECTION, load_grant
from chez_sandbox.consent.narrowing import WHOLE, Narrowing, narrow, narrowed_words, read_narrowing
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.job_errors import GrantInvalid
from chez_sandbox.manifest import parse_manifest
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import READS, manifest_text
from tests.jobs.samples import WHOLE as ALL_ROWS
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_runs import run_once

MANIFEST = parse_manifest(manifest_text())
UNBOUND = parse_manifest(manifest_text(reads=ALL_ROWS.replace('"readings"', '"whole"')))
"""The same of a collection that is read without a window."""


async def test_a_dropped_field_is_null_in_every_row(home: chez.Home) -> None:
    """The rows stay, the column stays, the values are gone, and the rows' order tells nothing of them."""
    whole = (await granted_tables(home, MANIFEST, TODAY))[0]
    (table,) = await granted_tables(home, MANIFEST, TODAY, read_narrowing(MANIFEST, ["readings.watts"]))
    assert (table.columns, len(table.rows)) == (whole.columns, len(whole.rows))
    assert [tuple(row) for row in table.rows] == [(row[0], None) for row in whole.rows]
    (table,) = await granted_tables(home, MANIFEST, TODAY, read_narrowing(MANIFEST, ["readings.local"]))
    assert [tuple(row) for row in table.rows] == sorted((None, row[1]) for row in whole.rows)


async def test_a_filter_on_a_dropped_field_still_chooses_the_rows(home: chez.Home) -> None:
    """What the person leaves out is hidden from the job; it never lets more rows in."""
    text = manifest_text(reads=READS.replace('["local", "watts"]', '["local", "watts", "flow"]'))
    await home.collection("readings").put({"flow": "production", "local": "2026-11-21T12:00", "watts": 7})
    manifest = parse_manifest(text)
    (table,) = await granted_tables(home, manifest, TODAY, read_narrowing(manifest, ["readings.flow"]))
    assert {row[2] for row in table.rows} == {None} and 7 not in {row[1] for row in table.rows}


async def test_a_shorter_window_gives_its_last_days(home: chez.Home) -> None:
    """One day of two is read when the person says one, and it is the later one."""
    (table,) = await granted_tables(home, MANIFEST, TODAY, read_narrowing(MANIFEST, windows=["readings=1"]))
    assert {row[0][:10] for row in table.rows} == {"2026-11-21"} and len(table.rows) == 48


@pytest.mark.parametrize(("drop", "windows", "said"), [
    (["readings.meter"], [], "does not ask for readings.meter"),
    (["diary.text"], [], "does not ask for diary.text"),
    (["watts"], [], "does not ask for watts"),
    ([], ["readings=366"], "the last 365 whole days"),
    ([], ["readings=0"], "can't be held"),
    ([], ["readings=-1"], "no shorter window"),
    ([], ["readings=²"], "no shorter window"),
    ([], ["readings"], "no shorter window"),
    ([], ["diary=1"], "does not ask for diary"),
    ([], ["whole=1"], "whole can't be held to the last 1"),
])  # fmt: skip
def test_nothing_can_be_widened(drop: list[str], windows: list[str], said: str) -> None:
    """What the job does not ask for, or more than it asks for, is refused with what it does ask for."""
    with pytest.raises(InvalidValue, match=said):
        read_narrowing(UNBOUND if windows == ["whole=1"] else MANIFEST, drop, windows)


@for_all(st.lists(st.text(max_size=20), max_size=4), st.lists(st.text(max_size=20), max_size=4))
def test_any_text_is_a_narrowing_or_a_typed_error(drop: list[str], windows: list[str]) -> None:
    """Whatever people write either takes something away or is refused; never more is read."""
    try:
        narrowing = read_narrowing(MANIFEST, drop, windows)
    except InvalidValue:
        return
    narrowed = narrow(MANIFEST, narrowing)
    assert narrowed.reads[0].fields == MANIFEST.reads[0].fields
    assert len(narrowed_words(MANIFEST, narrowing)) == len(narrowing.dropped) + len(narrowing.last)


async def test_what_was_taken_away_is_signed(home: chez.Home) -> None:
    """A narrowing is read back with the grant, and can't be taken out of it again."""
    narrowing = read_narrowing(MANIFEST, ["readings.watts"], ["readings=30"])
    given = await grant(home, bundle(), narrowing=narrowing)
    assert (await load_grant(home, given.grant.id)).grant.narrowed == narrowing
    wider = msgspec.msgpack.encode(msgspec.structs.replace(given.grant, narrowed=WHOLE))
    async with home.collection(COLLECTION).edit(given.grant.id) as draft:
        draft["body"] = wider
    with pytest.raises(GrantInvalid):
        await load_grant(home, given.grant.id)
    with pytest.raises(InvalidValue):
        await grant(home, bundle(), 2, narrowing=Narrowing(last=(("readings", 9999),)))


async def test_a_run_gets_only_what_was_left(home: chez.Home, runtime: Runtime) -> None:
    """The code of a granted run computes on the shorter window alone."""
    code = b'def run(data, params):\n    return {"watts": 10 * len(list(data.rows("readings")))}\n'
    given = await grant(home, bundle(code), narrowing=read_narrowing(MANIFEST, windows=["readings=1"]))
    assert (await run_once(home, given.grant.id, runtime)).result == b'{"watts":480}'


async def test_the_person_is_shown_what_they_take_away(home: chez.Home) -> None:
    """Before granting, and in the list of grants, the words name each field and window."""
    person = Person("yes")
    asked: dict[str, Any] = {"bundle": bundle().encoded, "drop": ["readings.watts"], "windows": ["readings=30"]}
    await verbs.job_grant(home, asked, person)
    shown = "\n".join(person.shown[-1]["job"]["words"])
    listed = "\n".join((await verbs.job_grants(home, {}, person))["words"])
    for words in (shown, listed):
        assert "you leave out watts of readings: the job sees nothing there" in words
        assert "you give 30 whole days of readings, not 365" in words
    assert "may read local of readings, only where flow = consumption; 30 whole days by local" in listed
