"""Coming into a space that somebody else made: by its link, by an invitation, by a code; or following a public one.

The relay is asked for this device's packet, or for everybody's. What is in it reads the log,
and the log says who belongs: that this person does, or that the space is public; and that an
owner started the epoch whose keys came. Then the space is kept here like any other, and the
person's other devices are told of it.
"""

from chez.crypto import SealingKey
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.assembly import OpenHome
from chez.home.guest import ask
from chez.home.held import Held
from chez.home.hosting import visit
from chez.home.pairing import split_code
from chez.home.sharing import own_card
from chez.spaces.copies import copy_person
from chez.spaces.invitations import InviteLink
from chez.spaces.link import SpaceLink
from chez.spaces.membership import Membership
from chez.spaces.public import Address
from chez.spaces.rotation import tag_of
from chez.spaces.space import add_to_space, load_space, note_name, store_space
from chez.spaces.state import State
from chez.spaces.statements import Kind
from chez.store.database import Connection
from chez.sync.connection import relay_name
from chez.sync.moving import go_to
from chez.sync.pinning import check_pins, join
from chez.sync.room import let_go
from chez.sync.survey import Survey
from chez.sync.surveyor import survey
from chez_wire.login import handle_of

__all__ = ("come_in", "follow_space", "join_space")


async def come_in(home: OpenHome, text: str, timeout: float, now: int) -> int:
    """Take a space in by a space link, an invitation's link or its code; returns its row.

    Of the latter two the owner's answer is waited for, by the first `timeout` seconds; `now`
    in Unix milliseconds. Raises as `join_space`, `guest.ask` and `hosting.visit`.
    """
    scheme, colon, _ = text.strip().partition(":")
    if scheme == "chez-invite" and colon:
        return await _by_invitation(home, InviteLink.read(text), timeout, now)
    if scheme == "chez-public" and colon:
        raise InvalidValue("this is the address of a public space, which nobody joins", "Follow it: `chez follow`.")
    if not scheme.startswith("chez-") and not scheme[:1].isdigit():
        raise InvalidValue("this is neither a link nor a code",
                           "It begins with chez-invite: or chez-space:, or looks like 48151-orbit-lemon.")
    if scheme.startswith("chez-"):
        return await join_space(home, SpaceLink.read(text))
    code, named = split_code(text)
    url = named or home.syncing.routes.choose(None)
    card = await home.database.read(lambda db: own_card(db, home.spaces.private.replica, home.person))
    found = await visit(code, home.syncing.routes.address(url), card, home.device)
    return await join_space(home, SpaceLink.read(found))


async def _by_invitation(home: OpenHome, invitation: InviteLink, timeout: float, now: int) -> int:
    _check_new(home, invitation.space)
    card = await home.database.read(lambda db: own_card(db, home.spaces.private.replica, home.person))
    await home.journal.append("invitation-asked", {"name": invitation.name, "space": invitation.space.hex(),
                                                   "relay": invitation.relay})
    address = _address(home, invitation)
    link = SpaceLink.read(await ask(invitation, address, card, home.device, timeout, now))
    if link.space != invitation.space:
        raise InvalidValue(f"what answered the invitation to {invitation.name!r} names another space",
                           "Ask who made it for a new one.")
    return await join_space(home, link)


async def join_space(home: OpenHome, link: SpaceLink) -> int:
    """Take a space in by its link; returns its row. Durable, and opened at its relay if the home is connected.

    Raises `NotFound` when the relay has no keys for this device, `NotAllowed` for who is here
    already, or was taken out, `InvalidValue` for a link that does not fit its space,
    `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`.
    """
    relay_name(link.relay)
    _check_new(home, link.space, link)
    try:
        found = await _survey(home, link, home.device.sealing)
    except NotFound:
        raise NotFound(f"{relay_name(link.relay)} has no keys for you to the space {link.name!r}",
                       "Either you were not let in yet, or who did so was not in step with the relay since: "
                       "ask for that, and try again.") from None
    state = _check(home, link, found)
    if state.right(home.device.id) is None:
        raise NotAllowed(f"you are no member of the space {state.name!r}", "An owner of it can let you in.")
    return await _keep(home, link, found, "space-joined")


async def follow_space(home: OpenHome, address: Address) -> int:
    """Keep a public space here, as nobody's member; returns its row. Raises as `join_space`.

    One that is followed already may be at another relay by now; an address leads no member elsewhere.
    """
    relay_name(address.relay)
    _check_new(home, address.space)
    held = _held(home, address.space)
    if held is not None and (held.space.handle, held.space.relay) == (address.handle, address.relay):
        raise NotAllowed(f"you have the space {held.space.name!r} already", "`chez sync` brings what is new.")
    _check_place(home, address.space, address.handle)
    try:
        found = await _survey(home, address, address.key)
    except NotFound:
        raise NotFound(f"{relay_name(address.relay)} has no public space at this address",
                       "It was deleted or moved, or who publishes it was not in step with the relay since.") from None
    _check(home, address, found)
    address.check(found.membership.create)
    return await _keep(home, address, found, "space-followed")


def _address(home: OpenHome, where: SpaceLink | InviteLink | Address) -> str:
    """What is dialled to reach the relay of a link: with the pins that this home has for it, else with the link's own.

    Raises `InvalidValue` for pins of a relay that has no certificate.
    """
    known = home.syncing.routes.pins(where.relay)
    if known:
        return home.syncing.routes.address(where.relay)
    return join(where.relay, check_pins(where.relay, where.pins))


async def _keep_pins(home: OpenHome, where: SpaceLink | Address) -> None:
    """Go by a link's pins from now on, if this device knew nothing of the relay: no link tells it of one that it uses
    already which keys that may have.
    """
    if where.pins:
        row = where.relay, ",".join(where.pins)
        await home.database.write(lambda db: db.execute("INSERT OR IGNORE INTO relay (url, pins) VALUES (?, ?)", row))
        await home.syncing.settle()


async def _survey(home: OpenHome, where: SpaceLink | Address, key: SealingKey) -> Survey:
    return await survey(_address(home, where), where.handle, tag_of(where.space, key.public), key,
                        space=where.space)


async def _keep(home: OpenHome, where: SpaceLink | Address, found: Survey, kind: str) -> int:
    """Write it down, tell of it, and open it at its relay if the home is connected."""
    def work(db: Connection) -> int:
        n = _take_in(db, where, found)
        copy_person(db, n, found.membership)
        if isinstance(where, SpaceLink):
            let_go(db, n)  # of one that was followed before
        home.journal.record(db, kind, {"name": found.membership.state.name, "space": where.space.hex(),
                                       "relay": where.relay})
        return n

    await _keep_pins(home, where)
    held = _held(home, where.space)
    if held is None:
        n = await home.database.write(work)
        await home.syncing.found(n)
        return n
    return await home.syncing.replace(held, work)


def _held(home: OpenHome, space: bytes) -> Held | None:
    return next((held for held in home.spaces.all.values() if held.space.id == space), None)


def _check_new(home: OpenHome, space: bytes, link: SpaceLink | None = None) -> None:
    """Raise `NotAllowed` for who is in a space already, and at this place; to follow it is not to be in it.

    Another relay under the same handle is not another place: anybody who has the log can put it there, and a place has
    another handle by an owner's word alone.
    """
    held = _held(home, space)
    moved = held is not None and link is not None and held.space.handle != link.handle
    if held is not None and not (moved or held.replica.access.removed or held.replica.access.follows):
        at = home.syncing.routes.urls_of(held.space)
        if link is not None and at and link.relay not in at:
            raise NotAllowed(
                f"you have the space {held.space.name!r} already, at {relay_name(at[0])}, and this link names "
                f"{relay_name(link.relay)}",
                "Only an owner's word leads a member to another relay: ask an owner to move the space there "
                "(`chez space move`), and for the link that it has then.")
        raise NotAllowed(f"you have the space {held.space.name!r} already", "`chez sync` brings what is new.")
    if link is not None:
        _check_place(home, space, link.handle)


def _check_place(home: OpenHome, space: bytes, handle: bytes) -> None:
    if any(held.space.id != space and held.space.handle == handle for held in home.spaces.all.values()):
        raise InvalidValue("the link gives a space the place of another one at the relay",
                           "Whoever made it wants the two to be confused: don't use it.")


def _check(home: OpenHome, where: SpaceLink | Address, found: Survey) -> State:
    """Believe the log, not who gave the link, and what is known here beside it; what both amount to."""
    members, held = Membership(where.space), _held(home, where.space)
    members.add(found.membership.statements if held is None else
                [*held.space.membership.statements, *found.membership.statements])
    state = members.state
    if state.create is None or state.create.kind is Kind.PRIVATE:
        raise InvalidValue("the link leads to somebody's private space", "It is shared with nobody: ask for another.")
    if handle_of(state.admins[-1]) != where.handle:
        raise InvalidValue(f"the space {state.name!r} is at another place than the link says",
                           "It was moved since, or the link is not its own: ask for a new one.")
    return state


def _take_in(db: Connection, where: SpaceLink | Address, found: Survey) -> int:
    """The space's row: a new one, or that of a space which this person is in, or followed, before."""
    membership, epochs = found.membership, found.epochs.values()
    row = db.execute("SELECT n FROM space WHERE id = ?", (where.space,)).fetchone()
    if row is None:
        return store_space(db, where.space, membership.state.name, membership.statements, epochs, where.handle,
                           sent=True, relay=where.relay, announce=True)
    n: int = row[0]
    add_to_space(db, n, membership.statements, epochs, sent=True)
    space = load_space(db, n)
    if space.handle != where.handle:
        go_to(db, space, where.handle)
    note_name(db, space)
    db.execute("UPDATE space SET relay = ?, farewell = 0, announce = 1 WHERE n = ?", (where.relay, n))
    return n
