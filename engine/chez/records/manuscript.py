"""A text that is spliced again and again: an edit costs what it changes, not what is there."""

from typing import Final

__all__ = ("Manuscript",)

_PIECE: Final = 2048
"""Characters of a piece: joining and cutting it costs about as much as finding it."""


class Manuscript:
    """A str kept in pieces; the one that was edited last is found at once."""

    __slots__ = ("_at", "_begin", "_length", "_pieces")

    def __init__(self, text: str = "") -> None:
        self._pieces = _cut(text)
        self._length = len(text)
        self._at = 0  # the piece that was used last
        self._begin = 0  # where that begins

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        return "".join(self._pieces)

    def splice(self, at: int, delete: int, insert: str) -> str:
        """Take characters out and put others in, all within the text; returns what was taken out."""
        self._seek(at)
        here = at - self._begin
        piece = self._whole(here + delete)
        made = piece[:here] + insert + piece[here + delete :]
        if len(made) > 2 * _PIECE:
            self._pieces[self._at : self._at + 1] = _cut(made)
        else:
            self._pieces[self._at] = made
            if delete and len(made) < _PIECE // 4 and self._at + 1 < len(self._pieces):
                self._pieces[self._at : self._at + 2] = [made + self._pieces[self._at + 1]]
        self._length += len(insert) - delete
        return piece[here : here + delete]

    def _seek(self, at: int) -> None:
        while at < self._begin:
            self._at -= 1
            self._begin -= len(self._pieces[self._at])
        while at > self._begin + len(self._pieces[self._at]):
            self._begin += len(self._pieces[self._at])
            self._at += 1

    def _whole(self, reach: int) -> str:
        """The present piece, joined with the next ones until it has so many characters."""
        end, size = self._at + 1, len(self._pieces[self._at])
        while size < reach:
            size += len(self._pieces[end])
            end += 1
        piece = "".join(self._pieces[self._at : end])
        self._pieces[self._at : end] = [piece]
        return piece


def _cut(text: str) -> list[str]:
    return [text[n : n + _PIECE] for n in range(0, len(text), _PIECE)] or [""]
