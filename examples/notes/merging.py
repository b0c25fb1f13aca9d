"""Text that is typed here while text arrives from elsewhere, and where the caret goes.

The store merges what was saved. Between two saves an editor holds text that nobody else
knows; what arrives in that moment is merged here, by the one stretch that differs.
"""

__all__ = ("Edit", "edit_between", "index_of", "location_of", "merged", "moved")

Edit = tuple[int, int, str]
"""At a position, so many characters are taken out, and others put in."""


def edit_between(old: str, new: str) -> Edit:
    """The edit that makes one text into another: what differs between the common beginning and end."""
    most = min(len(old), len(new))
    start = 0
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, len(old) - end - start, new[start : len(new) - end]


def moved(position: int, edit: Edit) -> int:
    """Where a place in a text is after an edit of it; one inside what was taken out is behind what was put in."""
    at, gone, come = edit
    if position <= at:
        return position
    return max(position - gone, at) + len(come)


def merged(base: str, mine: str, theirs: str) -> Edit:
    """What was done here to `base`, as an edit of `theirs`."""
    at, gone, come = edit_between(base, mine)
    other = edit_between(base, theirs)
    start, end = moved(at, other), moved(at + gone, other)
    return start, max(end - start, 0), come


def index_of(text: str, location: tuple[int, int]) -> int:
    """The position of a line and column."""
    line, column = location
    return sum(len(one) + 1 for one in text.split("\n")[:line]) + column


def location_of(text: str, index: int) -> tuple[int, int]:
    """The line and column of a position."""
    before = text[:index]
    return before.count("\n"), index - (before.rfind("\n") + 1)
