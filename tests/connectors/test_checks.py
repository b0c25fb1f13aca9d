"""What several formats check alike."""

import tracemalloc
from datetime import date

import pytest

from chez.connectors.checks import iso_day


@pytest.mark.parametrize("end", ["", "\n", " ", "Z", "T23:59:59+14:00", "-10:00", "T" + "x" * 99_999])
def test_a_day_is_that_of_who_wrote_it(end: str) -> None:
    """Whatever time and zone follow it."""
    assert iso_day(f"2024-02-29{end}") == date(2024, 2, 29)


@pytest.mark.parametrize("text", ["", "2024-02-30", "2024-02-2", "2024-02-291", "2024-02-29x", "2024-02-29\nx",
                                  "x2024-02-29"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """A day that there is not, and one with something else beside it."""
    with pytest.raises(ValueError, match=r"no such day|not like 2024-01-31"):
        iso_day(text)


def test_days_are_known_again_and_what_follows_them_is_not_kept() -> None:
    """A thousand dates with a long text behind each would be most of an import's memory."""
    tracemalloc.start()
    try:
        for number in range(50):
            iso_day(f"2024-02-29T{number}" + "x" * 20_000)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
