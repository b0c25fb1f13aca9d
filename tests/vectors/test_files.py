"""Every golden file has a program that prints it, and a line on the page of formats."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PAGE = (FOLDER.parents[1] / "docs" / "formats.md").read_text().split("## Golden files")[1]
KEPT = {"bundle.json", "release.json"}
"""tests/jobs builds the first anew from its own fields; the second is sealed with a fresh key each time."""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_a_golden_file_is_on_the_page(path: Path) -> None:
    """Its name, and its program's, stand in one row of the table."""
    rows = [row for row in PAGE.splitlines() if row.startswith("|") and f"`{path.name}`" in row]
    assert len(rows) == 1
    maker = f"make_{path.stem}.py"
    assert path.name in KEPT or (f"`{maker}`" in rows[0] and (FOLDER / maker).is_file())


def test_every_program_has_its_file() -> None:
    """No program prints a file that is not there."""
    assert all((FOLDER / f"{path.stem.removeprefix('make_')}.json").is_file() for path in FOLDER.glob("make_*.py"))
