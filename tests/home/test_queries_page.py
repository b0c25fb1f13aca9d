"""The page on queries does what it says."""

import textwrap
from pathlib import Path
from typing import Any

import chez

PAGE = Path(__file__).parent.parent.parent / "docs" / "queries.md"


async def test_the_example_runs(home: chez.Home) -> None:
    """The code on the page runs as it stands, on records such as it speaks of, and prints what it finds."""
    notes = home.collection("notes")
    await notes.put({"title": "Green tea", "body": "with milk", "cups": 3, "done": False, "day": "2024-01-01",
                     "address": {"city": "Paris"}}, id="tea")
    await notes.put({"title": "Coffee", "kind": "espresso", "cups": 1, "done": False, "address": {"city": "Oslo"}})
    source = PAGE.read_text().split("```python\n")[1].split("```")[0]
    printed: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"chez": chez, "field": chez.field, "home": home,
                             "print": lambda *words: printed.append(words)}
    exec(f"async def page():\n{textwrap.indent(source, '    ')}", names)
    await names["page"]()
    assert printed[0] == ("tea", "Green tea") and len(printed) == 8
    assert printed[-2][1:] == ("tea", "<b>Green tea</b>")
    assert printed[-1] == ([(2, 3)],)
