"""What a person is told: of every grant, and of everything that left, in plain words."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf
from chez_sandbox.consent import verbs
from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.departures import departures
from chez_sandbox.consent.grants import revoke_grant
from chez_sandbox.consent.overview import all_grants
from chez_sandbox.consent.told import example_words, result_words
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import WHOLE
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import TODAY, bundle, grant, tamper
from tests.jobs.test_runs import SIZE, run_once


async def words(home: chez.Home, verb: Any) -> str:
    """What a verb says, as one text."""
    return "\n".join((await verb(home, {}, Person("")))["words"])


async def test_every_grant_is_told_with_its_state(home: chez.Home) -> None:
    """Running, ended, revoked, damaged: all are listed, oldest first, the damaged ones with the reason last."""
    await grant(home, bundle(), 1)
    await grant(home, bundle(), 2, until=date(2026, 11, 1))
    await grant(home, bundle(), 3)
    await grant(home, bundle(), 4)
    await revoke_grant(home, "03" * 16)
    await tamper(home, "04" * 16, signature=b"")
    told = await all_grants(home, TODAY)
    assert [(one["grant"][:2], one["state"]) for one in told] == [
        ("01", "running"), ("02", "ended"), ("03", "revoked"), ("04", "damaged")]  # fmt: skip
    said = await words(home, verbs.job_grants)
    assert "Mean power, for Example Energy Advice (grant 01010101)" in said
    assert "may read local, watts of readings, only where flow = consumption" in said
    assert "may tell watts: a number from 0 to 10000, rounded to 10" in said
    assert "it ended on 2026-11-01" in said and "revoked: it never runs again" in said
    assert "Grant 04040404 is damaged, and never runs" in said


async def test_a_grant_that_is_over_is_over_on_every_device(home: chez.Home) -> None:
    """Another device's grant may run there until its last day, and ended after it, here as well."""
    given = await grant(home, bundle())
    assert given.state(bytes(32), date(2026, 12, 31), 0) == "elsewhere"
    assert given.state(bytes(32), date(2027, 1, 1), 0) == "ended"


async def test_what_left_is_told_with_its_bytes(home: chez.Home, runtime: Runtime) -> None:
    """A result and a "none" each: to whom, what exactly, in how many bytes, whether it is still here."""
    assert "Nothing ever left" in await words(home, verbs.job_left)
    given = await grant(home, bundle(reads=WHOLE))
    released = await run_once(home, given.grant.id, runtime)
    declined = await run_once(home, given.grant.id, runtime, decline=True)
    first, second = await departures(home)
    assert (first.message, second.message) == (released.message, declined.message)
    assert (first.outcome, first.reason, second.outcome, second.reason) == ("result", "", "none", "declined")
    assert first.delivered is None and first.bits == given.bundle.manifest.schema.bits
    said = await words(home, verbs.job_left)
    assert released.result is not None
    assert f"watts: {json.loads(released.result)['watts']}" in said
    assert f"exactly {released.result.decode()}, sealed in {SIZE} bytes" in said
    assert 'nothing but "none": you said no' in said and "still waiting here" in said
    assert "In all to Example Energy Advice: at most 19.94 bits" in said and "of 1000 that this device" in said


async def test_what_left_before_a_restore_is_still_told(home: chez.Home, runtime: Runtime, tmp_path: Path) -> None:
    """What a backup knows to have left is told by the restored home, as of the device that it was."""
    given = await grant(home, bundle())
    departure = await run_once(home, given.grant.id, runtime)
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        (left,) = await departures(again)
        assert (left.message, left.device) == (departure.message, home.device_id.hex())
        assert f"by device {home.device_id.hex()[:8]}, which this home was" in await words(again, verbs.job_left)


def test_a_result_is_told_by_its_names() -> None:
    """Nested names are joined; truth, absence, texts and lists have words of their own."""
    assert result_words('{"a":{"b":1,"c":true},"d":null,"e":"x","f":[1,2]}') == [
        "a.b: 1", "a.c: yes", "d: nothing", "e: x", "f: [1, 2]"]  # fmt: skip
    assert result_words("7") == ["7"]


@given(st.floats(min_value=0.01, max_value=1e6))
@example(math.log2(10))
@example(66.4)
def test_bits_are_never_said_to_be_less_than_they_are(bits: float) -> None:
    """What the words compare with can carry at least as many bits."""
    said = bits_words(bits)
    number = next((int(word.replace(",", "")) for word in said.split() if word[0].isdigit()), 1)
    if "yes or no" in said:
        assert bits <= 1
    elif "digit" in said:
        assert number * math.log2(10) >= bits
    else:
        assert number * 8 >= bits


def test_an_example_is_told_field_by_field_or_why_there_is_none() -> None:
    """What a dry run gave is shown by its names; a job that gave nothing says so."""
    told = example_words({"result": '{"watts":400,"sure":true}', "problem": ""})
    assert [line.split()[-2:] for line in told] == [["watts:", "400"], ["sure:", "yes"]]
    assert "gives no result now: too few" in example_words({"result": None, "problem": "too few"})[0]
