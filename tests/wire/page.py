"""docs/protocol.md, taken apart: what it says of each frame."""

import re
from pathlib import Path

import msgspec

from chez_wire import frames

__all__ = ("KINDS", "PAGE", "answers", "clause", "paragraph", "quoted", "section")

PAGE = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text()
KINDS: tuple[type[msgspec.Struct], ...] = (*frames.ClientFrame.__args__, *frames.RelayFrame.__args__)


def section(kind: type[msgspec.Struct]) -> str:
    """What stands under a frame's heading."""
    return PAGE.split(f"### {kind.__name__} ({kind.__struct_config__.tag})\n")[1].split("\n#")[0]


def paragraph(name: str) -> str:
    """The paragraph that begins with a name in bold."""
    return PAGE.split(f"**{name}.** ")[1].split("\n\n")[0]


def quoted(text: str) -> list[str]:
    """What stands in code marks, in order."""
    return re.findall(r"`(\w+)`", text)


def answers(kind: type[msgspec.Struct]) -> tuple[set[str], set[str]]:
    """The frames that a request is answered with, and the codes of its `Failed`."""
    found = re.search(r"(?:Answer:|No answer)(.*?)`Failed`(?: with ref 0)? \(([^)]*)\)", section(kind), re.DOTALL)
    assert found is not None, "a request's section says how it is answered"
    kinds = {one.__name__ for one in KINDS}
    return {name for name in quoted(found[1]) if name in kinds}, set(quoted(found[2]))


def clause(text: str, field: str) -> str:
    """What is said of a field: from its name to the next thing in code marks."""
    return re.split(rf"`{field}`", text, maxsplit=1)[1].split("`")[0]
