"""`Home`: the object an application holds while a home is open."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

from chez import crypto
from chez.blobs.attachments import Blobs
from chez.checked import checked
from chez.connectors import Connector
from chez.errors import NotFound, StorageFailed
from chez.home.assembly import assemble, unix_milliseconds
from chez.home.backup import About, Backup, BackupReport
from chez.home.collections import collection_in, collections_in, feed_of_home
from chez.home.contacts import Contacts
from chez.home.deposits.desk import Deposits
from chez.home.deposits.syncing import following, sync_and_take
from chez.home.devices import Devices
from chez.home.evidence import Evidence, audit, pick, told
from chez.home.examine import Finding, examine
from chez.home.exchange import Exchange
from chez.home.exporting import ExportReport, on_loop
from chez.home.forgetting import finish_deletions
from chez.home.founding import found_space
from chez.home.importing import ImportReport, OnProgress
from chez.home.joining import come_in, follow_space
from chez.home.kept_exports import KeptExport
from chez.home.lacks import with_lacks
from chez.home.lan import Lan
from chez.home.pairing import Pairing, pair
from chez.home.relays import Relays
from chez.home.reports import CollectionInfo, HomeStatus, Imported, SyncReport, home_status
from chez.home.returning import forget_when_heard
from chez.home.sharing import own_card
from chez.home.space import Space
from chez.home.surroundings import surroundings
from chez.home.transaction import Transaction, cursor_key, transact
from chez.home.unlocking import Keyring, change_key_file
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.query.followed import FOLLOWED
from chez.query.indexes import Declared
from chez.query.sql import AsOf, Rows, run_sql
from chez.records.collection import Collection
from chez.records.feed import FeedPage, cursor_now, state_of
from chez.records.typed import Migration
from chez.records.values import time_text
from chez.spaces.public import Address
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Kind
from chez.store.database import Connection, Database, home_closed
from chez.sync.heads import Alarm
from chez.sync.link import Link

__all__ = ("Home",)

R = TypeVar("R")
S = TypeVar("S")


@checked
class Home:
    """An open home. Made by `chez.open`; all of it is local and works without a network."""

    def __init__(self, path: Path, database: Database, device: DeviceKeys, name: str, person: bytes,
                 spaces: Sequence[SpaceKeys]) -> None:
        self.path = path
        """The folder it is in."""
        self.name = name
        """This device's name."""
        self.person_id = person
        """Whose home it is: the person's public root key (32 bytes)."""
        self._open = parts = assemble(path, database, device, name, person, spaces)
        self._database, self._device = database, device
        self._spaces, self._syncing, self._network = parts.spaces, parts.syncing, parts.network
        self._replica, self._engine = self._spaces.private.replica, self._spaces.private.engine
        self._private = Space(self._spaces.private, parts)
        self._shared: dict[str, Any] = {}
        self._stack = AsyncExitStack()
        self._making, self._over = asyncio.Lock(), False
        self.journal: Journal = parts.journal
        """The receipts of this device."""
        self.keyring = Keyring(path, database, self.journal)
        """The operating system's keyring as a second way to open this home."""
        self.contacts: Contacts = parts.contacts
        """The persons one knows."""
        self.devices = Devices(database, self._spaces, device, self.journal)
        """The person's devices."""
        self.relays = Relays(self._syncing, self._spaces, self.journal)
        """Which relays keep what this home has."""
        self._exchange = Exchange(self._syncing, self.relays.follow, lambda: finish_deletions(
            database, self._syncing, self.journal, device))
        self.lan = Lan(self._network)
        """Sync with devices on the same network."""
        self._addresses_changed = asyncio.Event()
        self.deposits = Deposits(database, self._spaces.private, self._syncing.routes.chosen, unix_milliseconds,
                                 self._addresses_changed.set)
        """What organisations may leave here, and did."""
        self.blobs: Blobs = self._private.blobs
        """Attachments of the private space: files beside records."""

    def __repr__(self) -> str:
        return f"<Home {self.name!r} at {self.path}>"

    @property
    def relay(self) -> str | None:
        """The relay that `sync` and `connect` use when none is named."""
        return self._spaces.private.space.relay

    @property
    def device_id(self) -> bytes:
        """This device's id: its public signing key (32 bytes)."""
        return self._device.id

    # --- spaces -------------------------------------------------------------------------

    async def spaces(self) -> list[Space]:
        """The spaces that this device has, the private one first, the others by name."""
        private, *others = self._spaces.all.values()
        others.sort(key=lambda held: (held.space.name, held.id))
        return [Space(held, self._open) for held in (private, *others)]

    def space(self, what: str | None = None) -> Space:
        """A space by its name, its id, or the first characters of that (8 or more); without, the private one.

        Raises `NotFound`, and `InvalidValue` when several are called so.
        """
        held = self._spaces.private if what is None else self._spaces.find(what)
        return Space(held, self._open)

    async def create_space(self, name: str, *, relay: str | None = None, public: bool = False) -> Space:
        """Make a space of one's own, which all devices of this person then have.

        It is kept in step where the private space is, or at a `relay` of its own. A `public`
        one is read by everybody who has its `address`. Durable here when it returns, whether a
        relay can be reached or not. Raises `InvalidValue` for a name that can't be one, or that
        a space here has.
        """
        kind = Kind.PUBLIC if public else Kind.SHARED
        return Space(self._spaces.all[await found_space(self._open, name, kind, relay)], self._open)

    async def card(self) -> str:
        """This person's card: what others need to share a space with it (`Space.add`), and nothing secret. It names all
        devices of the person, and stays good when there are others.
        """
        return await self._database.read(lambda db: own_card(db, self._replica, self.person_id).text)

    async def join(self, link: str, *, timeout: float = 60.0) -> Space:
        """Come into a space: by its link (`Space.link`) for who was let in, by an invitation's link, or by its code.

        An invitation is answered by a device of who made it: for `timeout` seconds that is
        waited for, then `Unanswered` is raised; what was asked waits at the relay, so the same
        call goes on later. All of the space is here after the next sync, and the person's other
        devices have it after theirs. Raises `InvalidValue` for what is no link, `NotFound` while
        the relay has no keys for this device or knows no such invitation, `NotAllowed` for who
        is no member, has the space already or is refused, `BadPairing` for a wrong code,
        `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`.
        """
        return Space(self._spaces.all[await come_in(self._open, link, timeout, unix_milliseconds())], self._open)

    async def follow(self, address: str) -> Space:
        """Read a public space by its address (`Space.address`), as nobody's member: all devices of this person do.

        What its members write comes with each sync; nothing can be written in it here. Raises as
        `join` does for a link.
        """
        space = Space(self._spaces.all[await follow_space(self._open, Address.read(address))], self._open)
        # Of what was open data, and is that no more, all collections are in SQL, as of any public space.
        records = self.collection(FOLLOWED)
        with suppress(NotFound):
            if (await records.get(space.id)).value.get("wanted") is not True:
                await records.delete(space.id)
        return space

    # --- records ------------------------------------------------------------------------

    @overload
    def collection(self, what: str, *, name: str | None = ..., indexes: Sequence[Declared] = ...,
                   search: Sequence[str] = ..., version: int = ...,
                   migrations: Mapping[int, Migration] | None = ...) -> Collection[dict[str, Any]]: ...

    @overload
    def collection(self, what: type[S], *, name: str | None = ..., indexes: Sequence[Declared] = ...,
                   search: Sequence[str] = ..., version: int = ...,
                   migrations: Mapping[int, Migration] | None = ...) -> Collection[S]: ...

    def collection(self, what: str | type[Any], *, name: str | None = None,
                   indexes: Sequence[Declared] = (), search: Sequence[str] = (), version: int = 1,
                   migrations: Mapping[int, Migration] | None = None) -> Collection[Any]:
        """A collection of the private space, of plain dicts (by name) or of a msgspec Struct.

        `indexes` declares what filters and sorting shall find quickly: fields, or several
        together, as in `indexes=("cups", ("city", "name"))`. `search` declares the fields
        whose words `Collection.search` finds. `version` is that of the records' form, and
        `migrations` are pure functions on plain dicts, by the version each starts from
        (docs/records.md). Raises `InvalidValue`.
        """
        return collection_in(self._engine, what, name, indexes, search, version, migrations)

    async def collections(self) -> list[CollectionInfo]:
        """Every collection that has records in some space, by name, all spaces together."""
        return await self._database.read(collections_in)

    async def changes(self, since: str | None = None, *, live: bool = True) -> AsyncIterator[FeedPage[dict[str, Any]]]:
        """What changed in all collections of all spaces since a cursor; see `Collection.changes`.

        `Changed.space` tells in which. An app that follows everything and writes records
        because of it meets these again. Ends when the home closes.
        """
        async for page in feed_of_home(self._open).pages(since, live):
            yield page

    async def cursor_now(self) -> str:
        """The cursor after all that there is: `changes(since=...)` gives what changes from now on."""
        return await self._database.read(lambda db: cursor_now(db, self.device_id))

    async def saved_cursor(self, name: str) -> str | None:
        """The cursor that `Transaction.save_cursor` kept under a name on this device, None if there is none."""
        row = await self._database.read(lambda db: db.execute(
            "SELECT value FROM meta WHERE key = ?", (cursor_key(name),)).fetchone())
        return None if row is None else row[0].decode()

    async def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] = (), *, limit: int = 10_000,
                  as_of: str | None = None) -> Rows:
        """Run one SELECT over the collections: one view each over all spaces, with `_id`, `_space` and `_space_id`.

        `as_of` is a cursor of `cursor_now`: then records are as this store had them, rebuilt from their history; those
        purged since are missing. Raises `InvalidValue` with SQLite's reason, also for anything but reading,
        for what takes too long or too much memory, and for a cursor that is none of this store's states.
        """
        private = self._engine.space
        then = None if as_of is None else AsOf(state_of(as_of, self.device_id), self.device_id)
        return await self._database.ask(lambda db: run_sql(db, query, params, limit, then, private=private))

    async def import_file(self, path: Path | str, *, connector: Connector | str | None = None, keep: bool = False,
                          overwrite: bool = False, in_process: bool = False,
                          progress: OnProgress | None = None) -> ImportReport:
        """Bring an outside file home, or a folder that `export` wrote; doing it again changes nothing.

        What the person changed in its records since stays, whatever the file says there (docs/connectors.md); to
        `overwrite` takes the file's word for that, too.
        Any other folder is read as the zip of its files would be; links in it are not followed.
        Records come into the private space; those of other spaces in an export that this device made
        into these, where they are here. A file's format is recognised unless a connector is given. It is parsed in a
        process that the system walls in, without network, files and keys, unless `in_process` asks
        for this one: for a connector of your own that another process can't import, on files of
        your own. What an import that was cut off had written is not written again. With `keep` the
        file itself is kept as an attachment, so that `import_again` can read it by a better connector.
        `progress(done, total)` in bytes; `total` is 0 while a large file is read once for its hash. Of an
        export every record becomes as it was then, those deleted since included; other records stay, and Chez's own
        collections (contacts, grants, what is followed) and tables of open data are not taken. Raises
        `NotFound`, `InvalidValue` for a file of no known format, `BadArchive` for an export or a zip that is
        incomplete or was altered, `ImportStopped` when the parser met a limit (what came before stays),
        `WallMissing`.
        """
        return await self._private.import_file(path, connector=connector, keep=keep, overwrite=overwrite,
                                               in_process=in_process, progress=progress)

    async def imports(self) -> list[Imported]:
        """What was imported on this device, oldest first, as the journal has it."""
        fields = Imported.__struct_fields__
        return [Imported(one.time, **{name: value for name, value in one.body.items() if name in fields})
                for one in await self.journal.receipts("import")]

    async def kept_exports(self) -> list[KeptExport]:
        """The files that `import_file(..., keep=True)` kept in the private space, by name."""
        return await self._private.kept_exports()

    async def import_again(self, sha256: str, *, connector: Connector | None = None, overwrite: bool = False,
                           progress: OnProgress | None = None) -> ImportReport:
        """Read a kept export of the private space as today's connectors do; see `Space.import_again`."""
        return await self._private.import_again(sha256, connector=connector, overwrite=overwrite, progress=progress)

    async def export(self, path: Path | str, *, history: bool = False,
                     progress: OnProgress | None = None) -> ExportReport:
        """Write all records of all spaces into a new folder as plain JSON Lines, and with `history` every change.

        Attachments that are whole on this device are files in it; the report counts others. The list of relays,
        with the tokens that their operators gave out, is not in it.
        `import_file` reads it back, in any home. The folder appears when it is whole, and shows
        one state of the home; other work goes on meanwhile. `progress(done, total)` in records.
        It is plaintext, readable by its owner only, and the journal says that it was made.
        Raises `InvalidValue` when something is there, `StorageFailed`, `Damaged`.
        """
        return await self._open.exporter(list(self._spaces.all.values())).export(Path(path), history, progress)

    async def examine(self, *, progress: OnProgress | None = None) -> list[Finding]:
        """What is wrong with this home's store, in plain words (see `chez.doctor`); other work goes on meanwhile."""
        note = on_loop(progress)

        def work(db: Connection, check: Callable[[], None]) -> list[Finding]:
            def step(done: int, total: int) -> None:
                check()
                note(done, total)

            return [*examine(db, step), *surroundings(db, self.path, self._open.now())]

        return await self._database.aside(work)

    async def backup(self, path: Path | str, *, verify: bool = False,
                     progress: OnProgress | None = None) -> BackupReport:
        """Write everything this home holds into one encrypted, signed file; other work goes on meanwhile.

        It opens with the passphrase that this home has now (`chez.restore`), and holds one
        moment of it. `verify` restores it to try, beside the home, and checks what came out.
        The folder of the home needs room for a copy of the store while it is made.
        `progress(done, total)` in bytes. Raises `InvalidValue` when something is there, `NotFound` where its folder is
        not, `StorageFailed`, `Damaged`.
        """
        about = About(1, self.person_id, self.device_id, self.name, time_text(datetime.now(UTC)))
        return await Backup(self._database, self.journal, self._device, self.path, about).write(
            Path(path), verify, progress)

    async def transaction(self, work: Callable[[Transaction], R]) -> R:
        """Read and write records, receipts and accounts in one transaction: all of it or nothing.

            def move(transaction: chez.Transaction) -> None:
                note = transaction.get(drafts, "tea")
                transaction.put(notes, note.value, id="tea")
                transaction.delete(drafts, "tea")

            await home.transaction(move)

        `work` is a plain function that is quick, for everything else written waits for it.
        It runs once, on the database's thread. Returns what it returns, durable by then;
        what it raises undoes everything it did and is raised here. Raises `Misuse` if it
        is a coroutine function, `StorageFailed`.
        """
        return await self._database.write(transact(self._engine, self.journal, work))

    # --- sync ---------------------------------------------------------------------------

    async def set_relay(self, url: str, *, pins: Sequence[str] | None = None) -> None:
        """Let `sync` and `connect` use this relay, here and on all devices of the person; see `Relays.set`."""
        await self.relays.set(url, pins=pins)

    async def sync(self, url: str | None = None, *, timeout: float = 60.0, reseed: bool = False,
                   everywhere: bool = False, progress: OnProgress | None = None) -> SyncReport:
        """Send everything that waits, fetch everything new, in all spaces, and return.

        It is done when at least one of the home's relays has everything, and those that can be reached do;
        with `everywhere` each of them has to. It goes on as long as entries come and go: `timeout` is how many
        seconds it waits while nothing does. While connected, relays with which it is in step are asked first whether
        they are there still, for ten seconds at most. `progress(done, total)` in entries, as far as they are known.
        With `reseed` relays are read from their beginning, and sent every entry that they lack,
        whoever wrote it: for one that lost some, or that shows devices different logs. Spaces
        that have no relay of their own go where the private one goes. What keeps one of them
        from being in step is in the report (`problems`), and stops no other; so is what organisations
        left (`deposits`), which is taken at each sync. Raises for the private one,
        where no relay has it (`everywhere`: where one has not), `RelayUnreachable`, `RelayRefused`,
        `RelayMisbehaved`; what is here stays. A home that has no relay (`set_relay`) is in step with those that its
        spaces are at, and keeps the private one to itself; `NotFound` where there are none.
        """
        report = await sync_and_take(self._exchange, self.deposits, timeout, url, reseed=reseed, everywhere=everywhere,
                                     progress=progress)
        await forget_when_heard(self._database, self._spaces, self.device_id)
        return report

    async def synced(self, *, everywhere: bool = False, timeout: float | None = None) -> None:
        """While connected, wait until what is here of the private space is at a relay, and what is there is here.

        At one of the home's relays, and those that can be reached; with `everywhere` at each. Raises as `sync`, also
        `NotFound` for a home that has no relay,
        `RelayUnreachable` when nothing got on for `timeout` seconds, and `Misuse` when the home is not connected.
        """
        await self._exchange.own_in_step(timeout, everywhere=everywhere)

    async def alarms(self) -> list[Alarm]:
        """What showed that a relay showed two devices different logs; nothing is taken back."""
        return await self._database.read(lambda db: told(db, self._spaces.all.values()))

    async def audit(self) -> list[Evidence]:
        """What does not count: what devices did, what was refused, and words about members without effect."""
        return await self._database.read(lambda db: audit(db, self._spaces.all.values()))

    async def pick(self, entry: str) -> None:
        """Say, as an owner, which entry of a fork counts, by its hash in `audit` or the beginning of that.

        Raises `NotFound`, `InvalidValue`, `NotAllowed` for who is no owner, and for an entry that broke a rule.
        """
        await self._database.write(lambda db: pick(db, self._spaces.all.values(), self._device, entry))

    @asynccontextmanager
    async def connect(self, url: str | None = None) -> AsyncIterator[Link]:
        """Keep all spaces in step with their relays while the block lasts, through lost connections.

        Gives the link of the private one to `url` or the home's relay; `relays` tells of all. A home that has no relay
        is connected to those that its spaces are at; `NotFound` where there are none.
        """
        await self._syncing.catch_up()
        async with (self._syncing.connected(self._syncing.routes.choose_any(url), retry=True, send=True) as link,
                    following(self.deposits, self._addresses_changed, self.synced)):
            yield link

    async def status(self) -> HomeStatus:
        """How the home stands, without the network."""
        devices = tuple(one.name for one in self._replica.space.membership.devices.values())
        stands, routes = self._syncing.standing, self._syncing.routes
        spaces, relays, kept = tuple(stands.spaces()), tuple(stands.relays()), stands.kept_at()
        rows = {n: routes.urls_of(held.space) for n, held in self._spaces.all.items()}
        return await self._database.read(lambda db: home_status(
            db, self.device_id, rows, self.relay, devices, spaces, with_lacks(db, self.device_id, relays, kept)))

    def pair(self, url: str | None = None) -> AbstractAsyncContextManager[Pairing]:
        """Let another device of this person in: `async with home.pair() as pairing: ...`.

        Show `pairing.code`, then `await pairing.confirm(ask)`. Raises `NotAllowed` when five
        wrong codes were tried within the last hour: somebody may be guessing.
        """
        routes = self._syncing.routes
        chosen = routes.choose(url)
        return pair(self._database, self._spaces, self._device, self.journal, chosen, routes.address(chosen),
                    unix_milliseconds)

    # --- what lives as long as the home is open -------------------------------------------

    async def shared(self, name: str, make: Callable[[], AbstractAsyncContextManager[R]]) -> R:
        """The one thing of this name, made when first asked for and ended when the home closes: what is costly to
        begin and useful to many requests, as a sandbox is.
        """
        async with self._making:
            self.check_open()  # what is made afterwards would be ended by nobody
            if name not in self._shared:
                self._shared[name] = await self._stack.enter_async_context(make())
            found: R = self._shared[name]
            return found

    async def begin(self) -> None:
        """Begin what goes on by itself while the home is open. Called when it opens."""
        await self._syncing.load()
        with suppress(StorageFailed):  # a full disk keeps no home from opening
            await self._syncing.catch_up()
        await self._stack.enter_async_context(self._open.backlog)
        await self._stack.enter_async_context(self.relays.following())

    def check_open(self) -> None:
        """Raises `StorageFailed` once it is closed."""
        if self._over:
            raise home_closed()

    async def end_shared(self) -> None:
        """End everything shared, last made first, and live answers. Called when the home closes."""
        self._spaces.news.close()
        self._open.ephemerals.close()
        async with self._making:
            self._over = True
            self._shared.clear()
            await self._stack.aclose()

    # --- keys ---------------------------------------------------------------------------

    async def change_passphrase(self, old: str, new: str, *, kdf: crypto.Kdf | None = None) -> None:
        """Let `new` open this home instead of `old`; see `chez.change_passphrase`.

        Raises `WrongPassphrase` when `old` is not the one it has, also where the home is open
        already, `InvalidValue`, `NotAllowed` when it was changed meanwhile, `StorageFailed`.
        """
        await change_key_file(self.path, self._database, self.journal, old, new, kdf)

    def derive_key(self, label: str) -> bytes:
        """A 32-byte secret of this device for one purpose, the same each time."""
        return self._device.secret("chez/1 application " + label)

    def sign(self, context: str, *fields: bytes) -> bytes:
        """Sign with this device's key (64 bytes); verify with `chez.crypto.verify(home.device_id, ...)`."""
        return self._device.signing.sign("chez/1 application " + context, *fields)
