"""What a committed group made grow: who must be told, with the entries at hand.

Subscribers that are up to date get these entries without another read; all others page
from storage, so that a slow one costs no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chez_relay.storage import AddEntry, AddItem, Done, Entry, Page, Request, Result, Stored

__all__ = ("Growth", "growth")


@dataclass(frozen=True, slots=True)
class Growth:
    """The new entries of each space (in order, without a gap) and the inboxes with a new item."""

    spaces: dict[bytes, Page]
    inboxes: tuple[bytes, ...]


def growth(requests: Sequence[Request], results: Sequence[Result]) -> Growth:
    """What one performed group added. Entries that had been there already are not new."""
    entries: dict[bytes, list[Entry]] = {}
    heads: dict[bytes, bytes] = {}
    inboxes: dict[bytes, None] = {}
    for request, result in zip(requests, results, strict=True):
        if isinstance(request, AddEntry) and isinstance(result, Stored) and result.fresh:
            entries.setdefault(request.handle, []).append(Entry(result.offset, request.envelope))
            heads[request.handle] = result.head
        elif isinstance(request, AddItem) and isinstance(result, Done):
            inboxes[request.inbox] = None
    pages = {handle: Page(tuple(new), heads[handle], new[-1].offset) for handle, new in entries.items()}
    return Growth(pages, tuple(inboxes))
