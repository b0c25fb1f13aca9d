"""Taking up on a new connection what was kept of an earlier one: roles and subscriptions, all at once.

The holder of the kept session's key signs both nonces and the dialled name, as in a login,
so neither the key, which is public, nor a recorded frame is worth anything on another
connection. What it opens is looked at anew: a role comes back only where the credential
that proved it is the space's still. What has no news is told by one hash over where each
space ends, which the device compares with what it knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chez_relay import verify
from chez_relay.allowances import May
from chez_relay.cursors import SpaceCursor
from chez_relay.effects import Effect, Follow
from chez_relay.errors import Code
from chez_relay.kept import KeptHere, Place
from chez_relay.replies import fail, send
from chez_relay.roles import OpenRoles
from chez_relay.signed import SIGNED_TOO_OFTEN, Signatures
from chez_relay.storage import Found, Gone, InboxInfo, Refused, SpaceInfo
from chez_relay.subscriptions import Subscriptions
from chez_wire.kept import Ahead, Keep, Kept, Lost, Resume, Resumed, kept_digest, resumed_digest
from chez_wire.login import Role, resume_message

__all__ = ("Resuming",)


@dataclass(slots=True)
class Resuming:
    """What one connection keeps and takes up of its roles and subscriptions."""

    kept: KeptHere
    roles: OpenRoles
    subscriptions: Subscriptions
    may: May

    def keep(self, frame: Keep) -> list[Effect]:
        """Keep what is followed now."""
        if not (count := len(self.subscriptions)):
            return fail(frame.ref, Code.ROLE, "there is nothing to keep: no space is followed")
        if not self.may.keep(count):
            return fail(frame.ref, Code.TOO_OFTEN, "too many spaces were kept for your address just now", retry=True)
        handles = self.subscriptions.followed
        if not self.kept.keep(frame.key, [Place.of(handle, self.roles.proven(handle)) for handle in handles]):
            return fail(frame.ref, Code.EXISTS, "something is kept under this key already")
        return [send(Kept(frame.ref, len(handles), kept_digest(handles)))]

    def places(self, frame: Resume, by: Signatures) -> tuple[Place, ...] | Refused:
        """What is to be taken up, if it is kept here and its key signed for this connection."""
        if self.roles.open_anywhere:
            return Refused(Code.OUT_OF_ORDER, "roles are open on this connection already")
        if not self.may.prove(1):
            return SIGNED_TOO_OFTEN
        message = resume_message(by.relay, by.client_nonce, by.relay_nonce, frame.key)
        if not verify.signed_by(frame.key, frame.signature, message):
            return Refused(Code.DENIED, "the key of what is kept did not sign for this connection")
        unknown = Refused(Code.UNKNOWN, "nothing is kept here under this key, or of so many spaces")
        if self.kept.count(frame.key) != len(frame.offsets):
            return unknown
        if not self.may.keep(len(frame.offsets)):
            return Refused(Code.TOO_OFTEN, "too many spaces were taken up from your address just now", retry=True)
        return self.kept.find(frame.key) or unknown

    def take_up(self, frame: Resume, places: Sequence[Place], found: Found) -> list[Effect]:
        """Open and follow again whatever still may be, and say what may not."""
        self.kept.take_up(frame.key)
        told = _Told()
        for number, (place, after, known) in enumerate(zip(places, frame.offsets, found.known, strict=True)):
            if after is None:
                continue
            code = self._restore(place, frame.first + number, after, frame.credit, known, told)
            if code is not None:
                told.lost.append(Lost(number, code))
            elif told.follows[-1][1] > after:
                told.ahead.append(Ahead(number, told.follows[-1][1]))
        digest = resumed_digest(told.ends)
        effects: list[Effect] = [Follow(handle) for handle, _ in told.follows]
        effects.append(send(Resumed(frame.ref, told.ahead, told.lost, digest)))
        for handle, _ in told.follows:
            effects += self.subscriptions.go_on(handle)
        return effects

    def _restore(self, place: Place, ref: int, after: int, credit: int,
                 known: SpaceInfo | InboxInfo | Gone | Refused | None, told: "_Told") -> Code | None:
        """Open and follow one space again; why not, if not."""
        if isinstance(known, Refused):
            return known.code
        if not isinstance(known, SpaceInfo):
            return Code.DELETED if isinstance(known, Gone) else Code.UNKNOWN
        keys = place.standing(known)
        if keys is None or Role.READ not in keys:
            return Code.ROTATED
        if known.offset < after:
            return Code.AHEAD
        if not all(self.roles.open(place.handle, known, role, key) for role, key in keys.items()):
            return Code.TOO_MANY
        self.subscriptions.restore(SpaceCursor(ref, place.handle, after, credit, end=known.offset,
                                               under=keys[Role.READ]))
        told.follows.append((place.handle, known.offset))
        if known.offset == after:
            told.ends.append((place.handle, after, known.head))
        return None


@dataclass(slots=True)
class _Told:
    """What the answer says; `ends` are the spaces without news, `follows` all that came back and where they end."""

    ahead: list[Ahead] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    ends: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    follows: list[tuple[bytes, int]] = field(default_factory=list)
