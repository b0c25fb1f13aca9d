"""`Space`: one space of an open home, as applications use it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, overload

from chez.blobs.attachments import Blobs
from chez.checked import checked
from chez.connectors import Connector
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.archive import is_export
from chez.home.assembly import OpenHome
from chez.home.checkpointing import Checkpoint, checkpoint
from chez.home.collections import OnDamaged, collection_in, collections_in, conflicts_in, feed_of_space, trash_in
from chez.home.contacts import card_of, named, person_called
from chez.home.ephemeral import ROOM, EphemeralMessage
from chez.home.exporting import ExportReport
from chez.home.forgetting import delete_space, forget_space
from chez.home.held import Held
from chez.home.hosting import Hosting, host
from chez.home.importing import Importer, ImportReport, OnProgress
from chez.home.importing_export import import_export
from chez.home.invitations import WEEK, Invitation
from chez.home.kept_exports import COLLECTION as KEPT
from chez.home.kept_exports import KeptExport, KeptExports
from chez.home.reports import CollectionInfo, SpaceStatus
from chez.home.sharing import Member, RoleName, Sharing, Who, no_member
from chez.home.usage import Usage, usage_at
from chez.query.indexes import Declared
from chez.records.collection import Collection
from chez.records.conflicts import Conflict
from chez.records.feed import FeedPage
from chez.records.trash import Trashed
from chez.records.typed import Migration
from chez.shown import NO_FILE
from chez.spaces.public import Address
from chez.sync.connection import relay_name
from chez.sync.room import LEAST_BYTES, Room, give_room, room_of

__all__ = ("Space",)

S = TypeVar("S")


@checked
class Space:
    """One space of a home: records that are kept, and shared, together; made by `Home.space`.

        trip = await home.create_space("Trip to Rome")
        await trip.collection("costs").put({"what": "Train", "euros": 84})

    A record's id is its own within its space and collection: two spaces may have one each.
    """

    def __init__(self, held: Held, home: OpenHome) -> None:
        self._held = held
        self._home = home
        self._sharing = Sharing(home.database, home.spaces, held, home.device, home.person)
        self._invitations = home.answering.of(held)

    def __repr__(self) -> str:
        return f"<Space {self.name!r}, {self.id[:8]}…>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and other._held is self._held

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """What names it everywhere and for ever: 64 hexadecimal digits."""
        return self._held.id

    @property
    def name(self) -> str:
        """Its name, for people: several spaces may have one."""
        return self._held.space.name

    @property
    def private(self) -> bool:
        """Whether it is the person's own space, which is shared with nobody."""
        return self._held.space.private

    @property
    def public(self) -> bool:
        """Whether everybody reads it who has its `address`."""
        return self._held.space.public

    @property
    def address(self) -> str:
        """What lets anybody read this public space; it stays good over rotations.

        It carries the pins that this home has for the relay: who comes by it, and knew nothing of that, goes by them.
        Raises `NotAllowed` for a space that is not public, `NotFound` when it is at no relay yet.
        """
        space, syncing = self._held.space, self._home.syncing
        relay, create = syncing.routes.relay_of(space), space.membership.create
        if create is None or not space.public:
            raise NotAllowed(f"space {self.name!r} is not public", "It is so from its beginning, or never.")
        if relay is None:
            raise NotFound("no relay is set", "Others find a public space at its relay: `chez relay URL`.")
        return Address(space.id, space.handle, relay, create.nonce, space.name, syncing.routes.pins(relay)).text

    @property
    def role(self) -> RoleName | None:
        """What this person may do in it; None for who has no part in it any more: left, or was taken out."""
        return self._sharing.role

    @property
    def archived(self) -> bool:
        """Whether its owners put it away: it is read and kept in step, and nobody writes in it."""
        return self._held.space.membership.state.archived

    @property
    def blobs(self) -> Blobs:
        """Attachments of its records."""
        return self._held.blobs

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
        """A collection of this space; see `Home.collection`. Raises `InvalidValue`."""
        return collection_in(self._held.engine, what, name, indexes, search, version, migrations)

    async def collections(self) -> list[CollectionInfo]:
        """Every collection that has records in this space, by name."""
        engine = self._held.engine
        return await engine.database.read(lambda db: collections_in(db, engine.space))

    async def trash(self, limit: int = 1000) -> list[Trashed[dict[str, Any]]]:
        """The deleted records of all collections but Chez's own, the last ones first; see `Collection.trash`."""
        return await trash_in(self._held.engine, limit)

    async def conflicts(self, collection: str | None = None, *, damaged: OnDamaged | None = None,
                        progress: OnProgress | None = None) -> dict[tuple[str, str], list[Conflict]]:
        """The conflicts of a collection's records, or of all but Chez's own, by collection and id.

        See `Collection.conflicts`. `progress(done, total)` in records that were changed. `damaged` is told of each
        record whose history can't be read on this device, and the others' conflicts are given all the same; without it
        the first of them is raised. Raises `InvalidValue`, `Damaged`.
        """
        return await conflicts_in(self._held.engine, collection, damaged, progress)

    async def changes(self, since: str | None = None, *, live: bool = True) -> AsyncIterator[FeedPage[dict[str, Any]]]:
        """What changed in all collections of this space since a cursor; see `Collection.changes`.

        Ends when the home closes.
        """
        async for page in feed_of_space(self._held.engine).pages(since, live):
            yield page

    async def import_file(self, path: Path | str, *, connector: Connector | str | None = None, keep: bool = False,
                          overwrite: bool = False, in_process: bool = False,
                          progress: OnProgress | None = None) -> ImportReport:
        """Bring an outside file, or a folder that `export` wrote, into this space; see `Home.import_file`."""
        if path == "":  # which as a path is the working directory
            raise NotFound("an empty name is that of no file", NO_FILE)
        chosen, held, home = Path(path), self._held, self._home
        if connector is None and is_export(chosen):
            return await import_export(held.engine, home.journal, held.blobs, home.spaces.into, chosen, progress,
                                       private=home.spaces.private.engine.space)
        keeping = self._kept().keep if keep else None
        return await self._importer(overwrite).import_file(chosen, connector, progress, in_process, keeping)

    async def kept_exports(self) -> list[KeptExport]:
        """The files that `import_file(..., keep=True)` kept in this space, by name."""
        return await self._kept().all()

    async def import_again(self, sha256: str, *, connector: Connector | None = None, overwrite: bool = False,
                           progress: OnProgress | None = None) -> ImportReport:
        """Read a kept export as today's connectors do, or by the mapping that it was kept with; what a newer one reads
        differently is updated. With a `connector` it is read by that one: a newer mapping, which is kept instead.
        To `overwrite` takes its word for what the person changed, too.

        Raises `NotFound`, `BlobMissing` where the file is not on this device and can't be fetched, and what
        `import_file` raises.
        """
        return await self._kept(overwrite).read_again(sha256, connector, progress)

    def _importer(self, overwrite: bool = False) -> Importer:
        return Importer(self._held.engine, self._home.journal, self._held.space, overwrite=overwrite)

    def _kept(self, overwrite: bool = False) -> KeptExports:
        return KeptExports(self._held.blobs, self.collection(KEPT), self._importer(overwrite))

    async def export(self, path: Path | str, *, history: bool = False,
                     progress: OnProgress | None = None) -> ExportReport:
        """Write all records of this space into a new folder; see `Home.export`."""
        return await self._home.exporter([self._held]).export(Path(path), history, progress)

    def status(self) -> SpaceStatus:
        """How it stands with its relay, without the network."""
        return self._home.syncing.standing.of(self._held)

    # --- what is said just now -----------------------------------------------------------

    async def broadcast(self, topic: str, value: Any) -> int:
        """Say something to all devices of members that listen just now: who is here, where a cursor stands.

        `value` is JSON of at most 8 KiB, `topic` up to 64 characters. It is sealed and signed as an entry is, sent at
        once, and kept nowhere: a device that is not connected, or that is slow, never hears it. Returns to how many
        relays it was given: 0 while the home is not connected, and nothing is sent later then. Every member may say
        something, a reader too. Raises `InvalidValue`, `NotAllowed` for who is no member.
        """
        return self._home.ephemerals.broadcast(self._held, topic, value)

    async def ephemeral(self, topic: str | None = None, *, room: int = ROOM) -> AsyncIterator[EphemeralMessage]:
        """What other devices, of this person too, `broadcast` in this space from the first step on, on a topic or any.

        Each comes once, in the order its device said it, from a device whose person is a member now and that is there
        since this one connected: what a relay plays again is let go. Of more than `room` that wait, the oldest go, and
        the next one counts them (`missed`). Ends when the home closes. Raises `InvalidValue`, `NotAllowed` for who is
        no member.
        """
        async for message in self._home.ephemerals.listen(self._held, topic, room):
            yield message

    # --- who shares it --------------------------------------------------------------------

    async def members(self) -> list[Member]:
        """Everybody who shares it: owners first, then writers, then readers."""
        return await named(self._home.contacts, await self._sharing.members())

    async def member(self, who: Who) -> Member:
        """The member whom a contact's name, a name or an id means. Raises `NotFound`, `InvalidValue` where several are
        called so.
        """
        return await self._named(await self._sharing.find(await self._who(who)))

    async def add(self, card: str, role: RoleName = "writer", *, invite: bytes = b"") -> Member:
        """Let a person in, a contact by its name, or by the card that it gave (`Home.card`), with all devices it has.

        In effect here when it returns; with the next sync the newcomer can `Home.join` by the
        space's `link`, and reads everything from the first entry on. `invite` is the hash of the
        invitation that the person came by. Raises `NotAllowed` for who is no owner, for who is
        a member already and in the private space, `InvalidValue` for what is no card, `NotFound`.
        """
        return await self._named(await self._sharing.add(await card_of(self._home.contacts, card), role, invite))

    async def set_role(self, who: Who, role: RoleName) -> Member:
        """Give a member another role, or give up one's own for a lower one.

        Who may write no more, wrote what is here; what it sends later counts for nothing. The
        space gets a new epoch, for owners and writers have keys of their own at the relay.
        Raises `NotAllowed` for who is no owner, and for the only owner's own role, `NotFound`,
        `InvalidValue`.
        """
        return await self._named(await self._sharing.set_role(await self._who(who), role))

    async def remove(self, who: Who) -> Member:
        """Take a member out, with all its devices, and start a new epoch.

        It keeps what it has, and reads nothing that is written from now on; what it wrote and is
        here stays, and what arrives later of it counts for nothing, unless a member builds on
        it. Raises `NotAllowed` for who is no owner and for oneself (`leave`), `NotFound`,
        `InvalidValue` where several are called so.
        """
        return await self._named(await self._sharing.remove(await self._who(who)))

    async def leave(self) -> None:
        """End this person's part in it; all devices of the person keep what they have, until it is forgotten there.

        An owner who is left starts a new epoch when a device of that owner hears of it. Raises
        `NotAllowed` for the only owner, and where nobody else is left.
        """
        await self._sharing.leave()

    async def transfer(self, who: Who) -> Member:
        """Make another member an owner, and oneself a writer. Raises as `set_role`."""
        return await self._named(await self._sharing.transfer(await self._who(who)))

    async def _named(self, member: Member) -> Member:
        return (await named(self._home.contacts, [member]))[0]

    async def _who(self, who: Who) -> Who:
        """The person whom a contact's name means.

        Raises `InvalidValue` where another member calls itself so, and `NotFound` for a contact who is no member.
        """
        person = await person_called(self._home.contacts, who) if isinstance(who, str) else None
        if person is None:
            return who
        members = await self._sharing.members()
        if any(member.id == person for member in members):
            return person
        if any(member.name == who for member in members):
            raise InvalidValue(f"your contact {who!r} is no member: the member who calls itself so is another person",
                               "Name that one by the beginning of its id: `chez space members` shows it.")
        raise no_member(str(who), self.name)

    async def rename(self, name: str) -> None:
        """Call it differently, for all members. Raises `NotAllowed` for who is no owner, `InvalidValue`."""
        await self._sharing.rename(name)

    async def archive(self, archived: bool = True) -> None:
        """Put it away, for all members, or take it out again. Raises `NotAllowed` for who is no owner."""
        await self._sharing.archive(archived)

    async def rotate(self) -> None:
        """Start a new epoch: whoever has older keys only reads nothing that is written from now on.

        Raises `NotAllowed` for who is no owner.
        """
        await self._sharing.rotate()

    async def checkpoint(self, *, timeout: float = 600.0) -> Checkpoint | None:
        """Write what is at each relay smaller, and return once everything that can be done about it now is.

        Entries become compressed documents that a new device begins with; nobody need be trusted for it. Once
        another person's device (in a space of one person, this one) read it back, an owner's device asks
        the relay to drop the entries, which gives their room back after the relay's grace. A relay that can't be
        reached now gets its own when the home meets it again. None when there is
        nothing to write. Raises `NotAllowed` for who may not write, and what `Home.sync` raises.
        """
        return await checkpoint(self._held, self._home.syncing, timeout)

    async def usage(self, *, relay: str | None = None) -> Usage:
        """How much room it takes at a relay, and how much it may; without a name at the first that it is at.

        Raises `NotFound` for a relay that it is not at, `RelayUnreachable`, `RelayRefused`.
        """
        self._home.database.check_open()
        return await usage_at(self._home.syncing, self._held.space, relay)

    async def room(self) -> Room | None:
        """How much of this device it takes and may take, of a public space that is followed; None for any other."""
        replica = self._held.replica
        return await self._home.database.read(
            lambda db: room_of(db, replica.space.n) or (Room() if replica.access.follows else None))

    async def give_room(self, *, bytes: int | None = None, records: int | None = None) -> Room:
        """Let a followed space take so much of this device: bytes of the store, and records that ever came.

        What came is not taken away; one that stood at its bound goes on. Nothing is said to other devices.
        Raises `NotAllowed` for a space that is not followed, which has no bound, and `InvalidValue`.
        """
        if await self.room() is None:
            raise NotAllowed(f"the space {self.name!r} has no bound", "Spaces that you follow have one.")
        if (bytes is not None and bytes < LEAST_BYTES) or (records is not None and records < 1):
            raise InvalidValue("this is no room for a space", f"It has {LEAST_BYTES:,} bytes and a record at least.")
        n = self._held.space.n
        return await self._home.syncing.replace(self._held, lambda db: give_room(db, n, bytes, records))

    async def move(self, *, relay: str | None = None) -> None:
        """Take it to another place at its relay, or at another one, with all that is in it; as an owner.

        For when the relay lets nobody in any more: who was an owner and left may have put keys
        of its own in place. Members come by the new `link`; who was taken out can't. Raises
        `NotAllowed`, `InvalidValue` for what is no relay.
        """
        if relay is not None:
            relay_name(relay)
        await self._home.syncing.replace(self._held, lambda db: self._sharing.move(db, relay))

    async def forget(self) -> None:
        """Erase it on this device, for who left it, was taken out, or follows it; nothing changes for others.

        Raises `NotAllowed` for a member, and until a relay has heard that one left.
        """
        home = self._home
        await forget_space(home.database, home.syncing, home.journal, self._held, home.device)

    async def delete(self) -> None:
        """Delete it, with all that is in it: at its relays, here, and on the person's other devices.

        For who is alone in it. Where it was before it was moved it is deleted too, if that can be
        reached. Raises `NotAllowed`, `RelayUnreachable`, `RelayRefused`: then it is here still.
        What is cut off when a relay had deleted it, the next sync finishes.
        """
        home = self._home
        await delete_space(home.database, home.syncing, home.journal, self._held, home.device)

    def link(self) -> str:
        """What a member needs to find the space: text without any secret, for `Home.join`.

        Raises `NotFound` while the space is at no relay, `NotAllowed` for the private one.
        """
        syncing = self._home.syncing
        relay = syncing.routes.relay_of(self._held.space)
        return self._sharing.link(relay, syncing.routes.pins(relay))

    # --- invitations ----------------------------------------------------------------------

    async def invite(self, role: RoleName = "writer", *, uses: int = 1, expires: timedelta = WEEK) -> Invitation:
        """Invite whoever shall hold the link (`Invitation.link`): for `uses` persons, from a minute to 90 days.

        The link is a secret: give it to those who shall come in. They `Home.join` by it, and are
        let in when a device of this person is next in step with the relay, and they are there
        or ask again. Durable here when it returns; the link works after the next sync. Raises
        `NotAllowed` for who is no owner, `InvalidValue`, `NotFound` while the space is at no relay.
        """
        return await self._invitations.make(role, uses, expires)

    def invite_by_code(self, role: RoleName = "writer") -> AbstractAsyncContextManager[Hosting]:
        """Invite somebody who is there just now: `async with space.invite_by_code() as invitation: ...`.

        Show `invitation.code`, for `Home.join` there, then `await invitation.joined(ask)`. It
        works once, for ten minutes. Raises `NotAllowed` for who is no owner, and when five wrong
        codes were tried within the last hour, `NotFound` while the space is at no relay.
        """
        home = self._home
        return host(home.database, self._held, self._sharing, home.syncing, home.journal, home.device, role, home.now)

    async def invitations(self) -> list[Invitation]:
        """Every invitation that owners made, the newest first, with those that ended."""
        return await self._invitations.all()

    async def revoke(self, invitation: Invitation | str) -> Invitation:
        """Let an invitation, or the one whose id begins so, be worth nothing any more. Whoever came by it stays.

        Another device that is just letting somebody in may do so until it hears of it. Raises
        `NotAllowed` for who is no owner, `NotFound`.
        """
        return await self._invitations.revoke(invitation if isinstance(invitation, str) else invitation.id)
