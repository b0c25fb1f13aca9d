"""Apple Health's export, exactly; and what broken or hostile ones give."""

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chez.connectors import Found, apple_health, read, recognise
from chez.connectors.apple_health import AppleHealth
from chez.connectors.xml import MAX_BLOCK, MAX_DOCTYPE
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Measurement, Profile, Workout
from tests.connectors.support import HEALTH, TRACKS, health, read_bytes, records, rejects


def whole(inside: str, before: str = "") -> bytes:
    """An export with these elements."""
    return f"{before}<HealthData locale='fr_FR'>\n{inside}\n</HealthData>".encode()


def record(kind: str, value: str, unit: str = "", end: str = "2024-01-31 08:30:00 +0100") -> str:
    """A record of half an hour."""
    return (f'<Record type="{kind}" sourceName="Simon’s iPhone" unit="{unit}" value="{value}" '
            f'startDate="2024-01-31 08:00:00 +0100" endDate="{end}"/>')


def test_the_real_file() -> None:
    """Two records, a workout, a person and two days of three figures each, in the vocabulary's units."""
    items = list(read(HEALTH))
    found = records(items)
    assert len(found) == 10 and not rejects(items)
    [person] = [one for one in found if isinstance(one, Profile)]
    assert person.about == "date_of_birth: 1990-02-02\nbiological_sex: male"
    measured = [one for one in found if isinstance(one, Measurement)]
    assert measured[0] == Measurement(
        source="Health Mate", kind="body_mass_index", start=datetime(2016, 4, 18, 15, 25, 32, tzinfo=UTC),
        end=datetime(2016, 4, 18, 15, 25, 32, tzinfo=UTC), value=22.5312, unit="1", code="39156-5", offset=-420)
    heart = measured[1]
    assert (heart.kind, heart.value, heart.unit, heart.code) == ("heart_rate", 72, "/min", "8867-4")
    assert [(one.kind, one.value, one.unit) for one in measured[2:5]] == [
        ("daily_active_energy", 590.252, "kcal"), ("daily_exercise", 68, "min"), ("daily_stand_hours", 13, "h")]
    [workout] = [one for one in found if isinstance(one, Workout)]
    assert workout.kind == "running" and workout.end == datetime(2016, 11, 14, 14, 30, 52, tzinfo=UTC)
    assert (round(workout.seconds or 0, 1), round(workout.metres or 0, 1), round(workout.kilocalories or 0, 1)) == (
        311.6, 800.1, 48.7)


def test_sleep_newer_workouts_and_units() -> None:
    """What has no number is a text; sums of newer workouts stand below them, also where a route is too long to keep."""
    route = '<WorkoutRoute>' + '<Location latitude="1" longitude="2"/>' * (MAX_BLOCK // 20) + "</WorkoutRoute>"
    workout = ('<Workout workoutActivityType="HKWorkoutActivityTypeTraditionalStrengthTraining" duration="2" '
               'durationUnit="hr" sourceName="W" startDate="2024-01-31 08:00:00 +0100" '
               'endDate="2024-01-31 10:00:00 +0100">{}</Workout>')
    sums = ('<WorkoutStatistics type="HKQuantityTypeIdentifierActiveEnergyBurned" sum="418.4" unit="kJ"/>'
            '<WorkoutStatistics type="HKQuantityTypeIdentifierDistanceWalkingRunning" sum="1.5" unit="km"/>')
    items = read_bytes(AppleHealth(), whole(
        record("HKCategoryTypeIdentifierSleepAnalysis", "HKCategoryValueSleepAnalysisInBed")
        + record("HKQuantityTypeIdentifierBloodGlucose", "5.5", "mmol&lt;180.1558800000541&gt;/L")
        + workout.format(sums) + workout.format(route)
        + "<Correlation>" + record("HKQuantityTypeIdentifierHeight", "1") + "</Correlation>"))
    sleep, sugar, new, long, _ = records(items)
    assert isinstance(sleep, Measurement) and (sleep.kind, sleep.text, sleep.value) == ("sleep", "in_bed", None)
    assert sleep.source == "Simon’s iPhone" and sleep.offset == 60
    assert isinstance(sugar, Measurement) and (sugar.value, sugar.unit) == (5.5, "mmol/L")
    assert isinstance(new, Workout) and (new.seconds, new.metres) == (7200, 1500)
    assert new.kind == "traditional_strength_training" and new.kilocalories == pytest.approx(100)
    assert isinstance(long, Workout) and (long.seconds, long.metres) == (7200, None) and not rejects(items)


def test_equal_times_are_several_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two foods noted together are two records, also when they have the same value; the same ones inside a correlation
    are these; in whatever order an export has them, and with others around, the same identities come."""
    foods = [record("HKQuantityTypeIdentifierDietaryEnergyConsumed", value, "kcal") for value in ("100", "50", "100")]
    other = record("HKQuantityTypeIdentifierDietaryWater", "1", "L")
    found = [one for one in records(read_bytes(AppleHealth(), whole(
        "".join(foods) + f"<Correlation>{''.join(foods)}</Correlation>"))) if isinstance(one, Measurement)]
    assert [(one.value, one.start.microsecond, one.end - one.start) for one in found[:3]] == [
        (100, 0, timedelta(minutes=30)), (50, 1000, timedelta(minutes=30)), (100, 2000, timedelta(minutes=30))]
    assert found[3:] == found[:3]
    turned = records(read_bytes(AppleHealth(), whole(foods[1] + other + foods[0] + other + foods[2])))
    assert {identity_of(one) for one in turned if isinstance(one, Measurement) and one.unit == "kcal"} == {
        identity_of(one) for one in found}


def test_more_of_one_time_than_a_second_has_room_for_are_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be of the next second, in the place of what was measured then."""
    monkeypatch.setattr(apple_health, "ALIKE", 3)
    items = read_bytes(AppleHealth(), whole(record("HKQuantityTypeIdentifierHeight", "1") * 5))
    assert len({identity_of(one) for one in records(items)}) == 3 == len(records(items))
    assert [reason for _, reason in rejects(items)] == ["more than 3 values are of one source, and have one time"] * 2


def test_equal_values_are_told_apart_however_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same value at the beginning and at the end of a long export is two, in each export that has both; only beyond
    what is remembered, and far apart, it is one."""
    monkeypatch.setattr(apple_health, "NEAR", 2)
    monkeypatch.setattr(apple_health, "SLOTS", 4)

    def identities(numbers: list[int]) -> list[tuple[object, ...]]:
        return [identity_of(one) for one in records(read_bytes(AppleHealth(), health(numbers)))
                if isinstance(one, Measurement)]

    numbers = [*range(100), *range(0, 100, 3), 0]
    assert len(set(identities(numbers))) == len(numbers) - 1  # of the third 0 the count is forgotten by then
    assert set(identities(numbers)) <= set(identities([*numbers, *range(100, 200)]))
    monkeypatch.setattr(apple_health, "MOST", 3)
    assert len(set(identities([1, 2, 3, 4, 5, 6, 7, 8, 4]))) == 8
    assert len(set(identities([1, 2, 3, 4, 4, 4]))) == 6


@pytest.mark.parametrize("bad", [
    record("", "1"), record("HK", "1"), record("HKX", "many"), record("HKX", "1e400"),
    record("HKX", "1", end="2024-01-31 07:00:00 +0100"), record("HKX", "1", end="2024-02-31 08:00:00 +0100"),
    record("HKX", "1", end="2024-01-31T08:00:00Z"), record("HKX", "1", end="9999-01-31 08:00:00 +0100"),
    record("HKX", "1", end="2024-01-31 08:00:00 +9900"), '<ActivitySummary dateComponents="soon"/>',
    ('<Workout workoutActivityType="HKX" sourceName="W" totalDistance="1" totalDistanceUnit="parsec" '
     'startDate="2024-01-31 08:00:00 +0100" endDate="2024-01-31 08:00:00 +0100"/>'), "<ClinicalRecord/>",
])
def test_a_bad_element_costs_itself(bad: str) -> None:
    """Without type, with no number or an unknown unit, out of time or of a kind that is not read, it is one reject."""
    items = read_bytes(AppleHealth(), health(range(3), bad, bad if "Clinical" in bad else ""))
    assert len(records(items)) == 3 and len(rejects(items)) == 1


@pytest.mark.parametrize("inside", [
    '<!ENTITY a "boom">', '<!ENTITY % a "<!ELEMENT b ANY>"> %a;', '<!ENTITY a SYSTEM "file:///etc/passwd">',
    f'<!ATTLIST Record value CDATA "{"9" * 999}">', f"<!-- {'x' * 2 * MAX_DOCTYPE} -->", None,
])
def test_a_document_type_declares_nothing_that_expands(inside: str | None) -> None:
    """Entities, values for attributes, an address outside and a type of any length are refused; Apple's own is read."""
    declared = f"<!DOCTYPE HealthData [{inside}]>" if inside else '<!DOCTYPE HealthData SYSTEM "http://example.org/x">'
    with pytest.raises(InvalidValue, match="declares"):
        read_bytes(AppleHealth(), whole(record("HKX", "1"), declared))
    assert len(records(read_bytes(AppleHealth(), health(range(4))))) == 4
    with pytest.raises(InvalidValue, match="no element HealthData"):
        read_bytes(AppleHealth(), b"<a/>")


def test_the_zip_comes_home_with_its_tracks(tmp_path: Path) -> None:
    """In the service's zip, whatever its language, each file goes to the connector that knows it."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.write(HEALTH, "apple_health_export/exportation.xml")
        made.write(TRACKS / "unicode2.gpx", "apple_health_export/workout-routes/route.gpx")
        made.writestr("apple_health_export/export_cda.xml", "<ClinicalDocument/>")
    items = list(read(path, recognise(path)))
    by = {one.by.partition("/")[0] for one in items if isinstance(one, Found)}
    assert "apple-health" in by and [one for _, one in rejects(items)][-1] == "no connector knows this file"
