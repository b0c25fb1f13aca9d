"""Plays the notes app without a screen, against another device; run by test_notes.py in the examples' environment.

    python pilot.py FOLDER RELAY
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.notes.app import Note, NotesApp
from textual.pilot import Pilot
from textual.widgets import OptionList, Static, TextArea

import chez
from chez.crypto import Kdf


async def main(folder: Path, relay: str) -> None:
    """Two devices of one person; the app runs on the first."""
    await chez.create(folder / "laptop", passphrase="one", name="laptop", kdf=Kdf.minimum())
    async with chez.open(folder / "laptop", passphrase="one") as laptop:
        async with laptop.pair(relay) as pairing, asyncio.TaskGroup() as group:
            group.create_task(chez.join(folder / "phone", pairing.code, passphrase="two", kdf=Kdf.minimum()))
            group.create_task(pairing.confirm())
        async with chez.open(folder / "phone", passphrase="two") as phone, phone.connect():
            app = NotesApp(laptop, relay)
            async with app.run_test() as pilot:
                await play(pilot, app, phone.collection(Note))


async def play(pilot: Pilot[Any], app: NotesApp, there: chez.Collection[Note]) -> None:
    """What a person does here, and another device there."""
    titles, editor = app.query_one("#list", OptionList), app.query_one("#body", TextArea)
    status = app.query_one("#sync", Static)

    async def until(what: str, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(90):
            while not done():
                await pilot.pause()
        print("done:", what)  # noqa: T201

    def shown() -> list[str]:
        return [str(option.prompt) for option in titles.options]

    async def text_there() -> str:
        return "".join([str(record.value.body) async for record in there])

    await pilot.press("ctrl+n")
    await until("a new note is open", lambda: not editor.disabled)
    await pilot.press(*"Tea", "enter", *"boil")
    await until("its first line is its title", lambda: shown() == ["Tea"])
    await until("it is in step", lambda: str(status.render()) == "synced")
    async for records in there.where().live():
        if records and str(records[0].value.body) == "Tea\nboil":
            break
    (note,) = await there.where().all()

    async with there.edit(note.id) as draft:
        draft.body.splice(0, 3, "Green tea")
    await until("what the other device writes shows", lambda: editor.text == "Green tea\nboil")
    assert shown() == ["Green tea"] and editor.cursor_location == (1, 4), (shown(), editor.cursor_location)

    await pilot.press(*" water")
    async with there.edit(note.id) as draft:
        draft.body.append("!")
    await until("both wrote at once", lambda: sorted(editor.text) == sorted("Green tea\nboil water!"))
    async for records in there.where().live():
        if str(records[0].value.body) == editor.text:
            break

    await pilot.press("ctrl+n")
    await until("another note", lambda: len(shown()) == 2)
    await pilot.press(*"Bread")
    await until("the newest is first", lambda: shown() == ["Bread", "Green tea"])
    titles.focus()
    await pilot.press("down")
    await until("the other note is open", lambda: editor.text.startswith("Green tea"))
    await there.delete(note.id)
    await until("a note that is deleted elsewhere closes", lambda: editor.disabled and shown() == ["Bread"])
    assert await text_there() == "Bread"

    titles.highlighted = 0
    await until("a note is opened", lambda: editor.text == "Bread")
    await pilot.press("ctrl+r")
    await until("it is deleted", lambda: editor.disabled and shown() == [])
    async for records in there.where().live():
        if not records:
            break
    print("the end")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
