"""What devices say of a relay's log is held against what it showed here: of the log that is, by who is believed."""

import pytest

from chez.home.devices import expel
from chez.sync.chains import last_entry
from chez.sync.entry import CHANGES, Inner, RelayHead, SignedEntry, log_name, seal, sign_entry
from chez.sync.heads import head_after
from chez_wire.frames import Dropped, Entry
from tests.simulation.household import NOW
from tests.sync.test_hearing import RELAY, Family


class Told:
    """A device that hears of a relay's log from another one, whose chain is made by hand."""

    def __init__(self) -> None:
        self.family = Family()
        self.other = self.family.other
        self.db, self.replica = self.other.db, self.other.replicas[1]
        self.author = self.family.founder.member.keys
        self.sequence, self.previous, _ = last_entry(self.db, 1, self.author.id)
        (self.read,) = self.db.execute("SELECT position FROM cursor WHERE space = 1").fetchone()

    def entry(self, *claim: int, head: bytes = b"x" * 32) -> SignedEntry:
        """The other device's next entry, which says that it saw this head, or one as no other, at an offset, if any."""
        space = self.replica.space
        said = [RelayHead(log_name(bytes(32), space.handle), self.read + offset, head) for offset in claim]
        self.sequence += 1
        made = sign_entry(Inner(1, space.id, self.author.id, self.sequence, self.previous, NOW, CHANGES, [],
                                space.membership.named_heads, *(said or [None])), self.author.signing)
        self.previous = made.hash
        return made

    def receives(self, *entries: SignedEntry) -> None:
        """They come as one page."""
        space = self.replica.space
        self.other.receives([seal(one.packed, space.handle, space.epoch, bytes(24)) for one in entries])

    def alarms(self) -> list[tuple[int, int]]:
        """Where the logs are two, from where this device had read to, and whether the relay hides something."""
        return [(offset - self.read, hidden) for offset, hidden in self.db.execute(
            "SELECT position, hidden FROM alarm ORDER BY position")]


def test_what_was_said_of_a_page_is_held_against_its_first_and_its_last_entry() -> None:
    """Whoever read further says what it saw at the offsets that come next: both are told, and kept no longer."""
    told = Told()
    told.receives(told.entry(2))
    assert told.alarms() == [] and told.other.count("claim") == 1
    told.receives(told.entry(), told.entry())
    assert told.alarms() == [(2, 0)] and told.other.count("claim") == 0
    told.receives(told.entry(6))
    told.receives(told.entry(), told.entry())
    assert told.alarms() == [(2, 0), (6, 0)] and told.other.count("claim") == 0


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_log_that_others_saw_alike_raises_no_alarm(first: bool, alike: bool) -> None:
    """Another relay brings what a device saw of this one, after this device read so far, or before: if it is not what
    this one showed here, that is told."""
    told = Told()
    space = told.replica.space
    told.db.execute("INSERT INTO relay (n, url) VALUES (2, 'ws://other.test:8787')")
    told.replica.relays.kept |= {RELAY, 2}
    told.replica.resume(told.db, 2, b"2" * 32)
    (before,) = told.db.execute("SELECT head FROM cursor WHERE relay = ?", (RELAY,)).fetchone()
    shown = [Entry(told.read + 1, seal(told.entry().packed, space.handle, space.epoch, bytes(24)))]
    says = told.entry(1, head=head_after(before, shown) if alike else b"x" * 32)
    brought = [Entry(at, one) for at, one in enumerate(
        (shown[0].envelope, seal(says.packed, space.handle, space.epoch, bytes(24))), 1)]
    for relay, page in [(RELAY, shown), (2, brought)][::1 if first else -1]:
        found = told.replica.incoming(told.db, relay, page, b"").alarms
    assert len(found) == (not alike) and told.alarms() == ([] if alike else [(1, 0)])
    assert told.other.count("claim") == 0


@pytest.mark.parametrize("gone", [False, True])
def test_a_relay_hides_nothing_by_the_word_of_who_was_taken_out(gone: bool) -> None:
    """Its log ends before what a device says that it saw there: who has no part in the space is not believed."""
    told = Told()
    told.receives(told.entry(9))
    if gone:
        expel(told.db, [replica.space for replica in told.other.replicas.values()], told.other.member.keys,
              told.family.house.person, told.author.id, set())
    told.replica.caught_up(told.db, RELAY, told.read + 1)
    assert told.alarms() == ([] if gone else [(9, 1)])


def test_what_was_said_of_a_log_that_is_no_more_says_nothing_of_the_next() -> None:
    """A relay lost its store: neither what others saw there, nor what it had passed over, is asked of the new one."""
    told = Told()
    told.receives(told.entry(9))
    told.replica.pass_over(told.db, RELAY, Dropped(told.read + 2, told.read + 3, bytes(32)))
    assert told.replica.behind(told.db, RELAY)
    told.replica.resume(told.db, RELAY, b"1" * 32)
    assert not told.replica.behind(told.db, RELAY)
    told.replica.caught_up(told.db, RELAY, 0)
    assert told.alarms() == [] and told.other.count("claim") == 0
