"""A household's minutes: the real file, and what its form leaves open."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from chez.connectors import Found, read
from chez.connectors.household_power import HouseholdPower
from chez.errors import InvalidValue
from chez.vocabulary import Reading
from tests.connectors.support import POWER, read_bytes, records, rejects

HEADER = POWER.read_bytes()[:123].decode()


def minutes(*rows: str) -> list[Reading]:
    """The readings of these rows."""
    items = read_bytes(HouseholdPower(), (HEADER + "\n".join(rows)).encode())
    return [record for record in records(items) if isinstance(record, Reading)]


def reasons(*rows: str) -> list[str]:
    """Why rows are rejected."""
    return [reason for _, reason in rejects(read_bytes(HouseholdPower(), (HEADER + "\n".join(rows)).encode()))]


def test_the_real_minutes() -> None:
    """Every minute of the real file is brought home in order, and the two that the meter missed are rejected."""
    items = list(read(POWER))
    found = [record for record in records(items) if isinstance(record, Reading)]
    assert rejects(items) == [(6841, "there is no value"), (6842, "there is no value")]
    assert len(found) == 7_594
    assert {(r.meter, r.flow, r.seconds, r.offset) for r in found} == {("household-power", "consumption", 60, 60)}
    assert (found[0].start, found[0].local, found[0].watts) == (
        datetime(2006, 12, 16, 16, 24, tzinfo=UTC), "2006-12-16T17:24", 4216.0)  # fmt: skip
    holes = [b.start - a.start for a, b in itertools.pairwise(found) if b.start - a.start != timedelta(minutes=1)]
    assert holes == [timedelta(minutes=3)]
    assert next(item.row for item in items if isinstance(item, Found)) == 2


def test_both_changes_of_clocks() -> None:
    """The hour that comes twice is read as two hours, and one that does not come is rejected."""
    autumn = minutes("29/10/2006;01:59:00;1", "29/10/2006;02:30:00;1", "29/10/2006;02:30:00;2", "29/10/2006;03:00:00;1")
    assert [(r.start.hour, r.start.minute, r.offset) for r in autumn] == [
        (23, 59, 120), (0, 30, 120), (1, 30, 60), (2, 0, 60)]  # fmt: skip
    assert reasons("25/3/2007;02:30:00;1") == ["the clocks leave this hour out"]
    assert minutes("25/3/2007;03:00:00;1")[0].start == datetime(2007, 3, 25, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(("row", "reason"), [
    ("16/12/2006;17:24:30;1", "the time is not a whole minute like 17:24:00"),
    ("16/12/2006", "the time is not a whole minute like 17:24:00"),
    ("2006-12-16;17:24:00;1", "the date is not d/m/yyyy"),
    ("31/2/2006;17:24:00;1", "there is no such day"),
    ("1/1/1850;17:24:00;1", "the year is not between 1900 and 2200"),
    ("16/12/2006;17:24:00", "there is no value"),
    ("16/12/2006;17:24:00;-1", "the value is not a number of at least 0"),
    ("16/12/2006;17:24:00;1001", "the value is larger than any household draws"),
])
def test_a_bad_row_costs_that_row(row: str, reason: str) -> None:
    """A row that is wrong is rejected with the reason, and the next one is read."""
    assert reasons(row, "1/1/2007;00:00:00;0.5") == [reason]
    assert [r.watts for r in minutes(row, "1/1/2007;00:00:00;0.5")] == [500.0]


def test_rows_go_forward_in_time() -> None:
    """A minute that comes again, where no clock was put back, is rejected."""
    assert reasons("1/1/2007;00:01:00;1", "1/1/2007;00:01:00;2") == ["the time is not after the one before"]


@pytest.mark.parametrize("data", [b"", b"Date;Time;Power\n1/1/2007;00:00:00;1\n"])
def test_another_file_is_refused(data: bytes) -> None:
    """A file without the data set's header is not its format."""
    with pytest.raises(InvalidValue, match="household"):
        read_bytes(HouseholdPower(), data)
