"""Live answers: at once, then whenever they changed, coalesced, never without the last state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

import chez
from chez import field
from chez.crypto import Kdf
from chez.errors import InvalidValue
from chez.query.live import live
from chez.records.news import News
from tests.home.pairing import PASSPHRASE, paired
from tests.relay.within import relay as running_relay


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[chez.Home]:
    """An open home."""
    await chez.create(tmp_path / "home", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase=PASSPHRASE) as opened:
        yield opened


def _titles(records: list[chez.Record[Any]]) -> list[str]:
    return [record.id for record in records]


async def test_an_answer_comes_at_once_and_then_when_it_changed(home: chez.Home) -> None:
    """Puts, edits and deletes that matter to the question give a new answer; others give none."""
    notes, other = home.collection("notes"), home.collection("other")
    await notes.put({"cups": 1}, id="a")
    answers = notes.where(field("cups") >= 2).order_by("cups").live()
    async with aclosing(answers):
        assert _titles(await anext(answers)) == []
        await other.put({"cups": 5}, id="x")
        await notes.put({"cups": 0}, id="b")
        await notes.put({"cups": 3}, id="c")
        assert _titles(await anext(answers)) == ["c"]
        async with notes.edit("a") as draft:
            draft["cups"] = 2
        assert _titles(await anext(answers)) == ["a", "c"]
        await notes.delete("c")
        assert _titles(await anext(answers)) == ["a"]


async def test_a_burst_is_coalesced_and_ends_with_the_last_state(home: chez.Home) -> None:
    """A thousand commits while the reader is busy cost it a few answers, the last of them complete."""
    notes = home.collection("notes")
    answers = notes.where().live()
    async with aclosing(answers):
        assert await anext(answers) == []
        for start in range(0, 1000, 100):
            await asyncio.gather(*(notes.put({"n": n}) for n in range(start, start + 100)))
        sizes = [len(await anext(answers))]
        while sizes[-1] < 1000:
            sizes.append(len(await anext(answers)))
        assert len(sizes) <= 12


async def test_no_last_state_is_missed_in_any_interleaving(home: chez.Home) -> None:
    """A writer and a reader at random paces: the reader always comes to the final value."""
    notes, random = home.collection("notes"), Random(4)
    for round in range(20):
        final = random.randrange(1, 12)

        async def write(final: int = final, round: int = round) -> None:
            for n in range(final + 1):
                await notes.put({"round": round, "n": n}, id="one")
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)

        writer = asyncio.create_task(write())
        async with asyncio.timeout(90), aclosing(notes.live("one")) as values:
            async for record in values:
                if record is not None and record.value == {"round": round, "n": final}:
                    break
        await writer


async def test_one_record_is_followed_from_nothing_to_its_deletion(home: chez.Home) -> None:
    """Before it exists and after it is deleted there is None; other records are no news."""
    notes = home.collection("notes")
    async with aclosing(notes.live("tea")) as values:
        assert await anext(values) is None
        await notes.put({"n": 1}, id="coffee")
        await notes.put({"n": 1}, id="tea")
        found = await anext(values)
        assert found is not None and found.value == {"n": 1}
        await notes.delete("tea")
        assert await anext(values) is None


async def test_what_is_cancelled_is_forgotten(home: chez.Home) -> None:
    """A reader that is cancelled, or leaves, is not kept; the others go on."""
    notes = home.collection("notes")

    async def read() -> None:
        async for _ in notes.where().live():
            pass

    task = asyncio.create_task(read())
    async with aclosing(notes.where().live()) as answers:
        assert await anext(answers) == []
        assert len(home._engine.news._followers["notes"]) == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(home._engine.news._followers["notes"]) == 1
        await notes.put({"n": 1})
        assert len(await anext(answers)) == 1
    assert "notes" not in home._engine.news._followers  # the home itself follows others


async def test_a_home_that_closes_ends_them(tmp_path: Path) -> None:
    """A loop over live answers ends by itself when the home is closed."""
    await chez.create(tmp_path / "home", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    begun = asyncio.Event()

    async def read(home: chez.Home) -> int:
        count = 0
        async for _ in home.collection("notes").where().live():
            count += 1
            begun.set()
        return count

    async with chez.open(tmp_path / "home", passphrase=PASSPHRASE) as home:
        task = asyncio.create_task(read(home))
        await begun.wait()
    assert await task == 1


async def test_what_was_undone_is_no_answer(home: chez.Home) -> None:
    """A transaction that raises wakes nobody with a wrong state."""
    notes = home.collection("notes")
    async with aclosing(notes.where().live()) as answers:
        assert await anext(answers) == []

        def work(transaction: chez.Transaction) -> None:
            transaction.put(notes, {"n": 1}, id="never")
            raise ValueError("on purpose")

        with pytest.raises(ValueError, match="on purpose"):
            await home.transaction(work)
        await notes.put({"n": 2}, id="kept")
        assert _titles(await anext(answers)) == ["kept"]


async def test_what_arrives_from_another_device_is_news(tmp_path: Path) -> None:
    """A change made on one device wakes a live query on another, through the relay."""
    async with running_relay(tmp_path / "relay") as relay, paired(tmp_path, relay.url) as (a, b):
        async with (a.connect(relay.url), b.connect(relay.url) as link,
                    aclosing(b.collection("notes").where().live()) as answers):
            await link.synced(90)
            assert await anext(answers) == []
            await a.collection("notes").put({"n": 1}, id="far")
            assert _titles(await anext(answers)) == ["far"]
            async with a.collection("notes").edit("far") as draft:
                draft["n"] = 2
            assert (await anext(answers))[0].value == {"n": 2}


async def test_the_states_of_one_record_are_shown_forwards(home: chez.Home) -> None:
    """Many follow one record while it is counted up by several tasks: nobody sees it go back, all see the end."""
    counts = home.collection("counts")
    await counts.put({"n": 0}, id="one")
    last = 200

    async def follow() -> list[int]:
        seen = []
        async with aclosing(counts.live("one")) as answers:
            async for record in answers:
                assert record is not None
                seen.append(record.value["n"])
                if seen[-1] == last:
                    break
        return seen

    async def count(first: int) -> None:
        for _ in range(first, last, 4):
            async with counts.edit("one") as draft:
                draft["n"] += 1

    followers = [asyncio.create_task(follow()) for _ in range(40)]  # more than the writer looks for
    await asyncio.gather(*(count(first) for first in range(4)))
    for seen in await asyncio.gather(*followers):
        assert seen == sorted(set(seen))


class Told:
    """News that came while an answer was asked for, the first or the next; the writer saw the state before the one that
    was answered.
    """

    seen = ("before",)
    told = True

    def __init__(self) -> None:
        self._news = [True, True, False]

    async def news(self) -> bool:
        """See `Following`."""
        return self._news.pop(0)


async def test_what_the_writer_saw_before_an_answer_was_read_does_not_come_after_it() -> None:
    """Commits came each time that it was asked for, of which some were told by then: nobody is led back to them."""
    async def ask() -> str:
        return "now"

    assert [answer async for answer in live(ask, Told())] == ["now"]


async def test_a_record_that_has_no_value_any_more_is_said_to_whoever_follows_it(home: chez.Home) -> None:
    """A value that does not fit the follower's type is an error there, also when the writer came upon it."""
    class Cup(msgspec.Struct):
        size: int

    await home.collection("cups").put({"size": 1}, id="a")
    async with aclosing(home.collection(Cup, name="cups").live("a")) as answers:
        first = await anext(answers)
        assert first is not None
        assert first.value == Cup(1)
        await home.collection("cups").put({"size": "large"}, id="a")
        with pytest.raises(InvalidValue):
            await anext(answers)


async def test_a_commit_of_many_records_is_remembered_by_its_collection() -> None:
    """However many records a transaction touches, what is kept of it is bounded, and followers of one record hear."""
    news = News()
    with news.follow("notes", frozenset(("n7",))) as follower:
        for n in range(100_000):
            news.touch("notes", f"n{n}")
        assert news._touched == {"notes": None}
        news.publish()
        assert await follower.news()
