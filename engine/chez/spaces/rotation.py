"""A new epoch of a space: its keys, for whom they are sealed, and how they are recognised.

    packet    sealed box of: length (1 byte), MessagePack [1, space, epoch, number, secret, append
              seed, admin seed] or [2, space, issuer, epoch, number, signature], zeros up to 208 bytes
    tag       H("chez/1 mailbox", space, sealing key): where a device's packet lies at relays;
              H("chez/1 recovery mailbox", the space's nonce, recovery key): a person's
    link      nonce ‖ XChaCha20-Poly1305(the previous epoch's secret) under a key derived from
              the new secret ("chez/1 epoch link"), associated data H(space, previous epoch)

Readers get the secret, writers the append seed as well, owners the admin seed too; a
person's recovery key gets what the person gets, under a tag that the 24 words alone can
compute for the private space, whose nonce comes of them: its id has a device's in it. In a
public space everybody who has its address is a reader, by one key for all (`spaces.public`).
A sealed box authenticates nobody: an epoch from a packet is worth nothing before its
statement takes effect and commits to it. A device that was taken out finds a farewell,
signed by who started the epoch: it can read the log no more, and would not know why. The
farewell names that epoch, so that who is back since is not taken in by an old one.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry, NotAllowed
from chez.keys.epochs import Epoch, commitment
from chez.spaces.farewells import NOTHING_SAID, Farewell, farewells, in_turns
from chez.spaces.membership import Membership
from chez.spaces.public import reader_of
from chez.spaces.state import Member, State
from chez.spaces.statements import MAX_PREVIOUS, Create, NewEpoch, Previous, Role, Signed, sign_statement
from chez_wire.limits import MAX_PACKETS

__all__ = ("PACKET_BYTES", "Farewell", "Packet", "StartedEpoch", "accept_packet", "awaited", "first_epoch", "holds",
           "led_to", "new_epoch", "open_packet", "packets_for", "recovery_tag_of", "tag_of", "unled", "unlock")

PACKET_PLAIN: Final = 208
PACKET_BYTES: Final = PACKET_PLAIN + crypto.SEALED_BOX_OVERHEAD
"""Bytes of every packet: 256, whoever it is for."""

_LEAST_PACKETS: Final = 4

_LINK_BYTES: Final = crypto.NONCE_BYTES + crypto.KEY_BYTES + crypto.TAG_BYTES
"""Bytes of a link to an epoch whose keys its author had; of another it is shorter."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seed = Annotated[bytes, Meta(max_length=32)]


class _Keys(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    """What is inside a packet; an empty seed for who may not have it."""

    space: Id
    epoch: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    secret: Id
    append: Seed
    admin: Seed

    def __repr__(self) -> str:
        return f"<keys of epoch {self.number}>"


@dataclass(frozen=True, slots=True)
class Packet:
    """An epoch's keys on their way to one recipient, or a decoy."""

    tag: bytes
    box: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartedEpoch:
    """A new epoch as its author has it: the statement, and the keys."""

    statement: Signed
    epoch: Epoch


def first_epoch(create: Signed, device: crypto.SigningKey, admin_seed: bytes, entropy: bytes) -> StartedEpoch:
    """The epoch that a space begins with; `entropy` is 64 random bytes."""
    body = create.body
    if not isinstance(body, Create):
        raise TypeError("a space begins with its Create")
    return _make(create.hash, [create.hash], device, 1, [], entropy[:32], entropy[32:64], admin_seed)


def new_epoch(membership: Membership, epochs: Mapping[bytes, Epoch], device: crypto.SigningKey,
              entropy: Callable[[int], bytes], admin: bytes = b"") -> StartedEpoch:
    """The epoch that follows all that are known; all three keys are new.

    `admin` is the seed of its admin key, where that is made already.

    It has the secrets of all those that nothing leads to yet (`unled`), void ones too: what is
    sealed under them was accepted. Of one whose keys are not here it has none: who started it
    may have gone before anybody got them, and who has them leads to it by another epoch. Raises
    `NotAllowed` for who is no owner, or has the keys of none that it would follow.
    """
    state = membership.state
    if state.right(device.public) is not Role.OWNER:
        raise NotAllowed("only an owner's device starts a new epoch", "Ask an owner of the space.")
    secret = entropy(32)
    previous = []
    if awaited(state, epochs) and state.epoch_heads.isdisjoint(epochs):
        raise NotAllowed("the keys of the epoch that another owner started are not here yet",
                         "Sync first: they come with the next contact.")
    for id in (*sorted(state.epoch_heads), *unled(membership, epochs))[:MAX_PREVIOUS]:
        known = epochs[id].secret if id in epochs else b""
        said = membership.epoch(id)
        assert said is not None  # strays and heads are known by their statements
        previous.append(Previous(id, said.number, _link(membership.space, id, secret, known, entropy(24))))
    number = 1 + max(state.epochs[id].number for id in state.epoch_heads)
    return _make(membership.space, membership.named_heads, device, number, previous, secret, entropy(32),
                 admin or entropy(32))


def awaited(state: State, epochs: Container[bytes]) -> bool:
    """Whether keys of an epoch that is to be followed are still to come, from the owner who started it."""
    return any(id not in epochs and state.right(state.epochs[id].issuer) is Role.OWNER for id in state.epoch_heads)


def led_to(membership: Membership, epochs: Mapping[bytes, Epoch], ids: Iterable[bytes]) -> set[bytes]:
    """These epochs and all to which their links lead, one by another."""
    reached = set(ids)
    ready = list(reached)
    while ready:
        id = ready.pop()
        said = membership.epoch(id)
        for one in () if said is None else said.previous:
            if one.epoch not in reached and _leads(membership.space, epochs.get(id), one, epochs.get(one.epoch)):
                reached.add(one.epoch)
                ready.append(one.epoch)
    return reached


def unled(membership: Membership, epochs: Mapping[bytes, Epoch]) -> list[bytes]:
    """The epochs whose keys are here, but for the newest, to which nothing leads from these.

    Who is given the newest does not find their keys, and reads nothing that is sealed under them.
    """
    reached = led_to(membership, epochs, membership.state.epoch_heads)
    return sorted(id for id in epochs if id not in reached and membership.knows((id,))
                  and membership.epoch(id) is not None)  # a packet may name any statement


def _leads(space: bytes, epoch: Epoch | None, link: Previous, before: Epoch | None) -> bool:
    """Whether a link has a key, as far as can be told here: that of the epoch, if both are known."""
    if epoch is None:
        return len(link.sealed) == _LINK_BYTES
    secret = _unlink(space, epoch.secret, link)
    return secret is not None and (before is None or secret == before.secret)


def _make(space: bytes, heads: list[bytes], device: crypto.SigningKey, number: int, previous: list[Previous],
          secret: bytes, append: bytes, admin: bytes) -> StartedEpoch:
    public = [crypto.SigningKey.from_seed(seed).public for seed in (append, admin)]
    statement = sign_statement(NewEpoch(space, heads, device.public, number, previous, commitment(secret), *public),
                               device)
    return StartedEpoch(statement, Epoch(statement.hash, number, secret, append, admin))


def _link_key(secret: bytes) -> bytes:
    return crypto.derive(secret, "chez/1 epoch link")


def _link_data(space: bytes, epoch: bytes) -> bytes:
    return crypto.hash_fields("chez/1 epoch link", space, epoch)


def _link(space: bytes, epoch: bytes, secret: bytes, previous: bytes, nonce: bytes) -> bytes:
    return nonce + crypto.encrypt(_link_key(secret), nonce, previous, _link_data(space, epoch))


def unlock(membership: Membership, epochs: Mapping[bytes, Epoch]) -> Iterator[Epoch]:
    """The epochs before those whose keys are here, by the links between them.

    The words about them may still be under them: as a packet's, such keys read, and seal
    nothing until a statement that takes effect commits to them.
    """
    have = dict(epochs)
    ready = list(have)
    while ready:
        id = ready.pop()
        body = membership.epoch(id)
        if body is None or not holds(have[id], body):
            continue
        for one in body.previous:
            if one.epoch in have:
                continue
            secret = _unlink(membership.space, have[id].secret, one)
            epoch = None if secret is None else Epoch(one.epoch, one.number, secret, None)
            said = membership.epoch(one.epoch)
            if epoch is not None and (said is None or holds(epoch, said)):
                have[epoch.id] = epoch
                ready.append(epoch.id)
                yield epoch


def _unlink(space: bytes, secret: bytes, link: Previous) -> bytes | None:
    try:
        before = crypto.decrypt(_link_key(secret), link.sealed[:24], link.sealed[24:], _link_data(space, link.epoch))
    except crypto.CryptoFailed:
        return None
    return before if len(before) == crypto.KEY_BYTES else None


def holds(epoch: Epoch, said: NewEpoch) -> bool:
    """Whether an epoch's keys are those that its statement speaks of."""
    pairs = ((epoch.append_seed, said.append), (epoch.admin_seed, said.admin))
    return epoch.number == said.number and commitment(epoch.secret) == said.commitment and all(
        seed is None or (len(seed) == 32 and crypto.SigningKey.from_seed(seed).public == public)
        for seed, public in pairs)


# --- packets ----------------------------------------------------------------------------


def tag_of(space: bytes, sealing: bytes) -> bytes:
    """Where the packet of a device, which has this sealing key, lies at relays (32 bytes)."""
    return crypto.hash_fields("chez/1 mailbox", space, sealing)


def recovery_tag_of(nonce: bytes, recovery: bytes) -> bytes:
    """Where a person's packet lies, which its recovery key opens, in the space with this nonce (32 bytes)."""
    return crypto.hash_fields("chez/1 recovery mailbox", nonce, recovery)


def packets_for(space: bytes, state: State, epoch: Epoch, signer: crypto.SigningKey,
                entropy: Callable[[int], bytes], said: Mapping[bytes, Farewell] = NOTHING_SAID) -> list[Packet]:
    """The packets of an epoch whose three keys are here, for every device and recovery key; decoys among them.

    In a public space one more, for everybody.

    Farewells for those that were taken out, signed by `signer`, or that which was `said` before, by sealing key.

    In order of their tags, their number a power of two: it tells the members' number roughly.
    The decoys' tags stay the same from one epoch to the next, as the members' do. A space has
    at most 2,048: of more keys each person has its turn, so that nobody keeps others, or a new
    epoch, from coming by claiming to have devices.
    """
    packets = []
    recipients = _recipients(space, state)
    for tag, (sealing, role) in recipients.items():
        try:
            packets.append(Packet(tag, _seal(space, epoch, role, sealing)))
        except crypto.CryptoFailed:
            continue  # a key with which everybody could read it: its owner locked itself out
    staying = {sealing for sealing, _ in recipients.values()}
    for sealing, word in farewells(space, state, epoch, signer, staying):
        if len(packets) >= MAX_PACKETS:
            break
        with suppress(crypto.CryptoFailed):
            packets.append(Packet(tag_of(space, sealing), _boxed(sealing, said.get(sealing, word))))
    least = max(_LEAST_PACKETS, 1 << (len(packets) - 1).bit_length()) if packets else _LEAST_PACKETS
    packets += [Packet(crypto.hash_fields("chez/1 mailbox", space, n.to_bytes(4, "big")), entropy(PACKET_BYTES))
                for n in range(least - len(packets))]
    return sorted(packets, key=lambda packet: packet.tag)


def _recipients(space: bytes, state: State) -> dict[bytes, tuple[bytes, Role]]:
    """By tag, the key that a packet is sealed to, and what who has it may do."""
    found: dict[bytes, tuple[bytes, Role]] = {}
    everybody = reader_of(state)

    def add(tag: bytes, sealing: bytes, role: Role) -> None:
        if everybody is not None and sealing == everybody.public:
            role = Role.READER  # whoever names this key its own
        found[tag] = sealing, max(role, found[tag][1] if tag in found else role)

    if everybody is not None:
        add(tag_of(space, everybody.public), everybody.public, Role.READER)
    for sealing, role, tag in in_turns(_keys_of(space, state, member) for member in _by_role(state)):
        if tag in found or len(found) < MAX_PACKETS:
            add(tag, sealing, role)
    return found


def _by_role(state: State) -> list[Member]:
    return sorted(state.members.values(), key=lambda member: (-member.role, member.person))


def _keys_of(space: bytes, state: State, member: Member) -> Iterator[tuple[bytes, Role, bytes]]:
    """A member's keys, what each may do, and its tag: the recovery key, then those of its devices as they came."""
    if state.create is not None:
        recovery = state.persons[member.person].recovery
        yield recovery, member.role, recovery_tag_of(state.create.nonce, recovery)
    for device in state.devices_of(member.person):
        right = state.right(device.id)
        if right is not None:
            yield device.sealing, right, tag_of(space, device.sealing)


def _boxed(sealing: bytes, content: "_Keys | Farewell") -> bytes:
    plain = msgspec.msgpack.encode(content)
    return crypto.seal_to(sealing, (bytes((len(plain),)) + plain).ljust(PACKET_PLAIN, b"\0"))


def _seal(space: bytes, epoch: Epoch, role: Role, sealing: bytes) -> bytes:
    append = epoch.append_seed or b"" if role >= Role.WRITER else b""
    admin = epoch.admin_seed or b"" if role >= Role.OWNER else b""
    return _boxed(sealing, _Keys(space, epoch.id, epoch.number, epoch.secret, append, admin))


def open_packet(box: bytes, key: crypto.SealingKey) -> tuple[bytes, Epoch | Farewell]:
    """What is in a packet, and the space that it says it is of.

    An epoch is provisional until its statement takes effect and commits to it. Raises `BadEntry`.
    """
    try:
        plain = key.open(box)
        keys = msgspec.msgpack.decode(plain[1 : 1 + plain[0]] if len(plain) == PACKET_PLAIN else b"",
                                      type=_Keys | Farewell)
    except (crypto.CryptoFailed, msgspec.DecodeError):
        raise BadEntry("the packet with an epoch's keys can't be read") from None
    if isinstance(keys, Farewell):
        return keys.space, keys
    return keys.space, Epoch(keys.epoch, keys.number, keys.secret, keys.append or None, keys.admin or None)


def accept_packet(space: bytes, box: bytes, key: crypto.SealingKey) -> Epoch | Farewell:
    """The epoch in a packet of a space that is known, or a farewell; see `open_packet`. Raises `BadEntry`."""
    named, content = open_packet(box, key)
    if named != space:
        raise BadEntry("the packet has keys of another space")
    return content
