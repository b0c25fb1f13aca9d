"""When a change was made is known on every device, also when it was sealed much later."""

from random import Random

from chez.records.store import RecordStore
from chez_wire.frames import Entry
from tests.simulation.household import NOW, household


def test_an_edit_made_offline_keeps_its_time() -> None:
    """Edits sealed an hour later show when they were made, here and there; a clock set back is harmless."""
    random = Random(1)
    family = household(random)
    first, second = family.members(random, 2)
    clock = [NOW - 3_600_000]
    here, there = family.store(first, random.randbytes(32)), family.store(second, random.randbytes(32))
    records = RecordStore(first.keys.id, now=lambda: clock[0])
    sender, receiver = family.replica(first, here, random, records), family.replica(second, there, random)
    records.put(here, 1, "notes", "a", {"title": "Tea"})
    clock[0] = NOW + 5  # the clock that seals is behind
    records.put(here, 1, "notes", "a", {"title": "Coffee"})

    def times(db: object) -> list[int]:
        return [time for (time,) in db.execute("SELECT time FROM change ORDER BY n")]  # type: ignore[attr-defined]

    for replica, db in ((sender, here), (receiver, there)):
        replica.resume(db, 1, bytes(32))
    envelopes = [sealed.envelope for sealed in sender.author.outgoing(here, 1)]
    took = receiver.incoming(there, 1, [Entry(n, data) for n, data in enumerate(envelopes, 1)], bytes(32))
    assert took.quarantined == 0
    assert times(here) == [NOW - 3_600_000, NOW + 5]
    assert times(there) == [NOW - 3_600_000, NOW]
