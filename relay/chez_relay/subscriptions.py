"""The subscriptions and watches of one connection: what was asked for, sent and is still owed.

Roles are not looked at here: the session opens a subscription with the credential it was
proven by, and ends it when that is replaced.
"""

from chez_relay.cursors import InboxCursor, SpaceCursor
from chez_relay.effects import Effect, Follow
from chez_relay.errors import Code
from chez_relay.replies import entries, fail, refused, send
from chez_relay.storage import ItemPage, Page, Result
from chez_relay.tickets import Tickets
from chez_wire.envelope import entry_id
from chez_wire.frames import Credit, Early, InboxItems, Subscribe, Watch
from chez_wire.limits import MAX_EARLY

__all__ = ("Subscriptions",)


class Subscriptions:
    """Cursors over spaces and inboxes, and the pages under way for them."""

    __slots__ = ("_inboxes", "_over", "_spaces", "_tickets")

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._spaces: dict[bytes, SpaceCursor] = {}
        self._inboxes: dict[bytes, InboxCursor] = {}
        self._over: set[bytes] = set()

    # --- spaces -------------------------------------------------------------------------

    def subscribe(self, frame: Subscribe, under: bytes) -> list[Effect]:
        """Follow a space; a second time replaces the first, whose page under way is dropped on arrival."""
        cursor = SpaceCursor(frame.ref, frame.handle, frame.after, frame.credit, end=frame.after, under=under)
        self._spaces[frame.handle] = cursor
        return [Follow(frame.handle), *self._pump(cursor, first=True)]

    def __len__(self) -> int:
        """How many spaces are followed."""
        return len(self._spaces)

    @property
    def followed(self) -> list[bytes]:
        """The handles of the spaces that are followed, in their order."""
        return sorted(self._spaces)

    def follows(self, handle: bytes) -> bool:
        """Whether a space is followed."""
        return handle in self._spaces

    def restore(self, cursor: SpaceCursor) -> None:
        """Follow a space again, from where its reader says that it is; what is new leaves with `go_on`."""
        cursor.answered = True  # by the answer to all of them
        self._spaces[cursor.handle] = cursor

    def go_on(self, handle: bytes) -> list[Effect]:
        """Send what a space that was restored has to send."""
        return self._pump(self._spaces[handle])

    def credit(self, frame: Credit) -> list[Effect]:
        """Allow more bytes."""
        cursor = self._spaces.get(frame.handle)
        if cursor is not None:
            cursor.allow(frame.credit)
            return self._pump(cursor)
        # Credit for a subscription that the relay ended was sent before its sender could know.
        return [] if frame.handle in self._over else fail(
            0, Code.NOT_SUBSCRIBED, "credit for a space without a subscription")

    def early(self, handle: bytes, envelope: bytes) -> list[Effect]:
        """Another connection's entry is being stored: who has all before it is sent it already."""
        cursor = self._spaces.get(handle)
        if cursor is None or len(envelope) > MAX_EARLY or not cursor.waits(len(envelope)):
            return []
        cursor.early = entry_id(envelope)
        return [send(Early(handle, envelope))]

    def grew(self, handle: bytes, page: Page) -> list[Effect]:
        """Entries were appended to a space: `page` has them, or none, and the new end and head."""
        cursor = self._spaces.get(handle)
        if cursor is None or page.end <= cursor.offset:
            return []
        if cursor.takes(page := cursor.rest(page)):
            return self._push(cursor, page)
        cursor.end = max(cursor.end, page.end)
        return self._pump(cursor)

    def passes(self, handle: bytes, offset: int) -> int:
        """The ref of the subscription that stood just before this own entry, and now stands after it; else 0."""
        cursor = self._spaces.get(handle)
        return cursor.ref if cursor is not None and cursor.passes(offset) else 0

    def end(self, handle: bytes, code: Code) -> list[Effect]:
        """End the subscription to a space; one that had no answer yet is refused."""
        cursor = self._spaces.get(handle)
        if cursor is None:
            return []
        self._drop(cursor)
        return [] if cursor.answered else fail(cursor.ref, code, "the space's credentials ended meanwhile")

    def _drop(self, cursor: SpaceCursor) -> None:
        del self._spaces[cursor.handle]
        self._over.add(cursor.handle)

    def _pump(self, cursor: SpaceCursor, *, first: bool = False) -> list[Effect]:
        request = cursor.next_page(first=first)
        return [] if request is None else [self._tickets.ask(request, lambda r: self._paged(cursor, r), push=True)]

    def _paged(self, cursor: SpaceCursor, result: Result) -> list[Effect]:
        if self._spaces.get(cursor.handle) is not cursor:
            return []
        cursor.reading = False
        if not isinstance(result, Page):
            self._drop(cursor)
            return refused(cursor.ref, result)
        return self._push(cursor, result)

    def _push(self, cursor: SpaceCursor, page: Page) -> list[Effect]:
        early = cursor.early if len(page.entries) == 1 else b""
        cursor.sent(page)
        return [entries(cursor.ref, cursor.handle, page, early), *self._pump(cursor)]

    # --- inboxes ------------------------------------------------------------------------

    def watch(self, frame: Watch) -> list[Effect]:
        """Follow an inbox; a second time replaces the first."""
        cursor = InboxCursor(frame.ref, frame.inbox, frame.after)
        self._inboxes[frame.inbox] = cursor
        return [Follow(frame.inbox), *self._pump_inbox(cursor)]

    def inbox_grew(self, inbox: bytes) -> list[Effect]:
        """An item was put into an inbox."""
        cursor = self._inboxes.get(inbox)
        if cursor is None:
            return []
        cursor.more = True
        return self._pump_inbox(cursor)

    def _pump_inbox(self, cursor: InboxCursor) -> list[Effect]:
        request = cursor.next_page()
        return [] if request is None else [self._tickets.ask(request, lambda r: self._items(cursor, r), push=True)]

    def _items(self, cursor: InboxCursor, result: Result) -> list[Effect]:
        if self._inboxes.get(cursor.inbox) is not cursor:
            return []
        cursor.reading = False
        if not isinstance(result, ItemPage):
            del self._inboxes[cursor.inbox]
            return refused(cursor.ref, result)
        # The first answer goes out even when empty: it says that the watch stands.
        answer = bool(result.items) or not cursor.answered
        cursor.sent(result)
        items = send(InboxItems(cursor.ref, cursor.inbox, list(result.items)))
        return [*([items] if answer else []), *self._pump_inbox(cursor)]
