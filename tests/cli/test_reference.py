"""The page about the command line."""

from pathlib import Path

from chez.cli.reference import reference


def test_the_page_says_what_the_commands_say() -> None:
    """docs/cli.md is what `python -m chez.cli.reference` prints now."""
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: python -m chez.cli.reference > docs/cli.md"
