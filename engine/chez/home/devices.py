"""A person's devices: which there are, what they are called, and taking one out.

A device that is taken out is expelled for good: it reads nothing new, and nothing that it
says counts. It keeps what it has. It hears of it at its next contact, if there is one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from chez import crypto
from chez.checked import checked
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.held import Held, HeldSpaces
from chez.home.names import check_name
from chez.home.pairing import fingerprint
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.records.values import moment
from chez.spaces.copies import copy_person, say_everywhere
from chez.spaces.membership import Membership
from chez.spaces.permits import check_device
from chez.spaces.removals import name_of, removed_by
from chez.spaces.space import SpaceKeys
from chez.spaces.state import Device
from chez.spaces.statements import MAX_HEADS, MAX_KEPT, Certify, Expel, RenameDevice, Role, sign_statement
from chez.store.database import Connection, Database
from chez.sync.chains import known_whole
from chez.sync.entry import read_kept
from chez.sync.retiring import retire

__all__ = ("DeviceInfo", "Devices", "Rotated", "expel", "expel_by_root")

_SHORTEST: Final = 4
"""Hexadecimal digits by which a device may be named, at least."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device of the person.

    `seen` is the time, by the device's own clock, of its last entry that is here; None when
    none is. `let_in_by` is the name of the device that certified it, None for the root; `let_in`
    are the ids of the active devices that it certified, or that those did, and so on. `own` says
    that it is this one, `active` that it was not taken out, `removed_by` by which device it was, if that is known (of
    this one: which device says so); `founder` that the person's home was made on it.
    """

    id: bytes = field(repr=False)
    name: str
    fingerprint: str
    seen: datetime | None
    let_in_by: str | None
    own: bool
    active: bool
    let_in: tuple[bytes, ...] = field(default=(), repr=False)
    removed_by: str | None = None
    founder: bool = False


class Rotated(msgspec.Struct, frozen=True):
    """A new epoch: of which space (its id and name), and its number."""

    space: str
    name: str
    epoch: int


def expel(db: Connection, spaces: Sequence[SpaceKeys], device: DeviceKeys, person: bytes, gone: bytes,
          going: set[bytes]) -> None:
    """Say, as a device of the same person, that one is out of these spaces, the private one first.

    What it had let in stays, as far as one can say so (`_staying`), but for those that are `going` too. Epochs and
    records are the caller's to see to.
    """
    members = spaces[0].membership
    keep = _staying(members, person, gone, going)
    say_everywhere(db, spaces, sign_statement(
        Expel(person, members.person_heads(person, device.id, gone), device.id, gone, keep), device.signing))
    for space in spaces:
        if known_whole(db, space, device.id):
            retire(db, space, device, gone)


def expel_by_root(db: Connection, spaces: Sequence[SpaceKeys], root: crypto.SigningKey, staying: bytes,
                  gone: Collection[bytes]) -> set[bytes]:
    """Say, as the person's root, that these devices are out of these spaces, the private one first; of which it is new.

    What they had let in stays, but for those that are `gone` too. Where they had taken out the
    device that is `staying`, the root speaks as one who never heard of it, nor of what builds
    on it: so that is void. Epochs and records are the caller's to see to.
    """
    members, person = spaces[0].membership, root.public
    told = {one.body.device for one in members.person_log(person)
            if isinstance(one.body, Expel) and one.body.issuer == person}
    heads = members.person_heads(person, *sorted(gone))
    if members.state.right(staying) is None:
        heads = _unheard(members, person, gone)[:MAX_HEADS]
    words = [sign_statement(Expel(person, heads, person, id, _staying(members, person, id, gone)), root)
             for id in sorted(gone)]
    for word in words:
        say_everywhere(db, spaces, word)
    return set(gone) - told


def _staying(members: Membership, person: bytes, gone: bytes, going: Collection[bytes]) -> list[bytes]:
    """The certificates by which stays what a device had let in that goes, but for those that are `going` too.

    Of very many the first: who has a stolen device may let in others without end, which go with it then.
    """
    found: dict[bytes, bytes] = {}
    effective = members.state.certificates
    for one in members.person_log(person):
        body = one.body
        if isinstance(body, Certify) and body.issuer == gone and body.device not in going and (
                body.device not in found or one.hash in effective.get(body.device, {})):
            found[body.device] = one.hash
    return list(found.values())[:MAX_KEPT]


def _unheard(members: Membership, person: bytes, gone: Collection[bytes]) -> list[bytes]:
    """What a person's log ends with for who heard of nobody that these devices took out, but for each other."""
    log = members.person_log(person)
    wrong = [one.hash for one in log
             if isinstance(one.body, Expel) and one.body.issuer in gone and one.body.device not in gone]
    heard = [one for one in log if one.hash not in wrong and not any(members.before(word, one.hash) for word in wrong)]
    built_on = {head for one in heard for head in one.heads}
    return sorted(one.hash for one in heard if one.hash not in built_on)


@checked
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

    async def find(self, which: str | bytes) -> DeviceInfo:
        """A device that was not taken out, by its id, the beginning of that in hexadecimal, or its name.

        Raises `NotFound`, `InvalidValue` when several are called so.
        """
        def work(db: Connection) -> DeviceInfo:
            infos = self._all(db)
            id = self._find(self._replica.space, which)
            return next(info for info in infos if info.id == id)

        return await self._database.read(work)

    async def rename(self, which: str | bytes, name: str) -> None:
        """Call a device differently, everywhere. Raises `NotFound`, `InvalidValue`, `NotAllowed`."""
        check_name(name, "device")

        def work(db: Connection) -> None:
            space, person = self._space(db)
            id = self._find(space, which)
            former = space.membership.devices[id].name
            heads = space.membership.person_heads(person, self._device.id, id)
            say_everywhere(db, self._everywhere(db), sign_statement(
                RenameDevice(person, heads, self._device.id, id, name), self._device.signing))
            self._journal.record(db, "device-renamed", {"device": id.hex(), "name": name, "former": former})

        await self._database.write(work)

    async def remove(self, which: str | bytes, *, too: Sequence[str | bytes] = ()) -> DeviceInfo:
        """Take a device out of all spaces, and start a new epoch in each; returns what is known of it.

        In a space that others own, they start it when they hear of it.

        Devices that it had let in stay, except those named in `too`: look at `let_in_by` first,
        for who has a stolen device may have let in another. Raises `NotFound`, `NotAllowed`
        for this very device, when it was taken out itself, and before its first sync.
        """
        def work(db: Connection) -> DeviceInfo:
            space, person = self._space(db)
            ids = [self._find(space, one) for one in (which, *too)]
            if self._device.id in ids:
                raise NotAllowed("a device does not take out itself", "Do it on another one; `chez wipe` empties this.")
            if not known_whole(db, space, self._device.id):
                raise NotAllowed("this device has read nothing yet of what the others wrote, and would take it out too",
                                 "Sync first.")
            infos = {info.id: info for info in self._all(db)}
            spaces = self._everywhere(db)
            for id in ids:
                expel(db, spaces, self._device, person, id, set(ids))
                self._journal.record(db, "device-removed", {"device": id.hex(), "name": infos[id].name})
            for held in list(self._spaces.all.values()):
                if self._owns(held):
                    held.replica.rotate(db)
                held.replica.recount(db)
            return infos[ids[0]]

        return await self._database.write(work)

    async def rotate(self, space: str | None = None, *, everywhere: bool = False) -> list[Rotated]:
        """Start a new epoch: whoever has older keys only reads nothing that is written from now on.

        In the private space, in another by its name or id, or `everywhere` that this person is
        an owner. Raises `NotFound`, `NotAllowed` in a space of others.
        """
        def work(db: Connection) -> list[Rotated]:
            self._space(db)  # refuses for who was taken out
            chosen = [self._spaces.private if space is None else self._spaces.find(space)]
            if everywhere:
                chosen = [held for held in list(self._spaces.all.values()) if self._owns(held)]
            for held in chosen:
                held.replica.rotate(db)
                held.engine.receipt(db, "epoch-started", {"number": held.space.epoch.number})
            return [Rotated(held.id, held.space.name, held.space.epoch.number) for held in chosen]

        return await self._database.write(work)

    # --- in the database's thread -----------------------------------------------------------

    def _owns(self, held: Held) -> bool:
        return held.space.membership.state.right(self._device.id) is Role.OWNER

    def _space(self, db: Connection) -> tuple[SpaceKeys, bytes]:
        self._replica.refresh(db)
        space = self._replica.space
        create = space.membership.create
        assert create is not None  # load_space refuses a space without it
        check_device(space, self._device.id)
        return space, create.person

    def _everywhere(self, db: Connection) -> list[SpaceKeys]:
        """All spaces, with what there is to say of the person's devices already said in each."""
        for held in list(self._spaces.all.values()):
            held.replica.refresh(db)
            copy_person(db, held.space.n, held.space.membership)
        return [held.space for held in self._spaces.all.values()]

    def _all(self, db: Connection) -> list[DeviceInfo]:
        self._replica.refresh(db)
        space = self._replica.space
        state = space.membership.state
        devices = [device for id in state.certificates if (device := state.device(id)) is not None]
        certified: dict[bytes, list[bytes]] = {}
        for id, held in state.certificates.items():
            for certificate in held.values():  # by whomever: no other one hides who let it in
                certified.setdefault(certificate.issuer, []).append(id)
        active = state.devices
        infos = [self._info(db, device, tuple(one for one in _let_in(certified, device.id) if one in active))
                 for device in devices]
        return sorted(infos, key=lambda info: (not info.own, not info.active, info.name, info.id))

    def _info(self, db: Connection, device: Device, let_in: tuple[bytes, ...]) -> DeviceInfo:
        space, id = self._replica.space, device.id
        state, own = space.membership.state, id == self._device.id
        issuer = state.device(device.issuer)
        active = state.right(id) is not None and not (own and self._replica.access.removed)
        by = None if active else removed_by(space, id)
        return DeviceInfo(id, device.name, fingerprint(id), _seen(db, space.n, id),
                          None if issuer is None else issuer.name, own, active, let_in,
                          None if by is None else name_of(state, by, {device.person}),
                          state.create is not None and state.create.issuer == id)

    def _find(self, space: SpaceKeys, which: str | bytes) -> bytes:
        """A device that is not taken out, by its id, the beginning of that in hexadecimal, or its name."""
        devices = space.membership.state.devices
        if isinstance(which, bytes):
            found = [id for id in devices if id == which]
        else:
            # Who has a stolen device may call another one as the stolen one's id begins.
            found = [id for id in devices if id.hex() == which.lower()] or [
                id for id, device in devices.items() if device.name == which or (
                    len(which) >= _SHORTEST and id.hex().startswith(which.lower()))]
        if len(found) > 1:
            raise InvalidValue(f"{which!r} names {len(found)} devices",
                               "Use the beginning of an id: `chez device list`.")
        if not found:
            shown = which.hex() if isinstance(which, bytes) else which
            raise NotFound(f"no device of yours is called {shown!r}", "`chez device list` shows them.")
        return found[0]


def _let_in(certified: Mapping[bytes, list[bytes]], id: bytes) -> Iterator[bytes]:
    """The devices that it certified, those that these did, and so on."""
    known, ready = {id}, [id]
    while ready:
        for below in certified.get(ready.pop(), ()):
            if below not in known:
                known.add(below)
                ready.append(below)
                yield below


def _seen(db: Connection, space: int, device: bytes) -> datetime | None:
    row = db.execute("SELECT inner FROM entry WHERE space = ? AND author = ? ORDER BY sequence DESC LIMIT 1",
                     (space, device)).fetchone()
    return None if row is None else moment(read_kept(row[0]).inner.time)
