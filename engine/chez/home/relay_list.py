"""The relays of a person, as records of the private space that each of the person's devices follows.

A record of the collection `chez-relays` is about one relay, under its URL: {kept, pins, token}; the one under `home`
says {relay}, which is the one that the person's devices are known by. Nobody but the person's devices writes in the
private space, so nobody else leads them anywhere: a collection of that name in a shared space means nothing.

What a device goes by is the table `relay` of its store, into which the records are taken over in one transaction
(`follow`). A relay that is this device's own affair (`here`) is told to no other, and what others say of it is
not heeded. What makes no sense here is not followed: another Chez, or a person, may have written it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from chez.errors import InvalidValue, NotFound
from chez.home.held import Held
from chez.home.syncing import relay_row
from chez.home.transaction import Transaction, transact
from chez.journal import Journal
from chez.records.collection import Collection
from chez.records.values import MAX_ID
from chez.spaces.space import SpaceKeys, load_space
from chez.store.database import Connection, Database
from chez.sync.connection import relay_name
from chez.sync.entry import read_kept
from chez.sync.pairing import RelayTold
from chez.sync.pinning import check_pins
from chez_wire.limits import MAX_TEXT

__all__ = ("COLLECTION", "RelayList", "take_told", "told")

COLLECTION: Final = "chez-relays"
"""Where the relays are kept in the private space."""

MAX_RELAYS: Final = 16
"""Relays that a home keeps everything at: each is a connection, and all that is written is sealed for each."""

_HOME: Final = "home"
_SHARED, _ONLY_HERE, _NOT_HERE = 0, 1, -1

R = TypeVar("R")


class _Row(msgspec.Struct, frozen=True):
    """What this device goes by."""

    beside: bool
    here: int
    pins: str
    token: str

    def __repr__(self) -> str:
        return "<how one relay is gone by>"


class RelayList:
    """The list of a home's person, and how this device goes by it."""

    def __init__(self, database: Database, private: Held, journal: Journal) -> None:
        self._database = database
        self._private = private
        self._journal = journal
        self._records: Collection[dict[str, Any]] = Collection(private.engine, COLLECTION, None)

    async def keep(self, url: str, *, here: bool, pins: Sequence[str] | None = None) -> None:
        """Keep everything at a relay too: all devices, or this one only. Raises `InvalidValue`."""
        def work(transaction: Transaction, db: Connection) -> None:
            before = _row(db, url)
            if not before.beside and not _room(db):
                raise InvalidValue(f"a home is kept at {MAX_RELAYS} relays at most", "Remove one first.")
            _set(db, url, beside=1, here=_ONLY_HERE if here else _SHARED)
            if pins is not None:
                _set(db, url, pins=",".join(pins))
            if not here:
                self._say(transaction, db, url, kept=True)
                self._say_home(transaction, db)
            if _row(db, url) != before:
                transaction.receipt("relay-changed", {"url": url, "what": "added", "here": here})

        await self._write(work)

    async def let_go(self, url: str, *, here: bool) -> bool:
        """Keep nothing at a relay any more; False for one that is not kept beside the home's."""
        def work(transaction: Transaction, db: Connection) -> bool:
            before = _row(db, url)
            if not before.beside:
                return False
            _set(db, url, beside=0, here=_NOT_HERE if here else _SHARED)
            if not here and before.here != _ONLY_HERE and self._shared(db):
                self._say(transaction, db, url, kept=False)
            transaction.receipt("relay-changed", {"url": url, "what": "removed", "here": here})
            return True

        return await self._write(work)

    async def choose(self, url: str, *, here: bool, pins: Sequence[str] | None) -> None:
        """Make a relay the home's: for all devices, who are told at the former one too, or for this one only."""
        def work(transaction: Transaction, db: Connection) -> None:
            former = _home(db, self._space)
            db.execute("UPDATE space SET relay = ? WHERE n = ?", (url, self._space.n))
            _set(db, url, here=_ONLY_HERE if here else _SHARED)
            if pins is not None:
                _set(db, url, pins=",".join(pins))
            if here or not (self._shared(db) or _visited(db, self._space.n)):
                return
            self._say(transaction, db, url, kept=True)
            transaction.put(self._records, {"relay": url}, id=_HOME)
            if former not in (None, url):
                _set(db, former, beside=1)
                self._say(transaction, db, former, kept=True)
            if former != url:
                transaction.receipt("relay-changed", {"url": url, "what": "set", "here": False})

        await self._write(work)

    async def note(self, url: str, *, pins: Sequence[str] | None = None, token: str | None = None) -> None:
        """Remember the pins of a relay's key, or the token that its operator gave out."""
        def work(transaction: Transaction, db: Connection) -> None:
            before = _row(db, url)
            if pins is not None:
                _set(db, url, pins=",".join(pins))
            if token is not None:
                _set(db, url, token=token)
            if before.here == _SHARED and self._shared(db):
                self._say(transaction, db, url)
            if pins is not None and _row(db, url) != before:
                transaction.receipt("relay-changed", {"url": url, "what": "pinned", "keys": len(pins)})

        await self._write(work)

    async def unheard(self, own: bytes) -> tuple[str, ...]:
        """The person's devices beside `own`, by name, that wrote nothing which came since the home's relay was set.

        By the clocks of those who wrote: it is told, and nothing follows from it.
        """
        return await self._database.read(lambda db: self._unheard(db, own))

    async def follow(self) -> None:
        """Take over what other devices of the person said."""
        await self._database.write(self._follow)

    # --- in the database's thread -----------------------------------------------------------

    @property
    def _space(self) -> SpaceKeys:
        return self._private.space

    async def _write(self, work: Callable[[Transaction, Connection], R]) -> R:
        engine = self._private.engine

        def whole(db: Connection) -> R:
            engine.news.touch(COLLECTION, _HOME)  # also what no record tells: who is cancelled does not go by it
            return transact(engine, self._journal, lambda transaction: work(transaction, db))(db)

        return await self._database.write(whole)

    def _unheard(self, db: Connection, own: bytes) -> tuple[str, ...]:
        (since,) = db.execute("SELECT max(time) FROM change JOIN record ON record.n = change.record WHERE space = ? "
                              "AND collection = ? AND id = ?", (self._space.n, COLLECTION, _HOME)).fetchone()
        others = [device for device in self._space.membership.state.devices.values() if device.id != own]
        return tuple([one.name for one in others if since and _last_written(db, self._space.n, one.id) < since])

    def _shared(self, db: Connection) -> bool:
        """Whether anybody is to be told: there are other devices, or something was said already, which who comes by the
        24 words goes by.
        """
        return len(self._space.membership.devices) > 1 or db.execute(
            "SELECT 1 FROM record WHERE space = ? AND collection = ? AND deleted = 0", (self._space.n, COLLECTION),
        ).fetchone() is not None

    def _say(self, transaction: Transaction, db: Connection, url: str, **said: bool) -> None:
        """Put what this device goes by into the relay's record."""
        if len(url) > MAX_ID:
            raise InvalidValue(f"an address of more than {MAX_ID} characters can't be told to other devices",
                               "Keep it on this device alone (`here`).")
        row, known = _row(db, url), self._read(db, url) or {}
        value = {"kept": row.beside, **known, **said, "pins": row.pins, "token": row.token}
        if value != known:
            transaction.put(self._records, value, id=url)

    def _say_home(self, transaction: Transaction, db: Connection) -> None:
        """Say of the home's own relay that it is kept, too: who comes by another one, by the 24 words or a code, knows
        of it by that alone, and members of shared spaces may be there and nowhere else.
        """
        home = _home(db, self._space)
        if home is not None and _row(db, home).here == _SHARED and len(home) <= MAX_ID:
            self._say(transaction, db, home, kept=True)

    def _read(self, db: Connection, id: str) -> dict[str, Any] | None:
        try:
            return self._records.get_in(db, id).value
        except NotFound:
            return None

    def _follow(self, db: Connection) -> None:
        ids = [id for (id,) in db.execute("SELECT id FROM record WHERE space = ? AND collection = ? AND deleted = 0 "
                                          "ORDER BY id LIMIT ?", (self._space.n, COLLECTION, 4 * MAX_RELAYS))]
        for id in ids:
            value = self._read(db, id) or {}
            if id == _HOME:
                self._follow_home(db, value)
            elif (said := _sound(id, value)) is not None:
                self._take(db, id, *said)

    def _take(self, db: Connection, url: str, kept: bool, pins: str, token: str) -> None:
        before = _row(db, url)
        if before.here == _ONLY_HERE:
            return
        if kept and not before.beside and not _room(db):
            kept = False  # its pins hold all the same: it may be the home's
        after = _Row(before.beside if before.here else kept, before.here, pins, token)
        if after == before:
            return
        _set(db, url, beside=int(after.beside), pins=pins, token=token)
        if after.beside != before.beside and url != _home(db, self._space):
            self._tell(db, url, url, "added" if after.beside else "removed")
        elif after.pins != before.pins:
            self._tell(db, url, url, "pinned", keys=pins.count(",") + 1 if pins else 0)

    def _follow_home(self, db: Connection, value: Mapping[str, Any]) -> None:
        url, former = _url(value.get("relay")), _home(db, self._space)
        if url in (None, former) or (former is not None and _row(db, former).here == _ONLY_HERE):
            return
        db.execute("UPDATE space SET relay = ? WHERE n = ?", (url, self._space.n))
        if former is not None:
            _set(db, former, beside=1)  # it is where this device is: it is left when the list says so
        self._tell(db, _HOME, str(url), "set")

    def _tell(self, db: Connection, id: str, url: str, what: str, **more: int) -> None:
        """A receipt of what another device said; what this one did itself has one already."""
        row = db.execute("SELECT author FROM record JOIN entry ON entry.n = editor WHERE record.space = ? "
                         "AND collection = ? AND id = ?", (self._space.n, COLLECTION, id)).fetchone()
        if row is not None:
            self._journal.record(db, "relay-changed", {"url": url, "what": what, "device": row[0].hex(), **more})


def _last_written(db: Connection, space: int, device: bytes) -> int:
    """When a device made its last entry that is here, Unix milliseconds by its clock; 0 for none."""
    row = db.execute("SELECT inner FROM entry WHERE space = ? AND author = ? ORDER BY sequence DESC LIMIT 1",
                     (space, device)).fetchone()
    return 0 if row is None else read_kept(row[0]).inner.time


def told(db: Connection) -> list[RelayTold]:
    """What a device that is let in is given, beside what it will find in the private space."""
    return [RelayTold(url, bool(beside), pins, token) for url, beside, pins, token in db.execute(
        "SELECT url, beside, pins, token FROM relay WHERE here = ? AND (beside = 1 OR pins <> '' OR token <> '') "
        "AND url NOT LIKE 'lan:%' ORDER BY n LIMIT ?", (_SHARED, 4 * MAX_RELAYS))]


def take_told(db: Connection, given: Iterable[RelayTold]) -> None:
    """A new device goes by what it was given."""
    for one in given:
        if (said := _sound(one.url, {"kept": bool(one.beside), "pins": one.pins, "token": one.token})) is not None:
            _set(db, one.url, beside=int(said[0]), pins=said[1], token=said[2])


def _sound(url: str, value: Mapping[str, Any]) -> tuple[bool, str, str] | None:
    """Whether a relay is kept, its pins and its token, as a record has them; None for one that can't be."""
    kept, pins, token = value.get("kept"), value.get("pins", ""), value.get("token", "")
    if not (isinstance(kept, bool) and isinstance(pins, str) and isinstance(token, str)) or len(token) > MAX_TEXT:
        return None
    try:
        relay_name(url)
        return kept, ",".join(check_pins(url, pins.split(",")) if pins else ()), token
    except InvalidValue:
        return None


def _url(text: object) -> str | None:
    """The address that it is, if it is one."""
    try:
        return text if isinstance(text, str) and len(text) <= MAX_TEXT and relay_name(text) else None
    except InvalidValue:
        return None


def _room(db: Connection) -> bool:
    count: int = db.execute("SELECT count(*) FROM relay WHERE beside = 1 AND url NOT IN (SELECT coalesce(relay, '') "
                            "FROM space WHERE n = (SELECT value FROM meta WHERE key = 'private'))").fetchone()[0]
    return count < MAX_RELAYS


def _visited(db: Connection, private: int) -> bool:
    """Whether others are in one that goes where the `private` one goes, or follows it: they stay where it was."""
    rows = db.execute("SELECT n FROM space WHERE relay IS NULL AND n <> ?", (private,)).fetchall()
    spaces = [load_space(db, n) for (n,) in rows]
    return any(space.public or len(space.membership.state.members) > 1 for space in spaces)


def _home(db: Connection, space: SpaceKeys) -> str | None:
    url: str | None = db.execute("SELECT relay FROM space WHERE n = ?", (space.n,)).fetchone()[0]
    return url


def _row(db: Connection, url: str) -> _Row:
    beside, here, pins, token = db.execute("SELECT beside, here, pins, token FROM relay WHERE n = ?",
                                           (relay_row(db, url),)).fetchone()
    return _Row(bool(beside), here, pins, token)


def _set(db: Connection, url: str, **columns: int | str) -> None:
    row = relay_row(db, url)
    for name, value in columns.items():
        db.execute(f"UPDATE relay SET {name} = ? WHERE n = ?", (value, row))
