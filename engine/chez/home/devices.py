"""A person's devices: which there are, what they are called, and taking one out.

A device that is taken out is expelled for good: it reads nothing new, and nothing that it
says counts. It keeps what it has. It hears of it at its next contact, if there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.held import HeldSpaces
from chez.home.pairing import fingerprint
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.spaces.copies import copy_person, say_everywhere
from chez.spaces.space import SpaceKeys, keep_statement
from chez.spaces.statements import Certify, Cut, Expel, RenameDevice, Retire, Role, Signed, sign_statement
from chez.store.database import Connection, Database
from chez.sync.chains import last_counted
from chez.sync.entry import read_signed

__all__ = ("DeviceInfo", "Devices")

_SHORTEST: Final = 4
"""Hexadecimal digits by which a device may be named, at least."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device of the person.

    `seen` is the time, by the device's own clock, of its last entry that is here; None when
    none is. `let_in_by` is the name of the device that certified it, None for the root. `own`
    says that it is this one, `active` that it was not taken out.
    """

    id: bytes = field(repr=False)
    name: str
    fingerprint: str
    seen: datetime | None
    let_in_by: str | None
    own: bool
    active: bool


class Devices:
    """The devices of a home's person: `home.devices`."""

    def __init__(self, database: Database, spaces: HeldSpaces, device: DeviceKeys, journal: Journal) -> None:
        self._database = database
        self._spaces = spaces
        self._replica = spaces.private.replica
        self._device = device
        self._journal = journal

    def __repr__(self) -> str:
        return f"<Devices of space {self._replica.space.id.hex()[:8]}…>"

    async def all(self) -> list[DeviceInfo]:
        """Every device that ever was one, this one first, then by name."""
        return await self._database.read(self._all)

    async def rename(self, which: str | bytes, name: str) -> None:
        """Call a device differently, everywhere. Raises `NotFound`, `InvalidValue`, `NotAllowed`."""
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise InvalidValue(f"{name!r} can't be a device's name", "Use 1 to 64 printable characters.")

        def work(db: Connection) -> None:
            space, person = self._space(db)
            id = self._find(space, which)
            heads = space.membership.person_heads(person)
            say_everywhere(db, self._everywhere(db), sign_statement(
                RenameDevice(person, heads, self._device.id, id, name), self._device.signing))
            self._journal.record(db, "device-renamed", {"device": id.hex(), "name": name})

        await self._database.write(work)

    async def remove(self, which: str | bytes, *, too: Sequence[str | bytes] = ()) -> DeviceInfo:
        """Take a device out of all spaces, and start a new epoch in each; returns what is known of it.

        In a space that others own, they start it when they hear of it.

        Devices that it had let in stay, except those named in `too`: look at `let_in_by` first,
        for who has a stolen device may have let in another. Raises `NotFound`, `NotAllowed`
        for this very device, or when it was taken out itself.
        """
        def work(db: Connection) -> DeviceInfo:
            space, person = self._space(db)
            ids = [self._find(space, one) for one in (which, *too)]
            if self._device.id in ids:
                raise NotAllowed("a device does not take out itself", "Do it on another one; `chez wipe` empties this.")
            infos = {info.id: info for info in self._all(db)}
            spaces = self._everywhere(db)
            for id in ids:
                self._expel(db, spaces, person, id, set(ids))
                self._journal.record(db, "device-removed", {"device": id.hex(), "name": infos[id].name})
            for held in list(self._spaces.all.values()):
                if held.space.membership.state.right(self._device.id) is Role.OWNER:
                    held.replica.rotate(db)
                held.replica.recount(db)
            return infos[ids[0]]

        return await self._database.write(work)

    async def rotate(self) -> None:
        """Start a new epoch: whoever has older keys only reads nothing that is written from now on."""
        def work(db: Connection) -> None:
            self._replica.rotate(db)
            self._journal.record(db, "epoch-started", {"number": self._replica.space.epoch.number})

        await self._database.write(work)

    # --- in the database's thread -----------------------------------------------------------

    def _space(self, db: Connection) -> tuple[SpaceKeys, bytes]:
        self._replica.refresh(db)
        space = self._replica.space
        create = space.membership.create
        assert create is not None  # load_space refuses a space without it
        if self._replica.removed:
            raise NotAllowed("this device was taken out by another one of yours", "Use that one, or your 24 words.")
        return space, create.person

    def _everywhere(self, db: Connection) -> list[SpaceKeys]:
        """All spaces, with what there is to say of the person's devices already said in each."""
        for held in list(self._spaces.all.values()):
            held.replica.refresh(db)
            copy_person(db, held.space.n, held.space.membership)
        return [held.space for held in self._spaces.all.values()]

    def _expel(self, db: Connection, spaces: list[SpaceKeys], person: bytes, id: bytes, going: set[bytes]) -> None:
        members, key = spaces[0].membership, self._device.signing
        let_in = [statement for statement in members.person_log(person)
                  if isinstance(statement.body, Certify) and statement.body.issuer == id]
        keep = [one.hash for one in let_in if _certified(one) not in going]
        say_everywhere(db, spaces, sign_statement(
            Expel(person, members.person_heads(person), self._device.id, id, keep), key))
        for space in spaces:
            if space.membership.state.right(self._device.id) is not None:
                sequence, last = last_counted(db, space.n, id)
                keep_statement(db, space.n, space.membership, sign_statement(Retire(
                    space.id, space.membership.named_heads, self._device.id, Cut(id, sequence, last)), key))

    def _all(self, db: Connection) -> list[DeviceInfo]:
        self._replica.refresh(db)
        space = self._replica.space
        state = space.membership.state
        infos = []
        for id in state.certificates:
            device = state.device(id)
            if device is None:
                continue
            issuer = state.device(device.issuer)
            infos.append(DeviceInfo(id, device.name, fingerprint(id), _seen(db, space.n, id),
                                    None if issuer is None else issuer.name, id == self._device.id,
                                    state.right(id) is not None))
        return sorted(infos, key=lambda info: (not info.own, not info.active, info.name, info.id))

    def _find(self, space: SpaceKeys, which: str | bytes) -> bytes:
        """A device that is not taken out, by its id, the beginning of that in hexadecimal, or its name."""
        devices = space.membership.state.devices
        if isinstance(which, bytes):
            found = [id for id in devices if id == which]
        else:
            found = [id for id, device in devices.items() if device.name == which] or [
                id for id in devices if len(which) >= _SHORTEST and id.hex().startswith(which.lower())]
        if len(found) > 1:
            raise InvalidValue(f"{which!r} names {len(found)} devices",
                               "Use the beginning of an id: `chez device list`.")
        if not found:
            shown = which.hex() if isinstance(which, bytes) else which
            raise NotFound(f"no device of yours is called {shown!r}", "`chez device list` shows them.")
        return found[0]


def _certified(statement: Signed) -> bytes:
    return statement.body.device if isinstance(statement.body, Certify) else b""


def _seen(db: Connection, space: int, device: bytes) -> datetime | None:
    row = db.execute("SELECT inner FROM entry WHERE space = ? AND author = ? ORDER BY sequence DESC LIMIT 1",
                     (space, device)).fetchone()
    if row is None:
        return None
    try:
        return datetime.fromtimestamp(read_signed(row[0]).inner.time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a clock beyond all calendars
