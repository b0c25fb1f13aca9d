"""What was taken away leaves its numbers behind: feeds, live answers and states of the past go by them."""

from pathlib import Path

import chez
from tests.home.conftest import PASSPHRASE


async def test_a_feed_and_a_live_answer_go_on_after_a_space_was_deleted(path: Path, tmp_path: Path) -> None:
    """The space that was written to last goes: no cursor is ahead of the store, and all that is written is told."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")
        await notes.put({"n": 1}, id="a")
        space = await home.create_space("other")
        for n in range(5):
            await space.collection("other").put({"n": n})
        (page,) = [page async for page in notes.changes(live=False)]
        answers = notes.where(n=1).live()
        assert [record.id for record in await anext(answers)] == ["a"]
        state = await home.cursor_now()
        await space.delete()
        assert [page async for page in notes.changes(page.cursor, live=False)] == []
        await notes.put({"n": 1}, id="b")
        assert [record.id for record in await anext(answers)] == ["a", "b"]
        (page,) = [page async for page in home.changes(page.cursor, live=False)]
        assert [change.id for change in page.changes] == ["b"]
        await notes.put({"n": 2}, id="a")
        assert (await home.sql("SELECT _id, n FROM notes", as_of=state)).rows == [("a", 1)]
        # What is left behind is nobody's: no collection, nothing for the doctor, no file in an export.
        assert [one.name for one in await home.collections()] == ["notes"]
        await home.export(tmp_path / "export", history=True)
        assert sorted(path.name for path in (tmp_path / "export").rglob("*.jsonl")) == ["notes.jsonl"] * 2
    for repair in (True, False):
        assert (await chez.doctor(path, passphrase=PASSPHRASE, repair=repair, rebuild=repair)).findings == ()
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 3}, id="a")
        # The log was written anew: what is not known any more is left out.
        assert (await home.sql("SELECT _id, n FROM notes", as_of=state)).rows == []


async def test_a_state_is_shown_again_after_a_purge(home: chez.Home) -> None:
    """The changes of a record that was purged were the last ones: what comes later is no part of what was before."""
    notes = home.collection("notes")
    await notes.put({"n": 1}, id="a")
    for n in range(5):
        await notes.put({"n": n}, id="gone")
    state = await home.cursor_now()
    await notes.purge("gone")
    await notes.put({"n": 2}, id="a")
    assert (await home.sql("SELECT _id, n FROM notes", as_of=state)).rows == [("a", 1)]
