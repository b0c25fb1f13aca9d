"""The refusals every storage gives in the same words."""

from typing import Final

from chez_relay.errors import Code
from chez_relay.storage import Refused

__all__ = (
    "BOXES_FULL", "CROWDED", "DAMAGED", "ITEMS_AHEAD", "MUCH_DROPPED", "NOT_OWNER", "NO_CHUNK", "NO_INBOX",
    "NO_PACKET", "NO_SPACE", "OTHER_DROP", "OTHER_HEAD", "OTHER_INBOX_KEYS", "OTHER_RECOVERY_KEY",
    "OTHER_SPACE_KEYS", "OTHER_WRITER", "PAGE_AHEAD", "ROTATED", "STALE", "UNVOUCHED", "full", "over_blob_quota",
    "over_quota",
)

NO_SPACE: Final = Refused(Code.UNKNOWN, "this relay has no such space")
NO_INBOX: Final = Refused(Code.UNKNOWN, "this relay has no such inbox, or it has expired")
NO_CHUNK: Final = Refused(Code.MISSING, "this relay does not hold this chunk")
NO_PACKET: Final = Refused(Code.UNKNOWN, "this relay has no such packet")
NOT_OWNER: Final = Refused(Code.DENIED, "neither the space's admin key nor its relay recovery key signed this")
ROTATED: Final = Refused(Code.ROTATED, "the space's credentials were replaced: open it with the new ones")
OTHER_WRITER: Final = Refused(Code.ROTATED, "the inbox was made anew with another write key: open it with that one")
UNVOUCHED: Final = Refused(Code.DENIED, "the space's admin key signs this, and its control key vouches for it")
OTHER_HEAD: Final = Refused(Code.STALE, "the log has another head at the end of a range: it is another log")
OTHER_DROP: Final = Refused(Code.STALE, "another drop came first: this one follows an earlier one")
MUCH_DROPPED: Final = Refused(
    Code.QUOTA, "too much of this space waits to be dropped: try again when its grace is over", retry=True)
STALE: Final = Refused(Code.STALE, "the space has another read key now: the rotation builds on an earlier one")
OTHER_SPACE_KEYS: Final = Refused(Code.EXISTS, "the space exists with other keys or packets")
OTHER_RECOVERY_KEY: Final = Refused(Code.EXISTS, "a space under this handle was deleted, with another recovery key")
CROWDED: Final = Refused(Code.FULL, "the relay's disk is nearly full: what is left of it is for spaces", retry=True)
BOXES_FULL: Final = Refused(
    Code.FULL, "the relay's inboxes have as much of the cluster as they may: what is left is for spaces", retry=True)
OTHER_INBOX_KEYS: Final = Refused(Code.EXISTS, "the inbox exists with other keys")
DAMAGED: Final = Refused(Code.DAMAGED, "this is damaged on the relay's disk and not handed out; devices still have it")
PAGE_AHEAD: Final = Refused(Code.AHEAD, "the space ends before this offset: the relay lost what it once had")
ITEMS_AHEAD: Final = Refused(Code.AHEAD, "the inbox never had this item: it expired and was made anew")


def over_quota(control: bool, limit: int) -> Refused:
    """The quota of a space (or for its control entries), in bytes, is used up."""
    what = "control entries" if control else "entries"
    return Refused(Code.QUOTA, f"the space would exceed its {limit} bytes for {what}")


def over_blob_quota(limit: int) -> Refused:
    """The quota of a space for attachments, in bytes, is used up."""
    return Refused(Code.QUOTA, f"the space would exceed its {limit} bytes for attachments")


def full(limit: int) -> Refused:
    """The inbox holds `limit` items; there is room again when its owner takes some."""
    return Refused(Code.FULL, f"the inbox holds its {limit} items", retry=True)
