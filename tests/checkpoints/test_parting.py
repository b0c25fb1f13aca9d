"""Which pieces of attachments a relay may release: those of which every device that writes is known to have let go."""

from chez.spaces.space import add_to_space
from chez.sync.checkpoints.parting import released
from chez.sync.entry import log_name
from chez.sync.sealed import Cursor
from tests.sync.test_heads import RELAY, Told

PIECES = [bytes([n]) * 32 for n in (1, 2)]
BLOB = "ab" * 32


class Freed(Told):
    """A device that freed an attachment of two pieces; another one writes in the space, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.device, author = self.other.member.keys.id, self.replica.author
        for one in author.unacknowledged(self.db, RELAY):
            author.acknowledged(self.db, RELAY, one, None)
        self.other.records.put(self.db, 1, "notes", "a", {"x": 1})
        self.arrives()
        self.db.execute("INSERT INTO parting (space, blob, chunks) VALUES (1, ?, ?)", (BLOB, b"".join(PIECES)))

    def arrives(self) -> None:
        """The relay has what waits, behind what was read of it."""
        for one in self.replica.author.outgoing(self.db, RELAY):
            (at,) = self.db.execute("SELECT position FROM cursor WHERE space = 1").fetchone()
            self.replica.author.acknowledged(self.db, RELAY, one, Cursor(at + 1, bytes(32)))

    def seen(self) -> None:
        """The other device says twice that it read of it."""
        assert self.freed() == [] and self.noted is not None
        for claim in (self.noted, self.noted + 1):
            self.receives(self.entry(claim))

    def freed(self, *gone: bytes, incarnation: bytes = bytes(32)) -> list[bytes]:
        """What may go, but for what is `gone`; at the relay's store of this incarnation."""
        return released(self.db, self.replica.space, self.device, RELAY,
                        log_name(incarnation, self.replica.space.handle), gone)

    @property
    def noted(self) -> int | None:
        """From which offset on who read so far knows of it, from where the other device's chain began here."""
        row = self.db.execute("SELECT position - ? FROM parted", (self.read,)).fetchone()
        return None if row is None else row[0]


def test_it_counts_from_where_the_relay_has_all_that_this_device_said() -> None:
    """What took the last reference away may still wait for its entry, or be on its way there."""
    freed = Freed()
    freed.other.records.put(freed.db, 1, "notes", "b", {"x": 1})
    assert freed.freed() == [] and freed.noted is None
    (sealed,) = freed.replica.author.outgoing(freed.db, RELAY)
    assert freed.freed() == [] and freed.noted is None
    freed.replica.author.acknowledged(freed.db, RELAY, sealed, None)  # behind others' entries, which come first
    assert freed.freed() == [] and freed.noted is None
    freed.other.receives([sealed.envelope])
    assert freed.freed() == []
    assert freed.db.execute("SELECT parted.position - cursor.position FROM parted, cursor WHERE space = 1"
                            ).fetchone() == (0,)


def test_pieces_go_when_each_writer_said_twice_that_it_read_so_far() -> None:
    """By two entries that name different offsets of this log, both behind that: what was collected at once names one.
    """
    freed = Freed()
    assert freed.freed() == []
    at = freed.noted
    assert at is not None
    for claim in ([], [at - 1], [at], [at]):  # the first one's is not known: it came by a checkpoint
        freed.receives(freed.entry(*claim))
        assert freed.freed() == []
    freed.receives(freed.entry(at + 1))
    assert freed.freed(incarnation=b"1" * 32) == []
    assert freed.freed() == PIECES and freed.freed(PIECES[0]) == PIECES[1:]
    assert freed.freed(*PIECES) == [] and freed.freed() == [] and freed.noted is None  # it is over with that


def test_pieces_stay_while_one_of_several_writers_did_not_say_so() -> None:
    """A device that was let in just now may hold a reference that it did not send yet."""
    freed = Freed()
    freed.seen()
    assert freed.freed() == PIECES
    add_to_space(freed.db, 1, freed.family.newcomer().statements, [], sent=True)
    freed.replica.hear()
    freed.replica.refresh(freed.db)
    assert freed.freed() == []


def test_pieces_that_serve_something_else_stay() -> None:
    """Another attachment has one of them, for a member made it so; or a record holds the attachment again."""
    freed = Freed()
    freed.seen()
    freed.db.execute("INSERT INTO blob (n, space, id, pinned) VALUES (1, 1, 'other', 0)")
    freed.db.execute("INSERT INTO chunk (blob, position, id, size, held) VALUES (1, 0, ?, 1, 1)", (PIECES[0],))
    assert freed.freed() == PIECES[1:]
    freed.db.execute("INSERT INTO blob_reference (record, blob) VALUES (1, ?)", (BLOB,))
    assert freed.freed() == [] and freed.other.count("parting") == freed.other.count("parted") == 0
