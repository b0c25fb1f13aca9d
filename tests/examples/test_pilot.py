"""The pilot: its made-up people, its search, and all of it once with three people."""

import json
import os
import signal
import subprocess
import sys
from datetime import date
from itertools import product
from pathlib import Path

import pytest
from examples.demo.search import Search, forms
from examples.pilot import report, seen
from examples.pilot.lives import SOURCES, life
from examples.pilot.plan import PilotFailed, Places, Plan, open_plan
from examples.pilot.story import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.deposits.types import type_named
from chez_deposit import Standing
from tests.runtime.conftest import compiled_code
from tests.tries import tries

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(people=3, seed=7, day=date(2026, 11, 26), relay_port=1, port=2)


@given(st.integers(0, 4000), st.integers(0, 9), st.dates(date(2020, 2, 1), date(2040, 1, 1)))
@settings(max_examples=6, deadline=None)
def test_made_up_people_are_of_the_vocabulary_and_of_the_last_whole_month(number: int, seed: int, day: date) -> None:
    """Whoever it is, each record is one that an address takes, twice the same, and readings are all of one month."""
    plan = Plan(3, seed, day, 1, 2)
    for source in SOURCES:
        records = life(plan, number, source)
        assert records and records == life(plan, number, source)
        for collection, record in records[:60]:
            type_named(collection).check(json.dumps(record).encode())
    readings = [record for name, record in life(plan, number, "energy") if name == "readings"]
    assert {record["local"][:7] for record in readings} == {f"{plan.month:%Y-%m}"}
    assert len({record["start"] for record in readings}) == len(readings) >= 28 * 48


def test_a_pilot_is_gone_on_with_and_never_mixed_with_another(tmp_path: Path) -> None:
    """The plan of a folder is the one that was begun there; other people, another seed or a full folder are refused."""
    places = Places(tmp_path / "pilot")
    assert open_plan(places, PLAN) == PLAN
    assert open_plan(places, Plan(3, 7, date(2027, 1, 1), 3, 4)) == PLAN
    with pytest.raises(PilotFailed, match="the seed 7"):
        open_plan(places, Plan(3, 8, PLAN.day, 1, 2))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").write_text("mine")
    with pytest.raises(PilotFailed, match="something else"):
        open_plan(Places(tmp_path / "other"), PLAN)


@given(st.binary(max_size=300), st.lists(st.binary(min_size=5, max_size=12), max_size=5), st.data())
@settings(max_examples=tries(60), deadline=None)
def test_the_search_finds_what_looking_at_each_byte_finds(noise: bytes, needles: list[bytes],
                                                          data: st.DataObject) -> None:
    """In any bytes, whatever is hidden in them, the same forms are found as by looking for each of them."""
    for needle in needles:
        at = data.draw(st.integers(0, len(noise)))
        noise = noise[:at] + needle[: data.draw(st.integers(1, len(needle)))] + noise[at:]
    expected = {form for needle in needles for form in forms(needle) if form in noise}
    assert set(Search(needles)(noise)) == expected


def test_many_values_that_begin_alike_cost_no_more() -> None:
    """A file full of hours, of which a month is looked for: each place is compared once, and not with each hour."""
    hours = [f"2026-10-{day:02}T{half // 2:02}:{half % 2 * 30:02}" for day in range(1, 31) for half in range(48)]
    noise = "".join(f'{{"local":"{hour}","watts":7}}\n' for hour in hours * 40).encode()
    assert len(set(Search(hour.encode() for hour in hours)(noise))) == len(hours)
    assert set(Search([b"2026-10-31T00:00"])(noise)) == set()


def test_a_value_is_found_wherever_a_file_is_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that lies across two pieces of a file, in whichever encoding, is found once, under its source."""
    monkeypatch.setattr(seen, "PIECE", 64)
    monkeypatch.setattr(seen, "LONGEST", 256)
    wanted = seen.needles(PLAN)
    text = max(wanted.texts["shop"])
    for at, hidden in product((50, 60, 63), (text.encode(), text.encode("utf-16-le"), text.encode().hex().encode())):
        (tmp_path / "file").write_bytes(bytes(at) + hidden + bytes(99))
        found = seen.hunt("here", (tmp_path,), wanted)
        assert {source: count for source, count in found.texts.items() if count} == {"shop": 1}


def outcome(**changed: dict[str, int]) -> Outcome:
    """What a pilot comes to in which everything is as promised, but for what was found at the places that are named."""
    wanted = seen.needles(PLAN)
    every = {source: len(texts) for source, texts in wanted.texts.items()}
    nothing = dict.fromkeys(every, 0)
    places = {"the people, in their homes": every, "the relay": nothing, "the services": nothing,
              **{f"the {source}": nothing | {source: every[source]} for source in SOURCES if source != "phone"}}
    found = [seen.Found(place, 1, changed.get(place.split()[1], texts)) for place, texts in places.items()]
    return Outcome(PLAN, {}, wanted, seen.Found("the relay", 1, nothing), found, len(wanted.people), [], [], "",
                   {"bank": Standing(3, 0, 0, 3, 0, 0, 3, 0)}, {"job": [{"pseudonym": n} for n in range(PLAN.people)]})


def test_a_value_that_is_where_it_should_not_be_fails_the_pilot() -> None:
    """One text at the relay or at a service, one of the shop's at the bank, one too few at home: each fails it."""
    report.check(outcome())
    every = {source: len(texts) for source, texts in outcome().wanted.texts.items()}
    nothing = dict.fromkeys(every, 0)
    for wrong in ({"relay": nothing | {"bank": 1}}, {"services": nothing | {"energy": 1}},
                  {"bank": nothing | {"bank": every["bank"], "shop": 1}}, {"people,": every | {"phone": 1}}):
        with pytest.raises(PilotFailed, match="found"):
            report.check(outcome(**wrong))
    one_less = outcome()
    one_less.results["job"].pop()
    with pytest.raises(PilotFailed, match="results of 2 people"):
        report.check(one_less)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of `chez-job`, the runtime compiled."""
    compiled_code()
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pilot_plays_to_its_end_after_it_was_interrupted(tmp_path: Path, cache: Path) -> None:
    """Three people, interrupted when the first has a home: the same command goes on, what each party saw is as
    promised, and the folder is gone."""
    command = [sys.executable, "-m", "examples.pilot", "--people", "3", "--workers", "1", "--folder",
               str(tmp_path / "pilot")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment) as first:
        assert first.stdout is not None and first.stderr is not None
        assert any("1 of 3 people" in line for line in first.stdout), first.stderr.read()
        first.send_signal(signal.SIGINT)
        said = first.communicate(timeout=120)[1]
        assert (first.returncode, "To go on" in said) == (130, True), said
    assert (tmp_path / "pilot" / "people" / "00000" / "arrived.json").exists()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "1 of 2 people" in done.stdout or "1 of 3 people" in done.stdout
    assert "3 people have at home now, 1 of them on two devices" in done.stdout
    assert "3 of 3 sealed results lay there" in done.stdout and "'Energie Exemple' left records for you" in done.stdout
    assert list(tmp_path.iterdir()) == [cache]
