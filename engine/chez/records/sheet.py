"""A text as the person who types in it sees it: no I/O, no clock.

What is typed shows at once. What others wrote shows when it is taken (`take`), so that
positions are always of the text that whoever types has in front of them. Between the two
stands what is not written yet:

    what is shown --arrived--> what is there with all that was typed
    what was known at the last visit --inflight, typed--> the same

A visit to the record hands over `inflight` (`batch`) and brings what others did since the
last one (`written`), which is carried over what was typed meanwhile (`records.patches`). A
visit that fails leaves all of it to the next one (`failed`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chez.errors import InvalidValue
from chez.records.manuscript import Manuscript
from chez.records.patches import Patch, composed, inverse, over, stepwise
from chez.records.scribe import Known, Stroke, Taken
from chez.records.text import Splice

__all__ = ("BATCH", "Sheet")

BATCH: Final = 3_000
"""Strokes written in one transaction: they fit an entry, and others' writes wait 0.2 s for them."""

LARGEST: Final = 32_768
"""Characters that one change puts in or takes out; more are several."""

PAUSE: Final = 1_000
"""Milliseconds after which what is typed is undone apart from what was typed before."""

UNDOABLE: Final = 1_000
"""Steps that can be undone."""


@dataclass(slots=True)
class _Turn:
    """What one undo takes back: the patch of the text that does so, where the last stroke ended, when it was,
    and how many characters came and went."""

    patch: Patch = field(repr=False)
    caret: int
    time: int
    size: int


class Sheet:
    """A text being typed in; `now` gives Unix milliseconds, for when a stroke was made."""

    def __init__(self, known: Known, now: Callable[[], int]) -> None:
        self._known = known
        self._now = now
        self._shown = Manuscript(known.content)
        self._arrived: Patch = ()
        self._inflight: list[Stroke] = []
        self._typed: list[Stroke] = []
        self._undo: list[_Turn] = []
        self._redo: list[_Turn] = []
        self.total = 0
        """Strokes ever made."""

    def __len__(self) -> int:
        return len(self._shown)

    def __str__(self) -> str:
        return str(self._shown)

    @property
    def waiting(self) -> int:
        """Strokes that no visit has taken along."""
        return len(self._typed)

    @property
    def pending(self) -> int:
        """Strokes that are not durable."""
        return len(self._inflight) + len(self._typed)

    # --- typing ---------------------------------------------------------------------------

    def splice(self, at: int, delete: int, insert: str) -> None:
        """Take characters out at a place, and put others in. Raises `InvalidValue`, and nothing has changed."""
        self._check(at, delete, insert)
        time = self._now()
        if max(delete, len(insert)) > LARGEST:
            for _ in range(0, delete, LARGEST):
                self._stroke(at, min(LARGEST, delete), "", time)
                delete -= min(LARGEST, delete)
            for start in range(0, len(insert), LARGEST):
                self._stroke(at + start, 0, insert[start : start + LARGEST], time)
        elif delete or insert:
            self._stroke(at, delete, insert, time)

    def undo(self) -> Patch:
        """Take back what was typed last, as a stroke more; what it did to the text, step by step."""
        return self._reverse(self._undo, self._redo)

    def redo(self) -> Patch:
        """Take back the last undo, if nothing was typed since."""
        return self._reverse(self._redo, self._undo)

    def _check(self, at: int, delete: int, insert: str) -> None:
        if type(at) is not int or type(delete) is not int or not (
                0 <= at and 0 <= delete and at + delete <= len(self._shown)):
            raise InvalidValue(f"{delete!r} characters from {at!r} on are not within the text "
                               f"of {len(self._shown):,} characters")
        if type(insert) is not str:
            raise InvalidValue(f"a text takes in a str, not {type(insert).__name__}")
        if not insert.isascii():
            try:
                insert.encode()
            except UnicodeEncodeError:
                raise InvalidValue("a text can't hold half a character (a lone surrogate)") from None

    def _stroke(self, at: int, delete: int, insert: str, time: int) -> None:
        gone = self._shown.splice(at, delete, insert)
        self._note(at, gone, insert, time)
        self._add((Splice(at, delete, insert),), time)

    def _add(self, patch: Patch, time: int) -> None:
        self.total += 1
        if self._arrived:
            patch, self._arrived = over(patch, self._arrived)
        if patch:  # what it takes out may be gone already
            self._typed.append(Stroke(patch, time))

    def _note(self, at: int, gone: str, insert: str, time: int) -> None:
        """Remember how a stroke is taken back: together with the one before, if it goes on where that ended."""
        self._redo.clear()
        back = Splice(at, len(insert), gone)
        last = self._undo[-1] if self._undo else None
        if (last is None or time - last.time > PAUSE or last.caret not in (at, at + len(gone))
                or last.size + len(gone) + len(insert) > LARGEST):
            self._undo.append(_Turn((back,), at + len(insert), time, len(gone) + len(insert)))
            if len(self._undo) > UNDOABLE:
                del self._undo[0]
            return
        one = last.patch[0] if len(last.patch) == 1 else None
        if one is not None and not gone and at == one.at + one.delete:
            last.patch = (Splice(one.at, one.delete + len(insert), one.insert),)
        else:
            last.patch = composed((back,), last.patch)
        last.caret, last.time = at + len(insert), time
        last.size += len(gone) + len(insert)

    def _reverse(self, turns: list[_Turn], back: list[_Turn]) -> Patch:
        while turns:
            turn = turns.pop()
            if turn.patch:
                steps = stepwise(turn.patch)
                back.append(_Turn(inverse(str(self._shown), turn.patch), -1, 0, 0))
                for one in steps:
                    self._shown.splice(one.at, one.delete, one.insert)
                self._add(turn.patch, self._now())
                return steps
        return ()

    # --- what others write ----------------------------------------------------------------

    def take(self) -> Patch:
        """Show what arrived; what it did to the text, step by step."""
        arrived, self._arrived = self._arrived, ()
        steps = stepwise(arrived)
        for one in steps:
            self._shown.splice(one.at, one.delete, one.insert)
        for turns in (self._undo, self._redo):
            told = arrived
            for turn in reversed(turns):
                if not told:
                    break
                turn.patch, told = over(turn.patch, told)
                turn.caret = -1
        return steps

    # --- visits to the record ---------------------------------------------------------------

    def batch(self) -> tuple[Known, list[Stroke]]:
        """What a visit takes along: the text as of the last one, and strokes on it, each upon the one before."""
        self._inflight, self._typed = self._typed[:BATCH], self._typed[BATCH:]
        return self._known, self._inflight

    def written(self, taken: Taken) -> bool:
        """What the visit took along is durable. Returns whether the text is another than what was typed makes it."""
        told = taken.arrived
        for stroke in self._inflight if told else ():
            _, told = over(stroke.patch, told)
        told = composed(told, taken.corrected)
        if told:
            typed, self._typed = self._typed, []
            for stroke in typed:
                patch, told = over(stroke.patch, told)
                if patch:
                    self._typed.append(Stroke(patch, stroke.time))
            self._arrived = composed(self._arrived, told)
        self._inflight = []
        self._known = taken.known
        return bool(told)

    def failed(self) -> None:
        """Nothing of what the visit took along was written."""
        self._typed = self._inflight + self._typed
        self._inflight = []
