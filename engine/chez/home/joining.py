"""Coming into a space that somebody else made: by its link, once an owner let this person in.

The relay is asked for this device's packet. What is in it reads the log, and the log says
who belongs: that this person does, and that an owner started the epoch whose keys came. Then
the space is kept here like any other, and the person's other devices are told of it.
"""

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.space import OpenHome
from chez.spaces.copies import copy_person
from chez.spaces.link import SpaceLink
from chez.spaces.rotation import tag_of
from chez.spaces.space import add_to_space, store_space
from chez.spaces.statements import Kind
from chez.store.database import Connection
from chez.sync.connection import relay_name
from chez.sync.survey import Survey
from chez.sync.surveyor import survey
from chez_wire.login import handle_of

__all__ = ("join_space",)


async def join_space(home: OpenHome, link: SpaceLink) -> int:
    """Take a space in by its link; returns its row. Durable, and opened at its relay if the home is connected.

    Raises `NotFound` when the relay has no keys for this device, `NotAllowed` for who is here
    already, or was taken out, `InvalidValue` for a link that does not fit its space,
    `RelayUnreachable`, `RelayRefused`, `RelayMisbehaved`.
    """
    relay_name(link.relay)
    _check_new(home, link)
    try:
        found = await survey(link.relay, link.handle, tag_of(link.space, home.device.sealing.public),
                             home.device.sealing, space=link.space)
    except NotFound:
        raise NotFound(f"{relay_name(link.relay)} has no keys for you to the space {link.name!r}",
                       "Either you were not let in yet, or who did so was not in step with the relay since: "
                       "ask for that, and try again.") from None
    _check(home, link, found)

    def work(db: Connection) -> int:
        n = _take_in(db, link, found)
        copy_person(db, n, found.membership)
        home.journal.record(db, "space-joined", {"name": found.membership.state.name, "space": link.space.hex(),
                                                 "relay": link.relay})
        if n in home.spaces.all:
            home.spaces.all[n].replica.forget()
            home.spaces.all[n].replica.refresh(db)
        return n

    n = await home.database.write(work)
    await home.syncing.found(n)
    home.syncing.again(home.spaces.all[n].space)
    return n


def _check_new(home: OpenHome, link: SpaceLink) -> None:
    for held in home.spaces.all.values():
        if held.space.id == link.space and not held.replica.removed:
            raise NotAllowed(f"you have the space {held.space.name!r} already", "`chez sync` brings what is new.")
        if held.space.id != link.space and held.space.handle == link.handle:
            raise InvalidValue("the link gives a space the place of another one at the relay",
                               "Whoever made it wants the two to be confused: don't use it.")


def _check(home: OpenHome, link: SpaceLink, found: Survey) -> None:
    """Believe the log, not who gave the link."""
    state = found.membership.state
    if state.create is None or state.create.kind is Kind.PRIVATE:
        raise InvalidValue("the link leads to somebody's private space", "It is shared with nobody: ask for another.")
    if handle_of(state.admins[-1]) != link.handle:
        raise InvalidValue(f"the space {state.name!r} is at another place than the link says",
                           "It was moved since, or the link is not its own: ask for a new one.")
    if state.right(home.device.id) is None:
        raise NotAllowed(f"you are no member of the space {state.name!r}", "An owner of it can let you in.")


def _take_in(db: Connection, link: SpaceLink, found: Survey) -> int:
    """The space's row: a new one, or that of a space which this person was in before."""
    membership, epochs = found.membership, found.epochs.values()
    row = db.execute("SELECT n FROM space WHERE id = ?", (link.space,)).fetchone()
    if row is None:
        return store_space(db, link.space, membership.state.name, membership.statements, epochs, link.handle,
                           sent=True, relay=link.relay, announce=True)
    n: int = row[0]
    add_to_space(db, n, membership.statements, epochs)
    db.execute("UPDATE space SET handle = ?, relay = ?, farewell = 0, announce = 1 WHERE n = ?",
               (link.handle, link.relay, n))
    return n
