-- A relay's store, version 1. Everything in it is public keys, hashes and ciphertext.

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL          -- 'incarnation': 32 random bytes made with this file
) STRICT, WITHOUT ROWID;

CREATE TABLE spaces (
    space         INTEGER PRIMARY KEY AUTOINCREMENT,  -- a deleted space's number names no other
    handle        BLOB NOT NULL UNIQUE,  -- hash of the first admin key
    admin_key     BLOB NOT NULL,         -- Ed25519 public keys: who may rotate and delete,
    recovery_key  BLOB NOT NULL,
    read_key      BLOB NOT NULL,         -- and one for each credential
    append_key    BLOB NOT NULL,
    control_key   BLOB NOT NULL,
    last          INTEGER NOT NULL,      -- offset of the last entry, 0 when empty
    hashed        INTEGER NOT NULL,      -- up to this offset its entries' hashes are in `hashes`
    head          BLOB NOT NULL,         -- cumulative head after it
    data_bytes    INTEGER NOT NULL,      -- bytes of envelopes appended with role append
    control_bytes INTEGER NOT NULL,      -- and with role control: each has its own quota
    blob_bytes    INTEGER NOT NULL,      -- bytes of attachments' chunks, with a quota of their own too
    packets       INTEGER NOT NULL,      -- how many packets it has; they count with the data
    packets_hash  BLOB NOT NULL,         -- over all of them: tells a repeated rotation at one look
    last_drop     BLOB NOT NULL,         -- names the last drop, zeros before the first: the next one must follow it
    seal          BLOB NOT NULL          -- over all these fields: a damaged row is not believed
) STRICT;

-- The newest epoch's keys on their way: replaced as a whole with the credentials.
CREATE TABLE packets (
    space INTEGER NOT NULL,
    tag   BLOB NOT NULL,                 -- names a member's mailbox, to those who can compute it
    box   BLOB NOT NULL,
    seal  BLOB NOT NULL,
    PRIMARY KEY (space, tag)
) STRICT, WITHOUT ROWID;

-- Handles of deleted spaces: who makes one anew must leave the same recovery key above itself.
CREATE TABLE deleted (
    handle       BLOB PRIMARY KEY,
    recovery_key BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Deleted spaces whose entries and chunks are not all removed yet.
CREATE TABLE leftovers (
    space INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE entries (
    -- space * 2^32 + offset: a space's entries lie together in the order they are paged,
    -- without a second index (spaces stay below 2^31, offsets below 2^32).
    place    INTEGER PRIMARY KEY,
    entry    BLOB NOT NULL,              -- hash of the envelope
    head     BLOB NOT NULL,              -- cumulative head after this entry
    control  INTEGER NOT NULL,           -- 1: it counts in the quota for control entries
    envelope BLOB NOT NULL
) STRICT;

-- What makes an append idempotent: where the entries are whose hashes begin so. Written later than they are, in runs.
CREATE TABLE hashes (
    space  INTEGER NOT NULL,
    start  INTEGER NOT NULL,             -- the first eight bytes of the hash, as a signed number
    offset INTEGER NOT NULL,
    PRIMARY KEY (space, start, offset)
) STRICT, WITHOUT ROWID;

-- Entries that checkpoints stand for. First they wait for their grace to be over; then they are
-- gone, and only where they were is left, with the head that those after them go on from.
CREATE TABLE dropping (
    space INTEGER NOT NULL,
    first INTEGER NOT NULL,              -- offsets, both ends included
    last  INTEGER NOT NULL,
    due   REAL NOT NULL,                 -- seconds since 1970 by the relay's clock
    seal  BLOB NOT NULL,                 -- over these fields: damage must not name other entries
    PRIMARY KEY (space, first, last)
) STRICT, WITHOUT ROWID;

CREATE INDEX dropping_due ON dropping (due);

CREATE TABLE dropped (                   -- no two of a space touch
    space INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last  INTEGER NOT NULL,
    head  BLOB NOT NULL,                 -- cumulative head after `last`
    seal  BLOB NOT NULL,
    PRIMARY KEY (space, last)
) STRICT, WITHOUT ROWID;

-- Chunks that no longer serve, until their grace is over or they are put again.
CREATE TABLE releasing (
    space INTEGER NOT NULL,
    chunk BLOB NOT NULL,
    due   REAL NOT NULL,
    seal  BLOB NOT NULL,
    PRIMARY KEY (space, chunk)
) STRICT, WITHOUT ROWID;

CREATE INDEX releasing_due ON releasing (due);

CREATE TABLE chunks (
    number INTEGER PRIMARY KEY,          -- order of arrival: large rows are only ever added at the end
    space  INTEGER NOT NULL,
    chunk  BLOB NOT NULL,                -- hash of the data
    data   BLOB NOT NULL,
    UNIQUE (space, chunk)
) STRICT;

CREATE TABLE inboxes (
    inbox     INTEGER PRIMARY KEY,
    name      BLOB NOT NULL UNIQUE,      -- hash of the owner's key
    owner_key BLOB NOT NULL,
    write_key BLOB NOT NULL,
    ttl       INTEGER NOT NULL,          -- seconds that an item is kept
    expires   REAL NOT NULL,             -- seconds since 1970 by the relay's clock
    last      INTEGER NOT NULL,          -- the last number given to an item
    seal      BLOB NOT NULL              -- over the name and the keys
) STRICT;

CREATE INDEX inboxes_expiry ON inboxes (expires);

CREATE TABLE items (
    inbox   INTEGER NOT NULL REFERENCES inboxes (inbox) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    digest  BLOB NOT NULL,               -- hash of the item: a repeated put is stored once
    expires REAL NOT NULL,
    item    BLOB NOT NULL,
    PRIMARY KEY (inbox, number),
    UNIQUE (inbox, digest)
) STRICT;

CREATE INDEX items_expiry ON items (expires);
