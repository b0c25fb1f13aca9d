"""Edits of a text that were made at the same time, brought into one order.

A patch is what is done to a text in one go: splices that do not touch each other, in
order, whose positions are all of the text *before* the patch. Two patches of one text, of
which each is to be applied after the other, are transformed (operational transformation;
Ellis and Gibbs 1989, Sun and Ellis 1998): `over(a, b)` gives what `a` is after `b` and what
`b` is after `a`, and both orders end in the same text. Where both put something in at one
place, what `a` puts in stands first. This is enough where all edits pass one place, here the
writer's thread of a home; between devices the documents merge.
"""

from collections.abc import Hashable, Iterable, Sequence

from chez.records.text import Splice

__all__ = ("Patch", "applied", "composed", "difference", "inverse", "moved", "over", "patch_of", "stepwise")

Patch = tuple[Splice, ...]
"""Splices in order, all positions of the text before; none empty, none touching the next."""

_Part = tuple[int, str | None]
"""A piece of a patch: characters that stay (None), that go (""), or that come: then 0 of those before."""


def _parts(patch: Patch) -> list[_Part]:
    out: list[_Part] = []
    end = 0
    for one in patch:
        if one.at > end:
            out.append((one.at - end, None))
        if one.insert:
            out.append((0, one.insert))
        if one.delete:
            out.append((one.delete, ""))
        end = one.at + one.delete
    return out


class _Made:
    """A patch being put together from its pieces."""

    __slots__ = ("_at", "_delete", "_insert", "_out")

    def __init__(self) -> None:
        self._out: list[Splice] = []
        self._at = 0
        self._delete = 0
        self._insert: list[str] = []

    def stay(self, count: int) -> None:
        self._close()
        self._at += count

    def go(self, count: int) -> None:
        self._delete += count

    def come(self, text: str) -> None:
        self._insert.append(text)

    def _close(self) -> None:
        if self._delete or self._insert:
            self._out.append(Splice(self._at, self._delete, "".join(self._insert)))
            self._at += self._delete
            self._delete, self._insert = 0, []

    def patch(self) -> Patch:
        self._close()
        return tuple(self._out)


class _Parts:
    """The pieces of a patch, one by one, cut where the other patch's end; what is behind it stays."""

    __slots__ = ("_at", "_parts")

    def __init__(self, patch: Patch) -> None:
        self._parts = _parts(patch)
        self._parts.reverse()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def come(self) -> str | None:
        """What comes here, if something does."""
        if self._parts and self._parts[-1][0] == 0:
            return self._parts.pop()[1]
        return None

    def size(self) -> int | None:
        """How far the piece reaches; None for what is behind the patch."""
        return self._parts[-1][0] if self._parts else None

    def take(self, count: int) -> bool:
        """Take so many characters off the piece; whether they go."""
        if not self._parts:
            return False
        size, kind = self._parts[-1]
        if size == count:
            self._parts.pop()
        else:
            self._parts[-1] = (size - count, kind)
        return kind is not None


def over(a: Patch, b: Patch) -> tuple[Patch, Patch]:
    """What `a` is after `b`, and what `b` is after `a`: two patches of one text."""
    if not a or not b:
        return a, b
    first, second = _Made(), _Made()
    left, right = _Parts(a), _Parts(b)
    while left or right:
        if (text := left.come()) is not None:
            first.come(text)
            second.stay(len(text))
        elif (text := right.come()) is not None:
            first.stay(len(text))
            second.come(text)
        else:
            size = min(one for one in (left.size(), right.size()) if one is not None)
            ours, theirs = left.take(size), right.take(size)
            if ours and not theirs:
                first.go(size)
            elif theirs and not ours:
                second.go(size)
            elif not ours:
                first.stay(size)
                second.stay(size)
    return first.patch(), second.patch()


def composed(a: Patch, b: Patch) -> Patch:
    """What `a` and then `b` do, as one patch of the text before both."""
    if not a or not b:
        return a or b
    made = _Made()
    left, right = _parts(a)[::-1], _Parts(b)
    while left or right:
        if left and left[-1][1] == "":
            made.go(left.pop()[0])
        elif (text := right.come()) is not None:
            made.come(text)
        else:
            size, kind = left.pop() if left else (right.size() or 0, None)
            reach = len(kind) if kind else size
            cut = min(reach, right.size() or reach)
            if cut < reach:
                left.append((0, kind[cut:]) if kind else (size - cut, None))
            gone = right.take(cut)
            if kind and not gone:
                made.come(kind[:cut])
            elif not kind:
                (made.go if gone else made.stay)(cut)
    return made.patch()


def patch_of(steps: Iterable[Splice]) -> Patch:
    """The patch that splices make which are each applied to what the one before left."""
    out: Patch = ()
    for one in steps:
        if one.delete or one.insert:
            out = composed(out, (one,))
    return out


def stepwise(patch: Patch) -> Patch:
    """The splices of a patch to be applied one after the other, each to what the one before left."""
    out: list[Splice] = []
    shift = 0
    for one in patch:
        out.append(Splice(one.at + shift, one.delete, one.insert))
        shift += len(one.insert) - one.delete
    return tuple(out)


def applied(text: str, patch: Patch) -> str:
    """A text after a patch."""
    if len(patch) == 1:
        (one,) = patch
        return text[: one.at] + one.insert + text[one.at + one.delete :]
    out: list[str] = []
    end = 0
    for one in patch:
        out += text[end : one.at], one.insert
        end = one.at + one.delete
    return "".join([*out, text[end:]])


def inverse(text: str, patch: Patch) -> Patch:
    """The patch that takes back one of this text."""
    return tuple([Splice(after.at, len(one.insert), text[one.at : one.at + one.delete])
                  for one, after in zip(patch, stepwise(patch), strict=True)])


def moved(patch: Patch, position: int) -> int:
    """Where a place of the text before is afterwards; what is put in right there comes behind it."""
    shift = 0
    for one in patch:
        if one.at >= position:
            break
        gone = min(one.delete, position - one.at)
        shift += (len(one.insert) if gone == one.delete else 0) - gone
        if gone < one.delete:
            break
    return position + shift


def difference(old: str, new: str, before: Sequence[Hashable], after: Sequence[Hashable]) -> Patch:
    """The patch between two states of a text, told by the identity of its characters.

    `before` and `after` name each character; those in both are in one order (as in any two
    states of a document's text).
    """
    kept = set(before) & set(after)
    made = _Made()
    at = 0
    for position, name in enumerate(before):
        if name not in kept:
            made.go(1)
            continue
        begin = at
        while after[at] != name:
            at += 1
        if at > begin:
            made.come(new[begin:at])
        made.stay(1)
        at += 1
        assert old[position] == new[at - 1]  # the same character, so the same letter
    if at < len(after):
        made.come(new[at:])
    return made.patch()
