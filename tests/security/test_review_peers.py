"""A member of the space that writes entries by hand: what it sends is set aside, the rest goes on."""

from random import Random

import pytest

from chez.errors import HomeCopied
from chez.keys.device import DeviceKeys
from chez.records.encode import encode_fields
from chez.records.store import RecordStore
from chez.store.database import Connection
from chez.sync.entry import CHANGE, CHANGES, GENESIS, Inner, Item, SignedEntry, seal, sign_entry
from chez.sync.replica import Replica
from chez_wire.frames import Entry
from tests.simulation.household import NOW, Household, household

HEAD = bytes(32)


class Device:
    """A device of the household, and the hand-made chain of another one."""

    def __init__(self) -> None:
        self.random = Random(7)
        self.house: Household = household(self.random)
        self.author: DeviceKeys
        members = self.house.members(self.random, 3)
        self.author, self.heads = members[1].keys, members[1].heads
        self.member = members[2]
        self.db: Connection = self.house.store(members[2], bytes(32))
        self.replica: Replica = self.house.replica(members[2], self.db, self.random, RecordStore(members[2].keys.id))
        self.replica.resume(self.db, 1, bytes(32))
        self._sequence, self._previous = 0, GENESIS

    def entry(self, *items: Item, space: bytes = b"") -> SignedEntry:
        """The author's next entry; with `space`, for another one."""
        self._sequence += 1
        inner = Inner(1, space or self.house.space, self.author.id, self._sequence, self._previous, NOW, CHANGES,
                      list(items), self.heads, None)
        signed = sign_entry(inner, self.author.signing)
        self._previous = signed.hash
        return signed

    def change(self, collection: str, id: str, field: str = "x") -> Item:
        """A first change of a record, by the author."""
        return Item(CHANGE, collection, id, encode_fields(self.author.id, 1, 1, (), {field: 1}).bytes)

    def receive(self, *entries: SignedEntry) -> None:
        """Take these in as one page of the relay."""
        handle, epoch = self.replica.space.handle, self.house.epoch
        page = [Entry(n, seal(entry.packed, handle, epoch, self.random.randbytes(24)))
                for n, entry in enumerate(entries, 1)]
        self.replica.incoming(self.db, 1, page, HEAD)

    def count(self, table: str) -> int:
        """Rows of a table."""
        found: int = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


@pytest.mark.parametrize(("collection", "id"), [("", "a"), ("no\0tes", "a"), ("notes", ""), ("notes", "a\x1b[31m"),
                                                ("notes\" --", "a")])
def test_names_that_no_device_may_give_are_quarantined(collection: str, id: str) -> None:
    """An entry whose record has a name that breaks views or terminals changes nothing."""
    device = Device()
    device.receive(device.entry(device.change(collection, id)))
    assert (device.count("record"), device.count("field"), device.count("quarantine")) == (0, 0, 1)


def test_what_was_said_in_another_space_is_not_taken_in() -> None:
    """Who is in two spaces seals here what somebody signed for the other: it is reported, and nothing of it waits."""
    device = Device()
    device.receive(device.entry(device.change("notes", "a"), space=b"o" * 32))
    assert (device.count("record"), device.count("entry"), device.count("parked")) == (0, 0, 0)
    assert device.db.execute("SELECT reason FROM quarantine").fetchall() == [
        ("the entry belongs to another space",)]


@pytest.mark.parametrize("first", [False, True])
def test_a_copy_of_this_home_that_breaks_a_rule_is_a_copy(first: bool) -> None:
    """An entry in this device's own name that it did not write: that is told, whatever is wrong with it, and its own
    chain is not set aside, nor what it did not write kept until it fits.
    """
    device = Device()
    device.author, device.heads = device.member.keys, device.member.heads
    if not first:
        device.entry(device.change("notes", "a"))
    with pytest.raises(HomeCopied):
        device.receive(device.entry(Item(CHANGE, "notes", "a", encode_fields(b"z" * 32, 1, 1, (), {"x": 1}).bytes)))
    assert [device.count(table) for table in ("set_aside", "quarantine", "parked", "entry")] == [0, 0, 0, 0]


def test_a_whole_chain_behind_its_first_entry_is_accepted() -> None:
    """A relay that hands out an author's first entry last neither loses an entry nor exhausts the stack."""
    device = Device()
    entries = [device.entry(device.change("notes", f"n{n}")) for n in range(600)]
    device.receive(*entries[1:], entries[0])
    assert (device.count("record"), device.count("parked"), device.count("quarantine")) == (600, 0, 0)


def test_a_chain_that_broke_a_rule_is_set_aside_and_others_go_on() -> None:
    """A change in another's name ends its author's chain: what follows is kept and reported, nothing waits for ever."""
    device = Device()
    foreign = Item(CHANGE, "notes", "a", encode_fields(b"z" * 32, 1, 1, (), {"x": 1}).bytes)
    entries = [device.entry(device.change("notes", "n0")), device.entry(foreign),
               *[device.entry(device.change("notes", f"n{n}")) for n in range(1, 9)]]
    early, bad, late = entries[0], entries[1], entries[2:]
    device.receive(early, late[5], late[4], bad, *late[:4], late[6], late[7])
    assert (device.count("record"), device.count("parked"), device.count("quarantine")) == (1, 0, 9)
    reasons = {reason for (reason,) in device.db.execute("SELECT reason FROM quarantine")}
    assert reasons == {"the entry carries a change in another device's name",
                       "its author's chain is set aside from entry 2 on"}
