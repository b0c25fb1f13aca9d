"""The notes app: a list, an editor, and how the sync stands.

Each of three tasks follows something that is live: the list of notes, the link to the
relay, and what is typed. The screen shows what the store holds; what is typed goes into the
store at once, as an edit of a `chez.Text`, so that two devices can write in one note.
"""

import asyncio
from datetime import UTC, datetime
from typing import ClassVar, Final

import msgspec
from examples.notes.merging import edit_between, index_of, location_of, merged, moved
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import Footer, OptionList, Static, TextArea
from textual.widgets.option_list import Option

import chez

__all__ = ("Note", "NotesApp")

WIDTH: Final = 28


class Note(msgspec.Struct):
    """A note; its first line is its title."""

    __collection__ = "notes"

    made: datetime
    body: chez.Text = msgspec.field(default_factory=chez.Text)

    @property
    def title(self) -> str:
        """The first line, or what stands for it."""
        return next((line.strip() for line in str(self.body).splitlines() if line.strip()), "(empty)")[:WIDTH]


class NotesApp(App[None]):
    """The notes of one home, kept in step with a relay where there is one."""

    CSS = """
    OptionList { width: 32; }
    #sync { height: 1; background: $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar = [("ctrl+n", "new", "New"), ("ctrl+r", "remove", "Remove"), ("ctrl+q", "quit", "Quit")]
    TITLE = "Notes"

    def __init__(self, home: chez.Home, url: str | None = None) -> None:
        super().__init__()
        self.home = home
        self.notes = home.collection(Note)
        self._url = url
        self._note: str | None = None
        self._agreed = ""  # what the editor and the store last had in common
        self._typed = asyncio.Event()
        self._turn = asyncio.Lock()  # the editor is changed by one task at a time

    def compose(self) -> ComposeResult:
        """The list beside the editor, and one line below."""
        with Horizontal():
            yield OptionList(id="list")
            yield TextArea(id="body", disabled=True)
        yield Static("", id="sync", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        for work in (self._follow_notes(), self._follow_typing(), self._follow_link()):
            self.run_worker(work)

    @property
    def _list(self) -> OptionList:
        return self.query_one("#list", OptionList)

    @property
    def _editor(self) -> TextArea:
        return self.query_one("#body", TextArea)

    # --- what the store says ------------------------------------------------------------

    async def _follow_notes(self) -> None:
        async for records in self.notes.where().order_by("-made").live():
            async with self._turn:
                self._show_list(records)
                await self._show_note()

    def _show_list(self, records: list[chez.Record[Note]]) -> None:
        options = [Option(record.value.title, record.id) for record in records if record.error is None]
        shown = [(option.id, option.prompt) for option in self._list.options]
        if shown != [(option.id, option.prompt) for option in options]:
            with self.prevent(OptionList.OptionHighlighted):
                self._list.set_options(options)
                if any(option.id == self._note for option in options):
                    self._list.highlighted = self._list.get_option_index(self._note or "")

    async def _show_note(self) -> None:
        if self._note is None:
            return
        try:
            # Read again: the answer may be older than what was saved since.
            note = await self.notes.get(self._note)
        except chez.ChezError:  # deleted, here or elsewhere
            self._open(None, "")
        else:
            self._bring(str(note.value.body))

    def _bring(self, theirs: str) -> None:
        """Put what the store holds into the editor, around what is typed and not saved yet."""
        mine = self._editor.text
        at, gone, come = merged(self._agreed, mine, theirs)
        self._agreed = theirs
        self._replace(theirs[:at] + come + theirs[at + gone :])

    def _replace(self, text: str) -> None:
        editor = self._editor
        if text == editor.text:
            return
        caret = moved(index_of(editor.text, editor.cursor_location), edit_between(editor.text, text))
        editor.load_text(text)
        editor.move_cursor(location_of(text, caret))

    # --- what the person does ------------------------------------------------------------

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Open the note that was chosen."""
        if event.option.id is not None and event.option.id != self._note:
            await self._choose(event.option.id)

    async def _choose(self, id: str) -> None:
        await self._save()
        async with self._turn:
            note = await self.notes.get(id)
            self._open(id, str(note.value.body))

    def _open(self, id: str | None, text: str) -> None:
        self._note, self._agreed = id, text
        self._editor.load_text(text)
        self._editor.disabled = id is None

    async def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Something was typed, or shown."""
        self._typed.set()

    async def _follow_typing(self) -> None:
        while True:
            await self._typed.wait()
            self._typed.clear()
            await self._save()

    async def _save(self) -> None:
        """Write what was typed; what arrived meanwhile stays, and shows."""
        async with self._turn:
            mine = self._editor.text
            if self._note is None or mine == self._agreed:
                return
            try:
                async with self.notes.edit(self._note) as draft:
                    at, gone, come = merged(self._agreed, mine, str(draft.body))
                    draft.body.splice(at, gone, come)
                    saved = str(draft.body)
            except chez.ChezError as error:
                self.notify(str(error), severity="error", markup=False)
                return
            self._agreed = mine
            self._bring(saved)

    async def action_new(self) -> None:
        """Make a note and write in it."""
        record = await self.notes.put(Note(datetime.now(UTC)))
        await self._choose(record.id)
        self._editor.focus()

    async def action_remove(self) -> None:
        """Delete the note that is open; the store keeps it in the trash."""
        if self._note is not None:
            await self.notes.delete(self._note)

    # --- how the sync stands --------------------------------------------------------------

    async def _follow_link(self) -> None:
        if self._url is None and self.home.relay is None:
            await self._tell("no relay")
            return
        try:
            async with self.home.connect(self._url) as link:
                while True:
                    await self._tell(str(link.error) if link.error and link.status != "synced" else link.status)
                    await link.turn()
        except chez.ChezError as error:
            await self._tell(str(error))

    async def _tell(self, how: str) -> None:
        waiting = (await self.home.status()).pending
        self.query_one("#sync", Static).update(f"{how} · {waiting} changes wait to leave" if waiting else how)
