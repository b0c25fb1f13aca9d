-- The store of a home, schema 1. One transaction holds a change, its projection and its
-- place in the outbox. All of it is inside SQLCipher's encryption.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE space (
    n      INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,      -- hash of its create statement
    name   TEXT NOT NULL,
    handle BLOB NOT NULL,             -- what relays call it
    admin  BLOB                       -- seed of the admin key, for owners
);

CREATE TABLE statement (
    n     INTEGER PRIMARY KEY,        -- order of arrival
    space INTEGER NOT NULL REFERENCES space,
    hash  BLOB NOT NULL,
    body  BLOB NOT NULL,
    sent  INTEGER NOT NULL,           -- 0: still to be put into an entry
    UNIQUE (space, hash)
);

CREATE TABLE epoch (
    space   INTEGER NOT NULL REFERENCES space,
    id      BLOB NOT NULL,            -- hash of its statement
    number  INTEGER NOT NULL,
    secret  BLOB NOT NULL,            -- 32 bytes
    append_ BLOB,                     -- seed of the append credential, for writers
    PRIMARY KEY (space, id)
) WITHOUT ROWID;

-- Records and their projection -------------------------------------------------------

CREATE TABLE record (
    n          INTEGER PRIMARY KEY,
    space      INTEGER NOT NULL REFERENCES space,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    json       TEXT NOT NULL,         -- the current value
    kinds      TEXT,                  -- which places of it are times or bytes
    deleted    INTEGER NOT NULL,      -- 0 here, 1 deleted, 2 all that arrived waits for something
    tail       INTEGER NOT NULL,      -- changes since the snapshot
    UNIQUE (space, collection, id)
);

CREATE TABLE field (                  -- every top-level field ever seen, for the views
    collection TEXT NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) WITHOUT ROWID;

CREATE TABLE snapshot (
    record INTEGER PRIMARY KEY REFERENCES record,
    doc    BLOB NOT NULL              -- saved form, up to some change
);

CREATE TABLE change (
    n        INTEGER PRIMARY KEY,
    record   INTEGER NOT NULL REFERENCES record,
    hash     BLOB NOT NULL,
    bytes    BLOB,                    -- NULL once a snapshot holds it
    sequence INTEGER NOT NULL,        -- its author's number in this record; 0: takes none
    last     INTEGER NOT NULL,        -- the number of its last operation
    entry    INTEGER REFERENCES entry,-- what brought it, and tells its author; NULL in the outbox
    state    INTEGER NOT NULL,        -- 0 in an entry, 1 in the outbox, 2 waits for another, 3 refused
    origin   TEXT                     -- who provided it: NULL the person, else a connector's run
);
CREATE INDEX change_by_record ON change (record, hash);
CREATE INDEX change_by_number ON change (record, sequence);
CREATE INDEX outbox ON change (n) WHERE state = 1;
CREATE INDEX waiting ON change (record) WHERE state = 2;

-- Entries: every author's chain -----------------------------------------------------

CREATE TABLE entry (
    n         INTEGER PRIMARY KEY,
    space     INTEGER NOT NULL REFERENCES space,
    author    BLOB NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    kind      INTEGER NOT NULL,       -- changes or statements: which credential sends it
    inner     BLOB NOT NULL,          -- signed inner bytes, zstd
    UNIQUE (space, author, sequence)
);

CREATE TABLE parked (                 -- arrived before what they follow
    space     INTEGER NOT NULL REFERENCES space,
    author    BLOB NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    inner     BLOB NOT NULL,
    PRIMARY KEY (space, author, sequence, hash)
) WITHOUT ROWID;

CREATE TABLE set_aside (              -- authors whose chain is not taken in from some entry on
    space     INTEGER NOT NULL REFERENCES space,
    author    BLOB NOT NULL,
    sequence  INTEGER NOT NULL,
    PRIMARY KEY (space, author)
) WITHOUT ROWID;

CREATE TABLE quarantine (             -- failed a check: kept, never applied
    n         INTEGER PRIMARY KEY,
    space     INTEGER NOT NULL REFERENCES space,
    relay     TEXT,
    position  INTEGER,
    reason    TEXT NOT NULL,
    bytes     BLOB NOT NULL
);

CREATE TABLE relay (
    n           INTEGER PRIMARY KEY,
    url         TEXT NOT NULL UNIQUE
);

CREATE TABLE cursor (                 -- what was read of one relay's log of one space
    space       INTEGER NOT NULL REFERENCES space,
    relay       INTEGER NOT NULL REFERENCES relay,
    incarnation BLOB NOT NULL,
    position    INTEGER NOT NULL,     -- offset of the last entry read
    head        BLOB NOT NULL,        -- cumulative hash up to it
    PRIMARY KEY (space, relay)
) WITHOUT ROWID;

CREATE TABLE sealed (                 -- own entries on their way to one relay
    entry    INTEGER NOT NULL REFERENCES entry,
    relay    INTEGER NOT NULL REFERENCES relay,
    id       BLOB NOT NULL,           -- of the envelope
    envelope BLOB,                    -- NULL once acknowledged
    PRIMARY KEY (entry, relay)
) WITHOUT ROWID;
CREATE INDEX unacknowledged ON sealed (relay, entry) WHERE envelope IS NOT NULL;

-- The journal ------------------------------------------------------------------------

CREATE TABLE receipt (
    number    INTEGER PRIMARY KEY,
    time      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL,
    previous  BLOB NOT NULL,
    hash      BLOB NOT NULL,
    signature BLOB NOT NULL
);

CREATE TABLE account (
    name  TEXT PRIMARY KEY,
    spent REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE witness (                -- the last journal head each device claimed in its entries
    space  INTEGER NOT NULL REFERENCES space,
    author BLOB NOT NULL,
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (space, author)
) WITHOUT ROWID;
