"""The organisation's side of deposits: records of its customers given back to them, each to the address it gave.

    keys = load_keys(Path("insurer.key"))
    with Book(Path("insurer.book"), keys, now=...) as book:
        book.add_customer("C-001", "chez-deposit:...")
        batch = stage(book, Path("contracts.jsonl"))        # checked, and kept
        build(book, keys, batch.batch, now=...)             # signed and sealed
        await send(book, keys, now=...)                     # put into the customers' inboxes
        await collect(book, keys, now=...)                  # who has what

There is no account, and no relay has a list of customers: the book is the organisation's own file. Each step may be
killed at any point and repeated; nothing is lost by that or sent twice. `chez-deposit` does the same for the shell.

Names are imported when first used, as those of `chez` are.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chez_deposit.book import Book, Customer, Standing
    from chez_deposit.building import Built, build
    from chez_deposit.collecting import Collected, collect
    from chez_deposit.keys import OrganisationKeys, load_keys, new_keys, replace_keys, save_keys, succeeding_keys
    from chez_deposit.reading import Staged, stage
    from chez_deposit.sending import Sent, send

__all__ = (
    "Book", "Built", "Collected", "Customer", "OrganisationKeys", "Sent", "Staged", "Standing", "build", "collect",
    "load_keys", "new_keys", "replace_keys", "save_keys", "send", "stage", "succeeding_keys",
)

_MODULES = {
    "chez_deposit.book": ("Book", "Customer", "Standing"),
    "chez_deposit.building": ("Built", "build"),
    "chez_deposit.collecting": ("Collected", "collect"),
    "chez_deposit.keys": ("OrganisationKeys", "load_keys", "new_keys", "replace_keys", "save_keys", "succeeding_keys"),
    "chez_deposit.reading": ("Staged", "stage"),
    "chez_deposit.sending": ("Sent", "send"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'chez_deposit' has no attribute {name!r}")
    return getattr(import_module(place), name)
