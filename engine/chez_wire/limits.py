"""Every hard limit of protocol version 1, each with its reason.

A limit is checked before memory is spent on what it bounds. Operators may lower the
quotas of a relay; the structural limits are part of the protocol.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAX_FRAME: Final = MIB
"""Bytes in one websocket message: large enough to amortise a round trip, small enough
that a relay serving thousands of connections can buffer one for each."""

MAX_ENVELOPE: Final = MAX_FRAME - 4 * KIB
"""Bytes in one sealed entry: one frame minus the room for the frame's own fields."""

MAX_INNER: Final = 8 * MIB
"""Bytes of an entry after decompression. A sealed entry claiming more is refused before
anything is decompressed: one envelope can then cost a device this much memory at most."""

TARGET_INNER: Final = 512 * KIB
"""Bytes of uncompressed changes a device puts into one entry when more is waiting."""

MAX_ITEMS: Final = 4096
"""Items (changes) in one entry: bounds the time between two commits on the receiver."""

MAX_STATEMENTS: Final = 1024
"""Membership statements in one entry, which are judged in one go: each may be said beside thousands of others, of
which each has to be looked at then, some microseconds for a thousand and milliseconds for ten thousand."""

MAX_ENTRY_OPERATIONS: Final = 262_144
"""Operations that the changes of one entry have and replace, which are merged in one go: twice what
one change may have, and about a second of work where each is costly. A few bytes tell thousands of
them (a text deleted, a list of equal items), so bytes alone bound nothing."""

MAX_BATCH_OPERATIONS: Final = 4 * MAX_ENTRY_OPERATIONS
"""Operations that one transaction may write: all of them show together, so a device merges them in one go."""

MAX_PARTS: Final = 72
"""Entries in one batch: 64, and 8 for those that hold the most operations, any two of which that
follow each other hold more than one entry may."""

MAX_BATCH_CHANGES: Final = (MAX_PARTS - 8) // 2 * (MAX_ITEMS - 1)
"""Changes that one transaction may write. Cut into entries both by number and by bytes, and
each cut wasting less than half an entry, it never needs more than 64."""

MAX_BATCH_BYTES: Final = (MAX_PARTS - 8) // 2 * TARGET_INNER
"""Bytes of changes, with 256 for the names of each, that one transaction may write."""

MAX_CHANGE: Final = 768 * KIB
"""Bytes of one change: it must fit an entry even when it does not compress."""

MIN_ENVELOPE: Final = KIB
"""The floor of the padding: everything small looks the same (DESIGN section 5)."""

ID_BYTES: Final = 32
"""Bytes of every hash, handle, public key and nonce in the protocol."""

MAX_CLAIMS: Final = 256
"""Spaces opened by one frame: bounds the signatures verified for one message."""

MAX_SPACES_PER_CONNECTION: Final = 4096
"""Spaces one connection may hold open: bounds what a relay remembers of it."""

MAX_PAGE: Final = 768 * KIB
"""Bytes of envelopes in one page, so that a page and its fields fit a frame. A single
envelope larger than this travels alone."""

MAX_CREDIT: Final = 16 * MIB
"""Bytes a subscriber may allow to be under way to it."""

DEFAULT_CREDIT: Final = 2 * MIB
"""Bytes a device allows by itself: two full frames keep both sides busy."""

MAX_INBOX_ITEM: Final = 64 * KIB
"""Bytes of one inbox item: a padded job result or a pairing message is far below."""

MAX_INBOX_ITEMS: Final = 1024
"""Items waiting in one inbox before a put is refused."""

MAX_INBOX_TTL: Final = 90 * 24 * 3600
"""Seconds an inbox, or an item in it, is kept at the most."""

MAX_CHUNK: Final = 576 * KIB
"""Bytes of one sealed piece of an attachment: 512 KiB of content with its tag, or a list of
8192 ids, padded. Half a frame, so that two are under way where one frame may be."""

MAX_CHUNK_IDS: Final = 1024
"""Chunks asked about by one frame: bounds the look-ups made for one message."""

PACKET_BYTES: Final = 256
"""Bytes of one sealed packet of epoch keys, always: 48 of the sealed box (X25519 and a tag), and room
for two ids, a number and three secrets of 32 bytes. All alike, so that a size tells no role."""

MAX_DROPPED: Final = 4096
"""Ranges of entries that one request drops or one page passes over, and chunks that one releases."""

MAX_EARLY: Final = 4 * KIB
"""Bytes of an entry that is sent before it is stored: a live change has some hundreds. A device looks into it at once,
on its event loop, and holds it until it hears where it is."""

MAX_EPHEMERAL: Final = 16 * KIB
"""Bytes of one sealed ephemeral message: what somebody points at or is doing, a stroke of a pen. A relay holds a few
for each slow reader; what is larger is a record or an attachment."""

MAX_PACKETS: Final = 2048
"""Packets of one space: 0.6 MiB in one frame, so that a rotation is one request and takes effect whole."""

MAX_TEXT: Final = 512
"""Characters of a relay name, an error message or a token in a frame."""

MAX_SPACE_BYTES: Final = 1024 * MIB
"""Bytes a relay keeps for one space unless its operator says otherwise."""

MAX_BLOB_BYTES: Final = 16 * 1024 * MIB
"""Bytes of attachments' chunks a relay keeps for one space unless its operator says otherwise."""
