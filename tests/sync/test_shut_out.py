"""What relays that let a device in no more said of a space, and what takes it back."""

from chez.errors import RelayRefused
from chez.store.database import Connection
from chez.sync.shut_out import admitted, shut_out, told
from tests.store.blank import blank

PRIVATE, SHARED = 1, 2
FIRST, SECOND = 1, 2


def home() -> Connection:
    """A home at one relay, with a space that is at another one."""
    db = blank()
    for n, url in ((FIRST, "ws://first"), (SECOND, "ws://second")):
        db.execute("INSERT INTO relay (n, url) VALUES (?, ?)", (n, url))
    for n, name, url in ((PRIVATE, "private", "ws://first"), (SHARED, "Trip", "ws://second")):
        db.execute("INSERT INTO space (n, id, name, handle, relay) VALUES (?, ?, ?, x'00', ?)",
                   (n, bytes((n,)), name, url))
    return db


def test_the_word_of_a_relay_is_taken_back_by_that_one_or_once_the_space_is_elsewhere() -> None:
    """Another relay of the space takes nothing back; that another space is at the relay is no reason to believe it."""
    db = home()
    db.execute("UPDATE relay SET beside = 1 WHERE n = ?", (SECOND,))
    told(PRIVATE, FIRST, RelayRefused("no")).run(db)
    admitted(db, PRIVATE, SECOND)
    assert shut_out(db, PRIVATE) and not shut_out(db, SHARED)
    admitted(db, PRIVATE, FIRST)
    assert not shut_out(db, PRIVATE)
    told(PRIVATE, FIRST, RelayRefused("no")).run(db)
    db.execute("UPDATE space SET relay = 'ws://second' WHERE n = ?", (PRIVATE,))
    db.execute("UPDATE space SET relay = 'ws://first' WHERE n = ?", (SHARED,))
    admitted(db, PRIVATE, SECOND)
    assert not shut_out(db, PRIVATE)
