"""One device's access to one space: members and keys as they are here, and what the device may do with them.

They are learned within transactions, by one object that all who work on the space share. If such work is undone, what
it taught is forgotten, and read again from the store.
"""

from dataclasses import replace

from chez import crypto
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.keys.person import Person
from chez.spaces.rotation import tag_of
from chez.spaces.space import SpaceKeys, load_space
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync import shut_out
from chez.sync.rotating import mailboxes

__all__ = ("Access",)


class Access:
    """What a device, by its `keys`, holds of a space and may do there."""

    def __init__(self, space: SpaceKeys, keys: DeviceKeys) -> None:
        self.space = space
        """Its members and keys; another object once work on them was undone (`refresh`)."""
        self.keys = keys
        self.person: Person | None = None
        """The person's own keys while a home comes back by them: its root says farewell."""
        self.recovery: crypto.SealingKey | None = None
        """The person's recovery key until relays know of a device that came back by it: its packets open here."""
        self.silent = False
        """Whether nothing is sent, whatever waits: a device that is not certified yet only reads."""
        self.current = space.epoch
        """The epoch that is sealed under, as the last transaction here left it; read from any thread."""
        self.stale = False
        """Whether members and keys may be others in the store (`forget`)."""

    @property
    def device(self) -> bytes:
        """The device's id."""
        return self.keys.id

    def forget(self) -> None:
        """Members and keys may be others in the store: they are read again."""
        self.stale = True

    def refresh(self, db: Connection) -> None:
        """Read the members again if that is called for."""
        if self.stale:
            self.space = load_space(db, self.space.n)
            self.stale = False
        self.current = self.space.epoch

    @property
    def role(self) -> Role | None:
        """What the device may do in the space, by the statements that are here."""
        return self.space.membership.state.right(self.keys.id)

    @property
    def removed(self) -> bool:
        """Whether the device has no part in the space any more, by the statements that are here or a farewell."""
        return self.space.farewell or (self.role is None and not self.follows)

    @property
    def follows(self) -> bool:
        """Whether the space is public, and the device reads it without ever having belonged to it."""
        state = self.space.membership.state
        return self.space.public and not state.persons_of(self.keys.id) & state.admissions

    @property
    def mute(self) -> bool:
        """Whether nothing of the device can be sent: who only reads a public space has no credential for it."""
        return self.silent or (self.space.public and self.space.epoch.append_seed is None)

    @property
    def signer(self) -> crypto.SigningKey:
        """Who speaks to relays for the device's rights."""
        return self.keys.signing if self.person is None else self.person.root

    @property
    def opening(self) -> DeviceKeys:
        """The keys that open packets: of who was taken out none of the devices that it was before, which may belong.

        Where the one that it was just before was, that one may be let in again.
        """
        if not self.removed:
            return self.keys
        return replace(self.keys, former=self.keys.former[:1] if self.space.inherited else ())

    def owns(self, epoch: Epoch) -> bool:
        """Whether it is for the device to come to a relay by an epoch's keys.

        Not where it was taken out before the epoch began. It may have read that one by the person's own keys, in a
        take-back that was cut short: while those are at hand it goes on.
        """
        if self.person is not None or self.recovery is not None or not self.removed:
            return True
        membership = self.space.membership
        return not membership.knows((epoch.id,)) or membership.right(self.keys.id, (epoch.id,)).role is not None

    @property
    def former_tags(self) -> list[bytes]:
        """Where those lie of devices that this one was."""
        return [tag_of(self.space.id, key.public) for key in self.keys.former]

    @property
    def tags(self) -> list[bytes]:
        """Where the packets with the keys of a new epoch lie at relays that the device can open, its own first."""
        return list(mailboxes(self.space, self.opening, self.recovery))

    def epoch_at(self, db: Connection, relay: int) -> Epoch:
        """The epoch whose credentials a relay, by its row, has, as far as is known here."""
        row = db.execute("SELECT epoch FROM cursor WHERE space = ? AND relay = ?", (self.space.n, relay)).fetchone()
        return self.space.epochs.get(row[0] if row else b"", self.space.epoch)

    def let_in(self, db: Connection, relay: int, epoch: Epoch) -> None:
        """A relay took the credentials of this epoch."""
        self.refresh(db)
        shut_out.admitted(db, self.space.n, relay)
        db.execute("UPDATE cursor SET epoch = ? WHERE space = ? AND relay = ?", (epoch.id, self.space.n, relay))
