"""The page about the SDK."""

from pathlib import Path

from tools.api import reference, undocumented


def test_the_page_says_what_the_docstrings_say() -> None:
    """docs/api.md is what `python -m tools.api` prints now."""
    page = Path(__file__).parents[2] / "docs" / "api.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: python -m tools.api > docs/api.md"


def test_everything_public_is_documented() -> None:
    """Each public function, class, method, attribute and name of a type has a docstring."""
    assert undocumented() == []
