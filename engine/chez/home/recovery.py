"""A home comes back: from the 24 words and a relay alone, on a machine that has nothing.

1. The words give where the private space is, and what opens its packet: the space is
   surveyed (`sync.surveyor`).
2. In a folder beside the home's place a store is made with a new device's keys, and all
   spaces are read into it. Nothing is sent: whoever is cut off here leaves nothing anywhere.
3. In one transaction the root certifies the device and, where that is wanted, expels all
   others, which are retired in each space that was read whole; new epochs begin.
4. The folder takes its place: the home is whole. What was said leaves with its first sync.

The root key is in memory from 1 to 4, and nowhere else.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chez import crypto
from chez.checked import checked
from chez.errors import (
    ChezError,
    HomeExists,
    LockedOut,
    NotAllowed,
    NotFound,
    RelayMisbehaved,
    RelayRefused,
    RelayUnreachable,
)
from chez.home.building import ensure_free
from chez.home.coming_back import coming_back, sweep
from chez.home.devices import DeviceInfo
from chez.home.exporting import OnProgress
from chez.home.held import Held
from chez.home.home import Home
from chez.home.lifecycle import check_new, fill_store, locked, make_store, new_device, opened
from chez.home.pairing import Ask
from chez.home.reports import SpaceStatus, SyncReport
from chez.home.returning import keep
from chez.home.taking_back import sync_back
from chez.journal import close_accounts
from chez.keys.device import DeviceKeys
from chez.keys.person import Person, person_of
from chez.spaces.copies import copy_person, say_everywhere
from chez.spaces.enrolment import own_certificate
from chez.spaces.farewells import farewells, keep_farewells, kept_farewells
from chez.spaces.rotation import recovery_tag_of
from chez.spaces.space import SpaceKeys, store_space
from chez.spaces.statements import Expel, Kind, Role, sign_statement
from chez.store.database import Connection
from chez.sync.connection import connect, relay_name
from chez.sync.link import Link
from chez.sync.retiring import retire
from chez.sync.survey import Survey
from chez.sync.surveyor import survey
from chez_wire.login import Role as WireRole
from chez_wire.login import handle_of

__all__ = ("Recovered", "recover")


class Recovered(msgspec.Struct, frozen=True):
    """What came back.

    `records` of all spaces; `devices` are those that the person had, `expelled` those of them
    that were taken out now. `missing` entries wait for others that the relay does not show;
    `quarantined` ones failed a check. `spaces` tells how each space stands. `problem` tells
    why the relay could not be told of this device yet, empty when it was: `sync` does that.
    """

    name: str
    records: int
    devices: tuple[DeviceInfo, ...]
    expelled: tuple[DeviceInfo, ...]
    missing: int
    quarantined: int
    spaces: tuple[SpaceStatus, ...]
    problem: str = ""


@checked
async def recover(path: Path | str, words: str, *, relay: str, passphrase: str, name: str = "device",
                  expel_others: bool = False, ask: Ask | None = None, incomplete: bool = False,
                  kdf: crypto.Kdf | None = None, progress: OnProgress | None = None,
                  timeout: float = 3600.0) -> Recovered:
    """Make a home that is a new device of the person whose 24 words these are, with all that its relay has.

    `relay` is one that the person's devices are in step with. `expel_others` takes out all
    other devices of the person, for good: what they write from then on counts nowhere, and
    they read nothing new. Where it is False and `ask` is given, the person is asked, with the
    devices by name. Attachments come when they are read.

    Nothing is at `path` before the home is whole, nor is anything told to the relay; what was
    cut off is begun anew by the same call. With `incomplete` what the relay has is taken also
    where it is known that something is missing. `progress(done, total)` in entries, of reading
    all of it twice; `timeout` is in seconds.

    Raises `InvalidValue` for words that are none, `NotFound` when the relay knows no person
    with these words, `LockedOut` when it has the person's space and nothing there that they open
    (then `take_back` on a device that is left), `RelayMisbehaved` when it hides or alters
    something, `RelayUnreachable`, `RelayRefused`, `HomeExists`, `StorageFailed`.
    """
    folder, person = Path(path), person_of(words)
    check_new(passphrase, name)
    relay_name(relay)
    ensure_free(folder, lambda: _exists(folder))
    sweep(folder)
    steps = _Steps(progress)
    found = await _private(person, relay, steps)
    device = new_device()

    def fill(db: Connection) -> int:
        return store_space(db, found.space, "private", found.membership.statements, found.epochs.values(),
                           handle_of(person.admin.public), sent=True)

    with coming_back(folder, lambda: _exists(folder)) as made:
        key = await make_store(made, passphrase, kdf, device,
                               lambda db, _: fill_store(db, device, name, person.root.public, relay, fill))
        async with opened(made, key) as home:
            coming = _Coming(home, person, device, name, relay)
            await coming.read(steps, timeout, incomplete)
            missing = await coming.missing()
            expelled = await coming.say(expel_others or await coming.asked(ask))
            result = await coming.result(expelled, missing)
    return await _tell(folder, key, person, result, timeout, incomplete)


async def _private(person: Person, relay: str, steps: "_Steps") -> Survey:
    """The person's own space at a relay: what a packet for the recovery key leads to."""
    handle, tag = handle_of(person.admin.public), recovery_tag_of(person.nonce, person.recovery.public)
    try:
        found = await survey(relay, handle, tag, person.recovery, progress=steps.surveyed)
    except NotFound:
        if (known := await _known(relay, handle, person)) != "unknown":
            raise _locked_out(f"the private space of this person was deleted at {relay_name(relay)}"
                              if known == "deleted" else f"{relay_name(relay)} has this person's private space, and no "
                              "keys to it for the words") from None
        raise NotFound(f"{relay_name(relay)} knows nothing of the person whose words these are",
                       "Is it the relay that your devices were in step with? Words that fit each other may still be "
                       "another person's: look at your paper.") from None
    except RelayMisbehaved as error:
        raise _locked_out(error.message) from None
    except NotAllowed:
        raise _replaced(relay) from None
    except RelayRefused as error:
        if error.reason != "denied":
            raise
        raise _locked_out(error.message) from None
    create = found.membership.create
    if create is None or create.kind is not Kind.PRIVATE or (create.person, create.admin, create.nonce) != (
            person.root.public, person.admin.public, person.nonce):
        raise _replaced(relay)
    return found


async def _known(relay: str, handle: bytes, person: Person) -> str:
    """How a relay refuses a wrong key to a space: as one that it does not know, that was deleted, or that it has."""
    async with connect(relay) as opened:
        (outcome,) = await opened.open([(handle, WireRole.READ, person.relay_recovery)])
        return outcome.error


def _replaced(relay: str) -> LockedOut:
    return _locked_out(f"{relay_name(relay)} has something else in the place of this person's private space")


def _locked_out(message: str) -> LockedOut:
    return LockedOut(message, "A stolen device of yours may have done that, or the relay. On a device that is left, "
                     "run `chez take-back`: it has your data, and the words put it back there. Or use another relay "
                     "that your devices were in step with, or a backup (`chez restore`).")


@dataclass(frozen=True, slots=True)
class _Coming:
    """A home that is being read, by a device that nobody has certified yet."""

    home: Home
    person: Person = field(repr=False)
    device: DeviceKeys
    name: str
    relay: str
    behind: set[bytes] = field(default_factory=set)
    """The spaces, by id, that could not be read whole."""

    async def read(self, steps: "_Steps", timeout: float, incomplete: bool) -> None:
        """Read all spaces, and send nothing. Raises what `recover` does."""
        self.home._spaces.come_back(self.person, silent=True)
        before = -1
        while True:
            try:
                report = await self._sync(steps, timeout)
            except (RelayUnreachable, RelayMisbehaved) as error:
                now = await self._position()
                lies = isinstance(error, RelayMisbehaved)
                if lies and not incomplete:
                    raise _hides(error.message) from None
                if now > before:
                    before = now  # a connection broke, or there is more behind what does not fit
                    continue
                if not lies:
                    raise
                break
            self.behind.update(bytes.fromhex(space.id) for space in report.problems)
            break
        if not incomplete and (missing := await self.missing(private=True)):
            raise _hides(f"{missing} entries that it has follow others that it does not show")

    async def _sync(self, steps: "_Steps", timeout: float) -> SyncReport:
        await self.home._syncing.catch_up()
        async with self.home._syncing.connected(self.relay, retry=False, send=False) as link:
            watching = asyncio.create_task(steps.watch(link))
            try:
                return await self.home.sync(timeout=timeout)
            finally:
                watching.cancel()

    async def _position(self) -> int:
        return await self._number("SELECT coalesce(sum(position), 0) FROM cursor")

    async def missing(self, *, private: bool = False) -> int:
        """How many entries wait for others, but those of devices that were taken out before they wrote them.

        Such ones count for nothing, and may follow what a thief sealed so that nobody reads it.
        """
        def waiting(db: Connection, held: Held) -> int:
            cuts = held.space.membership.cuts
            rows = db.execute("SELECT author, sequence FROM parked WHERE space = ?", (held.space.n,)).fetchall()
            return sum(all(sequence <= cut.sequence for cut in cuts(author)[:1]) for author, sequence in rows)

        spaces = self.home._spaces
        asked = [spaces.private] if private else list(spaces.all.values())
        return await self.home._database.read(lambda db: sum(waiting(db, held) for held in asked))

    async def _number(self, query: str) -> int:
        return int(await self.home._database.read(lambda db: db.execute(query).fetchone()[0]))

    async def asked(self, ask: Ask | None) -> bool:
        """Whether the person wants the other devices taken out, shown by name."""
        others = await self._others()
        if ask is None or not others:
            return False
        shown = "; ".join(f"{info.name!r} (fingerprint {info.fingerprint}, last seen {_day(info)})" for info in others)
        answer = await ask(f"The person has {len(others)} other device{'s' if len(others) > 1 else ''}: {shown}. "
                           "Take out all of them, for good? Yes, if one may be in wrong hands.", default="no")
        return answer.strip().lower() in ("y", "yes", "o", "oui")

    async def _others(self) -> list[DeviceInfo]:
        return [info for info in await self.home.devices.all() if info.active]

    async def say(self, expelling: bool) -> tuple[DeviceInfo, ...]:
        """The root lets this device in, and takes out the others if that is wanted; these are returned."""
        gone = tuple(await self._others()) if expelling else ()

        def work(db: Connection) -> None:
            every = list(self.home._spaces.all.values())
            for held in every:
                held.replica.refresh(db)
                copy_person(db, held.space.n, held.space.membership)
            self._certify(db, [held.space for held in every], gone)
            for held in every if gone else ():
                if held.space.id in self.behind:
                    continue  # where nobody knows what the devices wrote; that is seen to once it was read
                for info in gone:
                    retire(db, held.space, self.device, info.id)
                if held.space.membership.state.right(self.device.id) is Role.OWNER:
                    held.replica.rotate(db)
                    self._say_farewell(db, held.space)
                held.replica.recount(db)
            close_accounts(db)
            journal = self.home.journal
            keep(db, self.person.recovery)
            journal.record(db, "home-recovered", {"name": self.name, "relay": self.relay})
            for info in gone:
                journal.record(db, "device-removed", {"device": info.id.hex(), "name": info.name})

        await self.home._database.write(work)
        return gone

    def _certify(self, db: Connection, spaces: list[SpaceKeys], gone: tuple[DeviceInfo, ...]) -> None:
        """By the root, whose word on a device makes void what was said at the same time by it."""
        person, root, members = self.person.root.public, self.person.root, spaces[0].membership
        for info in gone:
            say_everywhere(db, spaces, sign_statement(
                Expel(person, members.person_heads(person, info.id), person, info.id, []), root))
        say_everywhere(db, spaces, own_certificate(person, members.person_heads(person), root, self.device, self.name))

    def _say_farewell(self, db: Connection, space: SpaceKeys) -> None:
        """By the root, whom those know that are out: who is cut off tells relays later, as a device that they don't.

        To the person's own, which are out for good: another's may be let in again, and heeds no word of before.
        """
        state, root = space.membership.state, self.person.root
        own = {device.sealing for id in state.certificates
               if root.public in state.persons_of(id) and (device := state.device(id)) is not None}
        keep_farewells(db, space.id, (one for one in farewells(space.id, state, space.epoch, root) if one[0] in own))
        space.said = kept_farewells(db, space.id)

    async def result(self, expelled: tuple[DeviceInfo, ...], missing: int) -> Recovered:
        """What came back."""
        status = await self.home.status()
        devices = tuple([info for info in await self.home.devices.all() if not info.own])
        return Recovered(self.name, status.records, devices, expelled, missing, status.quarantined,
                         status.spaces)


async def _tell(folder: Path, key: bytes, person: Person, result: Recovered, timeout: float,
                incomplete: bool) -> Recovered:
    """The first sync of a home that came back: its relays hear of the device, and get the new epochs."""
    try:
        with locked(folder):
            async with opened(folder, key) as home:
                home._spaces.come_back(person, silent=False)
                report = await sync_back(home, person, timeout, reseed=incomplete)
                problems = {space.id: space for space in report.problems}
                spaces = tuple([problems.get(space.id, space) for space in result.spaces])
                return msgspec.structs.replace(result, spaces=spaces)
    except ChezError as error:
        return msgspec.structs.replace(result, problem=str(error))


def _hides(message: str) -> RelayMisbehaved:
    return RelayMisbehaved(f"the relay does not show everything: {message}",
                           "Its store was rolled back or damaged, or it hides something. Use another relay that your "
                           "devices were in step with, or take what it has (`--incomplete`).")


def _day(info: DeviceInfo) -> str:
    return "never" if info.seen is None else info.seen.date().isoformat()


def _exists(folder: Path) -> HomeExists:
    return HomeExists(f"there is something at {folder} already",
                      "Choose another folder. If it is the home that came back, cut off at the end: `chez sync` there.")


class _Steps:
    """How far it is: all entries are gone over twice, first to find the keys."""

    def __init__(self, progress: OnProgress | None) -> None:
        self._progress = progress
        self._surveyed = 0

    def surveyed(self, done: int, of: int) -> None:
        """The private space is surveyed."""
        self._surveyed = of
        self._tell(done, 2 * of)

    async def watch(self, link: Link) -> None:
        """All spaces are read."""
        while True:
            now = link.progress
            self._tell(self._surveyed + now.position, self._surveyed + max(now.position, now.end))
            await link.turn()

    def _tell(self, done: int, of: int) -> None:
        if self._progress is not None:
            self._progress(done, of)
