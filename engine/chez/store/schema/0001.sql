-- The store of a home, schema 1. One transaction holds a change, its projection and its
-- place in the outbox. All of it is inside SQLCipher's encryption.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE space (
    n        INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, for objects in use may name it
    id       BLOB NOT NULL UNIQUE,    -- hash of its create statement
    name     TEXT NOT NULL,
    handle   BLOB NOT NULL,           -- what relays call it
    relay    TEXT,                    -- where it is kept in step; NULL: where the private space is
    announce INTEGER NOT NULL DEFAULT 0, -- 1: the private space is still to tell the person's devices
    whole    INTEGER NOT NULL DEFAULT 0, -- 1: this device read its log to the end once (sync/chains.py)
    farewell INTEGER NOT NULL DEFAULT 0, -- whether this device was told that it was taken out
    told_by  BLOB,                    -- by which device, if it was
    heard    INTEGER NOT NULL DEFAULT 0, -- how many statements were here when `parked` was last gone through for them
    least    INTEGER NOT NULL DEFAULT 0, -- as in `gone`, of a space that is here again, until it was read to there
    most     INTEGER NOT NULL DEFAULT 0,
    decided  INTEGER NOT NULL DEFAULT 0 -- how many statements are in what `entry.standing` says (sync/tally.py)
);

CREATE TABLE gone (                   -- spaces that were here and were erased
    id      BLOB PRIMARY KEY,
    deleted INTEGER NOT NULL,         -- 1: for all of the person's devices; 0: forgotten on this one
    told    INTEGER NOT NULL,         -- 0: the private space is still to tell the person's devices
    least   INTEGER NOT NULL,         -- up to this number a relay had this device's entries
    most    INTEGER NOT NULL          -- the number of its last one
) WITHOUT ROWID;

CREATE TABLE statement (
    n     INTEGER PRIMARY KEY,        -- order of arrival
    space INTEGER NOT NULL REFERENCES space,
    hash  BLOB NOT NULL,
    body  BLOB NOT NULL,
    sent  INTEGER NOT NULL,           -- 0: still to be put into an entry
    again INTEGER NOT NULL DEFAULT 0, -- 1: said again, as the last words of a device that was taken out
    UNIQUE (space, hash)
);
CREATE INDEX unsent_statement ON statement (space) WHERE sent = 0;

CREATE TABLE epoch (
    space     INTEGER NOT NULL REFERENCES space,
    id        BLOB NOT NULL,          -- hash of its statement
    number    INTEGER NOT NULL,
    secret    BLOB NOT NULL,          -- 32 bytes
    append_   BLOB,                   -- seed of the append credential, for writers
    admin     BLOB,                   -- seed of the admin key, for owners
    announced INTEGER NOT NULL DEFAULT 0, -- 1: an entry of the private space has it
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
    deleted    INTEGER NOT NULL,      -- 0 here, 1 deleted, 2 all that arrived waits for something, 3 purged
    tail       INTEGER NOT NULL,      -- changes since the snapshot
    changed    INTEGER NOT NULL,      -- number of its last write, counted over all records: the change feed's order
    born       INTEGER NOT NULL,      -- number of the write that brought it (back) here
    editor     INTEGER REFERENCES entry, -- what brought its last change; NULL: made on this device
    UNIQUE (space, collection, id)
);
CREATE UNIQUE INDEX record_by_change ON record (changed, collection);
CREATE INDEX trash ON record (collection, changed) WHERE deleted = 1;

CREATE TABLE field (                  -- every top-level field ever seen, for the views
    collection TEXT NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) WITHOUT ROWID;

CREATE TABLE decimal_field (          -- fields that a type declares as decimals: text here, numbers to queries
    collection TEXT NOT NULL,
    name       TEXT NOT NULL,         -- dots lead inside
    PRIMARY KEY (collection, name)
) WITHOUT ROWID;

CREATE TABLE unused_index (           -- indexes of records that an app declared once, and none did of late
    name     TEXT PRIMARY KEY,
    openings INTEGER NOT NULL         -- of the home since, in which its collection was declared without it
) WITHOUT ROWID;

CREATE TABLE search (                 -- full-text indexes: a table of FTS5, a view and triggers each
    n          INTEGER PRIMARY KEY,
    space      INTEGER NOT NULL REFERENCES space,
    collection TEXT NOT NULL,
    fields     TEXT NOT NULL,         -- JSON list of what is searched
    upto       INTEGER NOT NULL,      -- records up to this row are in it; all, once it is built
    purged     INTEGER NOT NULL DEFAULT 0, -- 1: words of records that were purged may still be in parts of it
    UNIQUE (space, collection)
);

CREATE TABLE snapshot (
    record  INTEGER PRIMARY KEY REFERENCES record,
    doc     BLOB NOT NULL,            -- saved form
    changes INTEGER NOT NULL,         -- how many it holds
    upto    INTEGER NOT NULL,         -- all of the record's up to this row
    freed   INTEGER NOT NULL          -- up to this row their bytes are not kept beside it
);

CREATE TABLE change (
    n        INTEGER PRIMARY KEY,
    record   INTEGER NOT NULL REFERENCES record,
    hash     BLOB NOT NULL,
    bytes    BLOB,                    -- NULL once a snapshot holds it
    sequence INTEGER NOT NULL,        -- its author's number in this record; 0: takes none
    last     INTEGER NOT NULL,        -- the number of its last operation
    weight   INTEGER NOT NULL,        -- how many operations it has and replaces: what it costs to apply
    entry    INTEGER REFERENCES entry,-- what brought it, and tells its author; NULL in the outbox
    state    INTEGER NOT NULL,        -- 0 in an entry, 1 in the outbox, 2 waits for another, 3 refused
    origin   TEXT,                    -- who provided it: NULL the person, else a connector's run
    time     INTEGER NOT NULL,        -- its author's clock when it was made, Unix milliseconds; 0 unknown
    batch    INTEGER                  -- the transaction that wrote it here, to be sent as one; NULL alone
);
CREATE INDEX change_by_record ON change (record, hash);
CREATE INDEX outbox ON change (n) WHERE state = 1;

CREATE TABLE waiting (                -- changes in the log (state 2) whose turn has not come
    change  INTEGER PRIMARY KEY REFERENCES change ON DELETE CASCADE ON UPDATE CASCADE,
    record  INTEGER NOT NULL REFERENCES record,
    missing INTEGER NOT NULL,         -- how many rows it has in `missing`; 0: it is due, and only its turn is to come
    floor   INTEGER NOT NULL,         -- the last operation of what it builds on, as far as that is in the document
    refused INTEGER NOT NULL          -- 1: it builds on what was refused, and is to be refused
);
CREATE INDEX due ON waiting (record) WHERE missing = 0;

CREATE TABLE missing (                -- what each of them builds on that is not in the document
    record INTEGER NOT NULL REFERENCES record,
    hash   BLOB NOT NULL,
    change INTEGER NOT NULL REFERENCES waiting ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (record, hash, change)
) WITHOUT ROWID;
CREATE INDEX missing_by_change ON missing (change);

CREATE TABLE unsent (                 -- work of the device this home was, until it is known what of it arrived
    record  INTEGER PRIMARY KEY REFERENCES record ON DELETE CASCADE,
    first   BLOB NOT NULL,            -- hash of its first change
    base    BLOB NOT NULL,            -- the record's changes without it
    changes BLOB NOT NULL             -- MessagePack list of it
);

CREATE TABLE reversal (               -- what this device undid, and did again
    n      INTEGER PRIMARY KEY,
    record INTEGER NOT NULL REFERENCES record,
    redo   INTEGER NOT NULL,          -- 0 an undo, 1 the redo of the last one
    target BLOB NOT NULL,             -- hash of the change that was undone, or done again
    made   BLOB,                      -- hash of the change that did so; NULL: nothing was left to do
    upto   INTEGER NOT NULL,          -- this device's last number in the record by then
    moved  BLOB NOT NULL              -- which operations stand for which (records/undo.py)
);
CREATE INDEX reversal_by_record ON reversal (record);

-- Entries: every author's chain -----------------------------------------------------

CREATE TABLE entry (
    n         INTEGER PRIMARY KEY,
    space     INTEGER NOT NULL REFERENCES space,
    author    BLOB NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    kind      INTEGER NOT NULL,       -- changes or statements: which credential sends it
    part      INTEGER,                -- which part of a batch it is, when more must follow
    weight    INTEGER NOT NULL DEFAULT 0, -- of the changes in it, when another device wrote it
    branch    INTEGER NOT NULL DEFAULT 0, -- of its author's chain, when that forks: numbered as they came here
    standing  INTEGER NOT NULL DEFAULT 0, -- 0 it counts, 1 beyond a removal's cut, 2 on a fork (sync/standing.py)
    inner     BLOB NOT NULL,          -- signed inner bytes, zstd
    UNIQUE (space, author, sequence, branch)
);
CREATE INDEX entry_excluded ON entry (space, author, sequence) WHERE standing > 0;

CREATE TABLE named (                  -- which statements an author's entries name, where that changes along its chain
    space    INTEGER NOT NULL REFERENCES space,
    author   BLOB NOT NULL,
    branch   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,        -- from this entry on
    heads    BLOB NOT NULL,           -- their hashes, one after the other
    PRIMARY KEY (space, author, branch, sequence)
) WITHOUT ROWID;

CREATE TABLE branch (                 -- where an author made a second entry on one that had a next
    space    INTEGER NOT NULL REFERENCES space,
    author   BLOB NOT NULL,
    branch   INTEGER NOT NULL,        -- 1, 2, ...
    parent   INTEGER NOT NULL,        -- the branch that it leaves
    sequence INTEGER NOT NULL,        -- of its own first entry
    found    INTEGER NOT NULL,        -- when, Unix milliseconds
    PRIMARY KEY (space, author, branch)
) WITHOUT ROWID;

CREATE TABLE aside (                  -- changes that entries carry and that count in no record
    space      INTEGER NOT NULL REFERENCES space,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    hash       BLOB NOT NULL,
    entry      INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
    PRIMARY KEY (space, collection, id, hash, entry)
) WITHOUT ROWID;
CREATE INDEX aside_by_entry ON aside (entry);

CREATE TABLE carried (                -- entries that brought a record a change which another had brought before
    record INTEGER NOT NULL REFERENCES record,
    entry  INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
    PRIMARY KEY (record, entry)
) WITHOUT ROWID;
CREATE INDEX carried_by_entry ON carried (entry);

CREATE TABLE recount (                -- records to be made again from the entries that count
    space      INTEGER NOT NULL REFERENCES space,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (space, collection, id)
) WITHOUT ROWID;

CREATE TABLE parked (                 -- arrived before what they follow
    space     INTEGER NOT NULL REFERENCES space,
    author    BLOB NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    previous  BLOB NOT NULL,          -- the one that it follows
    inner     BLOB NOT NULL,
    ready     INTEGER NOT NULL DEFAULT 0, -- 1: what it waited for is here, and its turn is to come
    PRIMARY KEY (space, author, sequence, hash)
) WITHOUT ROWID;
CREATE INDEX parked_ready ON parked (space) WHERE ready = 1;

CREATE TABLE shown (                  -- at which relays an entry was seen that waits
    space INTEGER NOT NULL REFERENCES space,
    hash  BLOB NOT NULL,
    relay INTEGER NOT NULL,           -- 0: at one whose store is no more
    PRIMARY KEY (space, hash, relay)
) WITHOUT ROWID;

CREATE TABLE locked (                 -- arrived before the keys of their epoch
    space    INTEGER NOT NULL REFERENCES space,
    id       BLOB NOT NULL,           -- of the envelope
    epoch    BLOB NOT NULL,
    relay    INTEGER NOT NULL REFERENCES relay,
    position INTEGER NOT NULL,        -- 0: the relay has another store since
    envelope BLOB NOT NULL,
    PRIMARY KEY (space, id)
) WITHOUT ROWID;
CREATE INDEX locked_by_epoch ON locked (space, epoch);

CREATE TABLE set_aside (              -- entries that broke a rule, and those that follow them: only their hashes
    space     INTEGER NOT NULL REFERENCES space,
    author    BLOB NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    previous  BLOB NOT NULL,
    found     INTEGER NOT NULL,       -- when, Unix milliseconds
    PRIMARY KEY (space, author, sequence, hash)
) WITHOUT ROWID;

CREATE TABLE quarantine (             -- failed a check: kept, never applied
    n         INTEGER PRIMARY KEY,
    space     INTEGER NOT NULL REFERENCES space,
    relay     TEXT,
    position  INTEGER,
    reason    TEXT NOT NULL,
    bytes     BLOB NOT NULL,
    author    BLOB                    -- the device that signed it; NULL: nobody is known to have
);

CREATE TABLE relay (
    n           INTEGER PRIMARY KEY,
    url         TEXT NOT NULL UNIQUE,
    beside      INTEGER NOT NULL DEFAULT 0, -- 1: it has, beside the home's relay, all that has no relay of its own
    token       TEXT NOT NULL DEFAULT '',   -- what its operator gave out for making spaces
    pins        TEXT NOT NULL DEFAULT '',   -- of its keys, with commas between; none: any that others vouch for
    met         INTEGER NOT NULL DEFAULT 0, -- of a device on a network: when it was met last, Unix seconds
    here        INTEGER NOT NULL DEFAULT 0  -- 0 as all devices of the person have it, 1 this one's alone, -1 not for it
);

CREATE TABLE cursor (                 -- one relay's log of one space: what was read, what was sent
    space        INTEGER NOT NULL REFERENCES space,
    relay        INTEGER NOT NULL REFERENCES relay,
    incarnation  BLOB NOT NULL,
    position     INTEGER NOT NULL,    -- offset of the last entry read
    head         BLOB NOT NULL,       -- cumulative hash up to it
    acknowledged INTEGER NOT NULL,    -- own entries up to this row are there, or in `sealed`, or `lacking`
    epoch        BLOB,                -- whose credentials it let this device in with last
    missed       INTEGER NOT NULL DEFAULT 0, -- it was let go of: it may lack entries of others from this row on
    PRIMARY KEY (space, relay)
) WITHOUT ROWID;

CREATE TABLE former (                 -- where a space was before it was moved (sync/moving.py): it is deleted there too
    space  INTEGER NOT NULL REFERENCES space,
    relay  INTEGER NOT NULL REFERENCES relay,
    handle BLOB NOT NULL,
    epoch  BLOB,                       -- as in `cursor`
    PRIMARY KEY (space, relay, handle)
) WITHOUT ROWID;

CREATE TABLE leftover (               -- where spaces that another device deleted may be still (home/leftovers.py)
    url    TEXT NOT NULL,
    handle BLOB NOT NULL,
    seeds  BLOB NOT NULL,              -- of the admin keys by which it may be deleted there
    PRIMARY KEY (url, handle)
) WITHOUT ROWID;

CREATE TABLE room (                   -- public spaces that are followed: what they take here, and may (sync/room.py)
    space         INTEGER PRIMARY KEY REFERENCES space,
    bytes         INTEGER NOT NULL DEFAULT 0,
    bytes_limit   INTEGER NOT NULL,
    records       INTEGER NOT NULL DEFAULT 0, -- that ever came, removed ones too
    records_limit INTEGER NOT NULL,
    full          INTEGER NOT NULL DEFAULT 0  -- 1: nothing more is taken in
);

CREATE TABLE kept (                   -- what a relay keeps of this device's last connection to it (sync/keeping.py)
    relay  INTEGER PRIMARY KEY REFERENCES relay,
    seed   BLOB NOT NULL,             -- of the key that takes it up
    spaces BLOB NOT NULL              -- by handle, the public keys that proved its roles
);

CREATE TABLE relay_head (             -- what a relay showed: the head of its log after each entry
    space    INTEGER NOT NULL REFERENCES space,
    relay    INTEGER NOT NULL REFERENCES relay,
    position INTEGER NOT NULL,
    head     BLOB NOT NULL,
    entry    BLOB,                    -- hash of the entry of changes there, as far as it could be read
    PRIMARY KEY (space, relay, position)
) WITHOUT ROWID;

CREATE TABLE gap (                    -- ranges of a relay's log that were dropped before they were read here
    space    INTEGER NOT NULL REFERENCES space,
    relay    INTEGER NOT NULL REFERENCES relay,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    head     BLOB NOT NULL,           -- after `last`, as the relay says
    settled  INTEGER NOT NULL DEFAULT 0, -- 1: what a checkpoint has of it is here
    PRIMARY KEY (space, relay, first)
) WITHOUT ROWID;

CREATE TABLE claim (                  -- a head that another device had seen, further on than was read here
    space    INTEGER NOT NULL REFERENCES space,
    relay    INTEGER NOT NULL REFERENCES relay,
    author   BLOB NOT NULL,
    position INTEGER NOT NULL,
    head     BLOB NOT NULL,
    PRIMARY KEY (space, relay, author)
) WITHOUT ROWID;

CREATE TABLE alarm (                  -- a relay that showed two devices different logs
    space    INTEGER NOT NULL REFERENCES space,
    relay    INTEGER NOT NULL REFERENCES relay,
    author   BLOB NOT NULL,
    position INTEGER NOT NULL,
    hidden   INTEGER NOT NULL,        -- 1: it does not show so many entries here
    PRIMARY KEY (space, relay, author, position)
) WITHOUT ROWID;

CREATE TABLE lacking (                -- entries of any author that a relay is not known to have: sent when it was read
    relay INTEGER NOT NULL REFERENCES relay,
    entry INTEGER NOT NULL REFERENCES entry,
    PRIMARY KEY (relay, entry)
) WITHOUT ROWID;

CREATE TABLE sealed (                 -- own entries on their way to one relay, until acknowledged
    n        INTEGER PRIMARY KEY,     -- order of sealing
    entry    INTEGER NOT NULL REFERENCES entry,
    relay    INTEGER NOT NULL REFERENCES relay,
    id       BLOB NOT NULL,           -- of the envelope
    envelope BLOB NOT NULL
);

-- Checkpoints (sync/checkpoints) ----------------------------------------------------

CREATE TABLE checkpoint (             -- manifests that were heard of
    space    INTEGER NOT NULL REFERENCES space,
    entry    BLOB NOT NULL,           -- hash of the entry that carries it
    author   BLOB NOT NULL,
    body     BLOB NOT NULL,
    state    INTEGER NOT NULL,        -- 0 heard of, 1 compared, 2 taken in, 3 refused, 4 made here
    position INTEGER NOT NULL,        -- order of hearing
    PRIMARY KEY (space, entry)
) WITHOUT ROWID;

CREATE TABLE announced (              -- segments that somebody was about to put at a relay
    space    INTEGER NOT NULL REFERENCES space,
    entry    BLOB NOT NULL,
    author   BLOB NOT NULL,
    sequence INTEGER NOT NULL,        -- of the entry that says so
    body     BLOB NOT NULL,
    PRIMARY KEY (space, entry)
) WITHOUT ROWID;

CREATE TABLE vouch (                  -- vouches that were heard of
    space  INTEGER NOT NULL REFERENCES space,
    entry  BLOB NOT NULL,
    author BLOB NOT NULL,
    body   BLOB NOT NULL,
    state  INTEGER NOT NULL,          -- 0 heard of, 1 its relay was asked to drop, 2 another drop came first,
                                      -- 3 not to be asked
    PRIMARY KEY (space, entry)
) WITHOUT ROWID;

CREATE TABLE fetching (               -- the checkpoint that is being read at a relay, and how far
    n          INTEGER PRIMARY KEY,
    space      INTEGER NOT NULL REFERENCES space,
    relay      INTEGER NOT NULL REFERENCES relay,
    checkpoint BLOB NOT NULL,
    purpose    INTEGER NOT NULL,      -- 0 to take it in, 1 to compare it with what is here
    bundle     INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    stage      INTEGER NOT NULL,      -- of the bundle: 0 parts come, 1 chains fold, 2 entries are taken in
    UNIQUE (space, relay)
);

CREATE TABLE folding (                -- of the bundle being read, each author's chain, and how far it was gone through
    reading  INTEGER NOT NULL REFERENCES fetching,
    author   BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    ordinal  INTEGER NOT NULL,        -- changes so far
    PRIMARY KEY (reading, author)
) WITHOUT ROWID;

CREATE TABLE staged_entry (           -- and what is there of its entries
    reading  INTEGER NOT NULL REFERENCES fetching,
    author   BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    frame    BLOB NOT NULL,
    hash     BLOB,
    PRIMARY KEY (reading, author, sequence)
) WITHOUT ROWID;

CREATE TABLE staged_change (
    reading    INTEGER NOT NULL REFERENCES fetching,
    author     BLOB NOT NULL,
    ordinal    INTEGER NOT NULL,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (reading, author, ordinal)
) WITHOUT ROWID;

CREATE TABLE checkpoint_due (         -- relays at which a checkpoint is to be made, one after the other
    space INTEGER NOT NULL REFERENCES space,
    relay INTEGER NOT NULL REFERENCES relay,
    PRIMARY KEY (space, relay)
) WITHOUT ROWID;

CREATE TABLE draft (                  -- the checkpoint that is being made
    space INTEGER PRIMARY KEY REFERENCES space,
    relay INTEGER NOT NULL REFERENCES relay, -- which gets its segments
    base  BLOB,                       -- the manifest whose first bundles it names again
    kept  INTEGER NOT NULL,           -- how many of them
    parts INTEGER NOT NULL,           -- how many parts of its last bundle are written
    said  INTEGER,                    -- the own entry that announces its segments
    full  INTEGER NOT NULL DEFAULT 0  -- 1: the relay took no more of them when it was last given one
);

CREATE TABLE draft_author (           -- whose entries its last bundle stands for
    space    INTEGER NOT NULL REFERENCES space,
    author   BLOB NOT NULL,
    sequence INTEGER NOT NULL,        -- up to this one they were gone through
    last     INTEGER NOT NULL,
    ordinal  INTEGER NOT NULL,
    PRIMARY KEY (space, author)
) WITHOUT ROWID;

CREATE TABLE gathered (               -- changes that are in no part of it yet, as their authors made them
    n          INTEGER PRIMARY KEY,
    space      INTEGER NOT NULL REFERENCES space,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    author     BLOB NOT NULL,
    ordinal    INTEGER NOT NULL,
    bytes      BLOB NOT NULL
);
CREATE INDEX gathered_by_space ON gathered (space);
CREATE INDEX gathered_by_record ON gathered (space, collection, id);

CREATE TABLE drafted (                -- what is to be in its next part
    n     INTEGER PRIMARY KEY,
    space INTEGER NOT NULL REFERENCES space,
    run   INTEGER NOT NULL,           -- 1: a run of entries, 0: a record
    bytes BLOB NOT NULL
);
CREATE INDEX drafted_by_space ON drafted (space);

CREATE TABLE segment (                -- its parts, sealed
    space INTEGER NOT NULL REFERENCES space,
    part  INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    id    BLOB NOT NULL,
    size  INTEGER NOT NULL,
    bytes BLOB,                       -- NULL once the relay has it
    PRIMARY KEY (space, part, piece)
);

-- The journal ------------------------------------------------------------------------

CREATE TABLE receipt (
    number    INTEGER PRIMARY KEY,
    time      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL,
    previous  BLOB NOT NULL,
    hash      BLOB NOT NULL,
    signature BLOB NOT NULL,
    waits     INTEGER NOT NULL DEFAULT 0    -- 1: other devices are told of it with the next one that does not wait
);

CREATE TABLE former_receipt (         -- the journals of the devices that this home was before
    device    BLOB NOT NULL,
    number    INTEGER NOT NULL,
    time      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL,
    previous  BLOB NOT NULL,
    hash      BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (device, number)
) WITHOUT ROWID;

CREATE TABLE account (
    name    TEXT PRIMARY KEY,
    spent   REAL NOT NULL,
    allowed REAL NOT NULL             -- once this home was another device before: at most so much may be spent in all
) WITHOUT ROWID;

CREATE TABLE witness (                -- the last journal head each device claimed in its entries
    space  INTEGER NOT NULL REFERENCES space,
    author BLOB NOT NULL,
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (space, author)
) WITHOUT ROWID;

-- Attachments ------------------------------------------------------------------------

CREATE TABLE blob (
    n       INTEGER PRIMARY KEY,
    space   INTEGER NOT NULL REFERENCES space,
    id      TEXT,                     -- hash of the sealed manifest, in hexadecimal; NULL while it is being added
    size    INTEGER,                  -- bytes of content; NULL until the manifest was read
    content BLOB,                     -- hash of the content, once it was seen whole on this device
    pinned  INTEGER NOT NULL,
    idle    INTEGER,                  -- the collector's pass that first found no record holding it
    UNIQUE (id, space)
);
CREATE INDEX blob_by_content ON blob (space, content);

CREATE TABLE chunk (                  -- what a blob consists of, as far as that is known here
    blob     INTEGER NOT NULL REFERENCES blob,
    position INTEGER NOT NULL,        -- 0, 1, ... of the content; -1 the manifest, -2, -3, ... pages of a long list
    id       BLOB NOT NULL,           -- hash of the sealed bytes: the file's name, and the relay's
    size     INTEGER NOT NULL,        -- sealed bytes; 0 until they were here
    held     INTEGER NOT NULL,        -- whether the file is durable here
    PRIMARY KEY (blob, position)
) WITHOUT ROWID;
CREATE INDEX chunk_by_id ON chunk (id);

CREATE TABLE doomed (                 -- files to be removed, if no chunk has their name by then
    id BLOB PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE blob_relay (             -- how much of a blob a relay holds durably
    blob  INTEGER NOT NULL REFERENCES blob,
    relay INTEGER NOT NULL REFERENCES relay,
    sent  INTEGER,                    -- the content's chunks before this position; NULL: all of it
    PRIMARY KEY (blob, relay)
) WITHOUT ROWID;

CREATE TABLE parting (                -- attachments freed here that were seen whole: relays may release them
    n      INTEGER PRIMARY KEY,
    space  INTEGER NOT NULL REFERENCES space,
    blob   TEXT NOT NULL,
    chunks BLOB NOT NULL,             -- the ids of all its pieces, 32 bytes each
    UNIQUE (space, blob)
);

CREATE TABLE parted (                 -- and how far that is with a relay
    parting  INTEGER NOT NULL REFERENCES parting,
    relay    INTEGER NOT NULL REFERENCES relay,
    position INTEGER,                 -- who read its log up to here knows that no record holds it; NULL: released
    PRIMARY KEY (parting, relay)
) WITHOUT ROWID;

CREATE TABLE blob_reference (         -- which records hold which blobs; kept by the triggers below
    record INTEGER NOT NULL,
    blob   TEXT NOT NULL,             -- its id; a member may write one that nobody has
    PRIMARY KEY (record, blob)
) WITHOUT ROWID;
CREATE INDEX blob_reference_by_blob ON blob_reference (blob);

-- In step with the projection, whoever writes it, and in the same transaction. Records without
-- an attachment (nearly all) cost one search in their text.
CREATE TRIGGER record_inserted AFTER INSERT ON record WHEN instr(NEW.json, '"_blob"') BEGIN
    INSERT OR IGNORE INTO blob_reference (record, blob)
        SELECT NEW.n, value FROM json_tree(NEW.json) WHERE key = '_blob' AND type = 'text' AND length(value) = 64;
END;
CREATE TRIGGER record_updated AFTER UPDATE OF json ON record
    WHEN OLD.json <> NEW.json AND (instr(OLD.json, '"_blob"') OR instr(NEW.json, '"_blob"')) BEGIN
    DELETE FROM blob_reference WHERE record = OLD.n;
    INSERT OR IGNORE INTO blob_reference (record, blob)
        SELECT NEW.n, value FROM json_tree(NEW.json) WHERE key = '_blob' AND type = 'text' AND length(value) = 64;
END;
CREATE TRIGGER record_deleted AFTER DELETE ON record WHEN instr(OLD.json, '"_blob"') BEGIN
    DELETE FROM blob_reference WHERE record = OLD.n;
END;

-- A relay met for the first time, or with another store than before: it is asked what it has.
CREATE TRIGGER relay_reset AFTER INSERT ON cursor BEGIN
    DELETE FROM blob_relay WHERE relay = NEW.relay AND blob IN (SELECT n FROM blob WHERE space = NEW.space);
    DELETE FROM parted WHERE relay = NEW.relay AND parting IN (SELECT n FROM parting WHERE space = NEW.space);
END;
CREATE TRIGGER relay_changed AFTER UPDATE OF incarnation ON cursor WHEN OLD.incarnation <> NEW.incarnation BEGIN
    DELETE FROM blob_relay WHERE relay = NEW.relay AND blob IN (SELECT n FROM blob WHERE space = NEW.space);
    DELETE FROM parted WHERE relay = NEW.relay AND parting IN (SELECT n FROM parting WHERE space = NEW.space);
END;

-- Deposits -----------------------------------------------------------------------------

CREATE TABLE deposit_applicant (      -- who left something at an address that is for nobody yet
    address BLOB NOT NULL,
    key     BLOB NOT NULL,            -- the organisation's
    card    TEXT NOT NULL,
    seen    INTEGER NOT NULL,         -- when first, Unix milliseconds
    PRIMARY KEY (address, key)
) WITHOUT ROWID;

CREATE TABLE deposit_ack (            -- what this device is still to tell organisations
    n       INTEGER PRIMARY KEY,
    address BLOB NOT NULL,
    era     INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    hash    BLOB NOT NULL,            -- of the message
    outcome TEXT NOT NULL,
    refused INTEGER NOT NULL,         -- records of it that are none of the address's types
    due     INTEGER NOT NULL,         -- when it may leave, Unix milliseconds
    UNIQUE (address, era, number, hash)
);

-- The lines about messages, by what a message that comes is judged by: how much came at its address today, and which
-- numbers of its era did. An organisation may leave many, and each is judged in the database thread.
CREATE INDEX deposit_by_time ON record (space, json_extract(json, '$.address'), json_extract(json, '$.taken'))
    WHERE collection = 'chez-deposits';
CREATE INDEX deposit_by_number ON record (space, json_extract(json, '$.address'), json_extract(json, '$.era'),
                                          json_extract(json, '$.number')) WHERE collection = 'chez-deposits';
