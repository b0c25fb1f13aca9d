"""A space's invitations: made, listed, revoked, and judged when somebody comes by one.

An invitation is a statement in the space, which all owners see. Its link, and what opens the
requests of those who come, follow from it for the devices of the person who made it, and for
nobody else (`spaces.invitations`): so any of these devices answers, and none of another owner.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from chez import crypto
from chez.errors import InvalidValue, NotFound
from chez.home.held import Held, HeldSpaces
from chez.home.reports import Admitted
from chez.home.sharing import RoleName, Sharing, role_name, role_named
from chez.keys.device import DeviceKeys
from chez.spaces.invitations import (
    InviteKeys,
    Reason,
    Refusal,
    Request,
    Verdict,
    Welcome,
    judge,
    keys_of,
    used,
)
from chez.spaces.permits import check_owner
from chez.spaces.saying import say
from chez.spaces.statements import Invite, Revoke, Role, Signed
from chez.store.database import Connection, Database
from chez_wire.limits import MAX_INBOX_TTL

__all__ = ("WEEK", "Invitation", "Invitations", "Own", "Ready")

WEEK: Final = timedelta(days=7)
"""How long an invitation lasts, if nothing else is said."""

LEAST: Final = timedelta(minutes=1)
MOST: Final = timedelta(seconds=MAX_INBOX_TTL)
MOST_USES: Final = 1000
SOON: Final = 5.0
"""Seconds that a new invitation is waited for to be known to a relay that this home is connected to."""

Now = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation to a space: for how many persons, in which role, until when.

    `link` is what is given to them, a secret: there on the devices of the person who made it
    (`own`), None elsewhere. `state` is "open", "used", "expired" or "revoked"; `used` is how
    many came by it. `by` is the name of the device that made it. `ready` says that since this
    home was opened its relay was seen to have what takes requests by it: who asks before waits a little.
    """

    id: str
    role: RoleName
    uses: int
    used: int
    expires: datetime
    state: Literal["open", "used", "expired", "revoked"]
    by: str
    own: bool
    link: str | None = field(repr=False)
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Own:
    """An invitation that a device of this person made, with what answers those who come by it."""

    held: Held
    hash: bytes
    invite: Invite
    keys: InviteKeys = field(repr=False)


class Ready:
    """The invitations, by their hashes, for which the relay takes requests, as was seen since the home was opened."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()
        self._news = asyncio.Event()

    def __contains__(self, hash: bytes) -> bool:
        return hash in self._hashes

    def note(self, hashes: Iterable[bytes]) -> None:
        """The relay takes requests by these."""
        self._hashes.update(hashes)
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self, hash: bytes) -> None:
        """Return when it takes them by this one."""
        while hash not in self._hashes:
            await self._news.wait()


class Invitations:
    """The invitations of one space; `relay` gives where it is kept in step, `pins` what its key is to be, `now` Unix
    milliseconds.

    `answered` tells whether a connection answers who comes by an invitation to the space, or is about to.
    """

    def __init__(self, database: Database, spaces: HeldSpaces, held: Held, device: DeviceKeys, sharing: Sharing,
                 relay: Callable[[], str | None], pins: Callable[[], tuple[str, ...]], now: Now, ready: Ready,
                 answered: Callable[[], bool]) -> None:
        self._database = database
        self._spaces = spaces
        self._held = held
        self._device = device
        self._sharing = sharing
        self._relay = relay
        self._pins = pins
        self._now = now
        self._ready = ready
        self._answered = answered

    async def make(self, role: RoleName, uses: int, expires: timedelta) -> Invitation:
        """Invite whoever shall hold the link; see `Space.invite`."""
        made = await self._database.write(lambda db: self._make(db, role, uses, expires))
        hash = bytes.fromhex(made.id)
        if self._answered():  # the link is handed over in the next moment, and shall work then
            with suppress(TimeoutError):
                async with asyncio.timeout(SOON):
                    await self._ready.wait(hash)
        return replace(made, ready=hash in self._ready)

    async def all(self) -> list[Invitation]:
        """Every invitation, the newest first; see `Space.invitations`."""
        return await self._database.read(self._all)

    async def revoke(self, which: str) -> Invitation:
        """Let an invitation be worth nothing any more; see `Space.revoke`."""
        return await self._database.write(lambda db: self._revoke(db, which))

    # --- in the database's thread -----------------------------------------------------------

    def own(self, db: Connection) -> list[Own]:
        """Those that devices of this person made, with those that ended."""
        self._held.replica.refresh(db)
        return [Own(self._held, statement.hash, invite, keys) for statement, invite in self._said()
                if (keys := self._keys(invite)) is not None]

    def answer(self, db: Connection, one: Own, request: Request,
               tell: bool) -> tuple[Welcome | Refusal, Admitted | None]:
        """Judge a request, and let its person in if that comes of it; with `tell` the journal tells of a refusal.

        The answer, and who came in just now. Who is in the space no more lets nobody in, and says so: nobody else
        can answer by that invitation. Raises `NotAllowed` when it can't be done now: keys that another owner made
        are not here yet.
        """
        self._held.replica.refresh(db)
        state = self._held.space.membership.state
        verdict = judge(state, one.invite, one.hash, request, self._now())
        if verdict is Verdict.ADMIT and self._held.replica.access.removed:
            verdict = Reason.REVOKED
        if isinstance(verdict, Verdict):
            came = None
            if verdict is Verdict.ADMIT:
                member = self._sharing.admit(db, request.card, role_name(one.invite.role), one.hash)
                came = Admitted(self._held.space.name, member.name, member.role)
            return Welcome(self._sharing.link(self._relay(), self._pins())), came
        if tell:
            self._note(db, "invitation-refused", one.hash, {
                "name": request.card.name, "person": request.card.person.hex(), "reason": verdict.value})
        return Refusal(verdict), None

    def _make(self, db: Connection, role: RoleName, uses: int, expires: timedelta) -> Invitation:
        given = role_named(role, self._held.space)
        _check_terms(uses, expires)
        self._held.replica.refresh(db)
        check_owner(self._held.space, self._device.id, "invites somebody")
        space, relay = self._held.space, self._relay()
        if relay is None:
            raise NotFound("this space is at no relay, where somebody could come by an invitation",
                           "Set the home's relay: `chez relay URL`.")
        nonce, until = crypto.random_bytes(32), self._now() + int(expires / timedelta(milliseconds=1))
        keys = InviteKeys.derive(self._spaces.private.space.epoch, space.id, nonce)
        said = say(db, space, self._device.signing, Invite(space.id, space.membership.named_heads, self._device.id,
                                                           keys.proof.public, given, uses, until, nonce))
        self._note(db, "invitation-made", said.hash, {"role": role, "uses": uses})
        return next(one for one in self._all(db) if one.id == said.hash.hex())

    def _all(self, db: Connection) -> list[Invitation]:
        self._held.replica.refresh(db)
        return [self._shown(statement, invite) for statement, invite in reversed(list(self._said()))]

    def _shown(self, statement: Signed, invite: Invite) -> Invitation:
        state, relay, keys = self._held.space.membership.state, self._relay(), self._keys(invite)
        came, device = used(state, statement.hash), state.device(invite.issuer)
        ended: Literal["open", "used", "expired", "revoked"] = "open"
        if statement.hash not in state.invites or state.right(invite.issuer) is not Role.OWNER:
            ended = "revoked"
        elif came >= invite.uses:
            ended = "used"
        elif self._now() >= invite.expires:
            ended = "expired"
        link = None if keys is None or relay is None else keys.link(
            invite, relay, self._held.space.name, self._pins()).text
        return Invitation(statement.hash.hex(), role_name(invite.role), invite.uses, came,
                          _time(invite.expires), ended,
                          "" if device is None else device.name, keys is not None, link,
                          statement.hash in self._ready)

    def _revoke(self, db: Connection, which: str) -> Invitation:
        self._held.replica.refresh(db)
        check_owner(self._held.space, self._device.id, "revokes an invitation")
        found = [one for one in self._all(db) if one.id.startswith(which.lower()) and len(which) >= 4]
        if len(found) != 1:
            raise NotFound(f"{len(found) or 'no'} invitations to this space are called {which!r}",
                           "`chez space invitations` shows them.")
        space, hash = self._held.space, bytes.fromhex(found[0].id)
        if hash in space.membership.state.invites:
            say(db, space, self._device.signing, Revoke(space.id, space.membership.named_heads, self._device.id, hash))
            self._note(db, "invitation-revoked", hash, {})
        return next(one for one in self._all(db) if one.id == found[0].id)

    def _said(self) -> Iterator[tuple[Signed, Invite]]:
        """The invitations that took effect, the oldest first, with those that were revoked since, and this person's own
        that came to nothing: who asks by one of these waits for an answer too.
        """
        membership = self._held.space.membership
        invites = [(one, one.body) for one in membership.statements if isinstance(one.body, Invite)]
        void = {statement.hash for statement, _ in membership.void()} if invites else set()
        for statement, invite in invites:
            if statement.hash not in void or self._keys(invite) is not None:
                yield statement, invite

    def _keys(self, invite: Invite) -> InviteKeys | None:
        state = self._held.space.membership.state
        if not state.persons_of(invite.issuer) & state.persons_of(self._device.id):
            return None  # another owner's, also if it repeats the key and the nonce of one of this person's
        return keys_of(self._spaces.private.space.epochs.values(), invite)

    def _note(self, db: Connection, kind: str, hash: bytes, body: dict[str, str | int]) -> None:
        self._held.engine.receipt(db, kind, {"invitation": hash.hex(), **body})


def _time(milliseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)  # another owner's device said so


def _check_terms(uses: int, expires: timedelta) -> None:
    """Raises `InvalidValue` for terms that no invitation has."""
    if isinstance(uses, bool) or not isinstance(uses, int) or not 1 <= uses <= MOST_USES:
        raise InvalidValue(f"an invitation is for 1 to {MOST_USES:,} persons, not for {uses!r}")
    if not isinstance(expires, timedelta) or not LEAST <= expires <= MOST:
        raise InvalidValue(f"an invitation lasts from a minute to {MOST.days} days, not {expires!s}")
