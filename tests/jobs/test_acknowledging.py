"""Results that are acknowledged as they come: some at once, none forgotten, the relay told as little as can be."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from chez.errors import RelayUnreachable
from chez_sandbox.offers.acknowledged import BATCH, token_of
from chez_sandbox.provider.acknowledging import AGAIN, SECONDS, Acknowledging
from chez_sandbox.provider.results import ResultBook
from tests.jobs.messages import BUNDLE, KEYS, message
from tests.jobs.test_following import NOW


class Catalogue:
    """What a provider said so far, on a clock of its own; `broken` keeps it from saying more."""

    def __init__(self) -> None:
        self.told: list[list[bytes]] = []
        self.problems: list[str] = []
        self.now = 0.0
        self.broken = False

    def tell(self, tokens: Sequence[bytes]) -> None:
        """Acknowledge."""
        if self.broken:
            raise RelayUnreachable("the home is locked")
        self.told.append(list(tokens))

    def sink(self, book: ResultBook) -> Acknowledging:
        """A sink, as of a process that starts now."""
        return Acknowledging(book, self.tell, lambda error: self.problems.append(error.message), lambda: self.now)


def fill(book: ResultBook, sequences: range) -> list[bytes]:
    """Keep messages; their tokens."""
    return [token_of(bytes.fromhex(book.keep(message(at), NOW).line["id"])) for at in sequences]


def test_results_are_acknowledged_together(tmp_path: Path) -> None:
    """A start acknowledges what the book has; after it a batch that is full at once, a few after an hour, the rest at
    the end; what is no result never."""
    catalogue = Catalogue()
    with ResultBook(tmp_path / "results.jsonl", KEYS, [BUNDLE]) as book:
        before = [*fill(book, range(1, 3)), *fill(book, range(1, 2))][:2]
        book.keep(b"rubbish", NOW)
        sink = catalogue.sink(book)
        asyncio.run(sink.take())
        assert catalogue.told == [before] and sink.due() is None
        few = fill(book, range(3, 5))
        asyncio.run(sink.take())
        assert catalogue.told == [before] and sink.due() == SECONDS
        catalogue.now += SECONDS
        asyncio.run(sink.take())
        assert catalogue.told == [before, few] and sink.due() is None
        full = fill(book, range(5, 5 + BATCH))
        asyncio.run(sink.take())
        last = fill(book, range(200, 201))
        asyncio.run(sink.take())
        assert catalogue.told == [before, few, full]
        asyncio.run(sink.close())
        assert catalogue.told == [before, few, full, last] and not catalogue.problems


def test_what_can_not_be_said_now_is_said_later(tmp_path: Path) -> None:
    """While a home can't be reached results are taken all the same, it is tried once a minute, and nothing is lost; at
    the start and at the end it is an error."""
    catalogue = Catalogue()
    with ResultBook(tmp_path / "results.jsonl", KEYS, [BUNDLE]) as book:
        sink = catalogue.sink(book)
        asyncio.run(sink.take())
        catalogue.broken = True
        tokens = fill(book, range(1, 1 + BATCH))
        asyncio.run(sink.take())
        tokens += fill(book, range(1 + BATCH, 2 * BATCH))
        asyncio.run(sink.take())
        assert catalogue.problems == ["the home is locked"] and sink.due() == AGAIN
        catalogue.now += AGAIN
        asyncio.run(sink.take())
        assert len(catalogue.problems) == 2 and catalogue.told == []
        with pytest.raises(RelayUnreachable):
            asyncio.run(sink.close())
        with pytest.raises(RelayUnreachable):
            asyncio.run(catalogue.sink(book).take())
        catalogue.broken = False
        catalogue.now += AGAIN
        asyncio.run(sink.take())
        assert catalogue.told == [tokens]
