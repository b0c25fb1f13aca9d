"""A device that is left takes the person's spaces back, by the 24 words.

Whoever has a stolen device, unlocked, may start epochs that leave nothing for the words, take
out the other devices, and replace or delete what a relay has. Then nothing comes back from the
relay alone; what a device that is left holds is whole, and the words outrank the thief:

1. All that the relay still gives is read. Nothing is sent.
2. In one transaction the root takes out the devices that are named, and with them makes void
   what they said of the others; each space that is the person's begins a new epoch.
3. Relays get these epochs' keys, by the relay recovery key where they take no other, are read
   from their beginning and sent whatever they lack.

Whoever is cut off runs it again. The root key is in memory meanwhile, and nowhere else.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from chez.checked import checked
from chez.errors import InvalidValue, NotAllowed, NotFound, RelayMisbehaved, RelayRefused
from chez.home.devices import DeviceInfo, expel_by_root
from chez.home.exporting import OnProgress
from chez.home.held import Held
from chez.home.home import Home
from chez.home.lifecycle import open
from chez.home.pairing import Ask
from chez.home.reports import SpaceStatus
from chez.home.taking_back import sync_back, words_open
from chez.keys.person import Person, person_of
from chez.spaces.copies import copy_person
from chez.spaces.removals import OWN_ROOT
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.chains import known_whole
from chez.sync.retiring import retire

__all__ = ("TakenBack", "take_back")

_LEAST: Final = 4
"""Hexadecimal digits by which a device may be named, at least."""


class TakenBack(msgspec.Struct, frozen=True):
    """How the person's spaces stand after they were taken back.

    `expelled` are the devices that were taken out now; `records` of all spaces; `spaces` tells
    how each stands. `problem` tells why the 24 words would not find the private space at the
    relay yet, empty when they do: run it again.
    """

    records: int
    expelled: tuple[DeviceInfo, ...]
    devices: tuple[DeviceInfo, ...]
    spaces: tuple[SpaceStatus, ...]
    problem: str = ""


@checked
async def take_back(path: Path | str, words: str, *, passphrase: str | None = None,
                    expel: Sequence[str | bytes] = (), expel_others: bool = False, ask: Ask | None = None,
                    progress: OnProgress | None = None, timeout: float = 3600.0) -> TakenBack:
    """Take the spaces of the home at `path` back from a device in wrong hands, by the person's 24 words.

    For a device that is left, when a stolen one locked the others or the words out of a relay,
    took devices out or deleted spaces. `expel` names the devices to take out for good, by id,
    the beginning of that or name; `expel_others` is all but this one. Where neither is given and
    `ask` is, the person is asked. Devices that these had let in stay, unless named too: a thief may
    have let in another. What these said of this person's devices at the same time is
    void, and if they had taken this one out, it is in again. The relay gets what this device
    holds and new keys, so that `chez.recover` works again.

    In one transaction here, then at the relay: who was cut off runs it again. `progress(done,
    total)` in entries, of reading the relay's logs; `timeout` is in seconds.

    Raises `InvalidValue` for words that are none, or another person's, `NotFound` for a device
    that is not there and where no relay is set, `NotAllowed` when a device that stays had taken
    out this one, `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`, and what `chez.open` does.
    """
    person = person_of(words)
    async with open(path, passphrase=passphrase) as home:
        if home.person_id != person.root.public:
            raise InvalidValue("these are the words of another person than whose home this is",
                               "Look at your paper: `chez recovery check` tries it.")
        taking = _Taking(home, person, home._syncing.routes.choose(None))
        await taking.read(timeout, progress)
        gone = await taking.chosen(expel, expel_others, ask)
        await taking.say(gone)
        return await taking.tell(gone, timeout)


@dataclass(frozen=True, slots=True)
class _Taking:
    home: Home
    person: Person = field(repr=False)
    url: str

    async def read(self, timeout: float, progress: OnProgress | None) -> None:
        """Read what the relay still gives; that may be nothing. Raises `RelayUnreachable`."""
        self.home._spaces.come_back(self.person, silent=True)
        await self.home._syncing.catch_up()
        async with self.home._syncing.connected(self.url, retry=False, send=False) as link:
            async def watch() -> None:
                while progress is not None:
                    progress(link.progress.position, max(link.progress.position, link.progress.end))
                    await link.turn()

            watching = asyncio.create_task(watch())
            try:
                with suppress(RelayRefused, RelayMisbehaved):  # that is why we are here
                    await self.home.sync(timeout=timeout)
            finally:
                watching.cancel()

    async def chosen(self, expel: Sequence[str | bytes], others: bool, ask: Ask | None) -> list[DeviceInfo]:
        """The devices to take out, also such as are out by another device's word. Raises `NotFound`, `InvalidValue`."""
        every = [info for info in await self.home.devices.all() if not info.own]
        if others:
            return every
        if expel or ask is None or not every:
            return [_named(every, one) for one in expel]
        shown = "; ".join(f"{info.name!r} (fingerprint {info.fingerprint}, let in by {_by(info)}"
                          f"{'' if info.active else ', taken out'})" for info in every)
        answer = await ask(f"Your other devices: {shown}. Which are in wrong hands, and go for good? Names, with "
                           "commas between; or all, or none.", default="none")
        names = [name.strip() for name in answer.split(",") if name.strip()]
        if [name.lower() for name in names] in ([], ["none"], ["no"]):
            return []
        return every if [name.lower() for name in names] == ["all"] else [_named(every, name) for name in names]

    async def say(self, gone: Sequence[DeviceInfo]) -> None:
        """The root takes out these devices; new epochs begin. Raises `NotAllowed`."""
        await self.home._database.write(lambda db: self._say(db, gone))

    def _say(self, db: Connection, gone: Sequence[DeviceInfo]) -> None:
        every = list(self.home._spaces.all.values())
        for held in every:
            held.replica.refresh(db)
            copy_person(db, held.space.n, held.space.membership)
        new = expel_by_root(db, [held.space for held in every], self.person.root, self.home.device_id,
                            {info.id for info in gone})
        private = self.home._spaces.private.space.membership
        if private.state.right(self.home.device_id) is None:
            raise NotAllowed("a device that stays had taken out this one",
                             "Name it among those to take out, or use it: or bring all back with `chez recover` on it.")
        for held in every:
            self._begin_anew(db, held, gone)
        journal = self.home.journal
        journal.record(db, "home-taken-back", {"relay": self.url})
        for info in [info for info in gone if info.id in new]:
            journal.record(db, "device-removed", {"device": info.id.hex(), "name": info.name})

    def _begin_anew(self, db: Connection, held: Held, gone: Sequence[DeviceInfo]) -> None:
        space, device = held.space, self.home._device
        right = space.membership.state.right(device.id)
        if right is None:
            return
        db.execute("UPDATE space SET farewell = 0 WHERE n = ?", (space.n,))  # it was of who is out now
        space.farewell = False
        if known_whole(db, space, device.id):  # else it is seen to once it was read
            for info in gone:
                if info.id in space.membership.state.expelled - space.membership.state.retired:
                    retire(db, space, device, info.id)
        if right is Role.OWNER:
            with suppress(NotAllowed):  # keys of another device's are on their way: the sync starts it
                held.replica.rotate(db)
        held.replica.recount(db)

    async def tell(self, gone: Sequence[DeviceInfo], timeout: float) -> TakenBack:
        """Relays hear of it, whatever they hold. Raises what `Home.sync` does."""
        home = self.home
        home._spaces.come_back(self.person, silent=False)
        report = await sync_back(home, self.person, timeout, reseed=True)
        problems = {space.id: space for space in report.problems}
        status, ids = await home.status(), {info.id for info in gone}
        devices = [info for info in await home.devices.all() if not info.own]
        return TakenBack(status.records, tuple([info for info in devices if info.id in ids]), tuple(devices),
                         tuple([problems.get(space.id, space) for space in status.spaces]),
                         await words_open(home, self.person, self.url))


def _by(info: DeviceInfo) -> str:
    return OWN_ROOT if info.let_in_by is None else repr(info.let_in_by)


def _named(every: Sequence[DeviceInfo], which: str | bytes) -> DeviceInfo:
    """One of the devices, in or out. Raises `NotFound`, and `InvalidValue` when several are called so."""
    if isinstance(which, bytes):
        found = [info for info in every if info.id == which]
    else:
        lower = which.lower()
        # Who has a stolen device may call another one as the stolen one's id begins.
        found = [info for info in every if info.id.hex() == lower] or [
            info for info in every if info.name == which or (
                len(which) >= _LEAST and info.id.hex().startswith(lower))]
    if not found:
        shown = which.hex() if isinstance(which, bytes) else which
        raise NotFound(f"no other device of yours is called {shown!r}", "`chez device list` shows them.")
    if len(found) > 1:
        raise InvalidValue(f"{which!r} names {len(found)} devices", "Use the beginning of an id: `chez device list`.")
    return found[0]
