"""The log of a space as a relay has it, made without one: statements and changes under many epochs."""

from random import Random

from chez import crypto
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.rotation import StartedEpoch, first_epoch, new_epoch
from chez.spaces.statements import Kind, Signed
from chez.sync.entry import CHANGE, CHANGES, STATEMENT, STATEMENTS, Inner, Item, seal, sign_entry
from chez_wire.frames import Entry
from tests.spaces.people import Person, begin

HANDLE = bytes(range(32))


class Log:
    """Alice's space, written by her one device, `entries` in the relay's order."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.alice = Person("alice")
        self.device = self.alice.devices[0]
        first = begin(self.alice, Kind.SHARED)
        self.space = first[-1].hash
        self.members = Membership(self.space)
        self.entries: list[Entry] = []
        self.junk = 0
        self._chain: tuple[int, bytes] = (0, bytes(32))
        started = first_epoch(first[-1], self.device.signing, random.randbytes(32), random.randbytes(64))
        self.epochs = {started.epoch.id: started.epoch}
        self.say([*first, started.statement], started.epoch)

    @property
    def newest(self) -> Epoch:
        """The epoch whose keys a packet has."""
        return max(self.epochs.values(), key=lambda epoch: (epoch.number, epoch.id))

    def say(self, statements: list[Signed], epoch: Epoch) -> None:
        """Statements take effect, in an entry sealed under an epoch."""
        self.members.add(statements)
        self.append(STATEMENTS, [Item(STATEMENT, "", "", one.raw) for one in statements], epoch)

    def rotate(self) -> None:
        """An owner starts an epoch, and says so under it."""
        made = self._epoch(self.members)
        self.epochs[made.epoch.id] = made.epoch
        self.say([made.statement], made.epoch)

    def fork(self) -> None:
        """Two epochs at once, and one that follows both."""
        both = [self._epoch(self.members), self._epoch(self.members)]
        self.epochs |= {made.epoch.id: made.epoch for made in both}
        for made in both:
            self.say([made.statement], made.epoch)
        self.rotate()

    def _epoch(self, members: Membership) -> StartedEpoch:
        return new_epoch(members, self.epochs, self.device.signing, self.random.randbytes)

    def write(self, epoch: Epoch | None = None) -> None:
        """An entry of changes, under the newest epoch or any."""
        data = self.random.randbytes(self.random.choice((1, 100, 3000)))
        self.append(CHANGES, [Item(CHANGE, "notes", "a", data)], epoch or self.newest)

    def append(self, kind: int, items: list[Item], epoch: Epoch, space: bytes | None = None) -> None:
        """An entry goes to the end."""
        sequence, previous = self._chain
        signed = sign_entry(Inner(1, space or self.space, self.device.id, sequence + 1, previous, 0, kind, items,
                                  self.members.named_heads, None), self.device.signing)
        self._chain = sequence + 1, signed.hash
        self.raw(seal(signed.packed, HANDLE, epoch, self.random.randbytes(24)))

    def raw(self, envelope: bytes) -> None:
        """Any bytes go to the end."""
        self.entries.append(Entry(len(self.entries) + 1, envelope))

    def spoil(self) -> None:
        """Bytes that nobody can read go to the end."""
        self.junk += 1
        unknown = Epoch(self.random.randbytes(32), 9, self.random.randbytes(32), None)
        known = self.random.choice(list(self.epochs.values()))
        good = seal(b"x", HANDLE, known, self.random.randbytes(24))
        self.raw(self.random.choice([
            self.random.randbytes(self.random.randrange(2000)),
            seal(b"x", HANDLE, unknown, self.random.randbytes(24)),
            seal(b"x", crypto.hash_fields("another"), known, self.random.randbytes(24)),
            good[:-1] + bytes((good[-1] ^ 1,)),
            good,
        ]))
