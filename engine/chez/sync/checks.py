"""What is checked of an entry against its space and its author, and needs nothing of the store."""

from chez.errors import BadEntry, InvalidValue
from chez.records.automerge import RawChange
from chez.records.derived import DEVICE_ID, check_derived
from chez.records.imported import IMPORT_ACTOR, check_identity_change
from chez.records.values import check_collection, check_id
from chez.spaces.membership import Right
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Role
from chez.sync.entry import CHANGE, CHANGES, Inner, Item, SignedEntry
from chez_wire.limits import MAX_ENTRY_OPERATIONS

__all__ = ("checked_changes", "checked_right")


def checked_changes(space: SpaceKeys, signed: SignedEntry) -> list[tuple[Item, RawChange]]:
    """An entry's changes, each checked against the entry's author. Raises `BadEntry`."""
    if signed.weight > MAX_ENTRY_OPERATIONS:
        raise BadEntry(f"the entry has {signed.weight:,} operations; at most {MAX_ENTRY_OPERATIONS:,} are merged "
                       "in one go")
    items = [item for item in signed.inner.items if item.kind == CHANGE]
    found = list(zip(items, signed.changes, strict=True))
    for collection, id in dict.fromkeys((item.collection, item.id) for item in items):
        _check_names(collection, id)
    for item, change in found:
        _check_change(space, signed.inner, item, change)
    return found


def checked_right(space: SpaceKeys, inner: Inner) -> Right:
    """What an author says needs the right to, in what the entry itself knows of the members. Raises `BadEntry`."""
    right = space.membership.right(inner.author, inner.heads)
    if right.role is None:
        raise BadEntry("its author is no device of a member, by what the entry itself names")
    if inner.kind == CHANGES and right.role < Role.WRITER and any(item.kind == CHANGE for item in inner.items):
        raise BadEntry("its author may read here, not write")
    return right


def _check_change(space: SpaceKeys, inner: Inner, item: Item, change: RawChange) -> None:
    if change.actor == IMPORT_ACTOR:
        check_identity_change(change, space.record_key, item.collection, item.id)
    elif change.actor != inner.author:
        # Or a member could spend another's sequence numbers, and devices would
        # differ by which change came first.
        if len(change.actor) == DEVICE_ID:
            raise BadEntry("the entry carries a change in another device's name")
        check_derived(change)


def _check_names(collection: str, id: str) -> None:
    try:
        check_collection(collection)
        check_id(id)
    except InvalidValue as error:
        raise BadEntry(f"the entry names no record: {error.message}") from None
