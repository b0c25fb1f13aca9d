"""What a committed group made grow, and whose roles it ended: who must be told, with the entries at hand.

Subscribers that are up to date get these entries without another read; all others page
from storage, so that a slow one costs no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chez_relay.storage import (
    AddEntry,
    AddItem,
    Credentials,
    Done,
    DropSpace,
    Entry,
    Page,
    Request,
    Result,
    RotateSpace,
    Stored,
)

__all__ = ("Growth", "growth")


@dataclass(frozen=True, slots=True)
class Growth:
    """What is new after a group. Tell `rotated` first: whose roles ended is sent no entry after it.

    `rotated` has the credentials of each space that was rotated, None where it was deleted;
    `spaces` the new entries of each (in order, without a gap); `inboxes` those with a new item;
    `ephemeral` has what another relay passes on: spaces, frames, and to whom if not to all.
    """

    rotated: dict[bytes, Credentials | None]
    spaces: dict[bytes, Page]
    inboxes: tuple[bytes, ...]
    ephemeral: tuple[tuple[bytes, bytes, bytes], ...] = field(default=(), repr=False)


def growth(requests: Sequence[Request], results: Sequence[Result]) -> Growth:
    """What one performed group added. Entries that had been there already are not new."""
    rotated: dict[bytes, Credentials | None] = {}
    entries: dict[bytes, list[Entry]] = {}
    heads: dict[bytes, bytes] = {}
    inboxes: dict[bytes, None] = {}
    for request, result in zip(requests, results, strict=True):
        if isinstance(request, AddEntry) and isinstance(result, Stored) and result.fresh:
            entries.setdefault(request.handle, []).append(Entry(result.offset, request.envelope))
            heads[request.handle] = result.head
        elif isinstance(result, Done):
            match request:
                case AddItem(inbox):
                    inboxes[inbox] = None
                case RotateSpace(handle):
                    rotated[handle] = request.credentials
                case DropSpace(handle):
                    rotated[handle] = None
                    entries.pop(handle, None)
                case _:
                    pass
    pages = {handle: Page(tuple(new), heads[handle], new[-1].offset) for handle, new in entries.items()}
    return Growth(rotated, pages, tuple(inboxes))
