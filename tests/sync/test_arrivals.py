"""What waits for its turn of what a relay brought."""

from types import SimpleNamespace
from typing import cast

from chez.sync.arrivals import Arrivals
from chez.sync.channel import Channel
from chez.sync.events import EntriesArrived
from chez.sync.machine import SyncMachine
from chez.sync.replica import Replica
from chez.sync.sealed import Cursor, Sealed
from chez.sync.session import ClientSession
from chez.sync.work import Phase
from chez_wire.frames import Entry

OWN = Sealed(1, 1, bytes(32), b"envelope", False)
PAGE = EntriesArrived(1, bytes(32), (Entry(2, b"another's"),), bytes(32), 2)


def machine() -> SyncMachine:
    """One that follows its space, and has taken in what came before."""
    replica = cast("Replica", SimpleNamespace(left=False))
    made = SyncMachine(replica, 1, Channel(ClientSession("relay.test:1", bytes(32)), {}))
    made.admission.phase = Phase.FOLLOWING
    return made


def test_acknowledgements_alone_are_durable_as_any_write_is() -> None:
    """Only what others wrote is shown before it is durable here: nobody waits to see an acknowledgement."""
    one = machine()
    one.arrivals.passed(OWN, Cursor(1, bytes(32)))
    assert [work.shown_first for work in one.go_on()] == [False]


def test_entries_of_others_show_first() -> None:
    """Also where acknowledgements wait before them: a turn takes in both."""
    one = machine()
    one.arrivals.passed(OWN, Cursor(1, bytes(32)))
    one.arrivals.page(PAGE)
    assert [work.shown_first for work in one.go_on()] == [True]
    assert not Arrivals(one.replica, 1).brings
