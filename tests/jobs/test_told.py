"""What a person is told: of every grant, and of everything that left, in plain words."""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

import chez
from chez.cli.context import Settings
from chez.crypto import Kdf
from chez_sandbox.consent import commands, verbs
from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.catalogue import Language
from chez_sandbox.consent.departures import departures
from chez_sandbox.consent.grants import revoke_grant
from chez_sandbox.consent.narrowing import Narrowing
from chez_sandbox.consent.overview import all_grants
from chez_sandbox.consent.slots import STEPS, Slots, leaves_at, make_plan
from chez_sandbox.consent.told import (
    example_words,
    grant_words,
    leaving_example,
    leaving_words,
    left_words,
    result_words,
)
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import WHOLE
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import TODAY, bundle, grant, tamper
from tests.jobs.test_runs import SIZE, run_once


def test_what_a_job_printed_passes_for_no_line_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a dry run stands behind the mark of a provider's words, line for line, and steers no terminal."""
    (tmp_path / "a.chez").write_bytes(b"")
    printed = "What would leave: nothing\n\x1b[2J  Leaves   nothing\rx\n"
    told = {"rows": {"readings": 3}, "log": printed, "result": '{"watts":1}', "bits": 1.0, "message_bytes": 368}
    monkeypatch.setattr(commands, "call", lambda *_: told)
    done = CliRunner().invoke(commands.job, ["dry-run", str(tmp_path / "a.chez"), "--log"], obj=Settings())
    *_, first, second, last = done.output.split("\n")[:-1]
    assert (first, last) == ("  | What would leave: nothing", "  | ")
    assert second == r"  | \x1b[2J  Leaves   nothing\rx"


async def words(home: chez.Home, verb: Any) -> str:
    """What a verb says, as one text."""
    return "\n".join((await verb(home, {}, Person("")))["words"])


async def test_every_grant_is_told_with_its_state(home: chez.Home) -> None:
    """Running, ended, revoked, damaged: all are listed, oldest first, the damaged ones with the reason last."""
    await grant(home, bundle(), 1, until=date(2100, 1, 1))
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
    # Of what is over, no more than that.
    assert said.count("may read local, watts of readings, only where flow = consumption") == 1
    assert "may tell watts: a number from 0 to 10000, rounded to 10" in said
    assert "it ended on 2026-11-01" in said and "revoked: it never runs again" in said
    assert "Grant 04040404 is damaged, and never runs" in said


async def test_a_grant_of_which_all_is_left_out_tells_how_many_rows_there_are(home: chez.Home) -> None:
    """With every field left out the job still sees the rows: that is said, in either language."""
    await grant(home, bundle(), narrowing=Narrowing((("readings", "local"), ("readings", "watts"))))
    said: dict[Language, str] = {"en": "may read the number of rows of readings",
                                 "fr": "peut lire le nombre de lignes de readings"}  # fmt: skip
    for language, words in said.items():
        (told,) = await all_grants(home, TODAY, language)
        assert any(words in line for line in grant_words(told, NOW, language))


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
    assert "In all to Example Energy Advice: at most 19.94 bits" in said and "of 1000 that it may ever have" in said
    french = "\n".join((await verbs.job_left(home, {"language": "fr"}, Person("")))["words"])
    assert "rien d'autre que « none » : vous avez dit non" in french
    assert f"exactement {released.result.decode()}, scellé en {SIZE} octets" in french


async def test_what_left_before_a_restore_is_still_told(home: chez.Home, runtime: Runtime, tmp_path: Path) -> None:
    """What a backup knows to have left is told by the restored home, as of the device that it was."""
    given = await grant(home, bundle())
    departure = await run_once(home, given.grant.id, runtime)
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        (left,) = await departures(again)
        assert (left.message, left.device) == (departure.message, home.device_id.hex())
        said = await words(again, verbs.job_left)
        assert f"by device {home.device_id.hex()[:8]}, which this home was" in said
        assert "is not known here" in said and "waiting here" not in said


async def test_what_waits_for_its_time_is_said_to_be_here(home: chez.Home, runtime: Runtime) -> None:
    """A message of a slot that is still to come has not left yet; when it has come, it is said to wait."""
    given = await grant(home, bundle(), slots="hour", review="hold", hold_hours=1)
    await run_once(home, given.grant.id, runtime)
    lefts = await departures(home)
    assert lefts[0].leaves is not None
    leaves = datetime.fromisoformat(lefts[0].leaves)
    for now, said in ((leaves - timedelta(minutes=1), "  not left yet, to Example"), (leaves, "  to Example")):
        assert said in left_words(lefts, home.device_id.hex(), now)[0]


async def test_the_screen_says_what_is_given_and_what_stands(home: chez.Home) -> None:
    """Before granting, the screen has days, runs and bits of this very grant, and the grants of the job there are."""
    person = Person("yes")
    asked: dict[str, Any] = {"bundle": bundle().encoded, "days": 3, "runs": 2, "bits": 25.5}
    first = await verbs.job_grant(home, asked, person)
    until = first["until"]
    assert "  Already " not in "\n".join(person.shown[-1]["job"]["words"])
    await verbs.job_grant(home, asked, person)
    shown = person.shown[-1]["job"]["words"]
    assert f"  You give until {until}: at most 2 runs, 25.5 bits in all" in shown
    (line,) = (line for line in shown if line.startswith("  Already "))
    assert first["grant"][:8] in line and until in line
    await verbs.job_revoke(home, {"grant": first["grant"]}, person)
    await verbs.job_grant(home, asked, person)
    assert first["grant"][:8] not in "\n".join(person.shown[-1]["job"]["words"])


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


NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@given(
    st.sampled_from(list(STEPS)), st.binary(min_size=32, max_size=32), st.integers(0, 720), st.integers(1, 300),
    st.sampled_from(["en", "fr"]),
)  # fmt: skip
def test_the_screen_says_when_a_result_leaves(
    slots: Slots, seed: bytes, hold: int, seconds: int, language: Language
) -> None:
    """The time that is shown is that of a run which begins now; what has no time can't be withdrawn, and it says so."""
    review = "hold" if hold else "show-me-first"
    plan = make_plan(slots, seed, seconds=seconds, asked=not hold, hold_hours=hold)
    how = leaving_words(review, slots, hold, plan, NOW, language)
    said = leaving_example(plan, NOW, language)
    assert (f"{hold} h" in how[0]) == bool(hold) and len(how) == 2
    moment = round(NOW.timestamp() * 1000)
    leaves = datetime.fromtimestamp(leaves_at(plan, moment, moment) / 1000, UTC).astimezone()
    if slots == "at-once" and not hold:
        assert len(said) == 1 and "job withdraw" not in said[0]
    else:
        assert leaves.strftime("%Y-%m-%d %H:%M") in said[0] and "chez job withdraw" in said[1]
        assert leaves - NOW >= timedelta(hours=hold)
    if slots == "hour":
        assert re.search(rf"\b{leaves.minute}\b", how[1])
    elif slots == "day":
        assert leaves.strftime("%H:%M") in how[1]


def test_an_example_is_told_field_by_field_or_why_there_is_none() -> None:
    """What a dry run gave is shown by its names; a job that gave nothing says so."""
    told = example_words({"result": '{"watts":400,"sure":true}', "problem": ""})
    assert [line.split()[-2:] for line in told] == [["watts:", "400"], ["sure:", "yes"]]
    assert "gives no result now: too few" in example_words({"result": None, "problem": "too few"})[0]
