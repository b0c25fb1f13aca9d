"""docs/protocol.md and the code describe one protocol."""

import re
from pathlib import Path

import msgspec
import pytest

from chez_relay.errors import Code
from chez_wire import frames

PAGE = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text()
KINDS = (*frames.ClientFrame.__args__, *frames.RelayFrame.__args__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_frame_is_on_the_page(kind: type[msgspec.Struct]) -> None:
    """Each frame has a heading with its number, and its section names every field in order."""
    heading = f"### {kind.__name__} ({kind.__struct_config__.tag})\n"
    assert heading in PAGE
    section = PAGE.split(heading)[1].split("\n#")[0]
    places = [section.find(f"`{field}`") for field in kind.__struct_fields__]
    assert -1 not in places and places == sorted(places)


def test_the_page_names_no_other_frame() -> None:
    """Each frame heading of the page is a frame of the code."""
    headings = re.findall(r"^### (\w+) \((\d+)\)$", PAGE, re.MULTILINE)
    assert {(kind.__name__, str(kind.__struct_config__.tag)) for kind in KINDS} == set(headings)


def test_every_code_is_on_the_page() -> None:
    """The table of codes lists exactly the codes a relay can answer with."""
    table = PAGE.split("## Codes")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Code)
