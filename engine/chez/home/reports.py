"""What a home says of itself: its collections, how it stands, what a sync did."""

import json
from collections.abc import Mapping, Sequence
from itertools import takewhile

import msgspec

from chez.blobs.tables import totals
from chez.home.deposits.reports import DepositsReport
from chez.store.database import Connection
from chez.sync.shut_out import shut_out

__all__ = (
    "Admitted", "CollectionInfo", "HomeStatus", "Imported", "RelayStatus", "SpaceStatus", "SyncReport", "home_status",
)


class CollectionInfo(msgspec.Struct, frozen=True):
    """A collection's name and how many records it has."""

    name: str
    records: int


class Imported(msgspec.Struct, frozen=True):
    """An import as the journal has it: when (RFC 3339), of which file (SHA-256 in hexadecimal), by whom, and counts.

    `stopped` says why reading ended before the file did; it is empty otherwise.
    """

    time: str
    file: str
    sha256: str
    connector: str
    version: int
    added: int
    updated: int
    unchanged: int
    purged: int
    rejected: int
    stopped: str = ""


class SpaceStatus(msgspec.Struct, frozen=True):
    """How one space stands with its relay.

    `link` is "off", "connecting", "syncing", "synced" or "failed"; `problem` tells why it is
    not in step, empty if it is or is about to be. `removed` says that this device has no part
    in it any more, `removed_by` who said so (a device's name, or a person's), `left` that it was
    this person itself. While a new epoch is `owed`, somebody who was removed, or may write no
    more, can still read what is new: an owner's device starts it when it connects. Where there
    are several relays, `link` and `problem` are of the one that it stands best with, and `relays`
    tells how it stands with each.
    """

    id: str
    name: str
    relay: str | None
    link: str
    problem: str = ""
    removed: bool = False
    removed_by: str | None = None
    owed: bool = False
    left: bool = False
    relays: "tuple[RelayStatus, ...]" = ()


class RelayStatus(msgspec.Struct, frozen=True):
    """How the connection to one relay stands.

    `link` as in `SpaceStatus`, `since` when (Unix seconds; None while it is off); `problem` tells why there is no
    connection, what keeps a space that other relays have as well from being in step there (it has no room for it), or
    that it has the store of one before it, empty if nothing does, and `next_try` when one is tried next (Unix
    seconds). `lacks` counts the entries that it is still to be given, and the changes that are in no entry yet; None
    for one that was never reached, which lacks everything, and where that is not asked. `pins` are those of its key,
    if there are any; `here` says that it is this device's alone, and other devices of the person know nothing of it.
    `sent` and `received` count the entries that a sync gave to it, and had from it first; None where no sync tells of
    it.
    """

    url: str
    link: str
    since: float | None = None
    problem: str = ""
    next_try: float | None = None
    lacks: int | None = None
    pins: tuple[str, ...] = ()
    here: bool = False
    sent: int | None = None
    received: int | None = None


class Admitted(msgspec.Struct, frozen=True):
    """Somebody whom this device let in through an invitation: into which space, the person's name, and its role."""

    space: str
    name: str
    role: str


class SyncReport(msgspec.Struct, frozen=True):
    """What one sync did in all spaces: entries sent and received, and the relay's last offsets, added up.

    An entry that two relays were given counts twice as `sent`: `relays` has what each was.
    `quarantined` entries failed a check and were set aside; `reset` are the relays whose
    store was another than last time, so that they were given everything again; each is told in one report.
    `problems` are the spaces, other than the private one, that could not be brought in step;
    a space that this person left is none. `unanswered` tells why those who came by an invitation
    got no answer, empty if they did; `let_in` those who did come in by one, since the last report.
    `deposits` tells what organisations left and was taken.
    `relay` is the first that the home is in step with now, `relays` tells how it stands with each.
    """

    relay: str
    sent: int
    received: int
    quarantined: int
    offset: int
    reset: tuple[str, ...]
    problems: tuple[SpaceStatus, ...] = ()
    unanswered: str = ""
    relays: tuple[RelayStatus, ...] = ()
    let_in: tuple[Admitted, ...] = ()
    deposits: DepositsReport = msgspec.field(default_factory=DepositsReport)


class HomeStatus(msgspec.Struct, frozen=True):
    """How a home stands, all spaces together: records, changes not acknowledged by a relay, what was set aside.

    `attachments` counts those that are whole here and not at a relay yet; `removed` says that
    another device of the person has taken this one out, `shut_out` that a relay lets it in no more and nothing here
    says why: it may have been taken out, or the relay was set back; `spaces` tells how each space stands
    (and `removed_by` which device did so), the private one first, `relays` how the connection to each relay does.
    """

    records: int
    pending: int
    quarantined: int
    relay: str | None
    offset: int
    link: str
    devices: tuple[str, ...]
    attachments: int = 0
    removed: bool = False
    spaces: tuple[SpaceStatus, ...] = ()
    relays: tuple[RelayStatus, ...] = ()
    shut_out: bool = False


def home_status(db: Connection, device: bytes, rows: Mapping[int, Sequence[str]], relay: str | None,
                devices: tuple[str, ...], spaces: tuple[SpaceStatus, ...],
                relays: tuple[RelayStatus, ...]) -> HomeStatus:
    """How a home of this `device` stands whose spaces, in these rows of the store and at these relays, stand
    like that, and whose relays do.
    """
    records, pending, quarantined, offset = db.execute(
        "SELECT (SELECT count(*) FROM record WHERE deleted = 0), "
        "(SELECT count(*) FROM change WHERE state = 1) + (SELECT count(*) FROM sealed JOIN relay ON relay.n = relay "
        "WHERE url NOT LIKE 'lan:%'), "
        "(SELECT count(*) FROM quarantine), (SELECT max(position) FROM cursor)").fetchone()
    pending += _not_there(db, device, rows)
    waiting = sum(totals(db, n, urls)[3] for n, urls in rows.items())
    return HomeStatus(records, pending, quarantined, relay, offset or 0, spaces[0].link, devices, waiting,
                      spaces[0].removed, spaces, relays, not spaces[0].removed and shut_out(db, next(iter(rows))))


def _not_there(db: Connection, device: bytes, rows: Mapping[int, Sequence[str]]) -> int:
    """How many entries of this device none of the relays that its spaces are at was given, though others were: those of
    devices on its network, or that the spaces were at before.
    """
    late: list[int] = []
    for space, urls in rows.items():
        elsewhere, there = db.execute(
            "SELECT count(*), max(CASE WHEN url IN (SELECT value FROM json_each(?)) THEN acknowledged END) "
            "FROM cursor JOIN relay ON relay.n = cursor.relay WHERE space = ?", (json.dumps(urls), space)).fetchone()
        if not urls or not elsewhere:
            continue
        # From the end of the device's chain, in its index: most often that is where a relay is, others' may be many.
        own = db.execute("SELECT n FROM entry WHERE space = ? AND author = ? ORDER BY sequence DESC", (space, device))
        late += takewhile((there or 0).__lt__, (n for (n,) in own))
    sealed = db.execute("SELECT entry FROM sealed JOIN relay ON relay.n = sealed.relay "
                        "WHERE url NOT LIKE 'lan:%'").fetchall() if late else ()
    return len(set(late) - {n for (n,) in sealed})
