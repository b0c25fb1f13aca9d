"""Finding a dataset among hundreds, here: case and accents make no difference, and all words must be there."""

import unicodedata
from collections.abc import Iterable

from chez.opendata.following import Catalogue, Listed
from chez.opendata.metadata import Metadata

__all__ = ("search",)

TITLE, KEYWORD, ELSEWHERE = 4, 2, 1
"""What a word counts by where it stands."""


def search(known: Iterable[Catalogue], words: str, theme: str | None = None) -> list[Listed]:
    """The datasets of catalogues that have all the words, beginnings of words counting, the best first."""
    wanted = _folded(words).split()
    found: list[tuple[int, Listed]] = []
    for catalogue in known:
        for one in catalogue.datasets.values():
            if theme is not None and theme.upper() not in one.themes:
                continue
            if (rank := _rank(one, wanted)) is not None:
                found.append((rank, Listed(catalogue, one)))
    return [one for _, one in sorted(found, key=lambda hit: (-hit[0], hit[1].metadata.title, hit[1].metadata.id))]


def _rank(one: Metadata, wanted: list[str]) -> int | None:
    """How well a dataset has the words, None if one is missing."""
    places = ((TITLE, f"{one.title} {one.id}"), (KEYWORD, " ".join((*one.keywords, *one.themes))),
              (ELSEWHERE, one.description))
    split = [(weight, _folded(text.replace("-", " ")).split()) for weight, text in places]
    rank = 0
    for word in wanted:
        hits = [weight for weight, there in split if any(part.startswith(word) for part in there)]
        if not hits:
            return None
        rank += sum(hits)
    return rank


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(" " if not char.isalnum() else char for char in plain if not unicodedata.combining(char))
