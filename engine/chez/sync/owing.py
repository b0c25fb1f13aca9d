"""Which new epoch is owed and who starts it; what a relay has to hold before it gets one's keys.

A device that comes in is given the epochs that the one knows which lets it in. If another
device, which had not heard of it, started an epoch at that time, the newcomer is given no
packet of that: it is left behind, and nobody but who let it in can tell. That one owes a new
epoch; where it is no owner, it hands on the keys (`spaces.handover.announce_missed`).

How an epoch began is told to a newcomer with its keys, and to a relay by an entry. Of several relays the newcomer may
be the first to bring the keys to one that lacks that entry, while itself it has it from another one, to be taken in
behind others: so it says it once more.

Of epochs started apart each may be followed by who lacks its keys: they may never come, if who has
them is gone, or waits itself. So nobody who read a relay to its end waits for them, and whoever has
keys to which nothing leads owes an epoch that does.
"""

from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.spaces.rotation import awaited, unled
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Certify, Role, Signed
from chez.store.database import Connection
from chez.sync.entry import STATEMENT, STATEMENTS, read_kept

__all__ = ("owes", "said_by", "say_unread", "untold")


def owes(db: Connection, space: SpaceKeys, device: DeviceKeys, at: Epoch, *, first: bool) -> bool:
    """Whether a new epoch is owed that this device can start.

    `at` is the epoch whose keys a relay has: if it is void, one is owed that follows it.
    With `first`, being the first of those who can, or the one whose newcomer was left behind, and no
    keys being underway: whoever has them is about to start it.
    """
    state = space.membership.state
    if state.right(device.id) is not Role.OWNER:
        return False
    if awaited(state, space.epochs) and (first or state.epoch_heads.isdisjoint(space.epochs)):
        return False
    if _left_behind(db, space, device) or unled(space.membership, space.epochs):
        return True
    if not state.rotation_owed and not (space.void(at) and not space.follows(space.epoch, at)):
        return False
    return not first or device.id == min(id for id in state.devices if state.right(id) is Role.OWNER)


def _left_behind(db: Connection, space: SpaceKeys, device: DeviceKeys) -> bool:
    """Whether a device that this one let in was not known to who started the newest epoch, nor given its keys.

    Or one that was let in by a device that this one was before it was restored.
    """
    membership = space.membership
    state = membership.state
    former = {key.public for key in device.former}
    own = {device.id} | {id for id in state.certificates if former and (
        (one := state.device(id)) is not None and one.sealing in former)}
    newcomers = [hash for id in state.devices if id not in own for hash, said in state.certificates[id].items()
                 if isinstance(said, Certify) and said.issuer in own]
    missed = [(head, hash) for head in state.epoch_heads for hash in newcomers if not membership.before(hash, head)]
    arrival = "SELECT n FROM statement WHERE space = ? AND hash = ?"
    for head, hash in missed:
        # What was here when it was let in, it was given.
        began, certified = (db.execute(arrival, (space.n, one)).fetchone() for one in (head, hash))
        if began is not None and certified is not None and began[0] > certified[0]:
            return True
    return False


def untold(db: Connection, space: int, relay: int, *, says: bool) -> bool:
    """Whether a relay lacks statements that are here: how an epoch began is in the log before its keys are there.

    Those in no entry yet are waited for if this device `says` them: who has no part in the space does not.
    """
    (waits,) = db.execute(
        "SELECT (?4 AND EXISTS (SELECT 1 FROM statement WHERE space = ?1 AND sent = 0)) OR EXISTS ("
        "SELECT 1 FROM entry WHERE space = ?1 AND kind = ?3 AND (n IN (SELECT entry FROM sealed WHERE relay = ?2) "
        "OR n IN (SELECT entry FROM lacking WHERE relay = ?2)))", (space, relay, STATEMENTS, says)).fetchone()
    return bool(waits)


def say_unread(db: Connection, space: SpaceKeys, relay: int) -> bool:
    """Whether a relay that was read to its end showed nothing of how the newest epoch began.

    Then an own entry is to tell it, with all statements that were read in none.
    """
    if space.epoch.number == 1:  # the first is there before there is a log
        return False
    there = db.execute(
        "SELECT inner FROM entry WHERE space = ?1 AND kind = ?3 UNION ALL SELECT inner FROM parked JOIN shown "
        "USING (space, hash) WHERE space = ?1 AND relay = ?2", (space.n, relay, STATEMENTS))
    read = {Signed.kept(item.data).hash for (packed,) in there
            for item in read_kept(packed).inner.items if item.kind == STATEMENT}
    if space.epoch.id in read:
        return False
    known = [hash for (hash,) in db.execute("SELECT hash FROM statement WHERE space = ?", (space.n,))]
    db.executemany("UPDATE statement SET sent = 0 WHERE space = ? AND hash = ?",
                   [(space.n, hash) for hash in known if hash not in read])
    return True


def said_by(db: Connection, space: SpaceKeys, epoch: bytes, device: bytes) -> bool:
    """Whether a device started an epoch, and an entry tells how."""
    body = space.membership.epoch(epoch)
    row = db.execute("SELECT EXISTS (SELECT 1 FROM statement WHERE space = ? AND hash = ? AND sent = 1)",
                     (space.n, epoch)).fetchone()
    return body is not None and body.issuer == device and bool(row[0])
