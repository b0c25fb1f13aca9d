"""Epochs in the store: a new one started, one taken from a packet, those before it unlocked.

Works on an open transaction. A removal leaves under the epoch that it ends, so that whom
it concerns hears of it; everything else that waits is sealed anew under the new epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chez import crypto
from chez.errors import BadEntry, RelayRefused
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.spaces.handover import announce_end
from chez.spaces.public import reader_of
from chez.spaces.rotation import (
    Farewell,
    accept_packet,
    holds,
    new_epoch,
    packets_for,
    recovery_tag_of,
    tag_of,
    unlock,
)
from chez.spaces.space import SpaceKeys, keep_statement, store_epoch
from chez.spaces.statements import Enrol, Role
from chez.store.database import Connection
from chez.sync.requests import Rotation
from chez.sync.sealing import seal_anew
from chez_wire.frames import SealedPacket
from chez_wire.lan import Hosted
from chez_wire.login import ANY_KEY, handle_of

__all__ = ("Creation", "creation_of", "hosted", "learn_epochs", "mailboxes", "rotation_at", "sealed_packets",
           "start_epoch", "take_packet", "taken_back")


@dataclass(frozen=True, slots=True)
class Creation:
    """What creates a space at a relay: its first credentials, and the packets of its epoch."""

    epoch: Epoch
    admin: crypto.SigningKey
    recovery: bytes
    append: bytes
    control: bytes
    packets: tuple[SealedPacket, ...] = field(repr=False)
    token: str = field(repr=False)


def creation_of(db: Connection, relay: int, space: SpaceKeys, signer: crypto.SigningKey,
                entropy: Callable[[int], bytes]) -> Creation:
    """What a relay, by its row, is asked for that does not know the space.

    The space is created with the keys of the epoch that gave it its handle, for who has them;
    those of a newer one replace them right after, and bring the packets. Raises `RelayRefused`
    for who has not, and where the space was deleted: the relay's store is the one that had it.
    """
    (position,) = db.execute("SELECT position FROM cursor WHERE space = ? AND relay = ?", (space.n, relay)).fetchone()
    if position:
        raise RelayRefused(f"the space {space.name!r} was deleted at the relay",
                           "What is here stays. `chez sync --reseed` brings it back there.", reason="deleted")
    person = _above(space, signer.public)
    for epoch in space.epochs.values():
        admin, append, control = epoch.admin, epoch.append, space.control_of(epoch)
        if person is None or admin is None or append is None or control is None or (
                handle_of(admin.public) != space.handle):
            continue
        packets = sealed_packets(space, signer, entropy) if epoch.id == space.epoch.id else ()
        (token,) = db.execute("SELECT token FROM relay WHERE n = ?", (relay,)).fetchone()
        return Creation(epoch, admin, person.relay_recovery, append.public, control.public, packets, token)
    raise RelayRefused("the relay does not know this space", "Only a device of the person who made it can create it "
                       "there.", reason="unknown")


def hosted(space: SpaceKeys, signer: bytes) -> Hosted | None:
    """What a relay of this device's own is told of a space that only others can make at relays (`creation_of`).

    Its word is the home's, so no admin key has to sign; what the public halves are, every member knows from the
    statement of the epoch. None where this device can make it, or lacks the statement still. `signer` is the device.
    """
    epoch, person = space.epoch, _above(space, signer)
    said, control = space.membership.epoch(epoch.id), space.control_of(epoch)
    able = any(one.admin is not None and handle_of(one.admin.public) == space.handle for one in space.epochs.values())
    if able or said is None or person is None or control is None or not space.proven(epoch):
        return None
    return Hosted(space.handle, said.admin, person.relay_recovery, epoch.read.public, said.append, control.public)


def _above(space: SpaceKeys, signer: bytes) -> Enrol | None:
    """The person whose relay recovery key outranks the owners there, for good: who made the space.

    Unless that person owns it no more, and it was moved since: then who takes it there, by the device or the root.
    """
    state, create = space.membership.state, space.membership.create
    if create is None:
        return None
    owners = sorted(person for person in {signer, *state.persons_of(signer)} if state.role(person) is Role.OWNER)
    made = state.role(create.person) is Role.OWNER or space.handle == handle_of(create.admin) or not owners
    return state.persons.get(create.person if made else owners[0])


def start_epoch(db: Connection, space: SpaceKeys, device: DeviceKeys, entropy: Callable[[int], bytes],
                moving: Callable[[bytes], object] | None = None) -> Epoch:
    """Start a new epoch of a space; what waits to be sent is sealed under it. Raises `NotAllowed`.

    `moving` says before that the space goes to the handle of its admin key, given the public half.
    """
    admin = b""
    if moving is not None:
        admin = entropy(32)
        moving(crypto.SigningKey.from_seed(admin).public)
    made = new_epoch(space.membership, space.epochs, device.signing, entropy, admin)
    keep_statement(db, space.n, space.membership, made.statement)
    _keep(db, space, made.epoch)
    seal_anew(db, space)
    return made.epoch


def take_packet(db: Connection, space: SpaceKeys, box: bytes, device: DeviceKeys,
                recovery: crypto.SealingKey | None) -> Epoch | None:
    """The epoch in a packet that can be opened here (`mailboxes`), which reads, and seals nothing yet.

    None when the packet is none, or a farewell: if it is true, and not an old one, the space remembers.
    """
    opened = (_opened(space.id, box, key) for key in mailboxes(space, device, recovery).values())
    epoch = next((one for one in opened if one is not None), None)
    if epoch is None:
        return None
    if isinstance(epoch, Farewell):
        proven = epoch.proves(space.membership.state, device.id, device.sealing.public)
        if proven and not epoch.stale(space.membership, space.epochs):
            db.execute("UPDATE space SET farewell = 1, told_by = ? WHERE n = ?", (epoch.issuer, space.n))
            told, space.farewell, space.told_by = space.farewell, True, epoch.issuer
            space.inherited = False
            if not told:
                announce_end(db, space, device.id)
        return None
    known = space.epochs.get(epoch.id)
    if known is not None and known.secret != epoch.secret:
        return None
    if known is None and space.farewell:  # somebody let it in again
        db.execute("UPDATE space SET farewell = 0 WHERE n = ?", (space.n,))
        space.farewell = False
    _keep(db, space, epoch)
    return space.epochs[epoch.id]


def mailboxes(space: SpaceKeys, device: DeviceKeys,
              recovery: crypto.SealingKey | None) -> dict[bytes, crypto.SealingKey]:
    """By tag, in order, what opens packets of a space here.

    The device's own key, those of the devices that it was, the person's recovery key while that
    is at hand and, of a public space, everybody's.
    """
    state = space.membership.state
    found = {tag_of(space.id, key.public): key for key in (device.sealing, *device.former)}
    if recovery is not None and state.create is not None:
        found[recovery_tag_of(state.create.nonce, recovery.public)] = recovery
    if (everybody := reader_of(state)) is not None:
        found[tag_of(space.id, everybody.public)] = everybody
    return found


def _opened(space: bytes, box: bytes, key: crypto.SealingKey) -> Epoch | Farewell | None:
    try:
        return accept_packet(space, box, key)
    except BadEntry:
        return None


def learn_epochs(db: Connection, space: SpaceKeys, sealed_under: bytes) -> None:
    """Keep the keys that statements and keys lead to; `sealed_under` is the epoch that was sealed under before.

    Keys to which the words about their epoch do not commit are forgotten.
    """
    false = [epoch.id for epoch in space.epochs.values() if _false(space, epoch)]
    for id in false:
        db.execute("DELETE FROM epoch WHERE space = ? AND id = ?", (space.n, id))
    space.epochs = {id: epoch for id, epoch in space.epochs.items() if id not in false}
    for epoch in list(unlock(space.membership, space.epochs)):
        _keep(db, space, epoch)
    if space.epoch.id != sealed_under:
        seal_anew(db, space)


def _false(space: SpaceKeys, epoch: Epoch) -> bool:
    """Whether the words about an epoch do not commit to its keys, or are about something else."""
    said = space.membership.epoch(epoch.id)
    return space.membership.knows((epoch.id,)) if said is None else not holds(epoch, said)


def _keep(db: Connection, space: SpaceKeys, epoch: Epoch) -> None:
    store_epoch(db, space.n, epoch)
    known = space.epochs.get(epoch.id)
    if known is not None:
        epoch = Epoch(epoch.id, epoch.number, epoch.secret, known.append_seed or epoch.append_seed,
                      known.admin_seed or epoch.admin_seed)
    space.epochs = {**space.epochs, epoch.id: epoch}


def sealed_packets(space: SpaceKeys, signer: crypto.SigningKey,
                   entropy: Callable[[int], bytes]) -> tuple[SealedPacket, ...]:
    """The packets with which the epoch that is sealed under goes to everybody who belongs.

    `signer` says farewell to who does not: this device, or the person's root.
    """
    packets = packets_for(space.id, space.membership.state, space.epoch, signer, entropy, space.said)
    return tuple(SealedPacket(packet.tag, packet.box) for packet in packets)


def rotation_at(space: SpaceKeys, at: Epoch, signer: crypto.SigningKey,
                entropy: Callable[[int], bytes]) -> tuple[crypto.SigningKey, Rotation] | None:
    """Who signs and what replaces the keys that a relay has, those of the epoch `at`.

    None when there is nothing to replace, or this device may not: an epoch from a packet, whose
    statement was not read yet, is never replaced by one that does not follow it.
    """
    if at.admin is None or not (space.proven(at) or space.void(at)) or not space.follows(space.epoch, at):
        return None
    made = _replacing(space, at.read.public, signer, entropy)
    return None if made is None else (at.admin, made)


def taken_back(space: SpaceKeys, signer: crypto.SigningKey, entropy: Callable[[int], bytes]) -> Rotation | None:
    """What replaces the keys that a relay has, whichever they are, by the word of the recovery key that it knows.

    None for who has not all keys of an epoch that an owner started.
    """
    return _replacing(space, ANY_KEY, signer, entropy)


def _replacing(space: SpaceKeys, previous_read: bytes, signer: crypto.SigningKey,
               entropy: Callable[[int], bytes]) -> Rotation | None:
    epoch = space.epoch
    control = space.control_of(epoch)
    if epoch.append is None or epoch.admin is None or control is None or not space.proven(epoch):
        return None
    return Rotation(previous_read, epoch.admin.public, epoch.read.public, epoch.append.public, control.public,
                    sealed_packets(space, signer, entropy))
